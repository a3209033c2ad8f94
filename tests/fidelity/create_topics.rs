//! CreateTopics: what comes of it, and every refusal with its code and Kafka's words.

use system_tests::world::unique;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{self, call, start, versions, with};
use crate::code;

/// Partitions and their nodes.
type Assignments<'a> = &'a [(i32, &'a [i32])];

#[tokio::test]
async fn every_version_creates_a_topic_and_says_what_it_is() {
    // Spec B.4; CreateTopicsResponse.json: counts and configs from v5, the id from v7.
    let (_broker, mut connection) = start().await;
    for version in versions(&mut connection, api::CREATE_TOPICS).await {
        let name = unique("fidelity-create");
        let answer = request(&mut connection, version, vec![with(&plain(&name), "num_partitions", 3)]).await;
        let created = &answer[0];
        assert_eq!(created["error_code"], code::NONE, "v{version}");
        assert_eq!(created["name"], name.as_str());
        assert!(created["error_message"].is_null());
        if version >= 5 {
            assert_eq!((created["num_partitions"].int(), created["replication_factor"].int()), (3, 1));
            assert_eq!(created["topic_config_error_code"], code::NONE);
            assert_eq!(created["configs"].array().len(), 33);
        }
        ask::wait_for_leaders(&mut connection, &name, 3).await;
        if version >= 7 {
            let told = connection.call(api::METADATA, 12, value!({ topics: [{ name: &name }] })).await;
            assert_eq!(told["topics"][0]["topic_id"], created["topic_id"]);
        }
    }
}

#[tokio::test]
async fn minus_one_means_what_the_broker_has_for_a_default() {
    // KIP-464; 4.x takes it in every version.
    let (_broker, mut connection) = start().await;
    for version in versions(&mut connection, api::CREATE_TOPICS).await {
        let name = unique("fidelity-default");
        let topic = value!({ name: &name, num_partitions: -1, replication_factor: -1 });
        let answer = request(&mut connection, version, vec![topic]).await;
        assert_eq!(answer[0]["error_code"], code::NONE, "v{version}");
        if version >= 5 {
            assert_eq!((answer[0]["num_partitions"].int(), answer[0]["replication_factor"].int()), (1, 1));
        }
    }
}

#[tokio::test]
async fn the_configs_of_a_new_topic_come_sorted_with_their_source() {
    // Spec B.4; sources: 1 topic, 5 default.
    let (_broker, mut connection) = start().await;
    let name = unique("fidelity-configs");
    let created = ask::create(&mut connection, &name, 1, &[("retention.ms", "5"), ("cleanup.policy", "compact")]).await;
    let configs = created["configs"].array();
    let names: Vec<_> = configs.iter().map(|config| config["name"].str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    for config in configs {
        let (value, source) = match config["name"].str() {
            "retention.ms" => ("5", 1),
            "cleanup.policy" => ("compact", 1),
            "max.message.bytes" => ("1048588", 5),
            // With eligible leader replicas it is a cluster-wide dynamic default (KIP-966).
            "min.insync.replicas" => continue,
            _ => (config["value"].str(), 5),
        };
        assert_eq!((config["value"].str(), config["config_source"].int()), (value, source), "{config:?}");
        assert_eq!((&config["read_only"], &config["is_sensitive"]), (&false.into(), &false.into()));
    }
}

#[tokio::test]
async fn validating_only_answers_like_a_creation_and_creates_nothing() {
    // Spec B.4: validate_only.
    let (_broker, mut connection) = start().await;
    let name = unique("fidelity-dry");
    for version in versions(&mut connection, api::CREATE_TOPICS).await {
        for _ in 0..2 {
            let body = value!({ topics: [plain(&name)], timeout_ms: 10_000, validate_only: true });
            let answer = call(&mut connection, api::CREATE_TOPICS, version, body).await;
            assert_eq!(answer["topics"][0]["error_code"], code::NONE, "v{version}");
            if version >= 7 {
                assert_eq!(answer["topics"][0]["num_partitions"], 1);
            }
        }
    }
    let body = value!({ topics: [with(&plain(&name), "num_partitions", 0)], timeout_ms: 10_000, validate_only: true });
    let refused = call(&mut connection, api::CREATE_TOPICS, 7, body).await;
    assert_eq!(refused["topics"][0]["error_code"], code::INVALID_PARTITIONS);
}

#[tokio::test]
async fn a_manual_assignment_sets_partitions_and_replicas() {
    // Spec B.4.
    let (_broker, mut connection) = start().await;
    let node = node_id(&mut connection).await;
    let topic = assigned(&unique("fidelity-manual"), &[(1, &[node]), (0, &[node])]);
    let answer = request(&mut connection, 7, vec![topic]).await;
    assert_eq!(answer[0]["error_code"], code::NONE, "{answer:?}");
    assert_eq!((answer[0]["num_partitions"].int(), answer[0]["replication_factor"].int()), (2, 1));
}

#[tokio::test]
async fn a_refused_manual_assignment_says_why() {
    // Spec B.4 rows 9 and 10; ReplicationControlManager.createTopic, validateManualPartitionAssignment.
    let (_broker, mut connection) = start().await;
    let node = node_id(&mut connection).await;
    let nobody = node + 1_000;
    let no_such_broker =
        format!("The manual partition assignment includes broker {nobody}, but no such broker is registered.");
    let twice = format!("The manual partition assignment includes the broker {node} more than once.");
    let cases: [(Assignments<'_>, &str); 6] = [
        (&[(0, &[node]), (0, &[node])], "Found multiple manual partition assignments for partition 0"),
        (&[(0, &[])], "The manual partition assignment includes an empty replica list."),
        (&[(0, &[nobody])], &no_such_broker),
        (&[(0, &[node, node])], &twice),
        (&[(0, &[node]), (2, &[node])], "partitions should be a consecutive 0-based integer sequence"),
        (&[(1, &[node])], "partitions should be a consecutive 0-based integer sequence"),
    ];
    for (assignments, message) in cases {
        let topic = assigned(&unique("fidelity-manual"), assignments);
        refused(&mut connection, topic, code::INVALID_REPLICA_ASSIGNMENT, message).await;
    }
    for (count, message) in [
        (
            "replication_factor",
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        ("num_partitions", "A manual partition assignment was specified, but numPartitions was not set to -1."),
    ] {
        let topic = with(&assigned(&unique("fidelity-manual"), &[(0, &[node])]), count, 1);
        refused(&mut connection, topic, code::INVALID_REQUEST, message).await;
    }
}

#[tokio::test]
async fn a_refused_name_says_why() {
    // Spec B.4 row 5; Topic.validate.
    let (_broker, mut connection) = start().await;
    let long = "x".repeat(250);
    let too_long = format!("the length of '{long}' is longer than the max allowed length 249");
    for (name, why) in [
        ("", "the empty string is not allowed"),
        (".", "'.' is not allowed"),
        ("..", "'..' is not allowed"),
        ("a b", "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
        (&long, &too_long),
    ] {
        let message = format!("Topic name is invalid: {why}");
        refused(&mut connection, plain(name), code::INVALID_TOPIC_EXCEPTION, &message).await;
    }
}

#[tokio::test]
async fn names_that_differ_in_a_dot_and_an_underscore_collide() {
    // Spec B.3; Topic.hasCollision: metric names have no dots.
    let (_broker, mut connection) = start().await;
    let there = format!("{}.a_b", unique("fidelity"));
    assert_eq!(ask::create(&mut connection, &there, 1, &[]).await["error_code"], code::NONE);
    for name in [there.replace('.', "_"), there.replace('_', ".")] {
        let message = format!("Topic '{name}' collides with existing topic: {there}");
        refused(&mut connection, plain(&name), code::INVALID_TOPIC_EXCEPTION, &message).await;
    }
}

#[tokio::test]
async fn a_topic_that_exists_is_not_created_again_whatever_else_is_wrong() {
    // Spec B.4: row 6 is before configs and counts.
    let (_broker, mut connection) = start().await;
    let name = unique("fidelity-exists");
    assert_eq!(ask::create(&mut connection, &name, 1, &[]).await["error_code"], code::NONE);
    let message = format!("Topic '{name}' already exists.");
    let bad_config = with(&plain(&name), "configs", value!([{ name: "no.such", value: "1" }]));
    for topic in [plain(&name), with(&plain(&name), "num_partitions", 0), bad_config] {
        refused(&mut connection, topic, code::TOPIC_ALREADY_EXISTS, &message).await;
    }
}

#[tokio::test]
async fn a_name_given_twice_is_refused_once_and_the_others_are_created() {
    // Spec B.4 row 1; ControllerApis.createTopics.
    let (_broker, mut connection) = start().await;
    let (twice, once) = (unique("fidelity-twice"), unique("fidelity-once"));
    let answer = request(&mut connection, 7, vec![plain(&twice), plain(&twice), plain(&once)]).await;
    assert_eq!(answer.array().len(), 2);
    let refused = answer.find("name", twice.as_str());
    assert_eq!(refused["error_code"], code::INVALID_REQUEST);
    assert_eq!(refused["error_message"], "Duplicate topic name.");
    assert_eq!(answer.find("name", once.as_str())["error_code"], code::NONE);
}

#[tokio::test]
async fn one_bad_topic_does_not_hold_up_the_others() {
    // Spec B.4: checks are per topic.
    let (_broker, mut connection) = start().await;
    let (good, bad) = (unique("fidelity-good"), unique("fidelity-bad"));
    let answer = request(&mut connection, 7, vec![with(&plain(&bad), "num_partitions", 0), plain(&good)]).await;
    assert_eq!(answer.find("name", good.as_str())["error_code"], code::NONE);
    assert_eq!(answer.find("name", bad.as_str())["error_code"], code::INVALID_PARTITIONS);
}

#[tokio::test]
async fn the_log_of_the_controllers_cannot_be_created() {
    // Spec B.4 row 2.
    let (_broker, mut connection) = start().await;
    let message = "Creation of internal topic __cluster_metadata is prohibited.";
    refused(&mut connection, plain("__cluster_metadata"), code::INVALID_REQUEST, message).await;
}

#[tokio::test]
async fn more_than_ten_thousand_partitions_at_once_are_refused_for_every_topic() {
    // Spec B.4 row 4; ReplicationControlManager.validateTotalNumberOfPartitions.
    let (_broker, mut connection) = start().await;
    let topics = [9_999, 2].map(|count| with(&plain(&unique("fidelity-many")), "num_partitions", count));
    let answer = request(&mut connection, 7, topics.into()).await;
    assert_eq!(answer.array().len(), 2);
    for refused in answer.array() {
        assert_eq!(refused["error_code"], code::POLICY_VIOLATION);
        assert_eq!(refused["error_message"], "Excessively large number of partitions per request.");
    }
}

#[tokio::test]
async fn a_refused_count_says_why() {
    // Spec B.4 rows 11 to 13; the replication factor is looked at first.
    let (_broker, mut connection) = start().await;
    let partitions = "Number of partitions was set to an invalid non-positive value.";
    let replicas = "Replication factor must be larger than 0, or -1 to use the default value.";
    let topic = plain(&unique("fidelity-counts"));
    for wrong in [0, -2, i32::MIN] {
        let topic = with(&topic, "num_partitions", wrong);
        refused(&mut connection, topic, code::INVALID_PARTITIONS, partitions).await;
    }
    for wrong in [0, -2, i16::MIN] {
        let topic = with(&topic, "replication_factor", wrong);
        refused(&mut connection, topic.clone(), code::INVALID_REPLICATION_FACTOR, replicas).await;
        let both = with(&topic, "num_partitions", 0);
        refused(&mut connection, both, code::INVALID_REPLICATION_FACTOR, replicas).await;
    }
}

#[tokio::test]
async fn more_replicas_than_brokers_are_refused() {
    // Spec B.4 row 13; StripedReplicaPlacer.place.
    let (_broker, mut connection) = start().await;
    let brokers = connection.call(api::DESCRIBE_CLUSTER, 0, value!({})).await["brokers"].array().len();
    let factor = i16::try_from(brokers).unwrap() + 1;
    let topic = with(&plain(&unique("fidelity-replicas")), "replication_factor", factor);
    let message = format!(
        "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
         reached because only {brokers} broker(s) are registered or some brokers have all their log directories cordoned."
    );
    refused(&mut connection, topic, code::INVALID_REPLICATION_FACTOR, &message).await;
}

#[tokio::test]
async fn a_refused_config_says_why() {
    // Spec B.4 rows 7 and 8; ConfigDef.parseType and the validators of LogConfig.
    let (_broker, mut connection) = start().await;
    for (name, value, message) in [
        ("retention.ms", None, "Null value not supported for topic configs: retention.ms"),
        ("no.such", Some("1"), "Unknown topic config name: no.such"),
        ("", Some("1"), "Unknown topic config name: "),
        ("message.format.version", Some("3.0"), "Unknown topic config name: message.format.version"),
        ("retention.ms", Some("abc"), "Invalid value abc for configuration retention.ms: Not a number of type LONG"),
        ("retention.ms", Some("-2"), "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
        (
            "segment.bytes",
            Some("100"),
            "Invalid value 100 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            "min.insync.replicas",
            Some("0"),
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1",
        ),
        (
            "min.cleanable.dirty.ratio",
            Some("2"),
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            "preallocate",
            Some("maybe"),
            "Invalid value maybe for configuration preallocate: Expected value to be either true or false",
        ),
        (
            "cleanup.policy",
            Some("x"),
            "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            "compression.type",
            Some("x"),
            "Invalid value x for configuration compression.type: \
             String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        (
            "message.timestamp.type",
            Some("x"),
            "Invalid value x for configuration message.timestamp.type: \
             String must be one of: CreateTime, LogAppendTime",
        ),
        (
            "leader.replication.throttled.replicas",
            Some("x"),
            "Invalid value [x] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        (
            "remote.storage.enable",
            Some("true"),
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
    ] {
        let topic = with(&plain(&unique("fidelity-config")), "configs", value!([{ name: name, value: value }]));
        refused(&mut connection, topic, code::INVALID_CONFIG, message).await;
    }
    let lags =
        value!([{ name: "min.compaction.lag.ms", value: "100" }, { name: "max.compaction.lag.ms", value: "10" }]);
    let topic = with(&plain(&unique("fidelity-config")), "configs", lags);
    let message = "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (10)";
    refused(&mut connection, topic, code::INVALID_CONFIG, message).await;
}

#[tokio::test]
async fn of_a_config_given_twice_the_last_one_counts() {
    // Seen on 4.3.1; ReplicationControlManager.computeConfigChanges puts them in a map.
    let (_broker, mut connection) = start().await;
    let name = unique("fidelity-config");
    let created = ask::create(&mut connection, &name, 1, &[("retention.ms", "1"), ("retention.ms", "2")]).await;
    assert_eq!(created["error_code"], code::NONE);
    assert_eq!(created["configs"].find("name", "retention.ms")["value"], "2");
}

#[tokio::test]
async fn the_cleanup_policy_may_be_empty() {
    // Spec B.14, since 4.2.
    let (_broker, mut connection) = start().await;
    let created = ask::create(&mut connection, &unique("fidelity-policy"), 1, &[("cleanup.policy", "")]).await;
    assert_eq!(created["error_code"], code::NONE, "{created:?}");
    assert_eq!(created["configs"].find("name", "cleanup.policy")["value"], "");
}

#[tokio::test]
async fn no_topics_are_created_in_no_time() {
    // Spec B.4.
    let (_broker, mut connection) = start().await;
    for version in versions(&mut connection, api::CREATE_TOPICS).await {
        assert_eq!(request(&mut connection, version, vec![]).await.array().len(), 0);
    }
}

/// A topic of one partition and one replica.
fn plain(name: &str) -> Value {
    value!({ name: name, num_partitions: 1, replication_factor: 1 })
}

fn assigned(name: &str, assignments: Assignments<'_>) -> Value {
    let assignments: Vec<_> = assignments
        .iter()
        .map(|(partition, brokers)| {
            let brokers: Vec<_> = brokers.iter().map(|broker| Value::from(*broker)).collect();
            value!({ partition_index: *partition, broker_ids: brokers })
        })
        .collect();
    value!({ name: name, num_partitions: -1, replication_factor: -1, assignments: assignments })
}

async fn request(connection: &mut Raw, version: i16, topics: Vec<Value>) -> Value {
    let body = value!({ topics: topics, timeout_ms: 10_000 });
    call(connection, api::CREATE_TOPICS, version, body).await["topics"].clone()
}

/// Refused at v7, with this code, these words, and nothing that looks like a topic.
async fn refused(connection: &mut Raw, topic: Value, error_code: i16, message: &str) {
    let answer = request(connection, 7, vec![topic]).await;
    let refused = &answer[0];
    assert_eq!(refused["error_message"], message);
    assert_eq!(refused["error_code"], error_code, "{message}");
    assert_eq!(refused["topic_id"], Uuid::nil());
    assert_eq!((refused["num_partitions"].int(), refused["replication_factor"].int()), (-1, -1));
    assert_eq!(refused["configs"].array().len(), 0, "empty, not null");
}

async fn node_id(connection: &mut Raw) -> i32 {
    let cluster = connection.call(api::DESCRIBE_CLUSTER, 0, value!({})).await;
    cluster["brokers"][0]["broker_id"].int().try_into().expect("an id has 32 bits")
}
