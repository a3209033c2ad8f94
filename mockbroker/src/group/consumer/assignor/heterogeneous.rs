//! `uniform` for members with different subscriptions (`UniformHeterogeneousAssignmentBuilder`).
//!
//! Members keep what they have. What is free goes, topic by topic, to the subscribers with the fewest partitions. Then partitions
//! of one topic after the other move from its fullest subscribers to its emptiest, until a round over all topics moves none. In
//! which order members and topics come decides who has what: it is Kafka's, as far as that of its hash tables can be known.

mod balancer;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use self::balancer::Balancer;
use super::order::sort_members;
use super::{GroupSpec, target_of};
use crate::group::consumer::record::Partitions;
use crate::types::{PartitionId, TopicId};

/// How often all topics are gone through before the target is good enough (`MAX_ITERATION_COUNT`).
const ROUNDS: usize = 16;

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<String, Partitions> {
    let mut builder = Builder::new(group);
    builder.give_away_what_is_free();
    builder.balance();
    builder.target()
}

/// A target in the making. A member is a number: its place in the order in which Kafka goes through members.
struct Builder<'a> {
    members: Vec<&'a str>,
    /// How many partitions each member has.
    loads: Vec<i32>,
    topics: BTreeMap<TopicId, Topic>,
}

/// A topic that somebody is subscribed to.
#[derive(Default)]
struct Topic {
    /// In ascending order.
    subscribers: Vec<usize>,
    /// The member that has each partition.
    owners: Vec<Option<usize>>,
}

impl<'a> Builder<'a> {
    /// Everyone has what it may keep. If records say of two that they have a partition, the first keeps it.
    fn new(group: &GroupSpec<'a>) -> Self {
        let mut members: Vec<&str> = group.members.keys().copied().collect();
        sort_members(&mut members, group.newest);
        let mut loads = vec![0; members.len()];
        let mut topics: BTreeMap<TopicId, Topic> = BTreeMap::new();
        for (member, member_id) in members.iter().enumerate() {
            let spec = &group.members[member_id];
            for topic_id in &spec.subscribed {
                let topic = topics.entry(*topic_id).or_default();
                topic.subscribers.push(member);
                let count = usize::try_from(group.partition_count(*topic_id)).unwrap_or(0);
                topic.owners.resize(count, None);
            }
            for (topic_id, partition) in group.kept(spec) {
                let owner = topics.get_mut(&topic_id).and_then(|topic| topic.owners.get_mut(partition.index()?));
                if let Some(owner @ None) = owner {
                    *owner = Some(member);
                    loads[member] += 1;
                }
            }
        }
        Self { members, loads, topics }
    }

    /// Gives what nobody has to the subscribers with the fewest partitions (`assignRemainingPartitions`).
    fn give_away_what_is_free(&mut self) {
        for topic_id in self.sorted_topics(|topic| topic.owners.contains(&None)) {
            let Some(topic) = self.topics.get_mut(&topic_id) else { continue };
            let mut balancer = Balancer::new(&topic.subscribers, &self.loads);
            for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
                let member = balancer.next_emptiest(&self.loads);
                *owner = Some(member);
                self.loads[member] += 1;
            }
        }
    }

    /// Moves partitions until no topic can be made more even (`balanceTopics`).
    fn balance(&mut self) {
        let topics = self.sorted_topics(|topic| topic.subscribers.len() >= 2);
        // Once all topics after it have been looked at in vain, it need not be looked at again.
        let mut last_moved = None;
        for _ in 0..ROUNDS {
            for topic_id in &topics {
                if last_moved == Some(*topic_id) {
                    return;
                }
                if self.balance_topic(*topic_id) > 0 || last_moved.is_none() {
                    last_moved = Some(*topic_id);
                }
            }
        }
    }

    /// Moves partitions of one topic from its fullest subscribers to its emptiest. How many moved (`balanceTopic`).
    fn balance_topic(&mut self, topic_id: TopicId) -> usize {
        let Some(topic) = self.topics.get_mut(&topic_id) else { return 0 };
        let loads = topic.subscribers.iter().map(|member| self.loads[*member]);
        let (least, most) = (loads.clone().min().unwrap_or(0), loads.max().unwrap_or(0));
        if most - least <= 1 {
            return 0;
        }
        let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (partition, owner) in topic.owners.iter().enumerate() {
            if let Some(owner) = owner {
                owned.entry(*owner).or_default().push(partition);
            }
        }
        let mut balancer = Balancer::new(&topic.subscribers, &self.loads);
        let mut moved = 0;
        while !balancer.is_even() {
            let Some((from, partition)) = next_to_move(&mut balancer, &mut owned, &self.loads) else { break };
            let to = balancer.next_emptiest(&self.loads);
            if balancer.is_even() {
                break;
            }
            topic.owners[partition] = Some(to);
            self.loads[from] -= 1;
            self.loads[to] += 1;
            moved += 1;
        }
        moved
    }

    /// The topics that `are_meant`: those that give each subscriber the most first, then those with the fewest subscribers, then
    /// by id (`topicComparator`).
    fn sorted_topics(&self, are_meant: impl Fn(&Topic) -> bool) -> Vec<TopicId> {
        let mut sorted: Vec<_> = self.topics.iter().filter(|(_, topic)| are_meant(topic)).collect();
        sorted.sort_by(|(one_id, one), (other_id, other)| {
            // one.partitions / one.subscribers, the greater first, without a division.
            let (one_share, other_share) = (
                one.owners.len() as u128 * other.subscribers.len() as u128,
                other.owners.len() as u128 * one.subscribers.len() as u128,
            );
            let by_share = other_share.cmp(&one_share);
            by_share.then_with(|| one.subscribers.len().cmp(&other.subscribers.len())).then(by_id(**one_id, **other_id))
        });
        sorted.into_iter().map(|(topic_id, _)| *topic_id).collect()
    }

    fn target(self) -> BTreeMap<String, Partitions> {
        let mut target: BTreeMap<&str, BTreeSet<_>> =
            self.members.iter().map(|member_id| (*member_id, BTreeSet::new())).collect();
        for (topic_id, topic) in &self.topics {
            for (partition, owner) in (0..).map(PartitionId).zip(&topic.owners) {
                let of_owner = owner.and_then(|owner| target.get_mut(self.members[owner]));
                if let Some(of_owner) = of_owner {
                    of_owner.insert((*topic_id, partition));
                }
            }
        }
        target_of(target)
    }
}

/// The fullest member that has a partition of the topic left, and the last that it has.
fn next_to_move(
    balancer: &mut Balancer,
    owned: &mut BTreeMap<usize, Vec<usize>>,
    loads: &[i32],
) -> Option<(usize, usize)> {
    loop {
        let member = balancer.next_fullest(loads)?;
        match owned.get_mut(&member).and_then(Vec::pop) {
            Some(partition) => return Some((member, partition)),
            None => balancer.leave_out_fullest(),
        }
    }
}

/// `Uuid.compareTo`, whose halves have a sign.
fn by_id(one: TopicId, other: TopicId) -> Ordering {
    let halves = |id: TopicId| {
        let (most, least) = id.0.as_u64_pair();
        (most.cast_signed(), least.cast_signed())
    };
    halves(one).cmp(&halves(other))
}
