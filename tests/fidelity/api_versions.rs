//! ApiVersions: what it lists, how it is asked, and the one answer that every client can read.

use system_tests::{Raw, Value, api, value};

use crate::ask::{call, start, versions};
use crate::code;

/// What 4.3.1 advertises of the APIs these tests speak. The mock may end one version earlier where its codec does.
const ADVERTISED: [(i16, i16, i16); 17] = [
    (api::PRODUCE, 0, 13),
    (api::FETCH, 4, 18),
    (api::LIST_OFFSETS, 1, 11),
    (api::METADATA, 0, 13),
    (api::FIND_COORDINATOR, 0, 6),
    (api::API_VERSIONS, 0, 4),
    (api::CREATE_TOPICS, 2, 7),
    (api::DELETE_TOPICS, 1, 6),
    (api::DELETE_RECORDS, 0, 2),
    (api::INIT_PRODUCER_ID, 0, 5),
    (api::OFFSET_FOR_LEADER_EPOCH, 2, 4),
    (api::DESCRIBE_CONFIGS, 1, 4),
    (api::ALTER_CONFIGS, 0, 2),
    (api::CREATE_PARTITIONS, 0, 3),
    (api::INCREMENTAL_ALTER_CONFIGS, 0, 1),
    (api::DESCRIBE_CLUSTER, 0, 2),
    (api::DESCRIBE_TOPIC_PARTITIONS, 0, 0),
];

#[tokio::test]
async fn every_version_lists_the_same_apis() {
    // Spec A.4; ApiVersionsResponse.json.
    let (_broker, mut connection) = start().await;
    let first = ask(&mut connection, 0).await;
    for version in versions(&mut connection, api::API_VERSIONS).await {
        let answer = ask(&mut connection, version).await;
        assert_eq!(answer["error_code"], code::NONE);
        assert_eq!(answer["api_keys"], first["api_keys"], "at version {version}");
        assert_eq!(answer.field("throttle_time_ms").is_some(), version >= 1);
    }
}

#[tokio::test]
async fn the_versions_are_those_of_kafka_4_3() {
    // Spec L; the lowest of Produce is a lie that old librdkafka needs (KAFKA-18659).
    let (broker, mut connection) = start().await;
    let listed = ask(&mut connection, 4).await["api_keys"].clone();
    for (api_key, min, max) in ADVERTISED {
        let range = listed.find("api_key", api_key);
        assert_eq!(range["min_version"], min, "of API {api_key}");
        let shortest = if broker.is_real() { max } else { max - 1 };
        assert!((shortest..=max).contains(&(range["max_version"].int() as i16)), "API {api_key} ends at {range:?}");
    }
}

#[tokio::test]
async fn no_api_is_listed_twice_and_none_of_a_controller() {
    // Spec A.4; telemetry (71, 72) only with a plugin that takes it.
    let (_broker, mut connection) = start().await;
    let listed = ask(&mut connection, 4).await["api_keys"].clone();
    let mut keys: Vec<_> = listed.array().iter().map(|range| range["api_key"].int()).collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count);
    for absent in [4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 71, 72, 73, 82] {
        assert!(!keys.contains(&absent), "{absent} is listed");
    }
}

#[tokio::test]
async fn a_version_nobody_speaks_is_answered_at_v0_with_the_range_and_the_connection_stays() {
    // KIP-511.
    let (_broker, mut connection) = start().await;
    // Error 35, and one API: 18, from 0 to 4.
    let unsupported = [0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    for version in [5, 99, i16::MAX, -1, i16::MIN] {
        // The header of a version that does not exist yet is a flexible one; there is no body.
        let mut frame = [api::API_VERSIONS.to_be_bytes(), version.to_be_bytes()].concat();
        frame.extend([0, 0, 0, 7, 0xff, 0xff, 0]);
        connection.send_frame(&frame).await;
        assert_eq!(connection.read_frame().await, &unsupported[..], "version {version}");
    }
    assert_eq!(ask(&mut connection, 4).await["error_code"], code::NONE);
}

#[tokio::test]
async fn software_without_a_proper_name_and_version_is_told_nothing() {
    // KIP-511; ApiVersionsRequest.isValid: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
    let (_broker, mut connection) = start().await;
    for wrong in ["", "-", ".", "a-", "-a", "a b", "a_b", "a/1", "ä", "a."] {
        for (name, number) in [(wrong, "1.0"), ("raw", wrong)] {
            for version in [3, 4] {
                let body = value!({ client_software_name: name, client_software_version: number });
                let answer = connection.call(api::API_VERSIONS, version, body).await;
                assert_eq!(answer["error_code"], code::INVALID_REQUEST, "{name:?} {number:?}");
                assert_eq!(answer["api_keys"].array().len(), 0);
            }
        }
    }
    for right in ["a", "1", "a-b", "a.b", "a--.b", "librdkafka", "4.3.1-SNAPSHOT"] {
        let body = value!({ client_software_name: right, client_software_version: right });
        assert_eq!(connection.call(api::API_VERSIONS, 3, body).await["error_code"], code::NONE, "{right:?}");
    }
}

#[tokio::test]
async fn a_feature_that_may_be_off_is_told_to_v4_and_kept_from_v3() {
    // KAFKA-17011: old readers refuse a least version of 0.
    let (broker, mut connection) = start().await;
    let told = ask(&mut connection, 4).await["supported_features"].clone();
    for (name, min, max) in [
        ("metadata.version", 7, 30),
        ("group.version", 0, 1),
        ("transaction.version", 0, 2),
        ("share.version", 0, 1),
        ("streams.version", 0, 1),
        ("eligible.leader.replicas.version", 0, 1),
    ] {
        // The mock does not promise a feature before it has the APIs.
        if !broker.is_real() && told.array().iter().all(|feature| feature["name"] != name) {
            continue;
        }
        let feature = told.find("name", name);
        assert_eq!((feature["min_version"].int(), feature["max_version"].int()), (min, max), "{name}");
    }
    let kept = ask(&mut connection, 3).await["supported_features"].clone();
    assert!(kept.array().iter().all(|feature| feature["min_version"].int() > 0), "{kept:?}");
    assert_eq!(kept.find("name", "metadata.version")["max_version"], 30);
}

#[tokio::test]
async fn a_finalized_feature_has_one_level() {
    // Spec A.4: both ends are the level, and features at level 0 are left out.
    let (broker, mut connection) = start().await;
    for version in [3, 4] {
        let answer = ask(&mut connection, version).await;
        assert!(answer["finalized_features_epoch"].int() >= 0);
        assert_eq!(answer["zk_migration_ready"], false);
        let finalized = &answer["finalized_features"];
        for feature in finalized.array() {
            assert_eq!(feature["min_version_level"], feature["max_version_level"]);
            assert!(feature["max_version_level"].int() > 0);
        }
        for (name, level) in [("metadata.version", 30), ("group.version", 1), ("transaction.version", 2)] {
            let found = finalized.array().iter().find(|feature| feature["name"] == name);
            match found {
                Some(feature) => assert_eq!(feature["max_version_level"], level, "{name}"),
                // The mock does not promise a feature before it has the APIs.
                None => assert!(!broker.is_real() && name != "metadata.version", "{name} is not finalized"),
            }
        }
    }
}

async fn ask(connection: &mut Raw, version: i16) -> Value {
    let body = value!({ client_software_name: "raw", client_software_version: "1.0" });
    call(connection, api::API_VERSIONS, version, body).await
}
