//! What the assignors promise: balance, then stickiness; and of `range` the very partitions that Kafka gives.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Assignor, GroupSpec, MemberSpec};
use crate::group::consumer::record::Partitions;
use crate::types::{PartitionId, TopicId};

type Target = BTreeMap<String, Partitions>;

fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

/// A group: the partitions of topics 1, 2, ..; members with instance and topics; and what they had.
fn assign(
    assignor: Assignor,
    partition_counts: &[i32],
    members: &[(&str, Option<&str>, &[u128])],
    before: &Target,
) -> Target {
    let counts = partition_counts.iter().zip(1..).map(|(count, number)| (topic(number), *count));
    let members = members.iter().map(|(member_id, instance_id, topics)| {
        let subscribed: BTreeSet<_> = topics.iter().copied().map(topic).collect();
        (*member_id, MemberSpec { instance_id: *instance_id, subscribed, assigned: before.get(*member_id) })
    });
    let members: BTreeMap<_, _> = members.collect();
    let mut subscriptions = members.values().map(|member| &member.subscribed);
    let is_homogeneous = subscriptions.next().is_none_or(|first| subscriptions.all(|other| other == first));
    let partition_counts: BTreeMap<_, _> = counts.collect();
    let subscribed_names = partition_counts.len();
    let group = GroupSpec { members, partition_counts, subscribed_names, is_homogeneous, newest: None };
    let target = assignor.assign(&group);
    assert_complete(&group, &target);
    target
}

/// Every partition of a subscribed topic has one owner, who is subscribed to it.
fn assert_complete(group: &GroupSpec<'_>, target: &Target) {
    let mut given = BTreeSet::new();
    for (member_id, partitions) in target {
        for (topic_id, partitions) in partitions {
            assert!(group.members[member_id.as_str()].subscribed.contains(topic_id), "{member_id} is not subscribed");
            assert!(!partitions.is_empty());
            for partition in partitions {
                assert!(given.insert((*topic_id, *partition)), "{partition} twice");
            }
        }
    }
    let is_subscribed = |topic_id: TopicId| group.members.values().any(|member| member.subscribed.contains(&topic_id));
    let wanted: BTreeSet<_> = group.all_partitions().filter(|(topic_id, _)| is_subscribed(*topic_id)).collect();
    assert_eq!(given, wanted);
}

fn loads(target: &Target) -> Vec<usize> {
    target.values().map(|partitions| partitions.values().map(BTreeSet::len).sum()).collect()
}

/// What a member has of a topic.
fn has(target: &Target, member_id: &str, number: u128) -> Vec<i32> {
    target[member_id].get(&topic(number)).into_iter().flatten().map(|PartitionId(partition)| *partition).collect()
}

/// How many partitions the members have in `after` that they did not have in `before`.
fn moved(before: &Target, after: &Target) -> usize {
    let flat = |target: &Target| -> BTreeSet<(String, TopicId, PartitionId)> {
        let members = target.iter();
        members
            .flat_map(|(id, topics)| {
                topics.iter().flat_map(move |(topic, all)| all.iter().map(move |p| (id, topic, p)))
            })
            .map(|(id, topic, partition)| (id.clone(), *topic, *partition))
            .collect()
    };
    flat(after).difference(&flat(before)).count()
}

#[test]
fn range_gives_the_first_members_one_more() {
    // RangeAssignor: 7 over 3 is 3, 2, 2.
    let members: [(&str, Option<&str>, &[u128]); 3] = [("A", None, &[1]), ("B", None, &[1]), ("C", None, &[1])];
    let target = assign(Assignor::Range, &[7], &members, &Target::new());
    assert_eq!(has(&target, "A", 1), [0, 1, 2]);
    assert_eq!(has(&target, "B", 1), [3, 4]);
    assert_eq!(has(&target, "C", 1), [5, 6]);
}

#[test]
fn range_puts_the_same_partitions_of_each_topic_together() {
    // RangeAssignor: co-partitioned if the topics have as many partitions.
    let members: [(&str, Option<&str>, &[u128]); 2] = [("A", None, &[1, 2]), ("B", None, &[1, 2])];
    let target = assign(Assignor::Range, &[3, 3], &members, &Target::new());
    for member_id in ["A", "B"] {
        assert_eq!(has(&target, member_id, 1), has(&target, member_id, 2));
    }
    assert_eq!(has(&target, "A", 1), [0, 1]);
}

#[test]
fn range_takes_static_members_first_by_their_instance() {
    // RangeAssignor.sortMemberIds.
    let members: [(&str, Option<&str>, &[u128]); 3] =
        [("A", None, &[1]), ("B", Some("z"), &[1]), ("C", Some("y"), &[1])];
    let target = assign(Assignor::Range, &[3], &members, &Target::new());
    assert_eq!([has(&target, "C", 1), has(&target, "B", 1), has(&target, "A", 1)], [[0], [1], [2]]);
}

#[test]
fn range_counts_only_the_subscribers_of_a_topic() {
    // RangeAssignor.assignHeterogeneousGroup.
    let members: [(&str, Option<&str>, &[u128]); 3] = [("A", None, &[1, 2]), ("B", None, &[1]), ("C", None, &[2])];
    let target = assign(Assignor::Range, &[3, 4], &members, &Target::new());
    assert_eq!((has(&target, "A", 1), has(&target, "B", 1)), (vec![0, 1], vec![2]));
    assert_eq!((has(&target, "A", 2), has(&target, "C", 2)), (vec![0, 1], vec![2, 3]));
}

#[test]
fn range_with_more_members_than_partitions_leaves_the_last_without() {
    let members: [(&str, Option<&str>, &[u128]); 3] = [("A", None, &[1]), ("B", None, &[1]), ("C", None, &[1])];
    let target = assign(Assignor::Range, &[2], &members, &Target::new());
    assert_eq!(loads(&target), [1, 1, 0]);
}

#[test]
fn uniform_is_balanced_whatever_was_before() {
    // UniformHomogeneousAssignmentBuilder: balance before stickiness; for all sizes of group and topic.
    for partitions in 0..12 {
        for members in 1..6 {
            let names: Vec<String> = (0..members).map(|number| format!("m{number}")).collect();
            let specs: Vec<(&str, Option<&str>, &[u128])> =
                names.iter().map(|name| (name.as_str(), None, [1u128, 2].as_slice())).collect();
            let mut before = Target::new();
            for joined in 1..=specs.len() {
                let after = assign(Assignor::Uniform, &[partitions, 3], &specs[..joined], &before);
                let loads = loads(&after);
                assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
                before = after;
            }
        }
    }
}

#[test]
fn uniform_moves_no_more_than_it_must() {
    // A third member of a group that has six partitions takes two.
    let pair: [(&str, Option<&str>, &[u128]); 2] = [("A", None, &[1]), ("B", None, &[1])];
    let three: [(&str, Option<&str>, &[u128]); 3] = [("A", None, &[1]), ("B", None, &[1]), ("C", None, &[1])];
    let before = assign(Assignor::Uniform, &[6], &pair, &Target::new());
    let after = assign(Assignor::Uniform, &[6], &three, &before);
    assert_eq!((loads(&after), moved(&before, &after)), (vec![2, 2, 2], 2));
    let back = assign(Assignor::Uniform, &[6], &three[1..], &after);
    assert_eq!((loads(&back), moved(&after, &back)), (vec![3, 3], 2), "what the third had is given to the others");
    assert_eq!(assign(Assignor::Uniform, &[6], &three, &after), after, "nothing moves for nothing");
}

#[test]
fn uniform_takes_away_the_last_partitions() {
    // Seen on a real 4.3.1: of 0 to 3 the second member gets 2 and 3.
    let pair: [(&str, Option<&str>, &[u128]); 2] = [("A", None, &[1]), ("B", None, &[1])];
    let before = assign(Assignor::Uniform, &[4], &pair[..1], &Target::new());
    let after = assign(Assignor::Uniform, &[4], &pair, &before);
    assert_eq!((has(&after, "A", 1), has(&after, "B", 1)), (vec![0, 1], vec![2, 3]));
}

#[test]
fn uniform_with_different_subscriptions_is_as_even_as_they_allow() {
    // UniformHeterogeneousAssignmentBuilder.
    let members: [(&str, Option<&str>, &[u128]); 3] = [("A", None, &[1, 2, 3]), ("B", None, &[1]), ("C", None, &[2])];
    let target = assign(Assignor::Uniform, &[3, 3, 3], &members, &Target::new());
    assert_eq!(loads(&target), [3, 3, 3]);
    let only_a: [(&str, Option<&str>, &[u128]); 2] = [("A", None, &[1, 2]), ("B", None, &[1])];
    assert_eq!(loads(&assign(Assignor::Uniform, &[2, 6], &only_a, &Target::new())), [6, 2]);
}

#[test]
fn uniform_with_different_subscriptions_keeps_what_it_can() {
    // Seen on a real 4.3.1, partition by partition. A chain over A from B to C would be more even and move more.
    let members: [(&str, Option<&str>, &[u128]); 3] = [("A", None, &[1, 2]), ("B", None, &[1]), ("C", None, &[2])];
    let one = assign(Assignor::Uniform, &[4, 2], &members[..1], &Target::new());
    let two = assign(Assignor::Uniform, &[4, 2], &members[..2], &one);
    assert_eq!((has(&two, "A", 1), has(&two, "A", 2), has(&two, "B", 1)), (vec![0], vec![0, 1], vec![1, 2, 3]));
    let three = assign(Assignor::Uniform, &[4, 2], &members, &two);
    assert_eq!((has(&three, "A", 1), has(&three, "A", 2)), (vec![0], vec![0]));
    assert_eq!((has(&three, "B", 1), has(&three, "C", 2)), (vec![1, 2, 3], vec![1]));
    assert_eq!(moved(&two, &three), 1);
}

#[test]
fn a_partition_that_is_gone_or_claimed_twice_is_not_kept() {
    // Records may say anything; a target never does.
    let claim: Partitions = [(topic(1), [PartitionId(0), PartitionId(9)].into())].into();
    let before: Target = [("A".to_owned(), claim.clone()), ("B".to_owned(), claim)].into();
    let same: [(&str, Option<&str>, &[u128]); 2] = [("A", None, &[1]), ("B", None, &[1])];
    assert_eq!(loads(&assign(Assignor::Uniform, &[2], &same, &before)), [1, 1]);
    let other: [(&str, Option<&str>, &[u128]); 2] = [("A", None, &[1, 2]), ("B", None, &[1])];
    assert_eq!(loads(&assign(Assignor::Uniform, &[2, 1], &other, &before)), [2, 1]);
}
