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
    instance_id: Option<String>,
    is_new: bool,
    reads: BTreeSet<TopicId>,
    had: Partitions,
    has: Partitions,
}

#[test]
fn range_and_uniform_give_every_member_the_partitions_that_kafka_gives_it() {
    let cases = cases();
    let mut compared = 0;
    for (number, case) in cases.iter().enumerate() {
        let target = compute(case);
        for member in &case.members {
            assert_eq!(target[&member.member_id], member.has, "case {number}, {}, {}", case.name, member.member_id);
            compared += 1;
        }
    }
    assert!(compared > 2000, "{compared} members");
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
    MemberSpec {
        instance_id: member.instance_id.as_deref(),
        subscribed: member.reads.clone(),
        assigned: Some(&member.had),
    }
}

fn cases() -> Vec<Case> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/kafka/assignments.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (line, instance_id) =
            line.split_once(" as ").map_or((line, None), |(line, id)| (line, Some(id.to_owned())));
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
                    instance_id,
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
