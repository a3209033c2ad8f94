//! For members that all subscribe to the same topics: everybody keeps what fits into its share, and the rest is dealt out.
//!
//! Source: `AbstractStickyAssignor.ConstrainedAssignmentBuilder`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::Situation;
use crate::record::TopicPartition;

type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// Members get `least` partitions, and `over` of them one more.
struct Builder<'a> {
    least: usize,
    most: usize,
    over: usize,
    /// Members that have `most` where that is more than `least`.
    have_most: usize,
    below: Vec<&'a str>,
    exactly: VecDeque<&'a str>,
    assignment: Assignment,
    /// Who had to give a partition up.
    given_up: HashMap<TopicPartition, &'a str>,
    transferring: Vec<(TopicPartition, String)>,
}

/// The assignment, and what goes in it from one member to another.
pub(super) fn assign(situation: &Situation<'_>) -> (Assignment, Vec<(TopicPartition, String)>) {
    let total = situation.counts.values().map(|count| *count as usize).sum::<usize>();
    let members = situation.candidates.len();
    let mut builder = Builder {
        least: total / members,
        most: total.div_ceil(members),
        over: total % members,
        have_most: 0,
        below: Vec::new(),
        exactly: VecDeque::new(),
        assignment: situation.candidates.iter().map(|member| (member.id.to_owned(), Vec::new())).collect(),
        given_up: HashMap::new(),
        transferring: Vec::new(),
    };
    let kept = builder.keep(situation);
    builder.below.sort_unstable();
    builder.exactly.make_contiguous().sort_unstable();
    let mut left = left(situation, &kept);
    builder.deal_near(situation, &mut left);
    builder.deal(situation, left);
    (builder.assignment, builder.transferring)
}

/// What nobody kept, where members are in racks those first that the fewest members are near (`sortPartitionsByRackConsumers`).
fn left(situation: &Situation<'_>, kept: &BTreeSet<TopicPartition>) -> Vec<TopicPartition> {
    let all = situation
        .counts
        .iter()
        .flat_map(|(topic, count)| (0..*count).map(|partition| TopicPartition { topic: Arc::clone(topic), partition }));
    let mut left: Vec<_> = all.filter(|partition| !kept.contains(partition)).collect();
    if situation.racks.has_members() {
        left.sort_by_cached_key(|partition| situation.racks.members_near(partition));
    }
    left
}

impl<'a> Builder<'a> {
    /// Lets members keep what they have, up to their share, and if it is near (`assignOwnedPartitions`).
    fn keep(&mut self, situation: &Situation<'a>) -> BTreeSet<TopicPartition> {
        let mut kept = BTreeSet::new();
        for member in &situation.candidates {
            let owned = member.owned.iter().filter(|owned| !situation.disputed.contains(owned)).cloned();
            let (mut owned, far): (Vec<_>, Vec<_>) =
                owned.partition(|partition| situation.racks_match(member.id, partition));
            self.given_up.extend(far.into_iter().map(|partition| (partition, member.id)));
            owned.sort_by(|a, b| (a.partition, &a.topic).cmp(&(b.partition, &b.topic)));
            let share = if owned.len() < self.least {
                self.below.push(member.id);
                owned.len()
            } else if owned.len() >= self.most && self.have_most < self.over {
                self.have_most += 1;
                if self.have_most == self.over {
                    self.exactly.clear();
                }
                self.most
            } else {
                if self.have_most < self.over {
                    self.exactly.push_back(member.id);
                }
                self.least
            };
            self.given_up.extend(owned.split_off(share).into_iter().map(|partition| (partition, member.id)));
            kept.extend(owned.iter().cloned());
            self.assignment.entry(member.id.to_owned()).or_default().extend(owned);
        }
        kept
    }

    /// Deals out what members are near, to these (`assignRackAwareRoundRobin`).
    fn deal_near(&mut self, situation: &Situation<'a>, left: &mut Vec<TopicPartition>) {
        if !situation.racks_matter {
            return;
        }
        let mut turn = 0;
        left.retain(|partition| match self.take_near(situation, partition, &mut turn) {
            Some(to) => {
                self.give(situation, partition.clone(), to);
                false
            }
            None => true,
        });
    }

    /// Whose turn it is to get a partition among the members that are near it.
    fn take_near(
        &mut self,
        situation: &Situation<'a>,
        partition: &TopicPartition,
        turn: &mut usize,
    ) -> Option<&'a str> {
        let is_near = |id: &str| situation.racks.are_near(id, partition);
        let count = self.below.len();
        if let Some(at) = (0..count).map(|step| (*turn + step) % count).find(|at| is_near(self.below[*at])) {
            let to = self.below[at];
            let will_have = self.assignment[to].len() + 1;
            let mut next = at;
            if will_have < self.least {
                next += 1;
            } else {
                self.below.remove(at);
                if will_have < self.most && self.have_most < self.over {
                    self.exactly.push_back(to);
                }
            }
            *turn = if self.below.is_empty() { 0 } else { next % self.below.len() };
            return Some(to);
        }
        let at = self.exactly.iter().position(|id| is_near(id))?;
        let to = self.exactly[at];
        if self.assignment[to].len() + 1 == self.most {
            self.exactly.remove(at);
            self.have_most += 1;
            if self.have_most == self.over {
                self.exactly.clear();
            }
        }
        Some(to)
    }

    /// Deals out what is left (`assignRoundRobin`).
    fn deal(&mut self, situation: &Situation<'a>, left: Vec<TopicPartition>) {
        let mut turn = 0;
        for partition in left {
            if turn >= self.below.len() {
                turn = 0;
            }
            let to = match self.below.get(turn) {
                Some(to) => {
                    turn += 1;
                    *to
                }
                None => match self.exactly.pop_front() {
                    Some(to) => to,
                    // The shares add up to all partitions, so there is always somebody.
                    None => return,
                },
            };
            if self.give(situation, partition, to) == self.least {
                turn -= 1;
                self.below.remove(turn);
                self.exactly.push_back(to);
            }
        }
    }

    /// Gives a partition to a member, and says how many that has then (`assignNewPartition`).
    fn give(&mut self, situation: &Situation<'a>, partition: TopicPartition, to: &'a str) -> usize {
        let disputed = situation.disputed.contains(&partition);
        if disputed || self.given_up.get(&partition).is_some_and(|from| *from != to) {
            self.transferring.push((partition.clone(), to.to_owned()));
        }
        let partitions = self.assignment.entry(to.to_owned()).or_default();
        partitions.push(partition);
        partitions.len()
    }
}
