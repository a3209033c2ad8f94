//! In which order an answer tells of what was asked, where Kafka has an order. Names, numbers and questions are not sorted
//! alike, so that each order shows. Where Kafka has none, `judge::normal` says why.

use crate::judge::{Run, Topic};
use crate::{Value, value};

/// Not by name.
const NAMES: [&str; 4] = ["d", "a", "c", "b"];

async fn topics(run: &mut Run) -> Vec<Topic> {
    let mut topics = Vec::new();
    for name in NAMES {
        topics.push(run.topic(name, 3, &[]).await);
    }
    topics
}

pub(super) async fn metadata(run: &mut Run) {
    let topics = topics(run).await;
    let ask = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| value!({ name: *name })).collect();
        value!({ topics: names, allow_auto_topic_creation: false })
    };
    let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    run.step("four", ask(&names)).await;
    run.step("bad names and good ones", ask(&["a b", names[2], "", names[0]])).await;
    if run.version >= 4 {
        let nowhere = run.name("nowhere");
        run.step("unknown names and known ones", ask(&[&nowhere, names[2], "a b", names[0]])).await;
    }
    if run.version >= 10 {
        let ids: Vec<_> = topics.iter().map(|topic| value!({ name: null, topic_id: topic.id })).collect();
        run.step("four ids", value!({ topics: ids, allow_auto_topic_creation: false })).await;
    }
}

pub(super) async fn leader_epoch(run: &mut Run) {
    let topics = topics(run).await;
    let nowhere = run.name("nowhere");
    let of = |name: &str| {
        let partitions: Vec<_> = [2, 0, 5, 1]
            .iter()
            .map(|index| value!({ partition: *index, current_leader_epoch: -1, leader_epoch: 0 }))
            .collect();
        value!({ topic: name, partitions: partitions })
    };
    let mut names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    names.insert(1, &nowhere);
    let all: Vec<_> = names.iter().map(|name| of(name)).collect();
    run.step("five", value!({ replica_id: -1, topics: all })).await;
}

pub(super) async fn create_partitions(run: &mut Run) {
    let topics = topics(run).await;
    let nowhere = run.name("nowhere");
    let mut names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    names.insert(1, &nowhere);
    let ask = |count: i32, names: &[&str]| {
        let all: Vec<_> = names.iter().map(|name| value!({ name: *name, count: count, assignments: null })).collect();
        value!({ timeout_ms: 10_000, validate_only: true, topics: all })
    };
    run.step("five", ask(4, &names)).await;
    run.step("too few", ask(1, &names)).await;
    names.insert(3, topics[0].name.as_str());
    run.step("one of them twice", ask(4, &names)).await;
}

/// What is asked of several resources, some of them good.
fn resources(topics: &[Topic], nowhere: &str, config: &Value) -> Vec<Value> {
    let resource =
        |kind: i8, name: &str| value!({ resource_type: kind, resource_name: name, configs: [config.clone()] });
    let names = topics.iter().map(|topic| topic.name.as_str());
    let mut all: Vec<_> = names.map(|name| resource(2, name)).collect();
    all.insert(1, resource(2, nowhere));
    all.insert(2, resource(4, "1"));
    all.insert(3, resource(3, "x"));
    all
}

pub(super) async fn alter(run: &mut Run) {
    let topics = topics(run).await;
    let config = value!({ name: "nonsense", value: "1" });
    let all = resources(&topics, &run.name("nowhere"), &config);
    run.step("all wrong", value!({ resources: all, validate_only: true })).await;
    let config = value!({ name: "retention.ms", value: "1" });
    let all = resources(&topics, &run.name("nowhere"), &config);
    run.step("some right", value!({ resources: all, validate_only: true })).await;
}

pub(super) async fn incremental(run: &mut Run) {
    let topics = topics(run).await;
    let config = value!({ name: "nonsense", config_operation: 0, value: "1" });
    let all = resources(&topics, &run.name("nowhere"), &config);
    run.step("all wrong", value!({ resources: all, validate_only: true })).await;
    let config = value!({ name: "retention.ms", config_operation: 0, value: "1" });
    let all = resources(&topics, &run.name("nowhere"), &config);
    run.step("some right", value!({ resources: all, validate_only: true })).await;
}

pub(super) async fn describe_configs(run: &mut Run) {
    let topics = topics(run).await;
    let resource = |kind: i8, name: &str, keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| Value::from(*key)).collect();
        value!({ resource_type: kind, resource_name: name, configuration_keys: keys })
    };
    let nowhere = run.name("nowhere");
    let mut all: Vec<_> = topics.iter().map(|topic| resource(2, &topic.name, &["retention.ms"])).collect();
    all.insert(1, resource(4, "1", &["log.retention.ms"]));
    all.insert(2, resource(2, &nowhere, &["retention.ms"]));
    all.push(resource(2, "a b", &["retention.ms"]));
    run.step("seven", value!({ resources: all })).await;
}

pub(super) async fn fetch(run: &mut Run) {
    let topics = topics(run).await;
    let partition = |index: i32| value!({ partition: index, fetch_offset: 0, partition_max_bytes: 1_000_000 });
    let all: Vec<_> = topics
        .iter()
        .map(|topic| {
            let partitions: Vec<_> = [2, 0, 5, 1].into_iter().map(partition).collect();
            value!({ topic: &topic.name, topic_id: topic.id, partitions: partitions })
        })
        .collect();
    let body = value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 1_000_000, session_epoch: -1, topics: all });
    run.step("sixteen partitions", body).await;
}

pub(super) async fn list_config_resources(run: &mut Run) {
    let types = |types: &[i8]| types.iter().map(|kind| Value::from(*kind)).collect::<Vec<_>>();
    run.topic("a", 1, &[]).await;
    run.step("types the other way round", value!({ resource_types: types(&[8, 4, 2]) })).await;
    run.step("types", value!({ resource_types: types(&[2, 4, 8]) })).await;
}
