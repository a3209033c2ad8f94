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
    builder.deal(situation, &kept);
    (builder.assignment, builder.transferring)
}

impl<'a> Builder<'a> {
    /// Lets members keep what they have, up to their share (`assignOwnedPartitions`).
    fn keep(&mut self, situation: &Situation<'a>) -> BTreeSet<TopicPartition> {
        let mut kept = BTreeSet::new();
        for member in &situation.candidates {
            let mut owned: Vec<_> =
                member.owned.iter().filter(|owned| !situation.disputed.contains(owned)).cloned().collect();
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

    /// Deals out what nobody kept (`assignRoundRobin`).
    fn deal(&mut self, situation: &Situation<'a>, kept: &BTreeSet<TopicPartition>) {
        let all = situation.counts.iter().flat_map(|(topic, count)| {
            (0..*count).map(|partition| TopicPartition { topic: Arc::clone(topic), partition })
        });
        let mut turn = 0;
        for partition in all.filter(|partition| !kept.contains(partition)) {
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
            let disputed = situation.disputed.contains(&partition);
            if disputed || self.given_up.get(&partition).is_some_and(|from| *from != to) {
                self.transferring.push((partition.clone(), to.to_owned()));
            }
            let partitions = self.assignment.entry(to.to_owned()).or_default();
            partitions.push(partition);
            if partitions.len() == self.least {
                turn -= 1;
                self.below.remove(turn);
                self.exactly.push_back(to);
            }
        }
    }
}
