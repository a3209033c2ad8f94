//! What Kafka's own assignors compute, in `fixtures/kafka/assignments.txt`, and what these do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use uuid::Uuid;

use super::{Assignor, GroupSpec, MemberSpec};
use crate::group::consumer::record::Partitions;
use crate::types::{PartitionId, TopicId};

/// One computation.
struct Case {
    name: String,
    topics: Vec<(TopicId, i32)>,
    members: Vec<Member>,
}

struct Member {
    member_id: String,
    is_new: bool,
    reads: BTreeSet<TopicId>,
    had: Partitions,
    has: Partitions,
}

#[test]
fn range_and_uniform_give_every_member_the_partitions_that_kafka_gives_it() {
    let cases = cases();
    let mut compared = 0;
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.name != "heterogeneous") {
        let target = compute(case);
        for member in &case.members {
            assert_eq!(target[&member.member_id], member.has, "case {number}, {}, {}", case.name, member.member_id);
            compared += 1;
        }
    }
    assert!(compared > 400, "{compared} members");
}

#[test]
fn members_that_read_different_topics_are_as_even_as_kafka_makes_them_and_keep_as_much() {
    // Which of several equal targets it is, is not the same: Kafka goes another way.
    let cases = cases();
    let mut compared = 0;
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.name == "heterogeneous") {
        let target = compute(case);
        let loads = |of: &dyn Fn(&Member) -> Partitions| {
            let mut loads: Vec<usize> = case.members.iter().map(|member| size(&of(member))).collect();
            loads.sort_unstable();
            loads
        };
        let moved = |of: &dyn Fn(&Member) -> Partitions| -> usize {
            case.members.iter().map(|member| size(&member.had) - common(&member.had, &of(member))).sum()
        };
        let ours = |member: &Member| target[&member.member_id].clone();
        let kafkas = |member: &Member| member.has.clone();
        assert_eq!(loads(&ours), loads(&kafkas), "case {number}: balance");
        assert!(moved(&ours) <= moved(&kafkas), "case {number}: {} moved, {} in Kafka", moved(&ours), moved(&kafkas));
        compared += 1;
    }
    assert!(compared > 30, "{compared} cases");
}

fn compute(case: &Case) -> BTreeMap<String, Partitions> {
    let members = case.members.iter().map(|member| (member.member_id.as_str(), spec(member))).collect();
    let group = GroupSpec {
        members,
        partition_counts: case.topics.iter().copied().collect(),
        subscribed_names: case.topics.len(),
        is_homogeneous: case.name == "uniform",
        newest: case.members.iter().find(|member| member.is_new).map(|member| member.member_id.as_str()),
    };
    let assignor = if case.name == "range" { Assignor::Range } else { Assignor::Uniform };
    let mut target = assignor.assign(&group);
    for member in &case.members {
        target.entry(member.member_id.clone()).or_default();
    }
    target
}

fn spec(member: &Member) -> MemberSpec<'_> {
    MemberSpec { instance_id: None, subscribed: member.reads.clone(), assigned: Some(&member.had) }
}

fn size(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

fn common(one: &Partitions, other: &Partitions) -> usize {
    let none = BTreeSet::new();
    one.iter().map(|(id, partitions)| partitions.intersection(other.get(id).unwrap_or(&none)).count()).sum()
}

fn cases() -> Vec<Case> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/kafka/assignments.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["case", name] => cases.push(Case { name: name.to_owned(), topics: Vec::new(), members: Vec::new() }),
            ["topic", id, count] => {
                let id = TopicId(Uuid::parse_str(id).unwrap());
                cases.last_mut().unwrap().topics.push((id, count.parse().unwrap()));
            }
            ["member", member_id, age, "reads", reads, "had", had, "has", has] => {
                let case = cases.last_mut().unwrap();
                let topic = |place: &str| case.topics[place.parse::<usize>().unwrap()].0;
                let member = Member {
                    member_id: member_id.to_owned(),
                    is_new: age == "new",
                    reads: reads.split(',').filter(|place| !place.is_empty()).map(topic).collect(),
                    had: partitions(had, &topic),
                    has: partitions(has, &topic),
                };
                case.members.push(member);
            }
            _ => panic!("not a line of a case: {line}"),
        }
    }
    cases
}

fn partitions(text: &str, topic: &dyn Fn(&str) -> TopicId) -> Partitions {
    let of_topic = |text: &str| {
        let (place, numbers) = text.split_once(':').unwrap();
        (topic(place), numbers.split(',').map(|number| PartitionId(number.parse().unwrap())).collect())
    };
    text.split('+').filter(|text| *text != "-").map(of_topic).collect()
}
