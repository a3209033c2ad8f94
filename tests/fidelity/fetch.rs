//! Fetch without a session: what comes, how much of it, how long it waits, and what is refused.

use std::time::Duration;

use system_tests::batch::Batch;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{self, Topic, append, call, fetch, fetch_all, read, start, topic, versions, with};
use crate::code;

/// Long enough to see that a fetch waits.
const A_MOMENT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn every_version_reads_what_was_written() {
    // Spec D.1; FetchResponse.json: a log start from v5, sessions from v7, a preferred replica from v11.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let whole = read(&mut connection, &topic, 0, 0).await["records"].clone();
    for version in versions(&mut connection, api::FETCH).await {
        let answer = call(&mut connection, api::FETCH, version, fetch(&topic, 0, 0)).await;
        if version >= 7 {
            assert_eq!((answer["error_code"].int(), answer["session_id"].int()), (0, 0));
        }
        assert_eq!(answer["responses"].array().len(), 1);
        let named = if version >= 13 { topic.id.into() } else { Value::from(&topic.name) };
        assert_eq!(answer["responses"][0][if version >= 13 { "topic_id" } else { "topic" }], named);
        let told = &answer["responses"][0]["partitions"][0];
        assert_eq!((told["partition_index"].int(), told["error_code"].int()), (0, 0), "v{version}");
        assert_eq!((told["high_watermark"].int(), told["last_stable_offset"].int()), (10, 10));
        assert_eq!(told.field("log_start_offset"), (version >= 5).then(|| 0.into()).as_ref());
        assert_eq!(told.field("preferred_read_replica"), (version >= 11).then(|| (-1).into()).as_ref());
        assert!(told["aborted_transactions"].is_null(), "null for those who read uncommitted");
        assert_eq!(told["records"], whole);
        if version >= 12 {
            assert_eq!((told["diverging_epoch"]["epoch"].int(), told["current_leader"]["leader_id"].int()), (-1, -1));
        }
    }
}

#[tokio::test]
async fn who_reads_committed_has_a_list_of_aborted_transactions_if_an_empty_one() {
    // Spec D.5.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    for version in versions(&mut connection, api::FETCH).await {
        let body = with(&fetch(&topic, 0, 0), "isolation_level", 1);
        let answer = call(&mut connection, api::FETCH, version, body).await;
        let told = &answer["responses"][0]["partitions"][0];
        assert_eq!(told["aborted_transactions"], value!([]), "v{version}");
        assert_eq!(Batch::decode_all(told["records"].bytes().clone()).len(), 5);
    }
}

#[tokio::test]
async fn reading_begins_with_the_batch_that_has_the_offset() {
    // Spec D.3: records in front of the offset come with it.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    for offset in 0..10 {
        let batches = ask::batches(&mut connection, &topic, 0, offset).await;
        assert_eq!(batches[0].base_offset, offset / 2 * 2);
        assert_eq!(batches.last().unwrap().base_offset, 8);
    }
}

#[tokio::test]
async fn at_the_end_there_is_nothing_and_beyond_it_an_error() {
    // Spec D.5; the filler of an error is -1 everywhere, and records are empty, never null.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let end = read(&mut connection, &topic, 0, 10).await;
    assert_eq!((end["error_code"].int(), end["high_watermark"].int(), end["records"].bytes().len()), (0, 10, 0));
    for offset in [11, i64::MAX, -1, i64::MIN] {
        let refused = read(&mut connection, &topic, 0, offset).await;
        nothing(&refused, code::OFFSET_OUT_OF_RANGE);
        assert!(refused["aborted_transactions"].is_null());
    }
}

#[tokio::test]
async fn what_does_not_exist_is_unknown_and_its_list_of_aborted_transactions_empty() {
    // Spec D.5; FetchResponse.partitionResponse, which does not ask who reads committed.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for partition in [1, -1, i32::MAX] {
        for version in versions(&mut connection, api::FETCH).await {
            let answer = call(&mut connection, api::FETCH, version, fetch(&topic, partition, 0)).await;
            let refused = &answer["responses"][0]["partitions"][0];
            nothing(refused, code::UNKNOWN_TOPIC_OR_PARTITION);
            assert_eq!(
                (refused["partition_index"].int(), &refused["aborted_transactions"]),
                (partition.into(), &value!([]))
            );
        }
    }
    for name in ["fidelity-nowhere", "a b"] {
        let nowhere = Topic { name: name.to_owned(), ..topic.clone() };
        for version in [4, 12] {
            let answer = call(&mut connection, api::FETCH, version, fetch(&nowhere, 0, 0)).await;
            nothing(&answer["responses"][0]["partitions"][0], code::UNKNOWN_TOPIC_OR_PARTITION);
        }
    }
    for id in [Uuid::nil(), Uuid::from_u128(fastrand::u128(..))] {
        let nowhere = Topic { id, ..topic.clone() };
        let refused = read(&mut connection, &nowhere, 0, 0).await;
        nothing(&refused, code::UNKNOWN_TOPIC_ID);
        assert_eq!(refused["aborted_transactions"], value!([]));
    }
}

#[tokio::test]
async fn a_leader_epoch_that_is_not_the_leaders_is_refused() {
    // KIP-320. Below zero nobody asked; there is no older one to be fenced with on a fresh topic.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    for (epoch, error_code) in [
        (0, code::NONE),
        (-1, code::NONE),
        (-5, code::NONE),
        (1, code::UNKNOWN_LEADER_EPOCH),
        (i32::MAX, code::UNKNOWN_LEADER_EPOCH),
    ] {
        for version in 9..=17 {
            let body = of_partition(&fetch(&topic, 0, 0), "current_leader_epoch", epoch);
            let answer = call(&mut connection, api::FETCH, version, body).await;
            let told = &answer["responses"][0]["partitions"][0];
            assert_eq!(told["error_code"], error_code, "epoch {epoch}, v{version}");
        }
    }
}

#[tokio::test]
async fn who_has_read_of_the_current_epoch_reads_on_and_of_an_unknown_one_is_out_of_range() {
    // Spec D.6; KIP-595.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    for (epoch, error_code) in [(0, code::NONE), (-1, code::NONE), (5, code::OFFSET_OUT_OF_RANGE)] {
        for version in 12..=17 {
            let body = of_partition(&fetch(&topic, 0, 4), "last_fetched_epoch", epoch);
            let answer = call(&mut connection, api::FETCH, version, body).await;
            let told = &answer["responses"][0]["partitions"][0];
            assert_eq!(told["error_code"], error_code, "epoch {epoch}, v{version}");
            assert_eq!(told["diverging_epoch"]["end_offset"], -1);
        }
    }
}

#[tokio::test]
async fn the_first_batch_comes_whole_whatever_the_limits() {
    // KIP-74; spec D.3 rule 2.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let size = Batch::of(["v", "w"]).encode().len();
    for (max_bytes, partition_max_bytes) in [(0, 0), (0, 1_000), (1_000, 0), (1, 1), (size as i32 - 1, 1_000)] {
        let body = with(&fetch(&topic, 0, 0), "max_bytes", max_bytes);
        let body = of_partition(&body, "partition_max_bytes", partition_max_bytes);
        let answer = call(&mut connection, api::FETCH, 17, body).await;
        let records = answer["responses"][0]["partitions"][0]["records"].bytes().clone();
        assert_eq!(records.len(), size, "{max_bytes}, {partition_max_bytes}");
        assert_eq!(Batch::decode_all(records)[0].base_offset, 0);
    }
}

#[tokio::test]
async fn limits_count_bytes_and_do_not_stop_before_the_last_batch_that_begins() {
    // Spec D.3 rule 3; the last batch may be cut off. A double may also end with the last whole one.
    let (broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let size = Batch::of(["v", "w"]).encode().len();
    for limit in [size, size + 1, 2 * size - 1, 2 * size, 2 * size + 50] {
        for field in ["max_bytes", "partition_max_bytes"] {
            let body = match field {
                "max_bytes" => with(&fetch(&topic, 0, 0), field, limit as i32),
                _ => of_partition(&fetch(&topic, 0, 0), field, limit as i32),
            };
            let answer = call(&mut connection, api::FETCH, 17, body).await;
            let records = answer["responses"][0]["partitions"][0]["records"].bytes().clone();
            assert_eq!(Batch::decode_all(records.clone()).len(), limit / size, "{field} {limit}");
            if broker.is_real() {
                assert_eq!(records.len(), limit);
            }
        }
    }
}

#[tokio::test]
async fn later_partitions_have_what_the_first_left_over() {
    // Spec D.3 rule 4: whole at any price is only the first batch of the request.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 3, &[]).await;
    for partition in 0..2 {
        append(&mut connection, &topic, partition, &Batch::of(["v", "w"])).await;
    }
    let size = Batch::of(["v", "w"]).encode().len() as i64;
    let sizes = async |connection: &mut Raw, max_bytes: i64, order: &[i32]| -> Vec<i64> {
        let wanted: Vec<_> = order.iter().map(|partition| (&topic, *partition, 0)).collect();
        let body = with(&fetch_all(&wanted), "max_bytes", Value::Int(max_bytes));
        let answer = call(connection, api::FETCH, 17, body).await;
        let told = answer["responses"].array().iter().flat_map(|topic| topic["partitions"].array());
        let told: Vec<_> = told.map(|p| (p["partition_index"].int(), p["records"].bytes().len() as i64)).collect();
        let of =
            |index: &i32| told.iter().find(|(told, _)| *told == i64::from(*index)).expect("every partition is told").1;
        order.iter().map(of).collect()
    };
    assert_eq!(sizes(&mut connection, 10_000, &[0, 1, 2]).await, [size, size, 0]);
    assert_eq!(sizes(&mut connection, 1, &[0, 1, 2]).await, [size, 0, 0]);
    assert_eq!(sizes(&mut connection, 1, &[1, 0, 2]).await, [size, 0, 0], "in the order of the request");
    assert_eq!(sizes(&mut connection, 1, &[2, 1, 0]).await, [0, size, 0], "an empty one does not count as the first");
    assert_eq!(sizes(&mut connection, size, &[0, 1]).await, [size, 0]);
}

#[tokio::test]
async fn a_partition_asked_for_twice_is_read_where_the_last_one_says() {
    // Seen on 4.3.1: FetchRequest.fetchData is a map.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let answer = call(&mut connection, api::FETCH, 17, fetch_all(&[(&topic, 0, 0), (&topic, 0, 8)])).await;
    let told: Vec<_> = answer["responses"].array().iter().flat_map(|topic| topic["partitions"].array()).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(Batch::decode_all(told[0]["records"].bytes().clone())[0].base_offset, 8);
}

#[tokio::test]
async fn a_fetch_of_nothing_is_answered_at_once() {
    // Spec D.4: no partitions, no wait.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let empty_topic = value!([{ topic: &topic.name, topic_id: topic.id, partitions: [] }]);
    for topics in [value!([]), empty_topic] {
        let body = with(&with(&fetch(&topic, 0, 0), "topics", topics), "max_wait_ms", i32::MAX);
        let answer = call(&mut connection, api::FETCH, 17, body).await;
        assert_eq!(answer["responses"].array().len(), 0);
    }
}

#[tokio::test]
async fn what_is_wrong_is_not_waited_for() {
    // Spec D.4: an error of any partition, too little asked for, no time to wait.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let patient = |body: &Value| with(body, "max_wait_ms", i32::MAX);
    let at_the_end = fetch(&topic, 0, 10);
    for body in [
        patient(&fetch(&topic, 0, 99)),
        patient(&fetch(&topic, 9, 0)),
        patient(&of_partition(&at_the_end, "current_leader_epoch", 9)),
        patient(&with(&at_the_end, "min_bytes", 0)),
        patient(&with(&at_the_end, "min_bytes", -1)),
        with(&at_the_end, "max_wait_ms", 0),
        with(&at_the_end, "max_wait_ms", -1),
        // The least is never more than the most.
        patient(&with(&with(&fetch(&topic, 0, 0), "min_bytes", i32::MAX), "max_bytes", 10)),
    ] {
        call(&mut connection, api::FETCH, 17, body).await;
    }
}

#[tokio::test]
async fn a_fetch_waits_for_a_record() {
    // Spec D.4.
    let (broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    for version in versions(&mut connection, api::FETCH).await.step_by(3) {
        let end = ask::list_offsets(&mut connection, &topic, 0, -1).await["offset"].int();
        let mut waiting = broker.connect().await;
        let body = with(&fetch(&topic, 0, end), "max_wait_ms", 30_000);
        let sent = ask::send(&mut waiting, api::FETCH, version, body).await;
        assert!(waiting.is_silent_for(A_MOMENT).await, "v{version} did not wait");
        append(&mut connection, &topic, 0, &Batch::of(["new"])).await;
        let answer = waiting.receive(sent).await;
        let told = &answer["responses"][0]["partitions"][0];
        assert_eq!(Batch::decode_all(told["records"].bytes().clone())[0].base_offset, end);
    }
}

#[tokio::test]
async fn a_fetch_waits_for_as_many_bytes_as_it_wants_over_all_its_partitions() {
    // Spec D.4: min_bytes is of the whole answer.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let size = Batch::of(["v"]).encode().len() as i32;
    let mut waiting = broker.connect().await;
    let body = with(&fetch_all(&[(&topic, 0, 0), (&topic, 1, 0)]), "min_bytes", size + 1);
    let sent = ask::send(&mut waiting, api::FETCH, 17, with(&body, "max_wait_ms", 30_000)).await;
    append(&mut connection, &topic, 0, &Batch::of(["v"])).await;
    assert!(waiting.is_silent_for(A_MOMENT).await, "half of it is not enough");
    append(&mut connection, &topic, 1, &Batch::of(["v"])).await;
    let answer = waiting.receive(sent).await;
    let told = answer["responses"].array().iter().flat_map(|topic| topic["partitions"].array());
    assert!(told.into_iter().all(|partition| partition["records"].bytes().len() == size as usize));
}

#[tokio::test]
async fn a_fetch_that_has_waited_long_enough_is_answered_with_what_there_is() {
    // Spec D.4.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let body = with(&with(&fetch(&topic, 0, 8), "min_bytes", i32::MAX), "max_wait_ms", 150);
    let sent = ask::send(&mut connection, api::FETCH, 17, body).await;
    assert!(connection.is_silent_for(A_MOMENT).await);
    let answer = connection.receive(sent).await;
    assert_eq!(Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone()).len(), 1);
}

#[tokio::test]
async fn a_partition_that_does_not_exist_does_not_shorten_the_wait_of_one_that_does() {
    // Spec D.4: it is answered before the logs are read, and told with the rest.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let body = with(&fetch_all(&[(&topic, 0, 10), (&topic, 9, 0)]), "max_wait_ms", 150);
    let sent = ask::send(&mut connection, api::FETCH, 17, body).await;
    assert!(connection.is_silent_for(A_MOMENT).await);
    let answer = connection.receive(sent).await;
    let told: Vec<_> = answer["responses"].array().iter().flat_map(|topic| topic["partitions"].array()).collect();
    let codes: Vec<_> = told.iter().map(|p| (p["partition_index"].int(), p["error_code"].int())).collect();
    assert_eq!(codes.len(), 2);
    assert!(codes.contains(&(0, 0)) && codes.contains(&(9, code::UNKNOWN_TOPIC_OR_PARTITION.into())), "{codes:?}");
}

#[tokio::test]
async fn a_fetch_that_waits_is_woken_when_its_topic_is_deleted() {
    // Spec D.4: leadership or the topic is lost.
    let (broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    let mut waiting = broker.connect().await;
    let sent = ask::send(&mut waiting, api::FETCH, 17, with(&fetch(&topic, 0, 10), "max_wait_ms", 30_000)).await;
    assert!(waiting.is_silent_for(A_MOMENT).await);
    connection.call(api::DELETE_TOPICS, 6, value!({ topics: [{ name: &topic.name }], timeout_ms: 10_000 })).await;
    let answer = waiting.receive(sent).await;
    // By an id that has had a name it is not UNKNOWN_TOPIC_ID.
    nothing(&answer["responses"][0]["partitions"][0], code::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn an_isolation_level_nobody_knows_fails_the_whole_request() {
    // Seen on 4.3.1: IsolationLevel.forId throws, and the answer names no partitions where topics have no names.
    let (_broker, mut connection) = start().await;
    let topic = ten_records(&mut connection).await;
    for level in [2, -1] {
        let body = with(&fetch(&topic, 0, 0), "isolation_level", level);
        let answer = call(&mut connection, api::FETCH, 17, body).await;
        assert_eq!(answer["error_code"], code::UNKNOWN_SERVER_ERROR);
        assert_eq!(answer["responses"].array().len(), 0);
    }
}

/// Five batches of two records.
async fn ten_records(connection: &mut Raw) -> Topic {
    let topic = topic(connection, 1, &[]).await;
    for _ in 0..5 {
        append(connection, &topic, 0, &Batch::of(["v", "w"])).await;
    }
    topic
}

/// The same fetch with a field of its only partition set.
fn of_partition(body: &Value, name: &'static str, field: impl Into<Value>) -> Value {
    let topic = &body["topics"][0];
    let partition = with(&topic["partitions"][0], name, field);
    with(body, "topics", value!([with(topic, "partitions", value!([partition]))]))
}

fn nothing(refused: &Value, error_code: i16) {
    assert_eq!(refused["error_code"], error_code);
    assert_eq!((refused["high_watermark"].int(), refused["last_stable_offset"].int()), (-1, -1));
    if let Some(log_start_offset) = refused.field("log_start_offset") {
        assert_eq!(*log_start_offset, -1);
    }
    assert_eq!(refused["records"].bytes().len(), 0);
}
