//! What a coordinator cannot write, because it is larger than `max.message.bytes` of `__consumer_offsets` (1,048,588): the step is
//! taken back, and the client is told UNKNOWN_SERVER_ERROR, which says nothing of it.

use bytes::Bytes;
use system_tests::{Value, api, value};

use super::ask::{call, topic};
use super::code::*;
use super::consumer;
use super::member::{Member, describe, start};

/// Four kilobytes are the most that an offset may be committed with (`offset.metadata.max.bytes`).
const METADATA: usize = 4096;

#[tokio::test]
async fn an_assignment_that_is_too_large_is_not_stored_and_all_join_again() {
    // GroupMetadataManager.classicGroupSyncToClassicGroup: resetAndPropagateAssignmentWithError.
    let (broker, group) = start().await;
    let mut member = Member::new(&broker, &group).await;
    // Only what is assigned counts in the end, but a subscription is stored with it.
    member.protocols = vec![("range", Bytes::from(vec![7; 1_100_000]))];
    let mine = {
        assert_eq!(member.joins().await["error_code"], NONE, "what is joined is not written");
        member.id.clone()
    };
    assert_eq!(member.syncs(&[(&mine, "all")]).await.0, UNKNOWN_SERVER_ERROR);
    assert_eq!(member.heartbeat().await, REBALANCE_IN_PROGRESS);
    let described = describe(&mut member.connection, &group).await;
    assert_eq!((described["group_state"].str(), described["members"].array().len()), ("PreparingRebalance", 1));
    // It can go on with less.
    member.protocols = vec![("range", Bytes::from_static(b"few"))];
    let joined = member.joins().await;
    assert_eq!((joined["error_code"].int(), joined["generation_id"].int()), (0, 2));
    assert_eq!(member.syncs(&[(&mine, "all")]).await, (0, "all".into()));
}

#[tokio::test]
async fn a_commit_that_is_too_large_changes_no_offset() {
    // OffsetMetadataManager.commitOffset writes all partitions in one batch.
    let (broker, group) = start().await;
    let mut connection = broker.connect().await;
    let topic = topic(&mut connection, 300, &[]).await;
    let commit = |partitions: std::ops::Range<i32>, offset: i64, metadata: usize| {
        let text = "m".repeat(metadata);
        let of = |index: i32| {
            value!({ partition_index: index, committed_offset: offset, committed_leader_epoch: -1,
                committed_metadata: &text })
        };
        let partitions: Vec<Value> = partitions.map(of).collect();
        value!({ group_id: &group, generation_id_or_member_epoch: -1, member_id: "",
            topics: [{ name: &topic.name, partitions: partitions }] })
    };
    let codes = |answer: &Value| {
        let partitions = answer["topics"][0]["partitions"].array().iter();
        let mut codes: Vec<i64> = partitions.map(|partition| partition["error_code"].int()).collect();
        codes.dedup();
        codes
    };
    let answer = call(&mut connection, api::OFFSET_COMMIT, 8, commit(0..2, 7, METADATA)).await;
    assert_eq!(codes(&answer), [0]);
    let answer = call(&mut connection, api::OFFSET_COMMIT, 8, commit(0..300, 8, METADATA)).await;
    assert_eq!(codes(&answer), [i64::from(UNKNOWN_SERVER_ERROR)]);
    // By name: asked for all, Kafka lists what it has taken back to twice.
    let topics = value!([{ name: &topic.name, partition_indexes: [0, 1, 2] }]);
    let fetch = value!({ groups: [{ group_id: &group, topics: topics }], require_stable: false });
    let fetched = call(&mut connection, api::OFFSET_FETCH, 8, fetch).await;
    let partitions = fetched["groups"][0]["topics"][0]["partitions"].array().iter();
    let offsets: Vec<_> = partitions.map(|it| it["committed_offset"].int()).collect();
    assert_eq!(offsets, [7, 7, -1]);
    let answer = call(&mut connection, api::OFFSET_COMMIT, 8, commit(0..200, 9, METADATA)).await;
    assert_eq!(codes(&answer), [0], "a batch that has room for it");
}

#[tokio::test]
async fn a_simple_group_that_could_not_be_written_is_not_there() {
    let (broker, group) = start().await;
    let mut connection = broker.connect().await;
    let topic = topic(&mut connection, 300, &[]).await;
    let text = "m".repeat(METADATA);
    let of = |index: i32| value!({ partition_index: index, committed_offset: 1, committed_leader_epoch: -1, committed_metadata: &text });
    let partitions: Vec<Value> = (0..300).map(of).collect();
    let body = value!({ group_id: &group, generation_id_or_member_epoch: -1, member_id: "",
        topics: [{ name: &topic.name, partitions: partitions }] });
    let answer = call(&mut connection, api::OFFSET_COMMIT, 8, body).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["error_code"], UNKNOWN_SERVER_ERROR);
    let listed = call(&mut connection, api::LIST_GROUPS, 5, value!({ states_filter: [], types_filter: [] })).await;
    assert!(!listed["groups"].array().iter().any(|it| it["group_id"] == &*group), "{listed:?}");
}

#[tokio::test]
async fn a_member_that_says_too_much_is_not_in_the_group() {
    // CoordinatorRuntime.failCurrentBatch: the records of the heartbeat are taken back.
    let (broker, group, mut connection) = consumer::start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let names: Vec<String> = (0..5_000).map(|number| format!("{number:0>240}")).collect();
    let beat = |member: &str, names: &[String]| {
        let names: Vec<Value> = names.iter().map(|name| name.as_str().into()).collect();
        value!({ group_id: &group, member_id: member, member_epoch: 0, instance_id: null, rack_id: null,
            rebalance_timeout_ms: 30_000, subscribed_topic_names: names, subscribed_topic_regex: null,
            server_assignor: null, topic_partitions: [] })
    };
    let answer = call(&mut connection, api::CONSUMER_GROUP_HEARTBEAT, 1, beat("much", &names)).await;
    assert_eq!(answer["error_code"], UNKNOWN_SERVER_ERROR);
    let described = value!({ group_ids: [&*group], include_authorized_operations: false });
    let described = call(&mut connection, api::CONSUMER_GROUP_DESCRIBE, 1, described).await;
    assert_eq!(described["groups"][0]["error_code"], GROUP_ID_NOT_FOUND);
    let answer = call(&mut connection, api::CONSUMER_GROUP_HEARTBEAT, 1, beat("less", &[topic.name])).await;
    assert_eq!(answer["error_code"], NONE, "{answer:?}");
    let described = value!({ group_ids: [&*group], include_authorized_operations: false });
    let described = call(&mut connection, api::CONSUMER_GROUP_DESCRIBE, 1, described).await["groups"][0].clone();
    let members: Vec<_> = described["members"].array().iter().map(|it| it["member_id"].str().to_owned()).collect();
    assert_eq!(members, ["less"]);
    drop(broker);
}
