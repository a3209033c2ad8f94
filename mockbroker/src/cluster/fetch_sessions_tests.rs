//! The rules of fetch sessions (KIP-227), D.2 of the specification.

use kafka_protocol::protocol::StrBytes;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn wanted(name: &'static str, fetch_offset: i64) -> WantedPartition {
    WantedPartition {
        topic: TopicName(StrBytes::from_static_str(name)),
        topic_id: TopicId::ZERO,
        topic_was_known: false,
        partition: PartitionId(0),
        fetch_offset,
        max_bytes: 100,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

fn request(session_id: i32, session_epoch: i32, partitions: &[WantedPartition]) -> SessionRequest {
    SessionRequest {
        session_id,
        session_epoch,
        uses_topic_ids: false,
        partitions: partitions.to_vec(),
        forgotten: Vec::new(),
    }
}

fn quiet(high_watermark: i64) -> PartitionFacts {
    PartitionFacts {
        high_watermark,
        log_start_offset: 0,
        has_records: false,
        has_error: false,
        has_diverging_epoch: false,
    }
}

fn names(partitions: &[WantedPartition]) -> Vec<&str> {
    partitions.iter().map(|wanted| &**wanted.topic).collect()
}

/// A session over `topics`, all with high watermark 5; its id is `id`.
fn open(sessions: &mut FetchSessions, id: i32, topics: &[&'static str], now: Timestamp) -> i32 {
    let partitions: Vec<_> = topics.iter().map(|name| wanted(name, 0)).collect();
    let (context, partitions) = sessions.begin(request(0, 0, &partitions), now).expect("a full fetch");
    let finished = sessions.finish(&context, &partitions, &vec![quiet(5); partitions.len()], now, || id);
    assert!(finished.include.iter().all(|included| *included), "a full answer has every partition");
    finished.session_id
}

#[test]
fn an_incremental_answer_has_only_what_changed() {
    let mut sessions = FetchSessions::new(10);
    let id = open(&mut sessions, 77, &["a", "b", "c", "d"], NOW);
    assert_eq!(id, 77);
    let (context, partitions) = sessions.begin(request(id, 1, &[]), NOW).expect("the next epoch");
    assert_eq!(names(&partitions), ["a", "b", "c", "d"]);
    let facts = [
        quiet(5),
        quiet(6),
        PartitionFacts { log_start_offset: 1, ..quiet(5) },
        PartitionFacts { has_records: true, ..quiet(5) },
    ];
    let finished = sessions.finish(&context, &partitions, &facts, NOW, || 0);
    assert_eq!(finished, Finished { session_id: 77, error: None, include: vec![false, true, true, true] });
}

#[test]
fn a_partition_with_an_error_is_sent_each_time_and_once_more_when_it_recovers() {
    let mut sessions = FetchSessions::new(10);
    let id = open(&mut sessions, 1, &["a"], NOW);
    let error = PartitionFacts { has_error: true, ..quiet(-1) };
    for (epoch, facts, included) in [(1, error, true), (2, error, true), (3, quiet(5), true), (4, quiet(5), false)] {
        let (context, partitions) = sessions.begin(request(id, epoch, &[]), NOW).expect("the next epoch");
        let finished = sessions.finish(&context, &partitions, &[facts], NOW, || 0);
        assert_eq!(finished.include, [included], "epoch {epoch}");
    }
}

#[test]
fn a_partition_that_had_data_is_read_last_next_time() {
    let mut sessions = FetchSessions::new(10);
    let id = open(&mut sessions, 1, &["a", "b", "c"], NOW);
    let (context, partitions) = sessions.begin(request(id, 1, &[]), NOW).expect("the next epoch");
    let facts = [PartitionFacts { has_records: true, ..quiet(6) }, quiet(5), quiet(5)];
    sessions.finish(&context, &partitions, &facts, NOW, || 0);
    let (_, partitions) = sessions.begin(request(id, 2, &[]), NOW).expect("the next epoch");
    assert_eq!(names(&partitions), ["b", "c", "a"]);
}

#[test]
fn a_request_changes_adds_and_forgets_partitions() {
    let mut sessions = FetchSessions::new(10);
    let id = open(&mut sessions, 1, &["a", "b"], NOW);
    let forget = (TopicId::ZERO, wanted("a", 0).topic, PartitionId(0));
    let unknown = (TopicId::ZERO, wanted("x", 0).topic, PartitionId(9));
    let changed =
        SessionRequest { forgotten: vec![forget, unknown], ..request(id, 1, &[wanted("b", 42), wanted("c", 0)]) };
    let (_, partitions) = sessions.begin(changed, NOW).expect("the next epoch");
    assert_eq!(names(&partitions), ["b", "c"]);
    assert_eq!(partitions[0].fetch_offset, 42);
}

#[test]
fn a_session_whose_last_partition_is_forgotten_is_gone() {
    let mut sessions = FetchSessions::new(10);
    let id = open(&mut sessions, 1, &["a"], NOW);
    let forget = (TopicId::ZERO, wanted("a", 0).topic, PartitionId(0));
    let (context, partitions) =
        sessions.begin(SessionRequest { forgotten: vec![forget], ..request(id, 1, &[]) }, NOW).expect("valid");
    assert_eq!((context, partitions.len()), (SessionContext::Sessionless, 0));
    assert_eq!(sessions.begin(request(id, 2, &[]), NOW), Err(ResponseError::FetchSessionIdNotFound));
}

#[test]
fn a_wrong_id_epoch_or_kind_of_naming_is_refused() {
    let mut sessions = FetchSessions::new(10);
    let id = open(&mut sessions, 1, &["a"], NOW);
    assert_eq!(sessions.begin(request(99, 1, &[]), NOW), Err(ResponseError::FetchSessionIdNotFound));
    assert_eq!(sessions.begin(request(id, 2, &[]), NOW), Err(ResponseError::InvalidFetchSessionEpoch));
    let by_id = SessionRequest { uses_topic_ids: true, ..request(id, 1, &[]) };
    assert_eq!(sessions.begin(by_id, NOW), Err(ResponseError::FetchSessionTopicIdError));
    sessions.begin(request(id, 1, &[]), NOW).expect("none of them moved the epoch");
}

#[test]
fn a_full_or_sessionless_fetch_ends_the_session_it_names() {
    for epoch in [INITIAL_EPOCH, FINAL_EPOCH] {
        let mut sessions = FetchSessions::new(10);
        let id = open(&mut sessions, 1, &["a"], NOW);
        sessions.begin(request(id, epoch, &[wanted("b", 0)]), NOW).expect("valid");
        assert_eq!(sessions.begin(request(id, 1, &[]), NOW), Err(ResponseError::FetchSessionIdNotFound));
    }
}

#[test]
fn an_answer_that_was_overtaken_says_so() {
    let mut sessions = FetchSessions::new(10);
    let id = open(&mut sessions, 1, &["a"], NOW);
    let (first, partitions) = sessions.begin(request(id, 1, &[]), NOW).expect("the next epoch");
    sessions.begin(request(id, 2, &[]), NOW).expect("the one after it");
    let finished = sessions.finish(&first, &partitions, &[quiet(6)], NOW, || 0);
    assert_eq!(finished.error, Some(ResponseError::InvalidFetchSessionEpoch));
    assert_eq!((finished.session_id, &finished.include[..]), (id, &[false][..]));
}

#[test]
fn the_epoch_after_the_last_is_one() {
    assert_eq!(next_epoch(1), 2);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn a_full_cache_gives_no_session_until_one_is_idle_or_small_and_old() {
    let mut sessions = FetchSessions::new(2);
    open(&mut sessions, 1, &["a"], NOW);
    open(&mut sessions, 2, &["a", "b"], NOW);
    let later = NOW.plus_millis(EVICTABLE_AFTER_MS);
    assert_eq!(open(&mut sessions, 3, &["a", "b", "c"], later), 0, "nobody is old enough");
    // Session 1 is used and thereby not idle, but it is old, and smaller than the newcomer.
    sessions.begin(request(1, 1, &[]), later.plus_millis(1)).expect("alive");
    sessions.begin(request(2, 1, &[]), later.plus_millis(1)).expect("alive");
    assert_eq!(open(&mut sessions, 4, &["a"], later.plus_millis(1)), 0, "a newcomer must be larger");
    assert_eq!(open(&mut sessions, 5, &["a", "b"], later.plus_millis(1)), 5);
    assert_eq!(sessions.begin(request(1, 2, &[]), later), Err(ResponseError::FetchSessionIdNotFound));
    // Now 2 and 5 are there, both idle after two minutes: the one idle for longest goes.
    let much_later = later.plus_millis(EVICTABLE_AFTER_MS + 2);
    assert_eq!(open(&mut sessions, 6, &["a"], much_later), 6);
    assert_eq!(sessions.sessions.len(), 2);
}
