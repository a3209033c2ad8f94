//! CreatePartitions: more of them, and every refusal with its code and Kafka's words.

use system_tests::batch::Batch;
use system_tests::{Raw, Value, api, value};

use crate::ask::{self, call, start, topic, versions};
use crate::code;

#[tokio::test]
async fn every_version_adds_partitions_and_leaves_the_old_ones_alone() {
    // Spec B.5; KIP-195.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    ask::append(&mut connection, &topic, 0, &Batch::of(["a"])).await;
    for (version, count) in versions(&mut connection, api::CREATE_PARTITIONS).await.zip(2..) {
        let answer = grow(&mut connection, version, &topic.name, count, None).await;
        assert_eq!(answer["error_code"], code::NONE, "v{version}");
        assert_eq!(answer["name"], topic.name.as_str());
        assert!(answer["error_message"].is_null());
        ask::wait_for_leaders(&mut connection, &topic.name, count).await;
        ask::append(&mut connection, &topic, count - 1, &Batch::of(["b"])).await;
    }
    assert_eq!(ask::list_offsets(&mut connection, &topic, 0, -1).await["offset"], 1);
}

#[tokio::test]
async fn validating_only_adds_nothing() {
    // Spec B.5: validate_only.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    for _ in 0..2 {
        let entry = value!({ name: &topic.name, count: 3, assignments: null });
        let body = value!({ topics: [entry], timeout_ms: 10_000, validate_only: true });
        let answer = call(&mut connection, api::CREATE_PARTITIONS, 3, body).await;
        assert_eq!(answer["results"][0]["error_code"], code::NONE);
    }
    let told = connection.call(api::METADATA, 12, value!({ topics: [{ name: &topic.name }] })).await;
    assert_eq!(told["topics"][0]["partitions"].array().len(), 2);
}

#[tokio::test]
async fn a_count_that_is_no_increase_is_refused() {
    // Spec B.5; ReplicationControlManager.createPartitions.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let same = grow(&mut connection, 3, &topic.name, 2, None).await;
    assert_eq!(error(&same), (code::INVALID_PARTITIONS, "Topic already has 2 partition(s)."));
    for count in [1, 0, -1] {
        let fewer = grow(&mut connection, 3, &topic.name, count, None).await;
        let message =
            format!("The topic {} currently has 2 partition(s); {count} would not be an increase.", topic.name);
        assert_eq!(error(&fewer), (code::INVALID_PARTITIONS, message.as_str()));
    }
}

#[tokio::test]
async fn an_unknown_topic_is_refused_without_a_word() {
    // Spec B.5.
    let (_broker, mut connection) = start().await;
    for name in ["fidelity-nowhere", "a b", ""] {
        let answer = grow(&mut connection, 3, name, 3, None).await;
        assert_eq!(answer["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
        assert!(answer["error_message"].is_null());
    }
}

#[tokio::test]
async fn a_topic_given_twice_is_refused_once() {
    // Spec B.5; ControllerApis.createPartitions.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let entry = |count: i32| value!({ name: &topic.name, count: count, assignments: null });
    let body = value!({ topics: [entry(3), entry(4)], timeout_ms: 10_000 });
    let answer = call(&mut connection, api::CREATE_PARTITIONS, 3, body).await;
    assert_eq!(answer["results"].array().len(), 1);
    assert_eq!(error(&answer["results"][0]), (code::INVALID_REQUEST, "Duplicate topic name."));
}

#[tokio::test]
async fn an_assignment_is_for_each_new_partition_and_for_nodes_that_exist() {
    // Spec B.5; the "only" in the first message is Kafka's, also where there are too many.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let cluster = connection.call(api::DESCRIBE_CLUSTER, 0, value!({})).await;
    let node = cluster["brokers"][0]["broker_id"].int();
    let nobody = node + 1_000;
    let count_is_off = |added: usize, given: usize| {
        format!("Attempted to add {added} additional partition(s), but only {given} assignment(s) were specified.")
    };
    let cases: [(i32, &[&[i64]], String); 6] = [
        (4, &[&[node]], count_is_off(2, 1)),
        (3, &[&[node], &[node]], count_is_off(1, 2)),
        (3, &[], count_is_off(1, 0)),
        (3, &[&[]], "The manual partition assignment includes an empty replica list.".to_owned()),
        (
            3,
            &[&[nobody]],
            format!("The manual partition assignment includes broker {nobody}, but no such broker is registered."),
        ),
        (3, &[&[node, node]], format!("The manual partition assignment includes the broker {node} more than once.")),
    ];
    for (count, assignments, message) in cases {
        let answer = grow(&mut connection, 3, &topic.name, count, Some(assignments)).await;
        assert_eq!(error(&answer), (code::INVALID_REPLICA_ASSIGNMENT, message.as_str()));
    }
    let answer = grow(&mut connection, 3, &topic.name, 3, Some(&[&[node]])).await;
    assert_eq!(answer["error_code"], code::NONE);
    ask::wait_for_leaders(&mut connection, &topic.name, 3).await;
}

async fn grow(connection: &mut Raw, version: i16, name: &str, count: i32, assignments: Option<&[&[i64]]>) -> Value {
    let assignments: Option<Vec<_>> = assignments.map(|partitions| {
        let of = |nodes: &&[i64]| nodes.iter().copied().map(Value::Int).collect::<Vec<_>>();
        partitions.iter().map(|nodes| value!({ broker_ids: of(nodes) })).collect()
    });
    let entry = value!({ name: name, count: count, assignments: assignments });
    let body = value!({ topics: [entry], timeout_ms: 10_000 });
    call(connection, api::CREATE_PARTITIONS, version, body).await["results"][0].clone()
}

fn error(answer: &Value) -> (i16, &str) {
    (answer["error_code"].int().try_into().expect("a code has 16 bits"), answer["error_message"].str())
}
