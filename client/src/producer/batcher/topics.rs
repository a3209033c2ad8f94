//! The topics that are sent to, and the lanes of their partitions.

use std::{collections::BTreeMap, sync::Arc};

use super::{Batcher, Lane, LaneId};
use crate::{cluster::metadata::Topic, producer::sticky::Sticky};

/// A topic's number in the batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicIndex(usize);

/// What is known of a topic as of an edition of the metadata.
#[derive(Debug)]
struct TopicLanes {
    edition: u64,
    known: Arc<Topic>,
    by_partition: Vec<Option<LaneId>>,
    sticky: Sticky,
}

/// Every topic that was ever sent to.
#[derive(Debug, Default)]
pub(super) struct Topics {
    numbers: BTreeMap<Arc<str>, TopicIndex>,
    all: Vec<TopicLanes>,
}

impl Batcher {
    /// A topic that is known, and how many partitions it has. It is looked up once for each edition of the metadata, not for
    /// each record.
    pub(crate) fn topic(
        &mut self,
        name: &Arc<str>,
        edition: u64,
        look_up: impl FnOnce() -> Option<Arc<Topic>>,
    ) -> Option<(TopicIndex, usize)> {
        let Topics { numbers, all } = &mut self.topics;
        let number = match numbers.get(name) {
            Some(number) => *number,
            None => {
                let known = look_up()?;
                let number = TopicIndex(all.len());
                numbers.insert(Arc::clone(&known.name), number);
                all.push(TopicLanes { edition, known, by_partition: Vec::new(), sticky: Sticky::default() });
                return Some((number, all[number.0].known.partitions.len()));
            }
        };
        let topic = &mut all[number.0];
        if topic.edition != edition {
            (topic.known, topic.edition) = (look_up()?, edition);
        }
        Some((number, topic.known.partitions.len()))
    }

    /// The partition for a record without key.
    pub(crate) fn sticky_partition(&mut self, topic: TopicIndex, size: usize) -> usize {
        let (lanes, batch_size) = (&self.lanes, self.limits.batch_size);
        let TopicLanes { known, by_partition, sticky, .. } = &mut self.topics.all[topic.0];
        let begins_batch = |partition: usize| {
            let lane = by_partition.get(partition).copied().flatten();
            lane.is_none_or(|lane| match &lanes[lane.0 as usize].open {
                Some(open) => open.builder.len() + size > batch_size,
                None => true,
            })
        };
        let queued = |partition: usize| {
            let lane = by_partition.get(partition).copied().flatten();
            lane.map_or(0, |lane| lanes[lane.0 as usize].queued())
        };
        let queued: Option<&dyn Fn(usize) -> usize> = if self.limits.adaptive { Some(&queued) } else { None };
        let partition = sticky.partition(&known.partitions, batch_size, begins_batch, queued, &mut self.random);
        sticky.produced(size);
        partition
    }

    /// The lane of a partition, which begins with the first record for it.
    #[inline]
    pub(super) fn lane(&mut self, topic: TopicIndex, partition: usize) -> LaneId {
        match self.topics.all[topic.0].by_partition.get(partition) {
            Some(Some(lane)) => *lane,
            _ => self.begin_lane(topic, partition),
        }
    }

    fn begin_lane(&mut self, topic: TopicIndex, partition: usize) -> LaneId {
        let TopicLanes { known, by_partition, .. } = &mut self.topics.all[topic.0];
        if by_partition.len() <= partition {
            by_partition.resize(partition + 1, None);
        }
        let mut lane = Lane::new(Arc::clone(&known.name), partition as i32);
        if let Some(producer_id) = self.producer_id {
            lane.sequence.identify(producer_id);
        }
        if let Some(identity) = self.identity {
            lane.sequence.adopt(identity);
        }
        lane.admitted = !self.admits_by_request;
        let id = LaneId(self.lanes.len() as u32);
        self.lanes.push(lane);
        by_partition[partition] = Some(id);
        id
    }

    /// What every topic that was ever sent to is called.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.numbers.keys()
    }

    /// The lanes whose batch takes records and lingers, with topic and partition.
    pub(crate) fn lingering(&self) -> impl Iterator<Item = (LaneId, &Arc<str>, i32)> {
        self.lingering.iter().map(|(_, id)| {
            let lane = &self.lanes[id.0 as usize];
            (*id, &lane.topic, lane.partition)
        })
    }

    /// Whether the next batch of a lane still takes records.
    pub(crate) fn is_open(&self, id: LaneId) -> bool {
        self.lanes[id.0 as usize].sealed.is_empty()
    }

    /// Ends the lingering of a lane, if its batch can be sent. `true` if it is ready now.
    pub(crate) fn hasten(&mut self, id: LaneId) -> bool {
        let lane = &mut self.lanes[id.0 as usize];
        if !lane.sealed.is_empty() || !lane.is_free(&self.limits) {
            return false;
        }
        let Some(open) = &mut lane.open else { return false };
        open.due = true;
        self.lingering.remove(&(open.linger_until, id));
        self.index(id);
        self.lanes[id.0 as usize].ready_since.is_some()
    }
}
