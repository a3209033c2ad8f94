//! The kit's raw connection, judged by a real Kafka: it takes what the kit encodes, and the kit decodes what it answers.
//!
//! Needs `KAFKA_BOOTSTRAP=host:port`; without it there is nobody to ask, and the test says so.

use bytes::Bytes;
use mockbroker::schema;
use system_tests::api;
use system_tests::batch::Batch;
use system_tests::world::{Broker, unique};
use system_tests::{Raw, Value, value};

/// What stops the node, moves its data or changes who it listens to.
const HARMFUL: [i16; 7] = [
    api::UNREGISTER_BROKER,
    api::ALTER_REPLICA_LOG_DIRS,
    api::ADD_RAFT_VOTER,
    api::REMOVE_RAFT_VOTER,
    api::UPDATE_FEATURES,
    api::SASL_HANDSHAKE,
    api::SASL_AUTHENTICATE,
];

#[tokio::test]
async fn every_api_and_version_a_kafka_advertises_takes_a_default_request_and_answers_to_the_last_byte() {
    let Some(broker) = Broker::real() else {
        eprintln!("skipped: KAFKA_BOOTSTRAP names no Kafka to ask");
        return;
    };
    let mut connection = broker.connect().await;
    let advertised = connection.call(api::API_VERSIONS, 4, body(api::API_VERSIONS, 4)).await["api_keys"].clone();
    let mut answered = 0;
    for api in advertised.array() {
        let api_key = i16::try_from(api["api_key"].int()).unwrap();
        let Some(request) = schema::request(api_key) else { panic!("the schema lacks API {api_key}") };
        if HARMFUL.contains(&api_key) {
            continue;
        }
        for version in request.versions.min.max(api["min_version"].int() as i16)..=api["max_version"].int() as i16 {
            println!("{} v{version}", request.name);
            let answer = connection.call(api_key, version, body(api_key, version)).await;
            println!("    {answer:?}");
            answered += 1;
        }
    }
    println!("{answered} answers");
    assert!(answered > 200, "{answered} answers");
}

fn body(api_key: i16, version: i16) -> Value {
    match api_key {
        // Kafka lists nothing to a client without a name (KIP-511).
        api::API_VERSIONS if version >= 3 => value!({ client_software_name: "raw", client_software_version: "1" }),
        // A request with no transaction is never answered: KafkaApis sends when the last of them has been dealt with.
        api::ADD_PARTITIONS_TO_TXN if version >= 4 => value!({ transactions: [{ transactional_id: unique("raw") }] }),
        // The default, 0, is UNKNOWN, and Kafka closes (DescribeAclsRequest.normalizeAndValidate); 1 is ANY.
        api::DESCRIBE_ACLS => {
            value!({ resource_type_filter: 1, pattern_type_filter: 1, operation: 1, permission_type: 1 })
        }
        // acks=0, the default, has no answer.
        api::PRODUCE => value!({ acks: -1, timeout_ms: 1_000 }),
        _ => value!({}),
    }
}

#[tokio::test]
async fn records_written_by_hand_come_back_from_a_kafka() {
    let Some(broker) = Broker::real() else {
        eprintln!("skipped: KAFKA_BOOTSTRAP names no Kafka to ask");
        return;
    };
    let mut connection = broker.connect().await;
    let name = unique("raw");
    let topic = value!({ name: &name, num_partitions: 1, replication_factor: 1 });
    let created = connection.call(api::CREATE_TOPICS, 7, value!({ topics: [topic], timeout_ms: 5_000 })).await;
    assert_eq!(created["topics"][0]["error_code"], 0);
    let topic_id = created["topics"][0]["topic_id"].uuid();

    wait_for_leader(&mut connection, &name).await;
    let batch = Batch::of(["one", "two"]);
    let partition = value!({ index: 0, records: batch.encode() });
    let topic = value!({ topic_id: topic_id, partition_data: [partition] });
    let produced =
        connection.call(api::PRODUCE, 13, value!({ acks: -1, timeout_ms: 5_000, topic_data: [topic] })).await;
    assert_eq!(produced["responses"][0]["partition_responses"][0]["error_code"], 0);

    let partition = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 });
    let topic = value!({ topic_id: topic_id, partitions: [partition] });
    let fetch = value!({ max_wait_ms: 500, min_bytes: 1, topics: [topic] });
    let first = connection.send(api::FETCH, 18, fetch.clone()).await;
    let second = connection.send(api::FETCH, 18, fetch).await;
    for sent in [first, second] {
        let fetched = connection.receive(sent).await;
        let batches = Batch::decode_all(fetched["responses"][0]["partitions"][0]["records"].bytes().clone());
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].records(), batch.records());
    }
    connection.call(api::DELETE_TOPICS, 6, value!({ topics: [{ topic_id: topic_id }], timeout_ms: 5_000 })).await;

    // RequestHeader.json: there is no API 4 any more. Kafka closes.
    connection.send_frame(&[0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff]).await;
    connection.closed().await;
}

/// Asks until the topic's partition has a leader that this node knows of.
async fn wait_for_leader(connection: &mut Raw, name: &str) {
    let asked = async {
        loop {
            let answer = connection.call(api::METADATA, 13, value!({ topics: [{ name: name }] })).await;
            let topic = &answer["topics"][0];
            if topic["error_code"] == 0 && topic["partitions"].array().iter().all(|p| p["error_code"] == 0) {
                return;
            }
        }
    };
    system_tests::raw::patiently("a leader", asked).await;
}

#[tokio::test]
async fn an_api_versions_nobody_speaks_is_answered_at_v0() {
    // KIP-511.
    let Some(broker) = Broker::real() else {
        eprintln!("skipped: KAFKA_BOOTSTRAP names no Kafka to ask");
        return;
    };
    let mut connection = broker.connect().await;
    let mut frame = vec![0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0];
    frame.extend(Bytes::from_static(b"\x01\x01\0"));
    connection.send_frame(&frame).await;
    let answer = connection.read_frame().await;
    assert_eq!(&answer[..6], [0, 0, 0, 7, 0, 35]);
}
