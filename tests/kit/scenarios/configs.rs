//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.

use crate::judge::{Run, Topic};
use crate::{Value, api, value};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> Value {
    let keys: Option<Vec<Value>> = keys.map(|keys| keys.iter().map(|key| Value::from(*key)).collect());
    value!({ resource_type: kind, resource_name: name, configuration_keys: keys })
}

fn describe_all(resources: Vec<Value>, synonyms: bool, documentation: bool) -> Value {
    value!({ resources: resources, include_synonyms: synonyms, include_documentation: documentation })
}

pub(super) async fn describe(run: &mut Run) {
    let topic = run.topic("a", 1, &[("segment.bytes", "2000000")]).await;
    let name = topic.name.as_str();
    for synonyms in [false, true] {
        let body = describe_all(vec![resource(TOPIC, name, None)], synonyms, false);
        run.step(&format!("a topic, synonyms {synonyms}"), body).await;
        let body = describe_all(vec![resource(BROKER, "1", None)], synonyms, false);
        run.step(&format!("a broker, synonyms {synonyms}"), body).await;
    }
    run.step(
        "documentation",
        describe_all(vec![resource(TOPIC, name, Some(&["retention.ms", "cleanup.policy"]))], true, true),
    )
    .await;
    run.step(
        "documentation of a broker",
        describe_all(vec![resource(BROKER, "1", Some(&["log.retention.ms"]))], true, true),
    )
    .await;
    run.step("one key", describe_all(vec![resource(TOPIC, name, Some(&["retention.ms"]))], false, false)).await;
    run.step(
        "an unknown key",
        describe_all(vec![resource(TOPIC, name, Some(&["nonsense", "segment.bytes"]))], false, false),
    )
    .await;
    run.step(
        "a key twice",
        describe_all(vec![resource(TOPIC, name, Some(&["segment.ms", "segment.ms"]))], false, false),
    )
    .await;
    run.step("no keys", describe_all(vec![resource(TOPIC, name, Some(&[]))], false, false)).await;
    run.step("no keys of a broker", describe_all(vec![resource(BROKER, "1", Some(&[]))], false, false)).await;
    run.step("all brokers", describe_all(vec![resource(BROKER, "", None)], true, false)).await;
    run.step("nothing", describe_all(vec![], false, false)).await;
    run.step(
        "two",
        describe_all(
            vec![resource(TOPIC, name, Some(&["a"])), resource(BROKER, "1", Some(&["node.id"]))],
            false,
            false,
        ),
    )
    .await;
    run.step("client metrics", describe_all(vec![resource(16, &run.name("m"), None)], true, false)).await;
    run.step("a group", describe_all(vec![resource(32, &run.name("g"), None)], true, false)).await;
}

pub(super) async fn describe_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let nowhere = run.name("nowhere");
    let one = |kind, name: &str| describe_all(vec![resource(kind, name, Some(&["retention.ms"]))], false, false);
    for (label, kind, name) in [
        ("an unknown topic", TOPIC, nowhere.as_str()),
        ("a topic without name", TOPIC, ""),
        ("a topic that cannot be", TOPIC, "a b"),
        ("another broker", BROKER, "2"),
        ("no number", BROKER, "x"),
        ("broker -1", BROKER, "-1"),
        ("broker 01", BROKER, "01"),
        ("a broker with a blank", BROKER, " 1"),
        ("loggers of no broker", 8, ""),
        ("loggers of another broker", 8, "2"),
        ("loggers of no number", 8, "x"),
        ("client metrics without name", 16, ""),
        ("a group without name", 32, ""),
        ("type 0", 0, "a"),
        ("type 3", 3, "a"),
        ("type -1", -1, "a"),
        ("type 127", 127, "a"),
    ] {
        run.step(label, one(kind, name)).await;
    }
    let mixed = vec![resource(TOPIC, &topic.name, Some(&["retention.ms"])), resource(0, "a", None)];
    run.step("a topic and type 0", describe_all(mixed, false, false)).await;
    let twice = vec![resource(TOPIC, &topic.name, Some(&["retention.ms"])); 2];
    run.step("a topic twice", describe_all(twice, false, false)).await;
}

fn pair(name: &str, value: Option<&str>) -> Value {
    value!({ name: name, value: value })
}

/// A wrong value of it is quoted in the refusal, which can then be longer than a string can be.
const LONG_TEXT: &str = "follower.replication.throttled.replicas";

fn change(name: &str, operation: i8, value: Option<&str>) -> Value {
    value!({ name: name, config_operation: operation, value: value })
}

fn altered(kind: i8, name: &str, configs: Vec<Value>) -> Value {
    value!({ resource_type: kind, resource_name: name, configs: configs })
}

fn alter_all(resources: Vec<Value>) -> Value {
    value!({ resources: resources })
}

/// Waits until a key of a topic has this value.
async fn settle(run: &mut Run, topic: &Topic, key: &str, expected: &str) {
    let body = describe_all(vec![resource(TOPIC, &topic.name, Some(&[key]))], false, false);
    run.until(api::DESCRIBE_CONFIGS, 4, body, |answer| answer["results"][0]["configs"][0]["value"] == expected).await;
}

pub(super) async fn alter(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let name = topic.name.as_str();
    let two = vec![pair("segment.ms", Some("5000")), pair("retention.bytes", Some("77"))];
    run.step("two keys", alter_all(vec![altered(TOPIC, name, two)])).await;
    settle(run, &topic, "segment.ms", "5000").await;
    settle(run, &topic, "retention.ms", "604800000").await;
    let dry = altered(TOPIC, name, vec![pair("segment.ms", Some("7000"))]);
    run.step("validate_only", value!({ resources: [dry], validate_only: true })).await;
    run.step("no keys", alter_all(vec![altered(TOPIC, name, vec![])])).await;
    settle(run, &topic, "segment.ms", "604800000").await;
    run.step("nothing", alter_all(vec![])).await;
    let mixed = vec![
        altered(TOPIC, name, vec![pair("segment.ms", Some("6000"))]),
        altered(TOPIC, &run.name("nowhere"), vec![pair("segment.ms", Some("6000"))]),
    ];
    run.step("one of two", alter_all(mixed)).await;
}

/// What no topic and no broker takes, whichever of the two APIs says it: type, name, key, value.
const WRONG: &[(&str, i8, &str, &str, Option<&str>)] = &[
    ("an unknown key", TOPIC, "*", "nonsense", Some("1")),
    ("an empty key", TOPIC, "*", "", Some("1")),
    ("a null", TOPIC, "*", "retention.ms", None),
    ("no number", TOPIC, "*", "retention.ms", Some("x")),
    ("too small", TOPIC, "*", "retention.ms", Some("-2")),
    ("a word", TOPIC, "*", "compression.type", Some("zip")),
    ("a wrong policy", TOPIC, "*", "cleanup.policy", Some("nonsense")),
    ("tiered storage", TOPIC, "*", "remote.storage.enable", Some("true")),
    ("a topic without name", TOPIC, "", "retention.ms", Some("1")),
    ("a topic that cannot be", TOPIC, "a b", "retention.ms", Some("1")),
    ("another broker", BROKER, "2", "log.retention.ms", Some("1")),
    ("no broker's number", BROKER, "x", "log.retention.ms", Some("1")),
    ("a read-only key of a broker", BROKER, "1", "node.id", Some("1")),
    ("an unknown key of a broker", BROKER, "*1", "nonsense", Some("1")),
    ("a wrong value of a broker", BROKER, "1", "log.retention.ms", Some("x")),
    ("a key of one broker for all", BROKER, "", "listeners", Some("x")),
    ("a wrong value for all brokers", BROKER, "", "log.retention.ms", Some("x")),
    ("loggers of another broker", 8, "2", "kafka", Some("INFO")),
    ("loggers of no number", 8, "x", "kafka", Some("INFO")),
    ("client metrics without name", 16, "", "metrics", Some("")),
    ("client metrics, an unknown key", 16, "m", "nonsense", Some("1")),
    ("a group without name", 32, "", "consumer.session.timeout.ms", Some("45000")),
    ("a group, an unknown key", 32, "g", "nonsense", Some("1")),
    ("a group, a wrong value", 32, "g", "consumer.session.timeout.ms", Some("x")),
    ("type 0", 0, "a", "retention.ms", Some("1")),
    ("type 3", 3, "a", "retention.ms", Some("1")),
    ("type 127", 127, "a", "retention.ms", Some("1")),
];

/// `*` is the topic of the run, `*1` broker 1: an unknown key of a broker is kept by Kafka, so it is only validated.
fn target(name: &str, topic: &Topic) -> (String, bool) {
    match name {
        "*" => (topic.name.clone(), false),
        "*1" => ("1".to_owned(), true),
        name => (name.to_owned(), false),
    }
}

pub(super) async fn alter_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    for (label, kind, name, key, value) in WRONG {
        let (name, validate_only) = target(name, &topic);
        let resource = altered(*kind, &name, vec![pair(key, *value)]);
        run.step(label, value!({ resources: [resource], validate_only: validate_only })).await;
    }
    let name = topic.name.clone();
    let nowhere = run.name("nowhere");
    run.step("an unknown topic", alter_all(vec![altered(TOPIC, &nowhere, vec![pair("retention.ms", Some("1"))])]))
        .await;
    run.step("an unknown topic and key", alter_all(vec![altered(TOPIC, &nowhere, vec![pair("nonsense", Some("1"))])]))
        .await;
    let twice = vec![pair("retention.ms", Some("1")), pair("retention.ms", Some("2"))];
    run.step("a key twice", alter_all(vec![altered(TOPIC, &name, twice)])).await;
    let nulls = vec![pair("retention.ms", None), pair("segment.ms", None)];
    run.step("two nulls", alter_all(vec![altered(TOPIC, &name, nulls)])).await;
    let other = run.topic("b", 1, &[]).await;
    let all = vec![
        altered(TOPIC, &other.name, vec![pair("segment.ms", Some("5000"))]),
        altered(TOPIC, &name, vec![pair(LONG_TEXT, Some(&"x".repeat(32_766)))]),
        altered(TOPIC, &nowhere, vec![pair("segment.ms", Some("5000"))]),
        altered(99, "x", vec![]),
    ];
    run.step("a value of 32,766 letters among others", alter_all(all)).await;
    settle(run, &other, "segment.ms", "5000").await;
}

pub(super) async fn incremental(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let name = topic.name.as_str();
    let steps: Vec<(&str, Vec<Value>, (&str, &str))> = vec![
        ("set", vec![change("segment.ms", 0, Some("5000"))], ("segment.ms", "5000")),
        ("delete", vec![change("segment.ms", 1, None)], ("segment.ms", "604800000")),
        ("delete what is not set", vec![change("segment.ms", 1, None)], ("segment.ms", "604800000")),
        ("delete with a value", vec![change("segment.ms", 1, Some("x"))], ("segment.ms", "604800000")),
        ("append", vec![change("cleanup.policy", 2, Some("compact"))], ("cleanup.policy", "delete,compact")),
        (
            "append what is there",
            vec![change("cleanup.policy", 2, Some("compact"))],
            ("cleanup.policy", "delete,compact"),
        ),
        ("subtract", vec![change("cleanup.policy", 3, Some("delete"))], ("cleanup.policy", "compact")),
        (
            "subtract what is not there",
            vec![change("cleanup.policy", 3, Some("delete"))],
            ("cleanup.policy", "compact"),
        ),
    ];
    for (label, configs, (key, expected)) in steps {
        run.step(label, alter_all(vec![altered(TOPIC, name, configs)])).await;
        settle(run, &topic, key, expected).await;
    }
    let dry = altered(TOPIC, name, vec![change("segment.ms", 0, Some("7000"))]);
    run.step("validate_only", value!({ resources: [dry], validate_only: true })).await;
    run.step("no keys", alter_all(vec![altered(TOPIC, name, vec![])])).await;
    run.step("nothing", alter_all(vec![])).await;
    let mixed = vec![
        altered(TOPIC, name, vec![change("segment.ms", 0, Some("6000"))]),
        altered(TOPIC, &run.name("nowhere"), vec![change("segment.ms", 0, Some("6000"))]),
    ];
    run.step("one of two", alter_all(mixed)).await;
}

pub(super) async fn incremental_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    for (label, kind, name, key, value) in WRONG {
        let (name, validate_only) = target(name, &topic);
        let resource = altered(*kind, &name, vec![change(key, 0, *value)]);
        run.step(label, value!({ resources: [resource], validate_only: validate_only })).await;
    }
    let name = topic.name.clone();
    let nowhere = run.name("nowhere");
    for (label, name, configs) in [
        ("an unknown topic", &nowhere, vec![change("retention.ms", 0, Some("1"))]),
        ("an unknown topic and key", &nowhere, vec![change("nonsense", 0, Some("1"))]),
        ("an unknown topic, delete", &nowhere, vec![change("retention.ms", 1, None)]),
        ("a key twice", &name, vec![change("retention.ms", 0, Some("1")), change("retention.ms", 1, None)]),
        ("append to a number", &name, vec![change("retention.ms", 2, Some("1"))]),
        ("subtract from a number", &name, vec![change("retention.ms", 3, Some("1"))]),
        ("append a null", &name, vec![change("cleanup.policy", 2, None)]),
        ("append nonsense", &name, vec![change("cleanup.policy", 2, Some("nonsense"))]),
        ("append to an unknown key", &name, vec![change("nonsense", 2, Some("1"))]),
        ("delete an unknown key", &name, vec![change("nonsense", 1, None)]),
        ("operation 4", &name, vec![change("retention.ms", 4, Some("1"))]),
        ("operation -1", &name, vec![change("retention.ms", -1, Some("1"))]),
    ] {
        run.step(label, alter_all(vec![altered(TOPIC, name, configs)])).await;
    }
    let twice = vec![altered(TOPIC, &name, vec![change("segment.ms", 0, Some("5000"))]); 2];
    run.step("a resource twice", alter_all(twice)).await;
    let other = run.topic("b", 1, &[]).await;
    let all = vec![
        altered(TOPIC, &other.name, vec![change("segment.ms", 0, Some("5000"))]),
        altered(TOPIC, &name, vec![change(LONG_TEXT, 0, Some(&"x".repeat(32_766)))]),
        altered(TOPIC, &nowhere, vec![change("segment.ms", 0, Some("5000"))]),
        altered(99, "x", vec![]),
    ];
    run.step("a value of 32,766 letters among others", alter_all(all)).await;
    settle(run, &other, "segment.ms", "5000").await;
}

/// Values that are refused in a text that quotes them, and as long as a value may be.
pub(super) async fn too_long(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    for (label, length) in
        [("a value that its refusal can quote", 1_000), ("a value that its refusal cannot quote", 32_766)]
    {
        let configs = vec![change("follower.replication.throttled.replicas", 0, Some(&"x".repeat(length)))];
        run.step(label, alter_all(vec![altered(TOPIC, &topic.name, configs)])).await;
    }
    let configs = vec![change("retention.ms", 0, Some(&"1".repeat(32_767)))];
    run.step("a value as long as a string", alter_all(vec![altered(TOPIC, &topic.name, configs)])).await;
}

pub(super) async fn list(run: &mut Run) {
    run.topic("a", 1, &[]).await;
    let of = |types: &[i8]| {
        let types: Vec<_> = types.iter().map(|kind| Value::from(*kind)).collect();
        value!({ resource_types: types })
    };
    run.step("all", of(&[])).await;
    for kind in [TOPIC, BROKER, 8, 16, 32, 0, 1, 3, -1, 127] {
        run.step(&format!("type {kind}"), of(&[kind])).await;
    }
    run.step("two types", of(&[TOPIC, BROKER])).await;
    run.step("one type twice", of(&[TOPIC, TOPIC])).await;
    run.step("one of two unknown", of(&[TOPIC, 3])).await;
}
