//! DescribeCluster, DescribeTopicPartitions and FindCoordinator: who is there, and who is responsible for what.

use system_tests::world::unique;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{self, call, start, topic, versions};
use crate::code;

/// What is said of a request that Kafka has no words of its own for (Errors.java).
const MALFORMED: &str = "This most likely occurs because of a request being malformed by the client library or the \
                         message was sent to an incompatible broker. See the broker logs for more details.";

#[tokio::test]
async fn every_version_describes_the_cluster() {
    // Spec B.10; KIP-700.
    let (broker, mut connection) = start().await;
    let metadata = connection.call(api::METADATA, 12, value!({ topics: [] })).await;
    for version in versions(&mut connection, api::DESCRIBE_CLUSTER).await {
        for asked in [false, true] {
            let body = value!({ include_cluster_authorized_operations: asked, endpoint_type: 1 });
            let answer = call(&mut connection, api::DESCRIBE_CLUSTER, version, body).await;
            assert_eq!(answer["error_code"], code::NONE, "v{version}");
            assert!(answer["error_message"].is_null());
            assert_eq!(answer["cluster_id"], metadata["cluster_id"]);
            let operations = if asked { 8_096 } else { i32::MIN };
            assert_eq!(answer["cluster_authorized_operations"], operations);
            let nodes = answer["brokers"].array();
            assert_eq!(nodes.len(), metadata["brokers"].array().len());
            nodes
                .iter()
                .find(|node| node["broker_id"] == answer["controller_id"])
                .expect("the controller is one of them");
            let addresses = nodes.iter().map(|node| format!("{}:{}", node["host"].str(), node["port"].int()));
            assert!(addresses.into_iter().any(|address| address == broker.address()));
            if version >= 1 {
                assert_eq!(answer["endpoint_type"], 1);
            }
            if version >= 2 {
                assert!(nodes.iter().all(|node| node["is_fenced"] == false));
            }
        }
    }
}

#[tokio::test]
async fn a_node_does_not_speak_for_the_controllers() {
    // KIP-919: endpoint type 2 is another listener's, and there is no third.
    let (_broker, mut connection) = start().await;
    let controllers =
        "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
    for version in 1..=2 {
        for (endpoint_type, error_code, message) in [
            (2, code::MISMATCHED_ENDPOINT_TYPE, controllers),
            (0, code::UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type 0"),
            (3, code::UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type 3"),
        ] {
            let body = value!({ endpoint_type: endpoint_type });
            let answer = call(&mut connection, api::DESCRIBE_CLUSTER, version, body).await;
            assert_eq!((answer["error_code"].int(), answer["error_message"].str()), (error_code.into(), message));
            assert_eq!((answer["cluster_id"].str(), answer["controller_id"].int()), ("", -1));
            assert_eq!(answer["brokers"].array().len(), 0);
        }
    }
}

#[tokio::test]
async fn describe_topic_partitions_tells_all_of_a_topic() {
    // KIP-966; the lists of eligible leaders are empty, not null, and operations are always told.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let answer = describe(&mut connection, &[&topic.name], 2_000, Value::Null).await;
    assert!(answer["next_cursor"].is_null());
    let told = &answer["topics"][0];
    assert_eq!((told["error_code"].int(), told["name"].str(), told["topic_id"].uuid()), (0, &*topic.name, topic.id));
    assert_eq!((&told["is_internal"], told["topic_authorized_operations"].int()), (&false.into(), 3_576));
    let partitions = told["partitions"].array();
    assert_eq!(partitions.len(), 2);
    for (index, partition) in partitions.iter().enumerate() {
        assert_eq!((partition["error_code"].int(), partition["partition_index"].int()), (0, index as i64));
        assert_eq!(partition["leader_epoch"], 0);
        assert_eq!(partition["replica_nodes"], Value::Array(vec![partition["leader_id"].clone()]));
        assert_eq!(partition["isr_nodes"], partition["replica_nodes"]);
        for none in ["eligible_leader_replicas", "last_known_elr", "offline_replicas"] {
            assert_eq!(partition[none].array().len(), 0);
        }
    }
}

#[tokio::test]
async fn described_topics_are_sorted_and_told_once() {
    // Spec B.8 rule 1, and those that do not exist among the others.
    let (_broker, mut connection) = start().await;
    let (first, second) = two_topics(&mut connection).await;
    let answer = describe(&mut connection, &["nowhere", &second, &first, "a b", &second], 2_000, Value::Null).await;
    let told: Vec<_> = answer["topics"].array().iter().map(|t| (t["name"].str(), t["error_code"].int())).collect();
    let unknown = i64::from(code::UNKNOWN_TOPIC_OR_PARTITION);
    let invalid = i64::from(code::INVALID_TOPIC_EXCEPTION);
    assert_eq!(told, [("a b", invalid), (&*first, 0), (&*second, 0), ("nowhere", unknown)]);
    let refused = answer["topics"].find("name", "nowhere");
    assert_eq!((refused["topic_id"].uuid(), refused["topic_authorized_operations"].int()), (Uuid::nil(), 3_576));
}

#[tokio::test]
async fn described_partitions_come_in_pages() {
    // Spec B.8 rule 3: a limit is at least 1, and a page that ends with a topic points at the next one.
    let (_broker, mut connection) = start().await;
    let (first, second) = two_topics(&mut connection).await;
    for (limit, pages) in [(2_000, vec![5]), (5, vec![5]), (4, vec![4, 1]), (3, vec![3, 2]), (2, vec![2, 2, 1])]
        .into_iter()
        .chain([(1, vec![1; 5]), (0, vec![1; 5]), (-1, vec![1; 5])])
    {
        let mut cursor = Value::Null;
        let mut partitions = Vec::new();
        for (page, size) in pages.iter().enumerate() {
            let answer = describe(&mut connection, &[&first, &second], limit, cursor).await;
            let told = answer["topics"].array().iter().flat_map(|topic| {
                topic["partitions"].array().iter().map(|p| (topic["name"].str().to_owned(), p["partition_index"].int()))
            });
            let told: Vec<_> = told.collect();
            assert_eq!(told.len(), *size, "limit {limit}, page {page}");
            partitions.extend(told);
            cursor = answer["next_cursor"].clone();
        }
        assert!(cursor.is_null(), "limit {limit}: {cursor:?}");
        let all: Vec<_> = (0..2).map(|i| (first.clone(), i)).chain((0..3).map(|i| (second.clone(), i))).collect();
        assert_eq!(partitions, all);
    }
}

#[tokio::test]
async fn a_cursor_skips_what_is_in_front_of_it_and_must_be_among_the_topics() {
    // Spec B.8 rule 2; DescribeTopicPartitionsRequestHandler.
    let (_broker, mut connection) = start().await;
    let (first, second) = two_topics(&mut connection).await;
    let both = [&*first, &*second];
    let cursor = |name: &str, index: i32| value!({ topic_name: name, partition_index: index });
    let answer = describe(&mut connection, &both, 2_000, cursor(&first, 1)).await;
    assert_eq!(answer["topics"][0]["partitions"].array().len(), 1);
    assert_eq!(answer["topics"][0]["partitions"][0]["partition_index"], 1);
    let answer = describe(&mut connection, &both, 2_000, cursor(&second, 0)).await;
    assert_eq!(answer["topics"].array().len(), 1);
    for wrong in [cursor("nowhere", 0), cursor(&first, -1)] {
        let answer = describe(&mut connection, &both, 2_000, wrong).await;
        assert_eq!(answer["topics"].array().len(), 2);
        for refused in answer["topics"].array() {
            assert_eq!(refused["error_code"], code::INVALID_REQUEST);
            assert_eq!(refused["partitions"].array().len(), 0);
        }
    }
}

#[tokio::test]
async fn no_names_describe_every_topic() {
    // Spec B.8 rule 1.
    let (_broker, mut connection) = start().await;
    let (first, second) = two_topics(&mut connection).await;
    let cursor = value!({ topic_name: &first, partition_index: 0 });
    let answer = describe(&mut connection, &[], 2_000, cursor).await;
    assert_eq!(answer["topics"][0]["name"], first.as_str());
    assert_eq!(answer["topics"].find("name", second.as_str())["partitions"].array().len(), 3);
}

#[tokio::test]
async fn every_version_finds_the_coordinator_of_a_group() {
    // Spec B.9; KIP-699. The first one ever asked for does not exist yet.
    let (broker, mut connection) = start().await;
    for version in versions(&mut connection, api::FIND_COORDINATOR).await {
        let group = unique("fidelity-group");
        let found = coordinator(&mut connection, version, &group, 0).await;
        let address = format!("{}:{}", found["host"].str(), found["port"].int());
        assert!(broker.bootstrap().split(',').any(|known| known == address), "{address} is not a node");
        match version {
            0 => {}
            1..=3 => assert_eq!(found["error_message"], "NONE", "Kafka's word for nothing"),
            _ => assert_eq!((found["key"].str(), found["error_message"].str()), (&*group, "")),
        }
    }
}

#[tokio::test]
async fn the_coordinator_of_a_transaction_is_found_as_well() {
    // Spec B.9: key type 1.
    let (_broker, mut connection) = start().await;
    for version in [1, 3, 4, 6] {
        coordinator(&mut connection, version, &unique("fidelity-transaction"), 1).await;
    }
}

#[tokio::test]
async fn several_coordinators_are_found_at_once_in_the_order_of_the_keys() {
    // KIP-699; a key given twice is answered twice, and the empty one is a key like any other.
    let (_broker, mut connection) = start().await;
    coordinator(&mut connection, 4, "fidelity-warm", 0).await;
    let body = value!({ coordinator_keys: ["b", "a", "", "b"], key_type: 0 });
    let answer = call(&mut connection, api::FIND_COORDINATOR, 4, body).await;
    let keys: Vec<_> = answer["coordinators"].array().iter().map(|found| found["key"].str()).collect();
    assert_eq!(keys, ["b", "a", "", "b"]);
    assert!(answer["coordinators"].array().iter().all(|found| found["error_code"] == code::NONE));
    let none = call(&mut connection, api::FIND_COORDINATOR, 4, value!({ coordinator_keys: [] })).await;
    assert_eq!(none["coordinators"].array().len(), 0);
}

#[tokio::test]
async fn a_key_type_nobody_knows_is_invalid() {
    // Spec B.9: 2 is a share coordinator's, from v6 on.
    let (_broker, mut connection) = start().await;
    for (version, key_type) in [(1, 2), (3, 2), (3, 3), (3, -1), (4, 2), (5, 2), (5, 3), (6, 3), (6, -1)] {
        let body = value!({ key: "g", coordinator_keys: ["g"], key_type: key_type });
        let answer = call(&mut connection, api::FIND_COORDINATOR, version, body).await;
        let refused = if version >= 4 { &answer["coordinators"][0] } else { &answer };
        assert_eq!(refused["error_code"], code::INVALID_REQUEST, "v{version}, type {key_type}");
        assert_eq!((refused["node_id"].int(), refused["host"].str(), refused["port"].int()), (-1, "", -1));
        if version < 4 || key_type != 2 {
            assert_eq!(refused["error_message"], MALFORMED);
        }
    }
}

/// Two topics in the order of their names, of two and three partitions.
async fn two_topics(connection: &mut Raw) -> (String, String) {
    let prefix = unique("fidelity");
    let names = (format!("{prefix}-a"), format!("{prefix}-b"));
    for (name, partitions) in [(&names.0, 2), (&names.1, 3)] {
        assert_eq!(ask::create(connection, name, partitions, &[]).await["error_code"], code::NONE);
        ask::wait_for_leaders(connection, name, partitions).await;
    }
    names
}

async fn describe(connection: &mut Raw, names: &[&str], limit: i32, cursor: Value) -> Value {
    let topics: Vec<_> = names.iter().map(|name| value!({ name: *name })).collect();
    let body = value!({ topics: topics, response_partition_limit: limit, cursor: cursor });
    call(connection, api::DESCRIBE_TOPIC_PARTITIONS, 0, body).await
}

/// Asks for a coordinator until there is one; what was said of it.
async fn coordinator(connection: &mut Raw, version: i16, key: &str, key_type: i8) -> Value {
    let of = |answer: &Value| if version >= 4 { answer["coordinators"][0].clone() } else { answer.clone() };
    let body = value!({ key: key, key_type: key_type, coordinator_keys: [key] });
    let answer = ask::until(connection, (api::FIND_COORDINATOR, version), body, |answer| {
        of(answer)["error_code"] != code::COORDINATOR_NOT_AVAILABLE
    })
    .await;
    let found = of(&answer);
    assert_eq!(found["error_code"], code::NONE, "v{version}");
    found
}
