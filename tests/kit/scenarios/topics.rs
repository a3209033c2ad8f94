//! CreateTopics, CreatePartitions, DeleteTopics, DescribeTopicPartitions.

use uuid::Uuid;

use crate::judge::Run;
use crate::{Value, value};

fn create_all(topics: Vec<Value>) -> Value {
    value!({ timeout_ms: 10_000, topics: topics })
}

fn topic(name: &str, partitions: i32, replicas: i16) -> Value {
    value!({ name: name, num_partitions: partitions, replication_factor: replicas })
}

/// The replicas of each partition.
type Placement<'a> = &'a [(i32, &'a [i32])];

/// A topic with the replicas of each partition given.
fn assigned(name: &str, partitions: i32, replicas: i16, assignments: Placement<'_>) -> Value {
    value!({ name: name, num_partitions: partitions, replication_factor: replicas, assignments: placed(assignments) })
}

fn placed(assignments: Placement<'_>) -> Vec<Value> {
    let ids = |ids: &[i32]| ids.iter().map(|id| Value::from(*id)).collect::<Vec<_>>();
    assignments.iter().map(|(index, brokers)| value!({ partition_index: *index, broker_ids: ids(brokers) })).collect()
}

fn configured(name: &str, configs: Vec<Value>) -> Value {
    value!({ name: name, num_partitions: 1, replication_factor: 1, configs: configs })
}

pub(super) async fn create(run: &mut Run) {
    let name = |what: &str, run: &Run| run.name(what);
    let first = name("a", run);
    run.step("a topic", create_all(vec![topic(&first, 1, 1)])).await;
    run.step("it exists", create_all(vec![topic(&first, 1, 1)])).await;
    run.step("the broker's defaults", create_all(vec![topic(&name("b", run), -1, -1)])).await;
    run.step("two", create_all(vec![topic(&name("d", run), 2, 1), topic(&name("c", run), 3, 1)])).await;
    let one = value!({ name: "retention.ms", value: "5000" });
    let two = value!({ name: "cleanup.policy", value: "compact, delete" });
    run.step("configs", create_all(vec![configured(&name("e", run), vec![one, two])])).await;
    let spread = assigned(&name("f", run), -1, -1, &[(0, &[1]), (1, &[1])]);
    run.step("replicas", create_all(vec![spread])).await;
    run.step(
        "replicas the other way round",
        create_all(vec![assigned(&name("g", run), -1, -1, &[(1, &[1]), (0, &[1])])]),
    )
    .await;
    let dry = value!({ timeout_ms: 10_000, validate_only: true, topics: [topic(&name("dry", run), 2, 1)] });
    run.step("validate_only", dry.clone()).await;
    run.step("validate_only again", dry).await;
    let dry = value!({ timeout_ms: 10_000, validate_only: true, topics: [topic(&first, 2, 1)] });
    run.step("validate_only, it exists", dry).await;
    run.step("nothing", create_all(vec![])).await;
    run.step("one of two", create_all(vec![topic(&first, 1, 1), topic(&name("h", run), 1, 1)])).await;
}

pub(super) async fn create_refusals(run: &mut Run) {
    let name = run.name("a");
    let long = "x".repeat(250);
    for (label, bad) in [
        ("no name", ""),
        ("one dot", "."),
        ("two dots", ".."),
        ("a space", "a b"),
        ("an umlaut", "ä"),
        ("250 letters", &long),
        ("the metadata log", "__cluster_metadata"),
    ] {
        run.step(label, create_all(vec![topic(bad, 1, 1)])).await;
    }
    let made = run.topic("dotted.name", 1, &[]).await;
    run.step("a name that collides", create_all(vec![topic(&made.name.replace("dotted.", "dotted_"), 1, 1)])).await;
    let pair = vec![topic(&run.name("x.y"), 1, 1), topic(&run.name("x_y"), 1, 1)];
    run.step("two names that collide", create_all(pair)).await;
    run.step("a name twice", create_all(vec![topic(&name, 1, 1), topic(&name, 2, 1)])).await;
    run.step(
        "a name twice and another",
        create_all(vec![topic(&name, 1, 1), topic(&name, 2, 1), topic(&run.name("c"), 1, 1)]),
    )
    .await;
    for partitions in [0, -2, i32::MIN] {
        run.step(&format!("{partitions} partitions"), create_all(vec![topic(&name, partitions, 1)])).await;
    }
    for replicas in [0, -2, 2, i16::MAX] {
        run.step(&format!("{replicas} replicas"), create_all(vec![topic(&name, 1, replicas)])).await;
    }
    run.step("neither partitions nor replicas", create_all(vec![topic(&name, 0, 0)])).await;
    run.step("10001 partitions", create_all(vec![topic(&name, 10_001, 1)])).await;
    run.step("10001 partitions in two", create_all(vec![topic(&name, 10_000, 1), topic(&run.name("b"), 1, 1)])).await;
    run.step("10001 partitions, a bad name", create_all(vec![topic("a b", 10_001, 1), topic("", 1, 1)])).await;
    run.step("none of that made it", create_all(vec![topic(&name, 1, 1)])).await;
}

pub(super) async fn create_assignments(run: &mut Run) {
    let name = run.name("a");
    let wrong: &[(&str, i32, i16, Placement<'_>)] = &[
        ("with a factor", -1, 1, &[(0, &[1])]),
        ("with a count", 1, -1, &[(0, &[1])]),
        ("with both", 1, 1, &[(0, &[1])]),
        ("no replica", -1, -1, &[(0, &[])]),
        ("an unknown broker", -1, -1, &[(0, &[9])]),
        ("broker -1", -1, -1, &[(0, &[-1])]),
        ("a broker twice", -1, -1, &[(0, &[1, 1])]),
        ("a partition twice", -1, -1, &[(0, &[1]), (0, &[1])]),
        ("a gap", -1, -1, &[(0, &[1]), (2, &[1])]),
        ("not from 0", -1, -1, &[(1, &[1])]),
        ("partition -1", -1, -1, &[(-1, &[1])]),
        ("different factors", -1, -1, &[(0, &[1]), (1, &[1, 9])]),
    ];
    for (label, partitions, replicas, assignments) in wrong {
        run.step(label, create_all(vec![assigned(&name, *partitions, *replicas, assignments)])).await;
    }
}

pub(super) async fn create_configs(run: &mut Run) {
    let name = run.name("a");
    let pair = |name: &str, value: Option<&str>| value!({ name: name, value: value });
    let wrong: Vec<(&str, Vec<Value>)> = vec![
        ("an unknown one", vec![pair("nonsense", Some("1"))]),
        ("an empty one", vec![pair("", Some("1"))]),
        ("a null", vec![pair("retention.ms", None)]),
        ("a null of an unknown one", vec![pair("nonsense", None)]),
        ("no number", vec![pair("retention.ms", Some("x"))]),
        ("an empty number", vec![pair("retention.ms", Some(""))]),
        ("a number with blanks", vec![pair("retention.ms", Some(" 5000 "))]),
        ("too small", vec![pair("retention.ms", Some("-2"))]),
        ("a number of 33 bits", vec![pair("max.message.bytes", Some("4294967296"))]),
        ("too small a segment", vec![pair("segment.bytes", Some("10"))]),
        ("a word", vec![pair("compression.type", Some("zip"))]),
        ("a list", vec![pair("cleanup.policy", Some("delete,nonsense"))]),
        ("a list with a word twice", vec![pair("cleanup.policy", Some("delete,delete"))]),
        ("an empty list", vec![pair("cleanup.policy", Some(""))]),
        ("a bool", vec![pair("preallocate", Some("maybe"))]),
        ("a bool in capitals", vec![pair("preallocate", Some("TRUE"))]),
        ("a float", vec![pair("min.cleanable.dirty.ratio", Some("1.5"))]),
        ("a float of noise", vec![pair("min.cleanable.dirty.ratio", Some("x"))]),
        ("lags", vec![pair("min.compaction.lag.ms", Some("10")), pair("max.compaction.lag.ms", Some("5"))]),
        ("a name twice", vec![pair("retention.ms", Some("1")), pair("retention.ms", Some("2"))]),
        ("throttled replicas", vec![pair("leader.replication.throttled.replicas", Some("x"))]),
        ("tiered storage", vec![pair("remote.storage.enable", Some("true"))]),
        ("a gzip level", vec![pair("compression.gzip.level", Some("0"))]),
        ("min.insync.replicas", vec![pair("min.insync.replicas", Some("0"))]),
        ("one that was removed", vec![pair("message.downconversion.enable", Some("true"))]),
    ];
    for (label, configs) in wrong {
        let body = value!({ timeout_ms: 10_000, validate_only: true, topics: [configured(&name, configs)] });
        run.step(label, body).await;
    }
}

pub(super) async fn partitions(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let grow = |count: i32, validate_only: bool| {
        let topics = value!([{ name: &topic.name, count: count, assignments: null }]);
        value!({ timeout_ms: 10_000, validate_only: validate_only, topics: topics })
    };
    run.step("validate_only", grow(3, true)).await;
    run.step("three", grow(3, false)).await;
    run.wait_for(&topic.name, 3).await;
    run.step("three again", grow(3, false)).await;
    run.step("two", grow(2, false)).await;
    let placed = value!([{ name: &topic.name, count: 5, assignments: [{ broker_ids: [1] }, { broker_ids: [1] }] }]);
    run.step("replicas", value!({ timeout_ms: 10_000, topics: placed })).await;
    run.step("nothing", value!({ timeout_ms: 10_000, topics: [] })).await;
}

pub(super) async fn partitions_refusals(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let one = |name: &str, count: i32, assignments: Option<Vec<Value>>| value!({ timeout_ms: 10_000, topics: [{ name: name, count: count, assignments: assignments }] });
    for count in [0, -1, 1, 2] {
        run.step(&format!("count {count}"), one(&topic.name, count, None)).await;
    }
    run.step("an unknown topic", one(&run.name("nowhere"), 3, None)).await;
    run.step("a name that cannot be", one("a b", 3, None)).await;
    run.step("no name", one("", 3, None)).await;
    let twice = vec![value!({ name: &topic.name, count: 3, assignments: null }); 2];
    run.step("a topic twice", value!({ timeout_ms: 10_000, topics: twice })).await;
    let brokers = |ids: &[i32]| {
        let ids: Vec<_> = ids.iter().map(|id| Value::from(*id)).collect();
        value!({ broker_ids: ids })
    };
    for (label, assignments) in [
        ("no assignment", vec![]),
        ("too many assignments", vec![brokers(&[1]), brokers(&[1])]),
        ("no replica", vec![brokers(&[])]),
        ("an unknown broker", vec![brokers(&[9])]),
        ("a broker twice", vec![brokers(&[1, 1])]),
        ("another factor", vec![brokers(&[1, 9])]),
    ] {
        run.step(label, one(&topic.name, 3, Some(assignments))).await;
    }
}

/// Deletes by name, in the form that the version has.
fn delete_names(names: &[&str]) -> Value {
    let entries: Vec<_> = names.iter().map(|name| value!({ name: *name })).collect();
    let plain: Vec<_> = names.iter().map(|name| Value::from(*name)).collect();
    value!({ timeout_ms: 10_000, topics: entries, topic_names: plain })
}

pub(super) async fn delete(run: &mut Run) {
    let (first, second) = (run.topic("a", 1, &[]).await, run.topic("b", 1, &[]).await);
    let third = run.topic("c", 1, &[]).await;
    run.step("a topic", delete_names(&[&first.name])).await;
    run.step("two", delete_names(&[&second.name, &third.name])).await;
    run.step("nothing", delete_names(&[])).await;
    if run.version >= 6 {
        let fourth = run.topic("d", 1, &[]).await;
        run.step("by id", value!({ timeout_ms: 10_000, topics: [{ name: null, topic_id: fourth.id }] })).await;
    }
}

pub(super) async fn delete_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let nowhere = run.name("nowhere");
    run.step("an unknown topic", delete_names(&[&nowhere])).await;
    run.step("no name", delete_names(&[""])).await;
    run.step("a name that cannot be", delete_names(&["a b"])).await;
    run.step("an unknown topic twice", delete_names(&[&nowhere, &nowhere])).await;
    run.step("a topic twice", delete_names(&[&topic.name, &topic.name])).await;
    run.step("a topic twice and an unknown one", delete_names(&[&topic.name, &nowhere, &topic.name])).await;
    if run.version < 6 {
        return;
    }
    let unknown = Uuid::from_u128(77);
    for (label, entries) in [
        ("an unknown id", value!([{ name: null, topic_id: unknown }])),
        ("an unknown id twice", value!([{ name: null, topic_id: unknown }, { name: null, topic_id: unknown }])),
        ("a name and an id", value!([{ name: &topic.name, topic_id: topic.id }])),
        ("a name and an unknown id", value!([{ name: &topic.name, topic_id: unknown }])),
        ("neither", value!([{ name: null, topic_id: Uuid::nil() }])),
        ("an id twice", value!([{ name: null, topic_id: topic.id }, { name: null, topic_id: topic.id }])),
        ("a name, then its id", value!([{ name: &topic.name }, { name: null, topic_id: topic.id }])),
    ] {
        run.step(label, value!({ timeout_ms: 10_000, topics: entries })).await;
    }
}

pub(super) async fn describe_partitions(run: &mut Run) {
    let (first, second) = (run.topic("a", 3, &[]).await, run.topic("b", 2, &[]).await);
    let ask = |names: &[&str], limit: i32, cursor: Value| {
        let names: Vec<_> = names.iter().map(|name| value!({ name: *name })).collect();
        value!({ topics: names, response_partition_limit: limit, cursor: cursor })
    };
    let cursor = |name: &str, index: i32| value!({ topic_name: name, partition_index: index });
    let both = [first.name.as_str(), second.name.as_str()];
    let nowhere = run.name("nowhere");
    run.step("two", ask(&both, 2_000, Value::Null)).await;
    run.step("the other way round", ask(&[both[1], both[0]], 2_000, Value::Null)).await;
    run.step("all", ask(&[], 2_000, Value::Null)).await;
    run.step("one twice", ask(&[both[0], both[0]], 2_000, Value::Null)).await;
    for limit in [-1, 0, 1, 2, 3, 4, 5, 6] {
        run.step(&format!("at most {limit}"), ask(&both, limit, Value::Null)).await;
        run.step(&format!("at most {limit} of all"), ask(&[], limit, Value::Null)).await;
    }
    for index in [0, 1, 2, 3, 9, -1] {
        run.step(&format!("from partition {index}"), ask(&both, 2_000, cursor(both[0], index))).await;
        run.step(&format!("from partition {index} of the second"), ask(&both, 2_000, cursor(both[1], index))).await;
    }
    run.step("from a topic not asked for", ask(&both, 2_000, cursor(&nowhere, 0))).await;
    run.step("from an unknown topic of all", ask(&[], 2_000, cursor(&nowhere, 1))).await;
    run.step("an unknown topic", ask(&[&nowhere, both[0]], 2_000, Value::Null)).await;
    for name in ["a b", "", ".", "..", "ä"] {
        run.step(&format!("name {name:?}"), ask(&[name], 2_000, Value::Null)).await;
    }
    run.step("names that cannot be", ask(&["a b", both[0], "."], 2_000, Value::Null)).await;
    run.step("from an unknown topic", ask(&[&nowhere], 2_000, cursor(&nowhere, 0))).await;
}
