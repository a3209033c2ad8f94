//! Sticky: as even as can be, and as few moves as can be; and cooperative sticky, which in one rebalance only takes
//! partitions away, and gives them to others in the next.
//!
//! [`constrained`] is for members that all subscribe to the same topics, [`general`] for all others. Both go by racks
//! (KIP-881).
//! Source: `AbstractStickyAssignor`, `StickyAssignor`, `CooperativeStickyAssignor`.

mod constrained;
mod general;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Member, Topics, java,
    protocol::{Reader, put_partitions},
    racks::Racks,
};
use crate::{config::Assignor, record::TopicPartition};

/// `AbstractStickyAssignor.DEFAULT_GENERATION`.
const NO_GENERATION: i32 = -1;

/// What one member has, by its own account.
#[derive(Clone, Debug, Default)]
struct Claim {
    partitions: Vec<TopicPartition>,
    generation_id: Option<i32>,
}

/// What the assignor tells itself in a subscription: the partitions of the last assignment, and its generation.
pub(super) fn user_data(assignor: Assignor, last: &[TopicPartition], generation_id: i32) -> Option<Bytes> {
    let mut buffer = BytesMut::new();
    match assignor {
        // An eager member has given everything back when it says this.
        Assignor::Sticky if generation_id == NO_GENERATION => return None,
        Assignor::Sticky => {
            put_partitions(&mut buffer, last);
            buffer.put_i32(generation_id);
        }
        _ => buffer.put_i32(generation_id),
    }
    Some(buffer.freeze())
}

/// `memberData`.
fn claim(assignor: Assignor, member: &Member) -> Claim {
    let subscription = &member.subscription;
    let user_data = subscription.user_data.as_deref();
    if assignor == Assignor::Sticky {
        let read = || {
            let mut reader = Reader(user_data?);
            let partitions = reader.partitions()?;
            // The first version had no generation.
            Some(Claim { partitions, generation_id: reader.int32() })
        };
        return read().unwrap_or_default();
    }
    let told = || user_data.map(|bytes| Reader(bytes).int32().unwrap_or(NO_GENERATION));
    Claim { partitions: subscription.owned.clone(), generation_id: subscription.generation_id.or_else(told) }
}

/// A member under consideration.
#[derive(Debug)]
struct Candidate<'a> {
    id: &'a str,
    topics: Vec<Arc<str>>,
    claim: Claim,
    /// What it has beyond doubt.
    owned: Vec<TopicPartition>,
}

/// Everything that the two algorithms go by.
#[derive(Debug)]
struct Situation<'a> {
    /// In the order of Java's `HashMap`.
    candidates: Vec<Candidate<'a>>,
    counts: BTreeMap<Arc<str>, i32>,
    racks: Racks<'a>,
    /// Whether to go by `racks`.
    racks_matter: bool,
    /// Claimed by two members in one generation, and so by nobody.
    disputed: BTreeSet<TopicPartition>,
    max_generation: i32,
    equal_subscriptions: bool,
}

/// `AbstractStickyAssignor.assignPartitions`, for members in the order in which the broker named them.
pub(super) fn assign(assignor: Assignor, members: &[Member], topics: &Topics) -> BTreeMap<String, Vec<TopicPartition>> {
    if members.is_empty() {
        return BTreeMap::new();
    }
    let situation = situation(assignor, members, topics);
    let (mut assignment, transferring) = match situation.equal_subscriptions {
        true => {
            let (assignment, transferring) = constrained::assign(&situation);
            (assignment, Some(transferring))
        }
        false => (general::assign(&situation), None),
    };
    if assignor == Assignor::CooperativeSticky {
        let transferring = transferring.unwrap_or_else(|| moved(members, &assignment));
        for (partition, to) in transferring {
            if let Some(partitions) = assignment.get_mut(&to) {
                partitions.retain(|other| *other != partition);
            }
        }
    }
    assignment
}

/// `allSubscriptionsEqual`: who has what, where claims contradict each other.
fn situation<'a>(assignor: Assignor, members: &'a [Member], topics: &'a Topics) -> Situation<'a> {
    let mut sorted: Vec<&Member> = members.iter().collect();
    java::sort_by_string(&mut sorted, |member| &member.member_id);
    let subscribed = |topic: &Arc<str>| members.iter().any(|member| member.subscribes(topic));
    let counts: BTreeMap<_, _> = topics
        .counts
        .iter()
        .filter(|(topic, count)| **count > 0 && subscribed(topic))
        .map(|(topic, count)| (Arc::clone(topic), *count))
        .collect();
    let mut candidates: Vec<Candidate<'a>> = Vec::new();
    let mut owners: HashMap<TopicPartition, usize> = HashMap::new();
    let mut disputed = BTreeSet::new();
    let mut first_topics: BTreeSet<&Arc<str>> = BTreeSet::new();
    let (mut equal_subscriptions, mut max_generation) = (true, NO_GENERATION);
    for member in &sorted {
        let topics: BTreeSet<_> = member.subscription.topics.iter().collect();
        if first_topics.is_empty() {
            first_topics = topics;
        } else if topics != first_topics {
            equal_subscriptions = false;
        }
        let claim = claim(assignor, member);
        let generation = claim.generation_id.unwrap_or(NO_GENERATION);
        max_generation = max_generation.max(generation);
        let own = candidates.len();
        candidates.push(Candidate {
            id: &member.member_id,
            topics: member.subscription.topics.clone(),
            claim: claim.clone(),
            owned: Vec::new(),
        });
        for partition in claim.partitions.into_iter().filter(|partition| counts.contains_key(&partition.topic)) {
            let Some(other) = owners.get(&partition).copied() else {
                owners.insert(partition.clone(), own);
                candidates[own].owned.push(partition);
                continue;
            };
            // Java looks at what the subscription says here, not at what the assignor told itself.
            let others = sorted[other].subscription.generation_id.unwrap_or(NO_GENERATION);
            if generation == others {
                candidates[other].owned.retain(|owned| *owned != partition);
                owners.insert(partition.clone(), own);
                disputed.insert(partition);
            } else if generation > others {
                candidates[other].owned.retain(|owned| *owned != partition);
                owners.insert(partition.clone(), own);
                candidates[own].owned.push(partition);
            }
        }
    }
    // The owned partitions are in a map of their own, filled in the order of the first.
    java::sort_by_string(&mut candidates, |candidate| candidate.id);
    let racks = Racks::known(members, &topics.racks);
    let racks_matter = racks.matter(counts.iter().map(|(topic, count)| (topic, *count)));
    Situation { candidates, counts, racks, racks_matter, disputed, max_generation, equal_subscriptions }
}

impl Situation<'_> {
    /// Whether the member has a replica near or does not mind, or nobody goes by that (`racksMismatch`).
    fn racks_match(&self, member_id: &str, partition: &TopicPartition) -> bool {
        !self.racks_matter || self.racks.match_for(member_id, partition)
    }
}

/// `computePartitionsTransferringOwnership`: what goes from one member to another, and to whom.
fn moved(members: &[Member], assignment: &BTreeMap<String, Vec<TopicPartition>>) -> Vec<(TopicPartition, String)> {
    let (mut added, mut revoked) = (Vec::new(), BTreeSet::new());
    for member in members {
        let owned: BTreeSet<_> = member.subscription.owned.iter().collect();
        let assigned: BTreeSet<_> = assignment.get(&member.member_id).into_iter().flatten().collect();
        added.extend(assigned.difference(&owned).map(|partition| ((*partition).clone(), member.member_id.clone())));
        revoked.extend(owned.difference(&assigned).copied());
    }
    added.retain(|(partition, _)| revoked.contains(partition));
    added
}
