//! ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments, in a cluster of one node: what is refused, and what
//! needs no change. Leaders that really move are in target `leaders`.

use crate::judge::Run;
use crate::{Value, api, value};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

fn elect(election_type: i8, topics: &[(&str, &[i32])]) -> Value {
    value!({ election_type: election_type, topic_partitions: partitions(topics), timeout_ms: 10_000 })
}

fn partitions(topics: &[(&str, &[i32])]) -> Vec<Value> {
    topics.iter().map(|(name, partitions)| value!({ topic: *name, partitions: numbers(partitions) })).collect()
}

fn numbers(numbers: &[i32]) -> Vec<Value> {
    numbers.iter().map(|number| Value::from(*number)).collect()
}

pub(super) async fn elect_usual(run: &mut Run) {
    // All topics are told of, and whether these two are there depends on what ran before.
    for kind in [0, 1] {
        let coordinator = value!({ key_type: kind, coordinator_keys: ["a"] });
        run.until(api::FIND_COORDINATOR, 4, coordinator, |answer| answer["coordinators"][0]["error_code"] == 0).await;
    }
    let topic = run.topic("a", 2, &[]).await;
    let name = topic.name.as_str();
    for (label, kind) in [("preferred", PREFERRED), ("unclean", UNCLEAN)] {
        run.step(label, elect(kind, &[(name, &[0])])).await;
        run.step(&format!("{label}, two partitions"), elect(kind, &[(name, &[1, 0])])).await;
        run.step(&format!("{label}, all"), value!({ election_type: kind, topic_partitions: null, timeout_ms: 10_000 }))
            .await;
        run.step(&format!("{label}, nothing"), elect(kind, &[])).await;
        run.step(&format!("{label}, no partitions"), elect(kind, &[(name, &[])])).await;
    }
}

pub(super) async fn elect_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let (name, nowhere) = (topic.name.as_str(), run.name("nowhere"));
    for (label, kind) in [("preferred", PREFERRED), ("unclean", UNCLEAN)] {
        run.step(&format!("{label}, an unknown topic"), elect(kind, &[(&nowhere, &[0])])).await;
        run.step(&format!("{label}, a topic that cannot be"), elect(kind, &[("a b", &[0])])).await;
        run.step(&format!("{label}, a topic without name"), elect(kind, &[("", &[0])])).await;
        run.step(&format!("{label}, unknown partitions"), elect(kind, &[(name, &[7, -1, 0])])).await;
        run.step(&format!("{label}, a known and an unknown topic"), elect(kind, &[(name, &[0]), (&nowhere, &[0, 1])]))
            .await;
        run.step(&format!("{label}, a partition twice"), elect(kind, &[(name, &[0, 0])])).await;
    }
    for timeout in [0, -1] {
        let body = value!({ election_type: 0, topic_partitions: partitions(&[(name, &[0])]), timeout_ms: timeout });
        run.step(&format!("timeout {timeout}"), body).await;
    }
    if run.version >= 1 {
        for kind in [2, -1, 127] {
            run.step(&format!("election type {kind}"), elect(kind, &[(name, &[0])])).await;
        }
    }
}

/// What one partition is to be reassigned to; null takes a reassignment back.
type Target<'a> = (i32, Option<&'a [i32]>);

fn reassign(topics: &[(&str, &[Target<'_>])]) -> Value {
    let partition =
        |(index, replicas): &Target<'_>| value!({ partition_index: *index, replicas: replicas.map(numbers) });
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| {
            value!({ name: *name, partitions: partitions.iter().map(partition).collect::<Vec<_>>() })
        })
        .collect();
    value!({ topics: topics, timeout_ms: 10_000 })
}

pub(super) async fn reassign_usual(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let name = topic.name.as_str();
    run.step("to where it is", reassign(&[(name, &[(0, Some(&[1]))])])).await;
    run.step("two partitions", reassign(&[(name, &[(1, Some(&[1])), (0, Some(&[1]))])])).await;
    run.step("nothing", reassign(&[])).await;
    run.step("no partitions", reassign(&[(name, &[])])).await;
    for allow in [false, true] {
        let topics = reassign(&[(name, &[(0, Some(&[1]))])])["topics"].clone();
        let body = value!({ topics: topics, timeout_ms: 10_000, allow_replication_factor_change: allow });
        run.step(&format!("another replication factor allowed {allow}"), body).await;
    }
    let wanted = value!({ topics: [{ name: name }], allow_auto_topic_creation: false });
    let told = run.ask(api::METADATA, 12, wanted).await;
    assert_eq!(told["topics"][0]["partitions"][0]["leader_epoch"], 0, "nothing moved: {told:?}");
}

pub(super) async fn reassign_refusals(run: &mut Run) {
    let topic = run.topic("a", 1, &[]).await;
    let (name, nowhere) = (topic.name.as_str(), run.name("nowhere"));
    for (label, name, target) in [
        ("an unknown topic", nowhere.as_str(), (0, Some(&[1][..]))),
        ("a topic that cannot be", "a b", (0, Some(&[1]))),
        ("a topic without name", "", (0, Some(&[1]))),
        ("an unknown partition", name, (7, Some(&[1]))),
        ("partition -1", name, (-1, Some(&[1]))),
        ("no replicas", name, (0, Some(&[]))),
        ("a node twice", name, (0, Some(&[1, 1]))),
        ("an unknown node", name, (0, Some(&[9]))),
        ("a known and an unknown node", name, (0, Some(&[1, 9]))),
        ("node -1", name, (0, Some(&[-1]))),
        ("nothing to take back", name, (0, None)),
        ("nothing to take back of an unknown topic", &nowhere, (0, None)),
        ("nothing to take back of an unknown partition", name, (7, None)),
    ] {
        run.step(label, reassign(&[(name, &[target])])).await;
    }
    let here: Target<'_> = (0, Some(&[1]));
    run.step("two topics", reassign(&[(name, &[here]), (&nowhere, &[here])])).await;
    run.step("a partition twice", reassign(&[(name, &[here, (0, Some(&[9]))])])).await;
    run.step("a topic twice", reassign(&[(name, &[here]), (name, &[here])])).await;
    if run.version >= 1 {
        for replicas in [&[1, 9][..], &[], &[1, 1]] {
            let topics = reassign(&[(name, &[(0, Some(replicas))])])["topics"].clone();
            let body = value!({ topics: topics, timeout_ms: 10_000, allow_replication_factor_change: false });
            run.step(&format!("{replicas:?}, another replication factor not allowed"), body).await;
        }
    }
    for timeout in [0, -1] {
        let body = value!({ topics: reassign(&[(name, &[here])])["topics"].clone(), timeout_ms: timeout });
        run.step(&format!("timeout {timeout}"), body).await;
    }
}

pub(super) async fn list(run: &mut Run) {
    let topic = run.topic("a", 2, &[]).await;
    let nowhere = run.name("nowhere");
    let of = |topics: &[(&str, &[i32])]| {
        let topics: Vec<_> =
            topics.iter().map(|(name, indexes)| value!({ name: *name, partition_indexes: numbers(indexes) })).collect();
        value!({ topics: topics, timeout_ms: 10_000 })
    };
    run.step("all", value!({ topics: null, timeout_ms: 10_000 })).await;
    run.step("none", of(&[])).await;
    run.step("one that stays where it is", of(&[(&topic.name, &[0])])).await;
    run.step("no partitions", of(&[(&topic.name, &[])])).await;
    run.step("unknown partitions", of(&[(&topic.name, &[7, -1])])).await;
    run.step("an unknown topic", of(&[(&nowhere, &[0])])).await;
    run.step("a topic that cannot be", of(&[("a b", &[0])])).await;
    run.step("a topic twice", of(&[(&topic.name, &[0]), (&topic.name, &[1])])).await;
    for timeout in [0, -1] {
        run.step(&format!("timeout {timeout}"), value!({ topics: null, timeout_ms: timeout })).await;
    }
}
