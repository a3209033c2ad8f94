//! The topics that are sent to, and the lanes of their partitions.

use std::{cell::LazyCell, collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

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
    /// When its last batch began.
    used_at: Option<Instant>,
    /// Whether it was left out of the last look at the topics in use.
    idle: bool,
}

/// Every topic that was ever sent to.
#[derive(Debug, Default)]
pub(super) struct Topics {
    numbers: BTreeMap<Arc<str>, TopicIndex>,
    all: Vec<TopicLanes>,
    /// Those that were idle until they were sent to again.
    revived: Vec<Arc<str>>,
}

impl TopicLanes {
    fn new(edition: u64, known: Arc<Topic>) -> Self {
        let (by_partition, sticky) = (Vec::new(), Sticky::default());
        Self { edition, known, by_partition, sticky, used_at: None, idle: false }
    }
}

impl Topics {
    /// A batch of the topic begins.
    pub(super) fn used(&mut self, topic: TopicIndex, now: Instant) {
        let topic = &mut self.all[topic.0];
        topic.used_at = Some(now);
        if std::mem::take(&mut topic.idle) {
            self.revived.push(Arc::clone(&topic.known.name));
        }
    }
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
        let Topics { numbers, all, .. } = &mut self.topics;
        let number = match numbers.get(name) {
            Some(number) => *number,
            None => {
                let known = look_up()?;
                let number = TopicIndex(all.len());
                numbers.insert(Arc::clone(&known.name), number);
                all.push(TopicLanes::new(edition, known));
                return Some((number, all[number.0].known.partitions.len()));
            }
        };
        let topic = &mut all[number.0];
        if topic.edition != edition {
            (topic.known, topic.edition) = (look_up()?, edition);
        }
        Some((number, topic.known.partitions.len()))
    }

    /// The partition for a record without key. The time is asked for only where another partition is chosen.
    pub(crate) fn sticky_partition(&mut self, topic: TopicIndex, size: usize, now: impl FnOnce() -> Instant) -> usize {
        let Self { limits, lanes, stalled, random, .. } = self;
        let TopicLanes { known, by_partition, sticky, .. } = &mut self.topics.all[topic.0];
        let begins_batch = |partition: usize| {
            lane_of(by_partition, partition).is_none_or(|lane| match &lanes[lane.0 as usize].open {
                Some(open) => open.builder.len() + size > limits.batch_size,
                None => true,
            })
        };
        let now = LazyCell::new(now);
        let queued = |partition: usize| {
            let length = lane_of(by_partition, partition).map_or(0, |lane| lanes[lane.0 as usize].queued());
            let leader = known.partitions[partition].node_id;
            let since = leader.and_then(|node_id| stalled.get(&node_id)).filter(|_| length > 0);
            // Of a partition for which nothing waits nothing bad is known (`RecordAccumulator.partitionReady`).
            let waits = since.is_some_and(|since| now.saturating_duration_since(*since) > limits.availability_timeout);
            (!waits).then_some(length)
        };
        let queued: Option<&dyn Fn(usize) -> Option<usize>> = if limits.adaptive { Some(&queued) } else { None };
        let partition = sticky.partition(&known.partitions, limits.batch_size, begins_batch, queued, random);
        sticky.produced(size);
        partition
    }

    /// The lane of a partition, which begins with the first record for it.
    #[inline]
    pub(super) fn lane(&mut self, topic: TopicIndex, partition: usize) -> LaneId {
        match lane_of(&self.topics.all[topic.0].by_partition, partition) {
            Some(lane) => lane,
            None => self.begin_lane(topic, partition),
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

    /// The topics that something waits for, or that were sent to in the time before `now` that makes a topic idle. The others
    /// are idle until they are sent to again.
    pub(crate) fn topics_in_use(&mut self, now: Instant, idle: Duration) -> Vec<Arc<str>> {
        let lanes = &self.lanes;
        let mut in_use = Vec::new();
        for topic in &mut self.topics.all {
            let busy = || topic.by_partition.iter().flatten().any(|id| lanes[id.0 as usize].is_busy());
            topic.idle = topic.used_at.is_none_or(|at| now.saturating_duration_since(at) >= idle) && !busy();
            if !topic.idle {
                in_use.push(Arc::clone(&topic.known.name));
            }
        }
        in_use
    }

    /// The topics that were idle until they were sent to again, once.
    pub(crate) fn revived(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.topics.revived)
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

/// The lane of a partition, if it was ever sent to.
fn lane_of(by_partition: &[Option<LaneId>], partition: usize) -> Option<LaneId> {
    by_partition.get(partition).copied().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        batch::{Compression, builder::RecordParts},
        producer::lane::Limits,
    };

    const IDLE: Duration = Duration::from_secs(300);

    fn batcher(availability_timeout: Duration) -> Batcher {
        let limits = Limits {
            batch_size: 100,
            batch_records: usize::MAX,
            linger: Duration::ZERO,
            delivery_timeout: Duration::from_secs(120),
            in_flight_per_partition: 1,
            compression: Compression::None,
            idempotence: false,
            transactional: false,
            adaptive: true,
            availability_timeout,
        };
        Batcher::new(limits, Arc::new(tokio::sync::Semaphore::new(0)), fastrand::Rng::with_seed(1))
    }

    fn topic(batcher: &mut Batcher, name: &str, nodes: &[i32], now: Instant) -> TopicIndex {
        batcher.topic(&name.into(), 0, || Some(Topic::on(name, nodes, now).into())).expect("it is known").0
    }

    fn push(batcher: &mut Batcher, topic: TopicIndex, partition: usize, now: Instant) {
        let record = RecordParts { timestamp: 0, key: None, value: Some(b"x"), headers: &[] };
        drop(batcher.push(topic, partition, record, 100, || now));
    }

    /// The partitions that records without key go to.
    fn chosen(batcher: &mut Batcher, topic: TopicIndex, now: Instant) -> BTreeSet<usize> {
        (0..60).map(|_| batcher.sticky_partition(topic, 1000, || now)).collect()
    }

    #[test]
    fn a_partition_for_which_something_waits_at_a_broker_that_takes_nothing_is_passed_over() {
        let (start, limit) = (Instant::now(), Duration::from_secs(1));
        let after = |millis| start + Duration::from_millis(millis);
        let mut batcher = batcher(limit);
        let topic = topic(&mut batcher, "t", &[1, 2, 2], start);
        push(&mut batcher, topic, 0, start);
        push(&mut batcher, topic, 1, start);
        batcher.poll(start);
        let waiting: Vec<_> = batcher.waiting().map(|(name, partition, since)| (&**name, partition, since)).collect();
        assert_eq!(waiting, [("t", 0, start), ("t", 1, start)]);
        batcher.stalled(BTreeMap::from([(1, start)]));
        assert_eq!(chosen(&mut batcher, topic, after(1000)), [0, 1, 2].into());
        assert_eq!(chosen(&mut batcher, topic, after(1001)), [1, 2].into(), "longer than the limit");
        // With no broker left that takes anything, any is as good; but where nothing waits, nothing bad is known.
        batcher.stalled(BTreeMap::from([(1, start), (2, start)]));
        assert_eq!(chosen(&mut batcher, topic, after(1001)), [2].into());
        push(&mut batcher, topic, 2, start);
        assert_eq!(chosen(&mut batcher, topic, after(1001)), [0, 1, 2].into());
    }

    #[test]
    fn a_topic_that_is_not_used_is_idle_until_a_batch_of_it_begins() {
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut batcher = batcher(Duration::ZERO);
        let [used, unused] = ["used", "unused"].map(|name| topic(&mut batcher, name, &[1], start));
        push(&mut batcher, used, 0, start);
        push(&mut batcher, unused, 0, start);
        let names = |topics: Vec<Arc<str>>| topics.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(batcher.topics_in_use(after(900), IDLE)), ["used", "unused"], "their batches wait");
        batcher.poll(after(0));
        batcher.drain().into_iter().for_each(|batch| batch.fail(crate::Error::Closed { what: "test" }));
        push(&mut batcher, used, 0, after(1));
        batcher.drain().into_iter().for_each(|batch| batch.fail(crate::Error::Closed { what: "test" }));
        assert_eq!(names(batcher.topics_in_use(after(299), IDLE)), ["used", "unused"]);
        assert_eq!(names(batcher.topics_in_use(after(300), IDLE)), ["used"]);
        assert!(batcher.revived().is_empty());
        push(&mut batcher, unused, 0, after(301));
        push(&mut batcher, used, 0, after(301));
        assert_eq!(names(batcher.revived()), ["unused"]);
        assert!(batcher.revived().is_empty(), "each is told once");
        assert_eq!(names(batcher.topics_in_use(after(302), IDLE)), ["used", "unused"]);
    }
}
