//! For members with different subscriptions: everybody keeps what it may keep, the rest goes to whoever has least, and then
//! partitions move as long as that makes it more even.
//!
//! Source: `AbstractStickyAssignor.GeneralAssignmentBuilder` and `PartitionMovements`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{NO_GENERATION, Situation};
use crate::{consumer::assignor::java, record::TopicPartition};

type Assignment = BTreeMap<String, Vec<TopicPartition>>;

struct Builder {
    counts: BTreeMap<Arc<str>, i32>,
    /// Topics that exist, by member.
    topics: BTreeMap<String, Vec<Arc<str>>>,
    /// How many members can have a topic.
    potential: BTreeMap<Arc<str>, Vec<String>>,
    current: Assignment,
    owner: HashMap<TopicPartition, String>,
    /// Members by how much they have.
    by_size: BTreeSet<(usize, String)>,
    /// Who had a partition in an earlier generation.
    previous: HashMap<TopicPartition, (String, i32)>,
    movements: Movements,
    must_revoke: bool,
}

pub(super) fn assign(situation: &Situation<'_>) -> Assignment {
    let mut builder = Builder::new(situation);
    let kept = builder.keep(situation);
    let all = builder.all_partitions();
    let unassigned: Vec<_> = all.iter().filter(|partition| !kept.contains(partition)).cloned().collect();
    builder.by_size = builder.current.iter().map(|(id, partitions)| (partitions.len(), id.clone())).collect();
    let initializing = builder.by_size.last().is_none_or(|(most, _)| *most == 0);
    let mut left = unassigned.clone();
    if situation.racks_matter {
        left.retain(|partition| !builder.give(partition, |id| situation.racks_match(id, partition)));
    }
    for partition in &left {
        builder.give(partition, |_| true);
    }
    builder.balance(all, unassigned, initializing);
    builder.current
}

impl Builder {
    fn new(situation: &Situation<'_>) -> Self {
        let mut topics: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
        let mut potential: BTreeMap<Arc<str>, Vec<String>> =
            situation.counts.keys().map(|topic| (Arc::clone(topic), Vec::new())).collect();
        let mut previous: HashMap<TopicPartition, (String, i32)> = HashMap::new();
        for member in &situation.candidates {
            let existing = member.topics.iter().filter(|topic| situation.counts.contains_key(*topic));
            let existing: Vec<_> = existing.cloned().collect();
            for topic in &existing {
                potential.entry(Arc::clone(topic)).or_default().push(member.id.to_owned());
            }
            topics.insert(member.id.to_owned(), existing);
            let generation = member.claim.generation_id.unwrap_or(NO_GENERATION);
            if generation < situation.max_generation {
                for partition in &member.claim.partitions {
                    let known = previous.entry(partition.clone()).or_insert_with(|| (member.id.to_owned(), generation));
                    if generation > known.1 {
                        *known = (member.id.to_owned(), generation);
                    }
                }
            }
        }
        Self {
            counts: situation.counts.clone(),
            topics,
            potential,
            current: BTreeMap::new(),
            owner: HashMap::new(),
            by_size: BTreeSet::new(),
            previous,
            movements: Movements::default(),
            must_revoke: false,
        }
    }

    /// `assignOwnedPartitions`.
    fn keep(&mut self, situation: &Situation<'_>) -> BTreeSet<TopicPartition> {
        for member in &situation.candidates {
            for partition in &member.owned {
                self.owner.insert(partition.clone(), member.id.to_owned());
            }
        }
        let mut kept = BTreeSet::new();
        for member in &situation.candidates {
            let (may_keep, rest): (Vec<_>, Vec<_>) = member.owned.iter().cloned().partition(|partition| {
                member.topics.contains(&partition.topic) && situation.racks_match(member.id, partition)
            });
            self.must_revoke |= !rest.is_empty();
            kept.extend(may_keep.iter().cloned());
            self.current.insert(member.id.to_owned(), may_keep);
        }
        kept
    }

    /// All partitions, those first that the fewest members can have (`TopicComparator`).
    fn all_partitions(&self) -> Vec<TopicPartition> {
        let mut topics: Vec<_> = self.potential.iter().collect();
        topics.sort_by_key(|(topic, members)| (members.len(), Arc::clone(topic)));
        let partitions = topics.into_iter().flat_map(|(topic, _)| {
            (0..self.counts[topic]).map(|partition| TopicPartition { topic: Arc::clone(topic), partition })
        });
        partitions.collect()
    }

    fn size(&self, id: &str) -> usize {
        self.current.get(id).map_or(0, Vec::len)
    }

    fn can_have(&self, id: &str, topic: &Arc<str>) -> bool {
        self.topics.get(id).is_some_and(|topics| topics.contains(topic))
    }

    /// Gives a partition to whoever has least of those that it suits (`maybeAssignPartition`).
    fn give(&mut self, partition: &TopicPartition, suits: impl Fn(&str) -> bool) -> bool {
        let to = self.by_size.iter().find(|(_, id)| self.can_have(id, &partition.topic) && suits(id));
        let Some((size, id)) = to.cloned() else { return false };
        self.by_size.remove(&(size, id.clone()));
        self.current.entry(id.clone()).or_default().push(partition.clone());
        self.owner.insert(partition.clone(), id.clone());
        self.by_size.insert((size + 1, id))
    }

    fn balance(&mut self, mut all: Vec<TopicPartition>, mut unassigned: Vec<TopicPartition>, initializing: bool) {
        // What only one member can have stays where it is, and so do members with nothing else.
        let movable = |partition: &TopicPartition| self.potential[&partition.topic].len() >= 2;
        all.retain(movable);
        unassigned.retain(movable);
        let fixed: Vec<_> = self.topics.keys().filter(|id| !self.can_take_part(id)).cloned().collect();
        let mut aside = Assignment::new();
        for id in fixed {
            self.by_size.remove(&(self.size(&id), id.clone()));
            aside.extend(self.current.remove_entry(&id));
        }
        let before = self.current.clone();
        if !self.must_revoke {
            self.reassign(&unassigned);
        }
        let changed = self.reassign(&all);
        if !initializing && changed && score(&self.current) >= score(&before) {
            self.current = before;
        }
        self.current.extend(aside);
    }

    /// `getMaxAssignmentSize`.
    fn most_possible(&self, id: &str) -> usize {
        self.topics[id].iter().map(|topic| self.counts[topic] as usize).sum()
    }

    /// `canConsumerParticipateInReassignment`.
    fn can_take_part(&self, id: &str) -> bool {
        let Some(partitions) = self.current.get(id) else { return false };
        partitions.len() < self.most_possible(id)
            || partitions.iter().any(|partition| self.potential[&partition.topic].len() >= 2)
    }

    /// Moves partitions as long as that makes it more even (`performReassignments`).
    fn reassign(&mut self, partitions: &[TopicPartition]) -> bool {
        let mut performed = false;
        loop {
            let mut modified = false;
            for partition in partitions {
                if self.is_balanced() {
                    break;
                }
                let Some(owner) = self.owner.get(partition).cloned() else { continue };
                let size = self.size(&owner);
                if let Some((previous, _)) = self.previous.get(partition).cloned()
                    && size > self.size(&previous) + 1
                {
                    self.move_towards(partition, &owner, &previous);
                    (performed, modified) = (true, true);
                    continue;
                }
                if self.potential[&partition.topic].iter().any(|other| size > self.size(other) + 1) {
                    let to = self.by_size.iter().find(|(_, id)| self.can_have(id, &partition.topic));
                    if let Some((_, to)) = to.cloned() {
                        self.move_towards(partition, &owner, &to);
                        (performed, modified) = (true, true);
                    }
                }
            }
            if !modified {
                return performed;
            }
        }
    }

    fn is_balanced(&self) -> bool {
        let (Some((least, _)), Some((most, _))) = (self.by_size.first(), self.by_size.last()) else { return true };
        if least + 1 >= *most {
            return true;
        }
        let owners: HashMap<&TopicPartition, &String> =
            self.current.iter().flat_map(|(id, partitions)| partitions.iter().map(move |p| (p, id))).collect();
        for (size, id) in &self.by_size {
            if *size == self.most_possible(id) {
                continue;
            }
            for topic in &self.topics[id] {
                for partition in 0..self.counts[topic] {
                    let partition = TopicPartition { topic: Arc::clone(topic), partition };
                    if let Some(owner) = owners.get(&partition)
                        && *owner != id
                        && size + 1 < self.size(owner)
                    {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// `reassignPartition`: perhaps another partition of the topic moves, one that came the other way before.
    fn move_towards(&mut self, partition: &TopicPartition, owner: &str, to: &str) {
        let partition = self.movements.better(partition, owner, to);
        let Some(from) = self.owner.get(&partition).cloned() else { return };
        self.by_size.remove(&(self.size(&from), from.clone()));
        self.by_size.remove(&(self.size(to), to.to_owned()));
        self.movements.record(&partition, &from, to);
        if let Some(partitions) = self.current.get_mut(&from) {
            partitions.retain(|other| *other != partition);
        }
        self.current.entry(to.to_owned()).or_default().push(partition.clone());
        self.owner.insert(partition, to.to_owned());
        self.by_size.insert((self.size(to), to.to_owned()));
        self.by_size.insert((self.size(&from), from));
    }
}

/// The sum of the differences between all pairs of members (`getBalanceScore`).
fn score(assignment: &Assignment) -> usize {
    let sizes: Vec<_> = assignment.values().map(Vec::len).collect();
    let pairs = sizes.iter().enumerate().flat_map(|(index, a)| sizes[index + 1..].iter().map(|b| a.abs_diff(*b)));
    pairs.sum()
}

/// From whom to whom.
type Pair = (String, String);

/// Partitions of a topic that went one way, in the order of their coming, and how many there were at most.
type Moved = (Vec<TopicPartition>, usize);

/// What moved so far, so that no two partitions of a topic change places.
#[derive(Default)]
struct Movements {
    by_partition: HashMap<TopicPartition, Pair>,
    by_topic: HashMap<Arc<str>, HashMap<Pair, Moved>>,
}

impl Movements {
    /// `getTheActualPartitionToBeMoved`.
    fn better(&self, partition: &TopicPartition, owner: &str, to: &str) -> TopicPartition {
        let Some(of_topic) = self.by_topic.get(&partition.topic) else { return partition.clone() };
        let from = self.by_partition.get(partition).map_or(owner, |(from, _)| from.as_str());
        let reverse = of_topic.get(&(to.to_owned(), from.to_owned()));
        let other = reverse.and_then(|(partitions, most)| java::first_partition(partitions, *most));
        other.unwrap_or(partition).clone()
    }

    /// `movePartition`.
    fn record(&mut self, partition: &TopicPartition, from: &str, to: &str) {
        let pair = match self.by_partition.remove(partition) {
            None => (from.to_owned(), to.to_owned()),
            Some(earlier) => {
                self.forget(partition, &earlier);
                if earlier.0 == to {
                    return;
                }
                (earlier.0, to.to_owned())
            }
        };
        self.by_partition.insert(partition.clone(), pair.clone());
        let (partitions, most) =
            self.by_topic.entry(Arc::clone(&partition.topic)).or_default().entry(pair).or_default();
        partitions.push(partition.clone());
        *most = (*most).max(partitions.len());
    }

    fn forget(&mut self, partition: &TopicPartition, pair: &Pair) {
        let Some(of_topic) = self.by_topic.get_mut(&partition.topic) else { return };
        if let Some((partitions, _)) = of_topic.get_mut(pair) {
            partitions.retain(|other| other != partition);
            if partitions.is_empty() {
                of_topic.remove(pair);
            }
        }
        if of_topic.is_empty() {
            self.by_topic.remove(&partition.topic);
        }
    }
}
