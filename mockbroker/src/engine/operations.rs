//! What a test does to a cluster by one call, carried out.

use super::Engine;
use crate::cluster::CoordinatorType;
use crate::handlers::{Effect, follow};
use crate::state::{Changed, Seed, State};
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId};

impl Engine {
    /// Lets `node` lead a partition.
    pub(crate) fn lead(&self, topic: &str, partition: PartitionId, node: NodeId) -> Result<(), String> {
        self.try_to_operate(|state, now| state.lead(topic, partition, node, now))
    }

    /// Lets `node` coordinate what `key` names.
    pub(crate) fn coordinate(&self, kind: CoordinatorType, key: &str, node: NodeId) -> Result<(), String> {
        self.try_to_operate(|state, now| state.coordinate(kind, key, node, now))
    }

    /// Deletes records. Returns where the log starts.
    pub(crate) fn delete_records(
        &self,
        topic: &str,
        partition: PartitionId,
        before_offset: Option<i64>,
    ) -> Result<i64, String> {
        let mut log_start_offset = 0;
        self.try_to_operate(|state, _| {
            let (topic_id, start) = state.delete_records(topic, partition, before_offset)?;
            log_start_offset = start;
            Ok(Changed { in_sync: vec![(topic_id, partition)], ..Changed::default() })
        })?;
        Ok(log_start_offset)
    }

    /// Writes what a test has made. Returns where it begins.
    pub(crate) fn seed(&self, topic: &str, partition: PartitionId, seed: Seed) -> Result<i64, String> {
        let mut base_offset = 0;
        self.try_to_operate(|state, now| {
            let (topic_id, start) = state.seed(topic, partition, seed, now)?;
            base_offset = start;
            Ok(Changed { in_sync: vec![(topic_id, partition)], ..Changed::default() })
        })?;
        Ok(base_offset)
    }

    /// Begins a new segment in every partition of a topic.
    pub(crate) fn roll_segments(&self, topic: &str) -> Result<(), String> {
        self.try_to_operate(|state, _| state.roll_segments(topic).map(|()| Changed::default()))
    }

    /// Compacts a topic now. It takes as long as there is data; the lock is not held meanwhile.
    pub(crate) fn compact(&self, topic: &str) -> Result<(), String> {
        let rounds = self.lock().state.begin_compaction(topic, self.now())?;
        for round in rounds {
            let cleaned = round.run();
            let garbage = self.lock().state.logs.swap_cleaned(cleaned);
            drop(garbage);
        }
        Ok(())
    }

    /// Lets every offset expire that would one day.
    pub(crate) fn expire_all_offsets(&self) {
        let now = self.now();
        let mut shared = self.lock();
        let outcome = shared.state.expire_all_offsets(now);
        let effects: Vec<Effect> = follow(outcome).collect();
        shared.carry_out(effects, now);
        self.rearm(&mut shared);
    }

    fn try_to_operate(&self, act: impl FnOnce(&mut State, Timestamp) -> Result<Changed, String>) -> Result<(), String> {
        let mut outcome = Ok(());
        self.operate(|shared, now| {
            act(&mut shared.state, now).unwrap_or_else(|why| {
                outcome = Err(why);
                Changed::default()
            })
        });
        outcome
    }
}
