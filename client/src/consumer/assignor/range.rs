//! Range: each topic by itself, cut into as many stretches as it has subscribers; the first ones get one more. What can be
//! read near where a member is goes there first, within the same shares (KIP-881).
//!
//! Source: `RangeAssignor`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Member, Topics, nothing, racks::Racks};
use crate::record::TopicPartition;

type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// A topic on its way to be assigned (`RangeAssignor.TopicAssignmentState`).
struct Topic<'a> {
    name: &'a Arc<str>,
    count: i32,
    /// Its subscribers, in order, with how many partitions each has so far.
    members: Vec<(&'a str, i32)>,
    racks: Racks<'a>,
    racks_matter: bool,
    unassigned: BTreeSet<i32>,
    each: i32,
    /// How many members may still get one more.
    more: i32,
}

pub(super) fn assign(members: &[&Member], topics: &Topics) -> Assignment {
    let mut assignment = nothing(members);
    let topic = |(name, count): (_, &i32)| Topic::new(name, *count, members, topics);
    let mut topics: Vec<Topic<'_>> = topics.counts.iter().filter_map(topic).collect();
    if topics.iter().any(|topic| topic.racks_matter) {
        assign_near(&mut topics, &mut assignment);
    }
    for topic in &mut topics {
        topic.assign_ranges(false, &mut assignment);
    }
    assignment
}

/// Assigns what can be read near (`assignWithRackMatching`). Topics with the same members and as many partitions are
/// co-partitioned: partitions of one number stay together.
fn assign_near(topics: &mut [Topic<'_>], assignment: &mut Assignment) {
    let mut alike: BTreeMap<(Vec<&str>, i32), Vec<&mut Topic<'_>>> = BTreeMap::new();
    for topic in topics {
        // Without a member that says where it is nobody looks at partitions (`partitionRacks.size()`).
        let count = if topic.racks.has_members() { topic.count } else { 0 };
        let members = topic.members.iter().map(|(id, _)| *id).collect();
        alike.entry((members, count)).or_default().push(topic);
    }
    for ((members, count), mut topics) in alike {
        match &mut *topics {
            [topic] if topic.racks_matter => topic.assign_ranges(true, assignment),
            [_] => {}
            topics => assign_together(&members, count, topics, assignment),
        }
    }
}

/// `assignCoPartitionedWithRackMatching`.
fn assign_together(members: &[&str], count: i32, topics: &mut [&mut Topic<'_>], assignment: &mut Assignment) {
    let mut left: Vec<usize> = (0..members.len()).collect();
    for partition in 0..count {
        let suits = |at: &usize| topics.iter().all(|topic| topic.suits(*at, partition) && topic.room(*at) > 0);
        let Some(place) = left.iter().position(suits) else { continue };
        let at = left[place];
        for topic in topics.iter_mut() {
            topic.give(at, [partition], assignment);
        }
        if topics.iter().all(|topic| topic.room(at) == 0) {
            left.remove(place);
        }
    }
}

impl<'a> Topic<'a> {
    fn new(name: &'a Arc<str>, count: i32, members: &[&'a Member], topics: &'a Topics) -> Option<Self> {
        let subscribers: Vec<&Member> = members.iter().copied().filter(|member| member.subscribes(name)).collect();
        let (Ok(member_count @ 1..), 1..) = (i32::try_from(subscribers.len()), count) else { return None };
        let racks = Racks::known(subscribers.iter().copied(), topics.racks.get_key_value(name));
        Some(Self {
            name,
            count,
            members: subscribers.iter().map(|member| (member.member_id.as_str(), 0)).collect(),
            racks_matter: racks.matter([(name, count)]),
            racks,
            unassigned: (0..count).collect(),
            each: count / member_count,
            more: count % member_count,
        })
    }

    fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition { topic: Arc::clone(self.name), partition: number }
    }

    fn suits(&self, at: usize, partition: i32) -> bool {
        self.racks.match_for(self.members[at].0, &self.partition(partition))
    }

    /// How many more the member may get (`maxAssignable`).
    fn room(&self, at: usize) -> i32 {
        (self.each + i32::from(self.more > 0) - self.members[at].1).max(0)
    }

    fn give(&mut self, at: usize, partitions: impl IntoIterator<Item = i32>, assignment: &mut Assignment) {
        for partition in partitions {
            self.unassigned.remove(&partition);
            self.members[at].1 += 1;
            let given = self.partition(partition);
            assignment.entry(self.members[at].0.to_owned()).or_default().push(given);
        }
        if self.members[at].1 > self.each {
            self.more -= 1;
        }
    }

    /// Gives each member its stretch of what is left, or of what is near of that.
    fn assign_ranges(&mut self, near: bool, assignment: &mut Assignment) {
        for at in 0..self.members.len() {
            let room = usize::try_from(self.room(at)).unwrap_or(0);
            let suitable = self.unassigned.iter().copied().filter(|partition| !near || self.suits(at, *partition));
            let stretch: Vec<i32> = suitable.take(room).collect();
            if !stretch.is_empty() {
                self.give(at, stretch, assignment);
            }
        }
    }
}
