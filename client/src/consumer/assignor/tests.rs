//! The assignors against what Kafka's own made of the same groups (`fixtures/assignors`, remade with `DumpAssignors.java`).

use std::collections::BTreeSet;

use super::*;

const CASES: &str = include_str!("../../../../fixtures/assignors/java-4.3.1.txt");

struct Case {
    assignor: Assignor,
    topics: Topics,
    members: Vec<Member>,
    result: BTreeMap<String, Vec<TopicPartition>>,
}

fn partitions(text: &str) -> Vec<TopicPartition> {
    let parts = text.split(',').filter(|part| *part != "-");
    parts.map(|part| part.rsplit_once(':').unwrap()).map(|(t, p)| TopicPartition::new(t, p.parse().unwrap())).collect()
}

/// The racks of a partition's replicas.
fn racks(text: &str) -> BTreeSet<Arc<str>> {
    text.split('+').filter(|rack| *rack != "-").map(Arc::from).collect()
}

fn hex(text: &str) -> Option<Bytes> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (text != "-").then(|| (0..text.len()).step_by(2).map(byte).collect())
}

fn member(words: &[&str]) -> Member {
    let [id, instance, topics, generation, owned, user_data] = words else { panic!("{words:?}") };
    Member {
        member_id: (*id).to_owned(),
        group_instance_id: (*instance != "-").then(|| (*instance).to_owned()),
        subscription: Subscription {
            topics: topics.split(',').filter(|topic| *topic != "-").map(Arc::from).collect(),
            user_data: hex(user_data),
            owned: partitions(owned),
            generation_id: Some(generation.parse().unwrap()).filter(|generation| *generation >= 0),
            rack_id: None,
        },
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in CASES.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let all = [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];
        if words[0] == "case" {
            let assignor = all.into_iter().find(|assignor| assignor.name() == words[1]).unwrap();
            cases.push(Case { assignor, topics: Topics::default(), members: Vec::new(), result: BTreeMap::new() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        match words[0] {
            "topic" => drop(case.topics.counts.insert(words[1].into(), words[2].parse().unwrap())),
            "racks" => drop(case.topics.racks.insert(words[1].into(), words[2].split(',').map(racks).collect())),
            "member" => case.members.push(member(&words[1..])),
            "rack" => {
                let member = case.members.iter_mut().find(|member| member.member_id == words[1]).unwrap();
                member.subscription.rack_id = Some(words[2].to_owned());
            }
            "gets" => drop(case.result.insert(words[1].to_owned(), partitions(words[2]))),
            other => panic!("{other}"),
        }
    }
    cases
}

#[test]
fn every_assignment_is_javas() {
    let mut by_assignor: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    let mut decided_by_racks: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, case) in cases().iter().enumerate() {
        let mut result = case.assignor.assign(&case.members, &case.topics);
        result.values_mut().for_each(|partitions| partitions.sort_unstable());
        let picture = || {
            let members =
                case.members.iter().map(|member| format!("{} {:?}", member.member_id, member.subscription.owned));
            members.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(result, case.result, "case {number}, {}, {:?}\n{}", case.assignor.name(), case.topics, picture());
        *by_assignor.entry((case.assignor.name(), !case.topics.racks.is_empty())).or_default() += 1;
        let blind = Topics { counts: case.topics.counts.clone(), racks: BTreeMap::new() };
        let mut blind = case.assignor.assign(&case.members, &blind);
        blind.values_mut().for_each(|partitions| partitions.sort_unstable());
        *decided_by_racks.entry(case.assignor.name()).or_default() += usize::from(blind != result);
    }
    // Each without racks and with them.
    assert!(by_assignor.len() == 8 && by_assignor.values().all(|count| *count >= 60), "{by_assignor:?}");
    let of = |assignor: Assignor| decided_by_racks[assignor.name()];
    assert_eq!(of(Assignor::RoundRobin), 0);
    let [range, sticky, cooperative] = [Assignor::Range, Assignor::Sticky, Assignor::CooperativeSticky].map(of);
    assert!(range.min(sticky).min(cooperative) >= 30, "{decided_by_racks:?}");
}

/// The partitions that a member says it has, in order, and the generation. Java writes partitions in any order.
fn understood(assignor: Assignor, said: Option<Bytes>) -> Option<(Vec<TopicPartition>, Option<i32>)> {
    let said = said?;
    let mut reader = protocol::Reader(&said);
    let mut partitions = if assignor == Assignor::Sticky { reader.partitions()? } else { Vec::new() };
    partitions.sort_unstable();
    Some((partitions, reader.int32()))
}

#[test]
fn what_a_member_says_to_its_assignor_is_what_javas_says() {
    for case in cases() {
        for member in &case.members {
            let generation = member.subscription.generation_id.unwrap_or(-1);
            let said = member.subscription.user_data.clone();
            // What an eager member had is in what it says, not in what it owns.
            let last = match case.assignor {
                Assignor::Sticky => {
                    said.as_deref().and_then(|said| protocol::Reader(said).partitions()).unwrap_or_default()
                }
                _ => member.subscription.owned.clone(),
            };
            let ours = case.assignor.user_data(&last, generation);
            assert_eq!(understood(case.assignor, ours), understood(case.assignor, said), "{}", case.assignor.name());
        }
    }
}

#[test]
fn members_that_say_nonsense_are_assigned_all_the_same() {
    for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
        let nonsense = Subscription {
            topics: vec!["t".into()],
            user_data: Some(Bytes::from_static(b"\x7f\xff\xff\xff")),
            owned: vec![TopicPartition::new("t", 99), TopicPartition::new("u", -1), TopicPartition::new("t", -7)],
            generation_id: Some(i32::MAX),
            rack_id: None,
        };
        let member =
            |id: &str| Member { member_id: id.to_owned(), group_instance_id: None, subscription: nonsense.clone() };
        let topics = Topics { counts: BTreeMap::from([("t".into(), 5)]), racks: BTreeMap::new() };
        let result = assignor.assign(&[member("a"), member("b")], &topics);
        assert_eq!(result.len(), 2, "{}", assignor.name());
    }
}
