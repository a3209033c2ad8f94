//! The feature `transaction.version`, changed by UpdateFeatures while transactions go on: 2, 1, 0, and 2 again.
//!
//! The mock is asked always, a real Kafka only when nobody else is asking it, because its whole cluster changes:
//! `just transaction-version-kafka`.

use std::env;

use system_tests::raw::patiently;
use system_tests::world::unique;
use system_tests::{Raw, Value, api, value};

use crate::ask::{self, call, start, topic};
use crate::code;
use crate::transactional::*;

/// The level that is finalized: none is 0.
async fn level(connection: &mut Raw) -> i64 {
    let body = value!({ client_software_name: "raw", client_software_version: "1" });
    let answer = call(connection, api::API_VERSIONS, 4, body).await;
    let features = answer["finalized_features"].array().iter();
    features.filter(|it| it["name"] == "transaction.version").map(|it| it["max_version_level"].int()).sum()
}

/// Asks for a level; the error code.
async fn update(connection: &mut Raw, level: i16, upgrade_type: i8) -> i64 {
    let update = value!({ feature: "transaction.version", max_version_level: level, upgrade_type: upgrade_type });
    let body = value!({ feature_updates: [update], timeout_ms: 10_000, validate_only: false });
    call(connection, api::UPDATE_FEATURES, 2, body).await["error_code"].int()
}

async fn change(connection: &mut Raw, to: i16) {
    let is_upgrade = i64::from(to) > level(connection).await;
    let (upgrade, downgrade) = (1, 2);
    assert_eq!(update(connection, to, if is_upgrade { upgrade } else { downgrade }).await, 0, "to {to}");
    patiently("the node to learn of it", async { while level(connection).await != i64::from(to) {} }).await;
}

/// The version of the last record that the coordinator has written of a transactional id.
async fn record_version(connection: &mut Raw, transactional_id: &str) -> u8 {
    let mut last = None;
    let metadata = value!({ topics: [{ name: "__transaction_state" }], allow_auto_topic_creation: false });
    let found = call(connection, api::METADATA, 12, metadata).await;
    let topic_id = &found["topics"][0]["topic_id"];
    let count = i32::try_from(found["topics"][0]["partitions"].array().len()).expect("a few");
    let internal = ask::Topic { name: "__transaction_state".to_owned(), id: topic_id.uuid() };
    for partition in 0..count {
        for batch in ask::batches(connection, &internal, partition, 0).await {
            for record in batch.records() {
                let is_of_id = record.key.as_ref().is_some_and(|key| key.ends_with(transactional_id.as_bytes()));
                if let Some(value) = record.value.filter(|_| is_of_id) {
                    last = Some(value[1]);
                }
            }
        }
    }
    last.expect("the coordinator has written of it")
}

/// What a transaction is like at the level of today, told in a few words: of the first generation, of the second, or of a client
/// that adds as the first and then goes on as the second.
async fn transaction(connection: &mut Raw, (generation, adds): (Generation, bool), committed: bool) -> String {
    let topic = one_segment(connection, 1).await;
    let producer = producer(connection).await;
    if adds {
        assert_eq!(add(connection, &producer, &topic, &[0]).await, [0]);
    }
    let written = write(connection, generation.produce, &producer, (&topic, 0), 0, &["a"]).await;
    let group = unique("group");
    coordinator(connection, &group, 0).await;
    let offsets = offsets_code(connection, generation, &producer, &group, adds).await;
    let answer = end_at(connection, generation.end_txn, &producer, committed).await;
    complete(connection, &producer).await;
    let codes = format!("write {}, offsets {offsets}, end {}", written["error_code"].int(), answer["error_code"].int());
    if written["error_code"] != code::NONE || answer["error_code"] != code::NONE {
        return codes;
    }
    let described = describe(connection, &producer.transactional_id).await;
    let bumped = described["producer_epoch"].int() - producer.epoch;
    let marker = ask::batches(connection, &topic, 0, 0).await.pop().expect("a marker");
    let of_marker = i64::from(marker.producer_epoch) - producer.epoch;
    let version = record_version(connection, &producer.transactional_id).await;
    let visible = aborted(&read_committed(connection, &topic, 0).await).is_empty();
    format!("{codes}, epoch +{bumped}, marker +{of_marker}, record v{version}, visible {visible}")
}

/// TxnOffsetCommit of a group without members, after AddOffsetsToTxn or not.
async fn offsets_code(
    connection: &mut Raw,
    generation: Generation,
    producer: &Producer,
    group: &str,
    adds: bool,
) -> i64 {
    if adds {
        let body = value!({
            transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
            group_id: group,
        });
        assert_eq!(call(connection, api::ADD_OFFSETS_TO_TXN, 4, body).await["error_code"], code::NONE);
    }
    let topic = topic(connection, 1, &[]).await;
    let body = value!({
        transactional_id: &producer.transactional_id, group_id: group, producer_id: producer.id,
        producer_epoch: producer.epoch, generation_id: -1, member_id: "",
        topics: [{ name: &topic.name, partitions: [{ partition_index: 0, committed_offset: 5 }] }],
    });
    let ready = |answer: &Value| ![14, 15, 16].contains(&answer["topics"][0]["partitions"][0]["error_code"].int());
    let answer = ask::until(connection, (api::TXN_OFFSET_COMMIT, generation.txn_offset_commit), body, ready).await;
    answer["topics"][0]["partitions"][0]["error_code"].int()
}

/// What becomes of a producer whose open transaction is aborted because it, or another one, asks for its id: first itself,
/// then a stranger.
async fn fenced(connection: &mut Raw, generation: Generation) -> String {
    let mut outcomes = Vec::new();
    for is_own in [true, false] {
        let topic = topic(connection, 1, &[]).await;
        let producer = producer(connection).await;
        send(connection, generation, &producer, (&topic, 0), 0, &["a"]).await;
        let expected = is_own.then_some((producer.id, producer.epoch));
        let answer = init(connection, &producer.transactional_id, expected).await;
        outcomes.push(match answer["error_code"].int() {
            0 => format!("epoch +{}", answer["producer_epoch"].int() - producer.epoch),
            code => format!("error {code}"),
        });
    }
    outcomes.join(", ")
}

async fn told(connection: &mut Raw) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, generation, adds) in
        [("v1", V1, true), ("v1 without adding", V1, false), ("v2", V2, false), ("v2 that adds", V2, true)]
    {
        for committed in [true, false] {
            let told = transaction(connection, (generation, adds), committed).await;
            lines.push(format!("{name} {}: {told}", if committed { "commits" } else { "aborts" }));
        }
    }
    lines.push(format!("fenced: {}", fenced(connection, V1).await));
    lines
}

fn may_ask(is_real: bool) -> bool {
    !is_real || env::var_os("ALONE").is_some()
}

#[tokio::test]
async fn every_level_has_its_rules_from_the_moment_it_is_finalized() {
    // KIP-1022, KIP-890. What a client gets goes by the version of its request; what the coordinator does by itself, and how it
    // writes it down, by the level.
    let (broker, mut connection) = start().await;
    if !may_ask(broker.is_real()) {
        return;
    }
    assert_eq!(level(&mut connection).await, 2);
    for level in [2, 1, 0, 2] {
        if i64::from(level) != self::level(&mut connection).await {
            change(&mut connection, level).await;
        }
        let of_v1 = "write 0, offsets 0, end 0, epoch +0, marker +0";
        let of_v2 = "write 0, offsets 0, end 0, epoch +1, marker +1";
        let record = if level == 0 { "record v0" } else { "record v1" };
        let not_added = "write 120, offsets 120, end 48";
        // At level 0 the coordinator cannot write down that a client of the second generation was here: see below.
        let [commits, aborts, adding_commits, adding_aborts] = match level {
            0 => [
                "write 35, offsets 51, end 51",
                "write 35, offsets 51, end 51",
                "write 0, offsets 0, end 35",
                "write 0, offsets 0, end 35",
            ]
            .map(str::to_owned),
            _ => ["true", "false", "true", "false"].map(|visible| format!("{of_v2}, {record}, visible {visible}")),
        };
        let expected = [
            format!("v1 commits: {of_v1}, {record}, visible true"),
            format!("v1 aborts: {of_v1}, {record}, visible false"),
            format!("v1 without adding commits: {not_added}"),
            format!("v1 without adding aborts: {not_added}"),
            format!("v2 commits: {commits}"),
            format!("v2 aborts: {aborts}"),
            format!("v2 that adds commits: {adding_commits}"),
            format!("v2 that adds aborts: {adding_aborts}"),
            // The epoch that the coordinator takes for itself: with version 2 its producer may have it.
            format!("fenced: {}, epoch +2", if level == 2 { "epoch +1" } else { "error 90" }),
        ];
        assert_eq!(told(&mut connection).await, expected, "level {level}");
    }
}

#[tokio::test]
async fn a_transaction_that_is_open_while_the_level_changes_ends_as_its_client_speaks() {
    let (broker, mut connection) = start().await;
    if !may_ask(broker.is_real()) {
        return;
    }
    for (generation, to) in [(V2, 1), (V1, 2), (V1, 0), (V1, 2), (V2, 1), (V2, 2)] {
        let topic = one_segment(&mut connection, 1).await;
        let mut producer = producer(&mut connection).await;
        send(&mut connection, generation, &producer, (&topic, 0), 0, &["a"]).await;
        change(&mut connection, to).await;
        let ended = end(&mut connection, generation, &producer, true).await;
        assert_eq!(ended.epoch, producer.epoch + i64::from(!generation.adds));
        producer = ended;
        let sequence = i32::from(generation.adds);
        send(&mut connection, generation, &producer, (&topic, 0), sequence, &["b"]).await;
        end(&mut connection, generation, &producer, false).await;
        let read = read_committed(&mut connection, &topic, 0).await;
        assert_eq!((read["last_stable_offset"].int(), aborted(&read)), (4, vec![(producer.id, 2)]));
    }
}

#[tokio::test]
async fn what_the_second_generation_has_done_cannot_go_on_at_level_0() {
    // The records of level 0 cannot say it: Kafka begins the move, fails to write it down, and lets nobody else begin one.
    let (broker, mut connection) = start().await;
    if !may_ask(broker.is_real()) {
        return;
    }
    let topic = one_segment(&mut connection, 1).await;
    let ended = producer(&mut connection).await;
    send(&mut connection, V2, &ended, (&topic, 0), 0, &["a"]).await;
    end(&mut connection, V2, &ended, true).await;
    let open = producer(&mut connection).await;
    send(&mut connection, V2, &open, (&topic, 0), 0, &["b"]).await;
    change(&mut connection, 0).await;
    let again = |producer: &Producer| init_body(&producer.transactional_id, None);
    for level in [0, 2] {
        if level == 2 {
            change(&mut connection, 2).await;
        }
        let mut codes = Vec::new();
        for _ in 0..2 {
            codes.push(call(&mut connection, api::INIT_PRODUCER_ID, 5, again(&ended)).await["error_code"].int());
        }
        for version in [4, 5] {
            codes.push(end_at(&mut connection, version, &open, true).await["error_code"].int());
            complete(&mut connection, &open).await;
        }
        // A client of the first generation can still end what the second has begun, which is its business.
        let expected = if level == 0 { [35, 51, 0, 48] } else { [51, 51, 0, 48] };
        assert_eq!(codes, expected, "level {level}");
    }
}

#[tokio::test]
async fn a_level_that_there_is_not_changes_nothing() {
    let (broker, mut connection) = start().await;
    if !may_ask(broker.is_real()) {
        return;
    }
    let before = level(&mut connection).await;
    // Too high, none, the one that it has, and one that is no upgrade.
    for (level, upgrade_type, code) in [(3, 1, 95), (-1, 2, 95), (2, 2, 0), (0, 1, 95)] {
        assert_eq!(update(&mut connection, level, upgrade_type).await, code, "{level}");
    }
    assert_eq!(level(&mut connection).await, before);
}
