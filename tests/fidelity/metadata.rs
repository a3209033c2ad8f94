//! Metadata: topics by name and id, what does not exist, and what comes into being by being asked for.

use system_tests::world::unique;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{self, call, start, topic, versions};
use crate::code;

/// What stands for "nobody asked" in a set of operations.
const NOT_ASKED: i32 = i32::MIN;
/// Read, write, create, delete, alter, describe, and describe and alter configs: all that there are for a topic.
const EVERY_TOPIC_OPERATION: i32 = 0b1101_1111_1000;
/// Create, alter, describe, cluster action, describe, alter configs and idempotent write.
const EVERY_CLUSTER_OPERATION: i32 = 8_096;

#[tokio::test]
async fn every_version_describes_a_topic() {
    // Spec B.1; MetadataResponse.json.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    for version in versions(&mut connection, api::METADATA).await {
        let answer = ask_for(&mut connection, version, &[&topic.name]).await;
        let told = &answer["topics"][0];
        assert_eq!(told["error_code"], code::NONE, "v{version}");
        assert_eq!(told["name"], topic.name.as_str());
        let node_ids: Vec<_> = answer["brokers"].array().iter().map(|node| node["node_id"].clone()).collect();
        assert_eq!(told["partitions"].array().len(), 2);
        for index in 0..2 {
            let partition = told["partitions"].find("partition_index", index);
            assert_eq!(partition["error_code"], code::NONE);
            assert!(node_ids.contains(&partition["leader_id"]), "v{version}: {answer:?}");
            assert_eq!(partition["replica_nodes"], Value::Array(vec![partition["leader_id"].clone()]));
            assert_eq!(partition["isr_nodes"], partition["replica_nodes"]);
            assert_eq!(partition.field("leader_epoch"), (version >= 7).then(|| 0.into()).as_ref());
            assert_eq!(partition.field("offline_replicas"), (version >= 5).then(|| value!([])).as_ref());
        }
        assert_eq!(told.field("is_internal"), (version >= 1).then(|| false.into()).as_ref());
        assert_eq!(told.field("topic_id"), (version >= 10).then(|| topic.id.into()).as_ref());
        assert_eq!(told.field("topic_authorized_operations"), (version >= 8).then(|| NOT_ASKED.into()).as_ref());
        let cluster_operations = (8..=10).contains(&version).then(|| NOT_ASKED.into());
        assert_eq!(answer.field("cluster_authorized_operations"), cluster_operations.as_ref());
        assert_eq!(answer.field("error_code"), (version >= 13).then(|| code::NONE.into()).as_ref());
        if version >= 1 {
            assert!(node_ids.contains(&answer["controller_id"]), "any node may be named as the controller");
        }
        if version >= 2 {
            assert_eq!(answer["cluster_id"].str().len(), 22, "a UUID in base64");
        }
    }
}

#[tokio::test]
async fn the_nodes_are_where_clients_connect() {
    // Spec B.1 rule 5: endpoints of the listener the request came on.
    let (broker, mut connection) = start().await;
    let answer = ask_for(&mut connection, 12, &[]).await;
    let addresses: Vec<_> =
        answer["brokers"].array().iter().map(|node| format!("{}:{}", node["host"].str(), node["port"].int())).collect();
    assert!(addresses.contains(&broker.address().to_owned()), "{addresses:?} lack {}", broker.address());
}

#[tokio::test]
async fn null_asks_for_all_topics_and_an_empty_list_for_none_but_at_v0() {
    // Spec B.1; MetadataRequest.isAllTopics.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for version in versions(&mut connection, api::METADATA).await {
        let empty = call(&mut connection, api::METADATA, version, value!({ topics: [] })).await;
        if version == 0 {
            assert_eq!(empty["topics"].find("name", topic.name.as_str())["error_code"], code::NONE);
            continue;
        }
        assert_eq!(empty["topics"].array().len(), 0, "v{version}");
        let all = call(&mut connection, api::METADATA, version, value!({ topics: null })).await;
        assert_eq!(all["topics"].find("name", topic.name.as_str())["error_code"], code::NONE);
    }
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_unknown() {
    // Spec B.1 rule 3.
    let (_broker, mut connection) = start().await;
    let name = unique("fidelity-nowhere");
    for version in versions(&mut connection, api::METADATA).await.filter(|version| *version >= 4) {
        for _ in 0..2 {
            let answer = ask_for(&mut connection, version, &[&name]).await;
            let told = &answer["topics"][0];
            assert_eq!(told["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION, "v{version}");
            assert_eq!(told["name"], name.as_str());
            assert_eq!(told["partitions"].array().len(), 0);
            assert_eq!(told["is_internal"], false);
            if version >= 10 {
                assert_eq!(told["topic_id"], Uuid::nil());
            }
        }
    }
}

#[tokio::test]
async fn an_illegal_name_is_an_invalid_topic_whether_or_not_topics_come_by_themselves() {
    // Spec B.3; Topic.validate.
    let (_broker, mut connection) = start().await;
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "a:b", "ä", "a\0", &long] {
        for allowed in [true, false] {
            let body = value!({ topics: [{ name: name }], allow_auto_topic_creation: allowed });
            let answer = call(&mut connection, api::METADATA, 9, body).await;
            assert_eq!(answer["topics"][0]["error_code"], code::INVALID_TOPIC_EXCEPTION, "{name:?}");
        }
    }
    let longest = ask_for(&mut connection, 9, &[&"x".repeat(249)]).await;
    assert_eq!(longest["topics"][0]["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn a_topic_comes_into_being_by_being_asked_for_and_is_there_the_next_time() {
    // Spec B.2: the request that creates it still says that it is unknown. Before v4 nobody can forbid it.
    let (_broker, mut connection) = start().await;
    for version in [0, 3, 4, 13] {
        let name = unique("fidelity-auto");
        let body = value!({ topics: [{ name: &name }], allow_auto_topic_creation: true });
        let first = call(&mut connection, api::METADATA, version, body.clone()).await;
        assert_eq!(first["topics"][0]["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION, "v{version}");
        assert_eq!(first["topics"][0]["partitions"].array().len(), 0);
        let there = ask::until(&mut connection, (api::METADATA, version), body, |answer| {
            answer["topics"][0]["error_code"] == code::NONE
        })
        .await;
        assert_eq!(there["topics"][0]["partitions"].array().len(), 1, "num.partitions");
    }
}

#[tokio::test]
async fn a_topic_does_not_come_into_being_when_the_client_forbids_it() {
    // Spec B.2: allow_auto_topic_creation, v4.
    let (_broker, mut connection) = start().await;
    let name = unique("fidelity-forbidden");
    for _ in 0..3 {
        ask_for(&mut connection, 4, &[&name]).await;
    }
    let all = call(&mut connection, api::METADATA, 9, value!({ topics: null })).await;
    assert!(all["topics"].array().iter().all(|topic| topic["name"] != name.as_str()));
}

#[tokio::test]
async fn asking_by_id_gives_the_name_from_v12_on() {
    // KIP-516; a request with one id is a request by ids, and its names do not count.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for version in 12..=13 {
        for name in [None, Some("something-else")] {
            let answer = by_id(&mut connection, version, name, topic.id).await;
            assert_eq!(answer["error_code"], code::NONE, "v{version}");
            assert_eq!(answer["name"], topic.name.as_str());
            assert_eq!(answer["topic_id"], topic.id);
        }
    }
}

#[tokio::test]
async fn an_id_nobody_has_is_an_unknown_id_without_a_name() {
    // KIP-516.
    let (_broker, mut connection) = start().await;
    let id = Uuid::from_u128(fastrand::u128(..));
    for version in 12..=13 {
        let answer = by_id(&mut connection, version, None, id).await;
        assert_eq!(answer["error_code"], code::UNKNOWN_TOPIC_ID);
        assert!(answer["name"].is_null());
        assert_eq!(answer["topic_id"], id);
        assert_eq!(answer["partitions"].array().len(), 0);
    }
}

#[tokio::test]
async fn a_request_by_id_is_invalid_before_v12() {
    // Spec B.1: v10 and v11 have the field and no use for it; every topic of the request is refused.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for version in 10..=11 {
        let topics =
            value!([{ name: &topic.name }, { name: null, topic_id: topic.id }, { name: "a", topic_id: topic.id }]);
        let answer = call(&mut connection, api::METADATA, version, value!({ topics: topics })).await;
        assert_eq!(answer["topics"].array().len(), 3);
        for told in answer["topics"].array() {
            assert_eq!(told["error_code"], code::INVALID_REQUEST, "v{version}");
            assert_eq!(told["partitions"].array().len(), 0);
        }
        assert_eq!(answer["topics"].find("topic_id", Uuid::nil())["name"], topic.name.as_str());
        assert_eq!(answer["topics"].find("name", "")["topic_id"], topic.id, "null becomes an empty name");
    }
}

#[tokio::test]
async fn a_topic_asked_for_twice_is_told_once() {
    // Seen on 4.3.1: KafkaApis gathers the names in a set.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let missing = unique("fidelity-nowhere");
    let answer = ask_for(&mut connection, 12, &[&topic.name, &missing, &topic.name, &missing]).await;
    assert_eq!(answer["topics"].array().len(), 2);
    assert_eq!(answer["topics"].find("name", topic.name.as_str())["error_code"], code::NONE);
    assert_ne!(answer["topics"].find("name", missing.as_str())["error_code"], code::NONE);
}

#[tokio::test]
async fn operations_are_told_to_those_who_ask() {
    // KIP-430; without an authorizer everybody may do everything.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for version in 8..=13 {
        let body = value!({
            topics: [{ name: &topic.name }], include_topic_authorized_operations: true,
            include_cluster_authorized_operations: true,
        });
        let answer = call(&mut connection, api::METADATA, version, body).await;
        assert_eq!(answer["topics"][0]["topic_authorized_operations"], EVERY_TOPIC_OPERATION, "v{version}");
        if version <= 10 {
            assert_eq!(answer["cluster_authorized_operations"], EVERY_CLUSTER_OPERATION);
        }
    }
}

#[tokio::test]
async fn a_deleted_topic_is_unknown_by_name_and_by_id() {
    // Spec B.6.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let body = value!({ topics: [{ name: &topic.name }], timeout_ms: 10_000 });
    connection.call(api::DELETE_TOPICS, 6, body).await;
    ask::wait_until_gone(&mut connection, &topic.name).await;
    let by_name = ask_for(&mut connection, 12, &[&topic.name]).await;
    assert_eq!(by_name["topics"][0]["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(by_id(&mut connection, 12, None, topic.id).await["error_code"], code::UNKNOWN_TOPIC_ID);
}

/// Asks for topics by name and creates none, where the version has a say in it.
async fn ask_for(connection: &mut Raw, version: i16, names: &[&str]) -> Value {
    let topics: Vec<_> = names.iter().map(|name| value!({ name: *name })).collect();
    call(connection, api::METADATA, version, value!({ topics: topics, allow_auto_topic_creation: false })).await
}

async fn by_id(connection: &mut Raw, version: i16, name: Option<&str>, id: Uuid) -> Value {
    let body = value!({ topics: [{ name: name, topic_id: id }] });
    call(connection, api::METADATA, version, body).await["topics"][0].clone()
}
