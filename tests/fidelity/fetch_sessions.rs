//! Fetch sessions (KIP-227): what is told again, what is not, and which session that was.

use system_tests::batch::Batch;
use system_tests::world::Broker;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{self, Topic, append, call, start, topic};
use crate::code;

#[tokio::test]
async fn every_version_tells_only_what_is_new() {
    // Spec D.2; sessions are of v7, topic ids of v13.
    let (_broker, mut connection) = start().await;
    for version in [7, 9, 11, 12, 13, 14, 15, 16, 17] {
        let topic = topic(&mut connection, 2, &[]).await;
        append(&mut connection, &topic, 0, &Batch::of(["a"])).await;
        let body = fetch(0, 0, &[(&topic, 0, 0), (&topic, 1, 0)]);
        let full = call(&mut connection, api::FETCH, version, body).await;
        let id = full["session_id"].int();
        assert!(id > 0, "v{version}: {full:?}");
        assert_eq!(told(&full), [(0, 0), (1, 0)], "the first answer has every partition");
        let again = call(&mut connection, api::FETCH, version, fetch(id, 1, &[])).await;
        assert_eq!((again["session_id"].int(), told(&again)), (id, vec![(0, 0)]), "its records were not consumed");
        let advanced = call(&mut connection, api::FETCH, version, fetch(id, 2, &[(&topic, 0, 1)])).await;
        assert_eq!((advanced["session_id"].int(), told(&advanced)), (id, vec![]));
        append(&mut connection, &topic, 1, &Batch::of(["b"])).await;
        let news = call(&mut connection, api::FETCH, version, fetch(id, 3, &[])).await;
        assert_eq!(told(&news), [(1, 0)]);
    }
}

#[tokio::test]
async fn before_v7_there_are_no_sessions() {
    // Spec D.2: as if (0, -1) had been sent.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    for version in 4..=6 {
        for _ in 0..2 {
            let body = fetch(0, 0, &[(&topic, 0, 0), (&topic, 1, 0)]);
            let answer = call(&mut connection, api::FETCH, version, body).await;
            assert_eq!(told(&answer), [(0, 0), (1, 0)]);
        }
    }
}

#[tokio::test]
async fn partitions_are_added_and_forgotten() {
    // Spec D.2, incremental rules 1 and 2: forgetting what is not there is nothing.
    let mut session = Session::start(&[0]).await;
    assert_eq!(session.next(&[(1, 0)]).await, [(1, 0)], "a new one is told");
    assert_eq!(session.next(&[]).await, []);
    session.append(1).await;
    assert_eq!(session.forget(&[1]).await, []);
    assert_eq!(session.next(&[]).await, []);
    assert_eq!(session.forget(&[1, 77]).await, []);
    assert_eq!(session.next(&[(1, 0)]).await, [(1, 0)]);
}

#[tokio::test]
async fn an_error_is_told_again_until_it_is_over() {
    // Spec D.2: an error resets what was last sent, so that the recovery is told as well.
    let mut session = Session::start(&[0, 1]).await;
    for _ in 0..3 {
        assert_eq!(session.next(&[(0, 99)]).await, [(0, code::OFFSET_OUT_OF_RANGE)]);
        assert_eq!(session.next(&[]).await, [(0, code::OFFSET_OUT_OF_RANGE)]);
    }
    assert_eq!(session.next(&[(0, 0)]).await, [(0, 0)], "nothing new, but no error either");
    assert_eq!(session.next(&[]).await, []);
    assert_eq!(session.next(&[(9, 0)]).await, [(9, code::UNKNOWN_TOPIC_OR_PARTITION)]);
    assert_eq!(session.next(&[]).await, [(9, code::UNKNOWN_TOPIC_OR_PARTITION)]);
    assert_eq!(session.forget(&[9]).await, []);
}

#[tokio::test]
async fn a_new_log_start_is_told() {
    // Spec D.2: which partitions appear.
    let mut session = Session::start(&[0, 1]).await;
    session.append(0).await;
    assert_eq!(session.next(&[(0, 1)]).await, [(0, 0)], "a new high watermark");
    assert_eq!(session.next(&[]).await, []);
    ask::delete_records(&mut session.connection, &session.topic.clone(), 0, 1).await;
    assert_eq!(session.next(&[]).await, [(0, 0)]);
    assert_eq!(session.next(&[]).await, []);
}

#[tokio::test]
async fn an_epoch_that_is_not_the_next_one_is_refused_and_the_session_goes_on() {
    // Spec D.2: INVALID_FETCH_SESSION_EPOCH, with no id and no topics.
    let mut session = Session::start(&[0]).await;
    assert_eq!(session.next(&[]).await, []);
    for epoch in [session.epoch - 1, session.epoch + 1, i32::MAX] {
        let body = fetch(session.id, epoch, &[]);
        let refused = call(&mut session.connection, api::FETCH, 17, body).await;
        top_level(&refused, code::INVALID_FETCH_SESSION_EPOCH);
    }
    session.append(0).await;
    assert_eq!(session.next(&[]).await, [(0, 0)]);
}

#[tokio::test]
async fn a_session_nobody_has_is_not_found() {
    // Spec D.2: FETCH_SESSION_ID_NOT_FOUND, whatever the epoch, if it is not 0 or -1.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for (id, epoch) in [(1_234_567, 1), (0, 1), (-5, 1), (0, -2), (555, -2), (1_234_567, i32::MAX)] {
        let refused = call(&mut connection, api::FETCH, 17, fetch(id, epoch, &[(&topic, 0, 0)])).await;
        top_level(&refused, code::FETCH_SESSION_ID_NOT_FOUND);
    }
}

#[tokio::test]
async fn the_last_epoch_ends_a_session_and_reads_without_one() {
    // Spec D.2: (any, -1).
    let mut session = Session::start(&[0, 1]).await;
    let body = fetch(session.id, -1, &[(&session.topic, 0, 0)]);
    let last = call(&mut session.connection, api::FETCH, 17, body).await;
    assert_eq!((last["error_code"].int(), last["session_id"].int(), told(&last)), (0, 0, vec![(0, 0)]));
    session.is_gone().await;
    let body = fetch(1_234_567, -1, &[(&session.topic, 0, 0)]);
    let none = call(&mut session.connection, api::FETCH, 17, body).await;
    assert_eq!((none["error_code"].int(), none["session_id"].int(), told(&none)), (0, 0, vec![(0, 0)]));
}

#[tokio::test]
async fn the_first_epoch_ends_a_session_and_begins_another() {
    // Spec D.2: (any, 0).
    let mut session = Session::start(&[0]).await;
    let body = fetch(session.id, 0, &[(&session.topic, 1, 0)]);
    let full = call(&mut session.connection, api::FETCH, 17, body).await;
    assert_eq!(told(&full), [(1, 0)]);
    assert!(full["session_id"].int() > 0 && full["session_id"] != session.id);
    session.is_gone().await;
}

#[tokio::test]
async fn a_session_that_has_forgotten_everything_is_gone() {
    // Spec D.2, incremental rule 3.
    let mut session = Session::start(&[0, 1]).await;
    let body = forgetting(session.id, session.epoch, &session.topic, &[0, 1]);
    let last = call(&mut session.connection, api::FETCH, 17, body).await;
    assert_eq!((last["error_code"].int(), last["session_id"].int(), told(&last)), (0, 0, vec![]));
    session.is_gone().await;
}

#[tokio::test]
async fn a_session_may_go_on_over_another_connection() {
    // Spec D.2: it is the broker's, not the connection's.
    let mut session = Session::start(&[0]).await;
    session.connection = session.broker.connect().await;
    assert_eq!(session.next(&[]).await, []);
}

#[tokio::test]
async fn a_session_of_names_is_none_of_ids() {
    // KIP-516: FETCH_SESSION_TOPIC_ID_ERROR, and the session goes on as it was.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for (mine, other) in [(12, 13), (13, 12)] {
        let full = call(&mut connection, api::FETCH, mine, fetch(0, 0, &[(&topic, 0, 0)])).await;
        let id = full["session_id"].int();
        let refused = call(&mut connection, api::FETCH, other, fetch(id, 1, &[])).await;
        top_level(&refused, code::FETCH_SESSION_TOPIC_ID_ERROR);
        let next = call(&mut connection, api::FETCH, mine, fetch(id, 1, &[])).await;
        assert_eq!((next["error_code"].int(), next["session_id"].int()), (0, id));
    }
}

#[tokio::test]
async fn an_unknown_id_stays_in_the_session_and_is_told_each_time() {
    // KIP-516; spec D.2, incremental rule 5.
    let mut session = Session::start(&[0]).await;
    let nowhere = Topic { id: Uuid::from_u128(fastrand::u128(..)), ..session.topic.clone() };
    let body = fetch(session.id, session.epoch, &[(&nowhere, 0, 0)]);
    let first = call(&mut session.connection, api::FETCH, 17, body).await;
    assert_eq!(told(&first), [(0, code::UNKNOWN_TOPIC_ID)]);
    session.epoch += 1;
    assert_eq!(session.next(&[]).await, [(0, code::UNKNOWN_TOPIC_ID)]);
    let body = forgetting(session.id, session.epoch, &nowhere, &[0]);
    assert_eq!(told(&call(&mut session.connection, api::FETCH, 17, body).await), []);
}

#[tokio::test]
async fn a_deleted_topic_becomes_an_error_of_the_session() {
    // Seen on 4.3.1: UNKNOWN_TOPIC_OR_PARTITION even where the session is of ids, since it remembers the name.
    let (_broker, mut connection) = start().await;
    for version in [12, 13, 17] {
        let topic = topic(&mut connection, 1, &[]).await;
        let full = call(&mut connection, api::FETCH, version, fetch(0, 0, &[(&topic, 0, 0)])).await;
        connection.call(api::DELETE_TOPICS, 6, value!({ topics: [{ name: &topic.name }], timeout_ms: 10_000 })).await;
        ask::wait_until_gone(&mut connection, &topic.name).await;
        for epoch in 1..3 {
            let next = call(&mut connection, api::FETCH, version, fetch(full["session_id"].int(), epoch, &[])).await;
            assert_eq!(told(&next), [(0, code::UNKNOWN_TOPIC_OR_PARTITION)], "v{version}");
        }
    }
}

#[tokio::test]
async fn a_session_may_begin_with_nothing() {
    // Seen on 4.3.1: FetchManager.newContext looks at the partitions only in an incremental request.
    let (_broker, mut connection) = start().await;
    let empty = call(&mut connection, api::FETCH, 17, fetch(0, 0, &[])).await;
    assert_eq!((empty["error_code"].int(), told(&empty)), (0, vec![]));
    assert!(empty["session_id"].int() > 0);
}

#[tokio::test]
async fn a_full_fetch_of_a_session_has_errors_as_well() {
    // Spec D.2: every requested partition.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let full = call(&mut connection, api::FETCH, 17, fetch(0, 0, &[(&topic, 0, 0), (&topic, 9, 0)])).await;
    assert!(full["session_id"].int() > 0);
    assert_eq!(told(&full), [(0, 0), (9, code::UNKNOWN_TOPIC_OR_PARTITION)]);
}

#[tokio::test]
async fn a_session_waits_for_what_it_was_not_asked_again() {
    // Spec D.2 rule 4, D.4: the fetch is of all partitions of the session.
    let mut session = Session::start(&[0, 1]).await;
    let mut waiting = session.broker.connect().await;
    let body = ask::with(&ask::with(&fetch(session.id, 1, &[]), "max_wait_ms", 30_000), "min_bytes", 1);
    let sent = ask::send(&mut waiting, api::FETCH, 17, body).await;
    session.append(1).await;
    assert_eq!(told(&waiting.receive(sent).await), [(1, 0)]);
}

/// A session over a topic of three partitions, read from offset 0, and all of it told once.
struct Session {
    broker: Broker,
    connection: Raw,
    topic: Topic,
    id: i64,
    epoch: i32,
}

impl Session {
    async fn start(partitions: &[i32]) -> Self {
        let (broker, mut connection) = start().await;
        let topic = topic(&mut connection, 3, &[]).await;
        let wanted: Vec<_> = partitions.iter().map(|partition| (&topic, *partition, 0)).collect();
        let full = call(&mut connection, api::FETCH, 17, fetch(0, 0, &wanted)).await;
        assert_eq!(told(&full).len(), partitions.len());
        Self { broker, connection, topic, id: full["session_id"].int(), epoch: 1 }
    }

    /// The next fetch: partitions and offsets that are new; what is told.
    async fn next(&mut self, wanted: &[(i32, i64)]) -> Vec<(i64, i16)> {
        let wanted: Vec<_> = wanted.iter().map(|(partition, offset)| (&self.topic, *partition, *offset)).collect();
        let body = fetch(self.id, self.epoch, &wanted);
        self.send(body).await
    }

    async fn forget(&mut self, partitions: &[i32]) -> Vec<(i64, i16)> {
        let body = forgetting(self.id, self.epoch, &self.topic, partitions);
        self.send(body).await
    }

    async fn send(&mut self, body: Value) -> Vec<(i64, i16)> {
        let answer = call(&mut self.connection, api::FETCH, 17, body).await;
        assert_eq!((answer["error_code"].int(), answer["session_id"].int()), (0, self.id));
        self.epoch += 1;
        told(&answer)
    }

    async fn append(&mut self, partition: i32) {
        append(&mut self.connection, &self.topic, partition, &Batch::of(["a"])).await;
    }

    async fn is_gone(&mut self) {
        let body = fetch(self.id, self.epoch, &[]);
        let refused = call(&mut self.connection, api::FETCH, 17, body).await;
        top_level(&refused, code::FETCH_SESSION_ID_NOT_FOUND);
    }
}

/// A Fetch of a session that does not wait.
fn fetch(id: i64, epoch: i32, wanted: &[(&Topic, i32, i64)]) -> Value {
    let body = ask::with(&ask::fetch_all(wanted), "session_id", Value::Int(id));
    ask::with(&body, "session_epoch", epoch)
}

fn forgetting(id: i64, epoch: i32, topic: &Topic, partitions: &[i32]) -> Value {
    let partitions: Vec<_> = partitions.iter().copied().map(Value::from).collect();
    let forgotten = value!([{ topic: &topic.name, topic_id: topic.id, partitions: partitions }]);
    ask::with(&fetch(id, epoch, &[]), "forgotten_topics_data", forgotten)
}

/// The partitions an answer has, with their errors, sorted.
fn told(answer: &Value) -> Vec<(i64, i16)> {
    let partitions = answer["responses"].array().iter().flat_map(|topic| topic["partitions"].array());
    let mut told: Vec<_> = partitions
        .map(|partition| {
            (partition["partition_index"].int(), partition["error_code"].int().try_into().expect("a code has 16 bits"))
        })
        .collect();
    told.sort_unstable();
    told
}

fn top_level(refused: &Value, error_code: i16) {
    assert_eq!(refused["error_code"], error_code, "{refused:?}");
    assert_eq!((refused["session_id"].int(), refused["responses"].array().len()), (0, 0));
}
