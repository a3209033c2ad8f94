//! IncrementalAlterConfigs and AlterConfigs: what changes, and every refusal with its code and Kafka's words.

use system_tests::{Raw, Value, api, value};

use crate::ask::{self, Topic, call, start, topic, versions};
use crate::code;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// One change: the key, the operation, the value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

/// All configs of a resource, for the old AlterConfigs.
type Configs<'a> = &'a [(&'a str, Option<&'a str>)];

#[tokio::test]
async fn every_version_sets_and_deletes() {
    // Spec B.12; KIP-339. A key that was deleted has its default again, and may be deleted twice.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for version in versions(&mut connection, api::INCREMENTAL_ALTER_CONFIGS).await {
        let number = format!("{}", version + 5);
        for (operation, value, after, source) in
            [(SET, Some(&*number), &*number, 1), (DELETE, None, "-1", 5), (DELETE, Some("whatever"), "-1", 5)]
        {
            let change = resource(TOPIC, &topic.name, &[("retention.bytes", operation, value)]);
            let body = value!({ resources: [change] });
            let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, version, body).await;
            let answer = &answer["responses"][0];
            assert_eq!(answer["error_code"], code::NONE, "v{version}");
            assert!(answer["error_message"].is_null());
            assert_eq!((answer["resource_type"].int(), answer["resource_name"].str()), (2, &*topic.name));
            becomes(&mut connection, &topic, "retention.bytes", after, source).await;
        }
    }
}

#[tokio::test]
async fn a_list_is_appended_to_and_subtracted_from() {
    // Spec B.12: from the default if it was not set; what is there already is not added, nor is what is not there removed.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for (operation, value, after) in [
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "compact", ""),
    ] {
        let answer = alter(&mut connection, &topic, &[("cleanup.policy", operation, Some(value))]).await;
        assert_eq!(answer["error_code"], code::NONE);
        becomes(&mut connection, &topic, "cleanup.policy", after, 1).await;
    }
}

#[tokio::test]
async fn validating_only_changes_nothing() {
    // Spec B.12: validate_only.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let changes = resource(TOPIC, &topic.name, &[("retention.bytes", SET, Some("4"))]);
    let body = value!({ resources: [changes], validate_only: true });
    let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, 1, body).await;
    assert_eq!(answer["responses"][0]["error_code"], code::NONE);
    // A change of another key that follows it is there, and this one is not.
    alter(&mut connection, &topic, &[("segment.ms", SET, Some("77"))]).await;
    becomes(&mut connection, &topic, "segment.ms", "77", 1).await;
    assert_eq!(config(&mut connection, &topic.name, "retention.bytes").await["value"], "-1");
}

#[tokio::test]
async fn a_refused_change_says_why() {
    // Spec B.12; ConfigAdminManager.preprocess, ConfigurationControlManager.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let lags = "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (10)";
    let cases: [(&[Change<'_>], i16, &str); 13] = [
        (&[("retention.ms", SET, None)], code::INVALID_REQUEST, "Null value not supported for : retention.ms"),
        (&[("cleanup.policy", APPEND, None)], code::INVALID_REQUEST, "Null value not supported for : cleanup.policy"),
        (
            &[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))],
            code::INVALID_REQUEST,
            "Error due to duplicate config keys",
        ),
        (
            &[("retention.ms", APPEND, Some("1"))],
            code::INVALID_CONFIG,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            &[("retention.ms", SUBTRACT, Some("1"))],
            code::INVALID_CONFIG,
            "Can't SUBTRACT to key retention.ms because its type is not LIST.",
        ),
        (&[("no.such", SET, Some("1"))], code::INVALID_CONFIG, "Unknown topic config name: no.such"),
        (&[("", SET, Some("1"))], code::INVALID_CONFIG, "Unknown topic config name: "),
        (
            &[("retention.ms", SET, Some("x"))],
            code::INVALID_CONFIG,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            &[("retention.ms", SET, Some("-2"))],
            code::INVALID_CONFIG,
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (
            &[("cleanup.policy", APPEND, Some("x"))],
            code::INVALID_CONFIG,
            "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            &[("min.compaction.lag.ms", SET, Some("100")), ("max.compaction.lag.ms", SET, Some("10"))],
            code::INVALID_CONFIG,
            lags,
        ),
        (
            &[("retention.bytes", SET, Some("6")), ("no.such", SET, Some("1"))],
            code::INVALID_CONFIG,
            "Unknown topic config name: no.such",
        ),
        (
            &[("remote.storage.enable", SET, Some("true"))],
            code::INVALID_CONFIG,
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
    ];
    for (changes, error_code, message) in cases {
        let answer = alter(&mut connection, &topic, changes).await;
        assert_eq!(error(&answer), (error_code, message));
    }
    assert_eq!(config(&mut connection, &topic.name, "retention.bytes").await["value"], "-1", "all or nothing");
}

#[tokio::test]
async fn an_operation_nobody_knows_is_an_error_nobody_expected() {
    // Seen on 4.3.1: the controller throws on a null AlterConfigOp.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for operation in [4, 9, -1] {
        let answer = alter(&mut connection, &topic, &[("retention.ms", operation, Some("1"))]).await;
        assert_eq!(answer["error_code"], code::UNKNOWN_SERVER_ERROR);
        assert!(answer["error_message"].is_null());
    }
}

#[tokio::test]
async fn a_refused_resource_says_why() {
    // Spec B.12; values are looked at before the topic is.
    let (_broker, mut connection) = start().await;
    let node = node_id(&mut connection).await;
    let other = node + 1_000;
    let good: Change<'_> = ("retention.ms", SET, Some("1"));
    let bad: Change<'_> = ("retention.ms", SET, Some("x"));
    let characters = "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
    let wrong_node = format!("Unexpected broker id, expected {node}, but received {other}");
    let not_a_long = "Invalid value x for configuration retention.ms: Not a number of type LONG";
    for (kind, name, change, error_code, message) in [
        (TOPIC, "nowhere", good, code::UNKNOWN_TOPIC_OR_PARTITION, "The topic 'nowhere' does not exist."),
        (TOPIC, "nowhere", bad, code::INVALID_CONFIG, not_a_long),
        (TOPIC, "a b", good, code::INVALID_TOPIC_EXCEPTION, &*format!("Topic name is invalid: {characters}")),
        (TOPIC, "", good, code::INVALID_REQUEST, "Default topic resources are not allowed."),
        (0, "x", good, code::INVALID_REQUEST, "Unknown resource type 0"),
        (1, "x", good, code::INVALID_REQUEST, "Unknown resource type 1"),
        (99, "x", good, code::INVALID_REQUEST, "Unknown resource type 99"),
        (BROKER, &other.to_string(), good, code::INVALID_REQUEST, &wrong_node),
        (BROKER, "x", good, code::INVALID_REQUEST, "Node id must be an integer, but it is: x"),
    ] {
        let body = value!({ resources: [resource(kind, name, &[change])] });
        let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, 1, body).await["responses"][0].clone();
        assert_eq!(error(&answer), (error_code, message));
        assert_eq!((answer["resource_type"].int(), answer["resource_name"].str()), (kind.into(), name));
    }
}

#[tokio::test]
async fn a_resource_given_twice_is_refused_twice() {
    // Spec B.12; ConfigAdminManager.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let change = resource(TOPIC, &topic.name, &[("retention.ms", SET, Some("1"))]);
    let body = value!({ resources: [change.clone(), change] });
    let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, 1, body).await;
    assert_eq!(answer["responses"].array().len(), 2);
    for refused in answer["responses"].array() {
        assert_eq!(error(refused), (code::INVALID_REQUEST, "Each resource must appear at most once."));
    }
}

#[tokio::test]
async fn one_refused_resource_does_not_hold_up_the_others() {
    // Spec B.12: per resource.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let change: [Change<'_>; 1] = [("retention.bytes", SET, Some("5"))];
    let resources = value!([resource(TOPIC, "nowhere", &change), resource(TOPIC, &topic.name, &change)]);
    let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, 1, value!({ resources: resources })).await;
    let answer = &answer["responses"];
    assert_eq!(answer.find("resource_name", topic.name.as_str())["error_code"], code::NONE);
    assert_eq!(answer.find("resource_name", "nowhere")["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
    becomes(&mut connection, &topic, "retention.bytes", "5", 1).await;
}

#[tokio::test]
async fn a_node_refuses_what_it_cannot_change_while_it_runs() {
    // Spec B.12; DynamicBrokerConfig.validate. Nothing is changed here: the broker serves other tests.
    let (_broker, mut connection) = start().await;
    let node = node_id(&mut connection).await.to_string();
    for (key, value, message) in [
        ("node.id", "1", "Cannot update these configs dynamically: [node.id]"),
        ("log.retention.ms", "x", "Invalid value x for configuration log.retention.ms: Not a number of type LONG"),
    ] {
        let body = value!({ resources: [resource(BROKER, &node, &[(key, SET, Some(value))])], validate_only: true });
        let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, 1, body).await["responses"][0].clone();
        assert_eq!(error(&answer), (code::INVALID_REQUEST, message));
    }
    for key in ["log.retention.ms", "a.key.of.a.plugin"] {
        let body = value!({ resources: [resource(BROKER, &node, &[(key, SET, Some("777777"))])], validate_only: true });
        let answer = call(&mut connection, api::INCREMENTAL_ALTER_CONFIGS, 1, body).await["responses"][0].clone();
        assert_eq!(answer["error_code"], code::NONE, "{answer:?}");
    }
}

#[tokio::test]
async fn a_changed_limit_holds_for_the_next_batch() {
    // Spec B.12: brokers apply changes, in their own time.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let batch = system_tests::batch::Batch::of(["x".repeat(500)]);
    ask::append(&mut connection, &topic, 0, &batch).await;
    alter(&mut connection, &topic, &[("max.message.bytes", SET, Some("100"))]).await;
    let body = ask::produce(&topic, 0, batch.encode());
    ask::until(&mut connection, (api::PRODUCE, 13), body, |answer| {
        answer["responses"][0]["partition_responses"][0]["error_code"] == code::MESSAGE_TOO_LARGE
    })
    .await;
}

#[tokio::test]
async fn the_old_alter_configs_replaces_all_that_was_set() {
    // Spec B.12; AlterConfigs, every version.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("max.message.bytes", "777")]).await;
    for version in versions(&mut connection, api::ALTER_CONFIGS).await {
        let number = (version + 9).to_string();
        let answer = replace(&mut connection, version, TOPIC, &topic.name, &[("retention.bytes", Some(&number))]).await;
        assert_eq!(answer["error_code"], code::NONE, "v{version}");
        becomes(&mut connection, &topic, "retention.bytes", &number, 1).await;
        becomes(&mut connection, &topic, "max.message.bytes", "1048588", 5).await;
    }
    replace(&mut connection, 2, TOPIC, &topic.name, &[]).await;
    becomes(&mut connection, &topic, "retention.bytes", "-1", 5).await;
}

#[tokio::test]
async fn the_old_alter_configs_refuses_in_the_same_words() {
    // Spec B.12. A resource given twice is left out: 4.3.1 never answers that.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let node = node_id(&mut connection).await.to_string();
    let not_a_long = "Invalid value x for configuration retention.ms: Not a number of type LONG";
    let cases: [(i8, &str, Configs<'_>, i16, &str); 7] = [
        (
            TOPIC,
            &topic.name,
            &[("retention.ms", None)],
            code::INVALID_REQUEST,
            "Null value not supported for : retention.ms",
        ),
        (
            TOPIC,
            &topic.name,
            &[("retention.ms", Some("1")), ("retention.ms", Some("2"))],
            code::INVALID_REQUEST,
            "Error due to duplicate config keys",
        ),
        (TOPIC, &topic.name, &[("no.such", Some("1"))], code::INVALID_CONFIG, "Unknown topic config name: no.such"),
        (TOPIC, &topic.name, &[("retention.ms", Some("x"))], code::INVALID_CONFIG, not_a_long),
        (
            TOPIC,
            "nowhere",
            &[("retention.ms", Some("1"))],
            code::UNKNOWN_TOPIC_OR_PARTITION,
            "The topic 'nowhere' does not exist.",
        ),
        (99, "x", &[("retention.ms", Some("1"))], code::INVALID_REQUEST, "Unknown resource type 99"),
        (BROKER_LOGGER, &node, &[("kafka", Some("INFO"))], code::INVALID_REQUEST, "Unknown resource type 8"),
    ];
    for (kind, name, configs, error_code, message) in cases {
        let answer = replace(&mut connection, 2, kind, name, configs).await;
        assert_eq!(error(&answer), (error_code, message));
    }
}

fn resource(kind: i8, name: &str, changes: &[Change<'_>]) -> Value {
    let configs: Vec<_> = changes
        .iter()
        .map(|(name, operation, value)| value!({ name: *name, config_operation: *operation, value: *value }))
        .collect();
    value!({ resource_type: kind, resource_name: name, configs: configs })
}

async fn alter(connection: &mut Raw, topic: &Topic, changes: &[Change<'_>]) -> Value {
    let body = value!({ resources: [resource(TOPIC, &topic.name, changes)] });
    call(connection, api::INCREMENTAL_ALTER_CONFIGS, 1, body).await["responses"][0].clone()
}

async fn replace(connection: &mut Raw, version: i16, kind: i8, name: &str, configs: Configs<'_>) -> Value {
    let configs: Vec<_> = configs.iter().map(|(name, value)| value!({ name: *name, value: *value })).collect();
    let body = value!({ resources: [{ resource_type: kind, resource_name: name, configs: configs }] });
    call(connection, api::ALTER_CONFIGS, version, body).await["responses"][0].clone()
}

/// Waits until the broker has a value: it learns of changes in its own time.
async fn becomes(connection: &mut Raw, topic: &Topic, key: &str, value: &str, source: i8) {
    let body = ask_for(&topic.name, key);
    ask::until(connection, (api::DESCRIBE_CONFIGS, 4), body, |answer| {
        let config = &answer["results"][0]["configs"][0];
        config["value"] == value && config["config_source"] == source
    })
    .await;
}

async fn config(connection: &mut Raw, name: &str, key: &str) -> Value {
    call(connection, api::DESCRIBE_CONFIGS, 4, ask_for(name, key)).await["results"][0]["configs"][0].clone()
}

fn ask_for(name: &str, key: &str) -> Value {
    value!({ resources: [{ resource_type: TOPIC, resource_name: name, configuration_keys: [key] }] })
}

async fn node_id(connection: &mut Raw) -> i64 {
    connection.call(api::DESCRIBE_CLUSTER, 0, value!({})).await["brokers"][0]["broker_id"].int()
}

fn error(answer: &Value) -> (i16, &str) {
    (answer["error_code"].int().try_into().expect("a code has 16 bits"), answer["error_message"].str())
}
