//! What tools ask of a broker besides topics and configs: directories, producers, quotas, credentials, features, the quorum, ACLs,
//! telemetry. What is refused, word by word, is in the scenarios of the differential run; here are the rules.

use system_tests::batch::Batch;
use system_tests::world::unique;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{append, call, producer_id, start, topic, until, versions};

const METADATA_TOPIC: &str = "__cluster_metadata";

#[tokio::test]
async fn every_version_tells_the_size_of_a_log_in_its_directory() {
    // KIP-113; null asks for all, which others have made as well.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let batch = Batch::of(["one", "two"]);
    let size = i64::try_from(batch.encode().len()).expect("a small batch");
    append(&mut connection, &topic, 0, &batch).await;
    append(&mut connection, &topic, 0, &batch).await;
    for version in versions(&mut connection, api::DESCRIBE_LOG_DIRS).await {
        for wanted in [Value::Null, value!([{ topic: &topic.name, partitions: [0] }])] {
            let answer = call(&mut connection, api::DESCRIBE_LOG_DIRS, version, value!({ topics: wanted })).await;
            let [directory] = answer["results"].array() else { panic!("{answer:?}") };
            assert!(directory["log_dir"].str().starts_with('/'), "{directory:?}");
            let partition = &directory["topics"].find("name", topic.name.as_str())["partitions"][0];
            assert_eq!(partition["partition_size"], 2 * size, "v{version}");
            assert_eq!((partition["offset_lag"].int(), &partition["is_future_key"]), (0, &false.into()));
        }
    }
}

#[tokio::test]
async fn a_partition_tells_of_the_producers_it_remembers() {
    // KIP-664.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let id = producer_id(&mut connection).await;
    let mut batch = Batch::of(["one", "two"]);
    (batch.producer_id, batch.producer_epoch, batch.base_sequence) = (id, 0, 0);
    append(&mut connection, &topic, 0, &batch).await;
    let body = value!({ topics: [{ name: &topic.name, partition_indexes: [0] }] });
    let answer = call(&mut connection, api::DESCRIBE_PRODUCERS, 0, body).await;
    let [producer] = answer["topics"][0]["partitions"][0]["active_producers"].array() else { panic!("{answer:?}") };
    assert_eq!((producer["producer_id"].int(), producer["last_sequence"].int()), (id, 1));
    assert_eq!((producer["coordinator_epoch"].int(), producer["current_txn_start_offset"].int()), (-1, -1));
}

/// The values of a quota.
async fn quotas(connection: &mut Raw, user: &str, count: usize) -> Value {
    let component = value!({ entity_type: "user", match_type: 0, match: user });
    let body = value!({ components: [component], strict: true });
    let answer = until(connection, (api::DESCRIBE_CLIENT_QUOTAS, 1), body, |answer| {
        let values = answer["entries"].array().first().map_or(0, |entry| entry["values"].array().len());
        values == count
    });
    answer.await
}

#[tokio::test]
async fn a_quota_is_told_from_when_it_is_set_until_its_last_key_is_taken_away() {
    // KIP-546.
    let (_broker, mut connection) = start().await;
    let user = unique("user");
    for version in versions(&mut connection, api::ALTER_CLIENT_QUOTAS).await {
        let set = |key: &str, value: f64, remove: bool| {
            let op = value!({ key: key, value: value, remove: remove });
            value!({ entries: [{ entity: [{ entity_type: "user", entity_name: &user }], ops: [op] }] })
        };
        for (body, count) in [
            (set("producer_byte_rate", 1000.0, false), 1),
            (set("consumer_byte_rate", 2000.0, false), 2),
            (set("producer_byte_rate", 0.0, true), 1),
            (set("consumer_byte_rate", 0.0, true), 0),
        ] {
            let answer = call(&mut connection, api::ALTER_CLIENT_QUOTAS, version, body).await;
            assert_eq!(answer["entries"][0]["error_code"], 0, "{answer:?}");
            quotas(&mut connection, &user, count).await;
        }
    }
}

#[tokio::test]
async fn a_credential_is_told_without_its_secrets() {
    // KIP-554.
    let (_broker, mut connection) = start().await;
    let user = unique("user");
    let upsertion =
        value!({ name: &user, mechanism: 2, iterations: 8192, salt: b"salt", salted_password: b"password" });
    let body = value!({ deletions: [], upsertions: [upsertion] });
    let answer = call(&mut connection, api::ALTER_USER_SCRAM_CREDENTIALS, 0, body).await;
    assert_eq!(answer["results"][0]["error_code"], 0);
    let body = value!({ users: [{ name: &user }] });
    let told = until(&mut connection, (api::DESCRIBE_USER_SCRAM_CREDENTIALS, 0), body, |answer| {
        answer["results"][0]["error_code"] == 0
    });
    let infos = told.await["results"][0]["credential_infos"].clone();
    assert_eq!(infos, value!([{ mechanism: 2, iterations: 8192 }]));
}

#[tokio::test]
async fn the_quorum_is_told_of_one_partition_only() {
    // KIP-595: KafkaRaftClient answers for its own log alone.
    let (_broker, mut connection) = start().await;
    let of =
        |topic: &str, index: i32| value!({ topics: [{ topic_name: topic, partitions: [{ partition_index: index }] }] });
    for version in versions(&mut connection, api::DESCRIBE_QUORUM).await {
        let answer = call(&mut connection, api::DESCRIBE_QUORUM, version, of(METADATA_TOPIC, 0)).await;
        let partition = &answer["topics"][0]["partitions"][0];
        assert_eq!((answer["error_code"].int(), partition["error_code"].int()), (0, 0), "v{version}");
        let leader = partition["current_voters"].find("replica_id", partition["leader_id"].int());
        assert!(leader["log_end_offset"].int() > 0 && partition["high_watermark"].int() > 0, "{partition:?}");
        for (topic, index) in [(METADATA_TOPIC, 1), ("another", 0)] {
            let answer = call(&mut connection, api::DESCRIBE_QUORUM, version, of(topic, index)).await;
            assert_eq!(answer["topics"][0]["partitions"][0]["error_code"], 3);
        }
    }
}

#[tokio::test]
async fn a_feature_does_not_go_down_unless_that_is_said() {
    // KIP-584; FeatureControlManager.updateFeature.
    let (_broker, mut connection) = start().await;
    for version in versions(&mut connection, api::UPDATE_FEATURES).await {
        let update = value!({ feature: "metadata.version", max_version_level: 29, upgrade_type: 1 });
        let body = value!({ feature_updates: [update], timeout_ms: 10_000 });
        let answer = call(&mut connection, api::UPDATE_FEATURES, version, body).await;
        assert_eq!(answer["error_code"], 95, "v{version}");
        assert!(answer["error_message"].str().contains("Can't downgrade the version of this feature"));
    }
}

#[tokio::test]
async fn without_an_authorizer_security_is_disabled() {
    // AclApis.
    let (_broker, mut connection) = start().await;
    for version in versions(&mut connection, api::DESCRIBE_ACLS).await {
        let body = value!({
            resource_type_filter: 1, resource_name_filter: null, pattern_type_filter: 1, principal_filter: null,
            host_filter: null, operation: 1, permission_type: 1,
        });
        assert_eq!(call(&mut connection, api::DESCRIBE_ACLS, version, body).await["error_code"], 54);
    }
}

#[tokio::test]
async fn telemetry_is_answered_and_not_advertised_without_a_receiver() {
    // KIP-714; ClientMetricsManager.
    let (_broker, mut connection) = start().await;
    let advertised = connection.call(api::API_VERSIONS, 0, value!({})).await;
    let keys: Vec<i64> = advertised["api_keys"].array().iter().map(|entry| entry["api_key"].int()).collect();
    assert!(!keys.contains(&i64::from(api::GET_TELEMETRY_SUBSCRIPTIONS)), "{keys:?}");
    let body = value!({ client_instance_id: Uuid::nil() });
    let told = connection.call(api::GET_TELEMETRY_SUBSCRIPTIONS, 0, body).await;
    assert_eq!((told["error_code"].int(), told["telemetry_max_bytes"].int()), (0, 1_048_576));
    let push = |metrics: Vec<u8>, terminating: bool| {
        value!({
            client_instance_id: told["client_instance_id"].uuid(), subscription_id: told["subscription_id"].int(),
            compression_type: 0, terminating: terminating, metrics: metrics,
        })
    };
    let too_large = connection.call(api::PUSH_TELEMETRY, 0, push(vec![0; 1_048_577], false)).await;
    assert_eq!(too_large["error_code"], 118);
    let last = connection.call(api::PUSH_TELEMETRY, 0, push(vec![0; 1_048_576], true)).await;
    assert_eq!(last["error_code"], 0);
    let after = connection.call(api::PUSH_TELEMETRY, 0, push(vec![0; 1], true)).await;
    assert_eq!(after["error_code"], 42);
}
