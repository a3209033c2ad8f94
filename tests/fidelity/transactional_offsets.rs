//! Offsets that are committed in transactions: when they count, and what is seen of them before.

use system_tests::batch::Batch;
use system_tests::raw::patiently;
use system_tests::world::unique;
use system_tests::{Raw, Value, api, value};

use crate::ask::{Topic, append, call, fitting, start, topic, until, with};
use crate::code;
use crate::transactional::*;

const UNSTABLE: i64 = 88;

#[tokio::test]
async fn an_offset_counts_when_its_transaction_is_committed() {
    // Spec G.6; KIP-447.
    for (generation, committed) in [(V1, true), (V1, false), (V2, true), (V2, false)] {
        let (_broker, mut connection) = start().await;
        let topic = topic(&mut connection, 1, &[]).await;
        append(&mut connection, &topic, 0, &Batch::of(["a"; 10])).await;
        let group = group(&mut connection).await;
        let producer = producer(&mut connection).await;
        assert_eq!(commit(&mut connection, &group, &topic, 3).await, 0);
        assert_eq!(commit_in(&mut connection, generation, &producer, &group, &topic, 7).await, 0);
        assert_eq!(fetch(&mut connection, &group, &topic, false).await, (0, 3), "the offset of before");
        assert_eq!(fetch(&mut connection, &group, &topic, true).await, (UNSTABLE, -1));
        end(&mut connection, generation, &producer, committed).await;
        let after = stable(&mut connection, &group, &topic).await;
        assert_eq!(after, (0, if committed { 7 } else { 3 }), "{generation:?}");
    }
}

#[tokio::test]
async fn a_later_commit_wins_over_one_that_was_pending() {
    // Spec G.6: the offset of the record decides, not that of the marker.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let group = group(&mut connection).await;
    let producer = producer(&mut connection).await;
    assert_eq!(commit_in(&mut connection, V2, &producer, &group, &topic, 7).await, 0);
    assert_eq!(commit_in(&mut connection, V2, &producer, &group, &topic, 8).await, 0);
    assert_eq!(commit(&mut connection, &group, &topic, 3).await, 0);
    end(&mut connection, V2, &producer, true).await;
    assert_eq!(stable(&mut connection, &group, &topic).await, (0, 3));
}

#[tokio::test]
async fn a_group_joins_the_transaction_first_or_in_passing() {
    // Spec G.6: what the old versions are told of a partition that was not added.
    let (broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let group = group(&mut connection).await;
    let producer = producer(&mut connection).await;
    for (version, expected) in (0..).zip([48, 48, 48, 48, 120, 0]) {
        let ask = async || commit_at(&mut connection, version, &producer, &group, &topic, 7).await;
        assert_eq!(not_added(&broker, expected, |code| *code, ask).await, expected, "v{version}");
    }
    let described = describe(&mut connection, &producer.transactional_id).await;
    assert_eq!(described["topics"][0]["topic"], "__consumer_offsets");
    let old = Producer { epoch: producer.epoch - 1, ..producer.clone() };
    assert_eq!(commit_at(&mut connection, 5, &old, &group, &topic, 7).await, 47);
    let nobody = Producer { transactional_id: unique("nobody"), id: producer.id + 1_000_000, ..producer };
    assert_eq!(commit_at(&mut connection, 5, &nobody, &group, &topic, 7).await, 49);
    assert_eq!(commit_at(&mut connection, 5, &nobody, "", &topic, 7).await, 24);
}

#[tokio::test]
async fn a_group_that_is_not_there_takes_no_generation() {
    // Spec G.6.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let group = group(&mut connection).await;
    let producer = producer(&mut connection).await;
    let body = with(&body(&producer, &group, &topic, 7), "generation_id", 4);
    assert_eq!(code_of(&mut connection, 5, body).await, 22);
}

/// A group that has a coordinator and nothing else.
async fn group(connection: &mut Raw) -> String {
    let group = unique("group");
    coordinator(connection, &group, 0).await;
    group
}

fn partitions(offset: i64) -> Value {
    value!([{ partition_index: 0, committed_offset: offset, committed_leader_epoch: -1, committed_metadata: "" }])
}

/// A plain OffsetCommit of nobody's member, until the group is loaded; its code.
async fn commit(connection: &mut Raw, group: &str, topic: &Topic, offset: i64) -> i64 {
    let topics = value!([{ name: &topic.name, partitions: partitions(offset) }]);
    let body = value!({ group_id: group, generation_id_or_member_epoch: -1, member_id: "", topics: topics });
    let code = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"].int();
    let answer = until(connection, (api::OFFSET_COMMIT, 8), fitting(api::OFFSET_COMMIT, 8, body), |answer| {
        ![14, 15, 16].contains(&code(answer))
    })
    .await;
    code(&answer)
}

fn body(producer: &Producer, group: &str, topic: &Topic, offset: i64) -> Value {
    let topics = value!([{ name: &topic.name, partitions: partitions(offset) }]);
    value!({
        transactional_id: &producer.transactional_id, group_id: group, producer_id: producer.id,
        producer_epoch: producer.epoch, generation_id: -1, member_id: "", topics: topics,
    })
}

/// TxnOffsetCommit; its code.
async fn commit_at(
    connection: &mut Raw,
    version: i16,
    producer: &Producer,
    group: &str,
    topic: &Topic,
    offset: i64,
) -> i64 {
    code_of(connection, version, body(producer, group, topic, offset)).await
}

/// The same of a body, once the group is loaded and no transaction is just ending.
async fn code_of(connection: &mut Raw, version: i16, body: Value) -> i64 {
    let body = fitting(api::TXN_OFFSET_COMMIT, version, body);
    let code = |answer: &Value| answer["topics"][0]["partitions"][0]["error_code"].int();
    let passing = [14, 15, 16, i64::from(code::CONCURRENT_TRANSACTIONS)];
    let answer =
        until(connection, (api::TXN_OFFSET_COMMIT, version), body, |answer| !passing.contains(&code(answer))).await;
    code(&answer)
}

/// The group joins the transaction, if this generation wants that, and commits in it.
async fn commit_in(
    connection: &mut Raw,
    generation: Generation,
    producer: &Producer,
    group: &str,
    topic: &Topic,
    offset: i64,
) -> i64 {
    if generation.adds {
        let body = value!({
            transactional_id: &producer.transactional_id, producer_id: producer.id, producer_epoch: producer.epoch,
            group_id: group,
        });
        let answer = call(connection, api::ADD_OFFSETS_TO_TXN, 3, body).await;
        assert_eq!(answer["error_code"], code::NONE);
    }
    commit_at(connection, generation.txn_offset_commit, producer, group, topic, offset).await
}

/// OffsetFetch of one partition: code and offset.
async fn fetch(connection: &mut Raw, group: &str, topic: &Topic, require_stable: bool) -> (i64, i64) {
    let topics = value!([{ name: &topic.name, partition_indexes: [0] }]);
    let groups = value!([{ group_id: group, member_epoch: -1, topics: topics }]);
    let body = value!({ groups: groups, require_stable: require_stable });
    let answer = call(connection, api::OFFSET_FETCH, 9, body).await;
    let partition = &answer["groups"][0]["topics"][0]["partitions"][0];
    (partition["error_code"].int(), partition["committed_offset"].int())
}

/// The same once no transaction is pending.
async fn stable(connection: &mut Raw, group: &str, topic: &Topic) -> (i64, i64) {
    let wait = async {
        loop {
            let fetched = fetch(connection, group, topic, true).await;
            if fetched.0 != UNSTABLE {
                return fetched;
            }
        }
    };
    patiently("the offsets to be stable", wait).await
}
