//! What a test writes into a partition directly.

use super::State;
use crate::log::{Batch, EndMarker, Marker};
use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId};

/// A batch for a log, and how the transaction ends that it is part of.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) batch: Batch,
    /// Where it is to be; at the end of the log if nothing is said.
    pub(crate) base_offset: Option<i64>,
    /// Whether a marker follows at once, and whether it commits.
    pub(crate) ends: Option<bool>,
}

impl State {
    /// Writes `seed`, whatever leader and ISR say. Returns where it begins.
    ///
    /// # Errors
    ///
    /// In a sentence: there is no such partition, the offset is taken, the producer has another epoch.
    pub(crate) fn seed(
        &mut self,
        topic: &str,
        partition: PartitionId,
        seed: Seed,
        now: Timestamp,
    ) -> Result<(TopicId, i64), String> {
        let known = self.cluster.topics().by_name(topic);
        let (topic_id, config) = known
            .map(|topic| (topic.id(), topic.config().clone()))
            .ok_or_else(|| format!("there is no topic {topic:?}"))?;
        let log = self.logs.partition_mut(topic_id, partition);
        let log = log.ok_or_else(|| format!("there is no partition {topic}-{partition}"))?;
        let (producer_id, producer_epoch) = (seed.batch.producer_id(), seed.batch.producer_epoch());
        let base_offset = log.seed(seed.batch, seed.base_offset, &config, now)?;
        if let Some(is_commit) = seed.ends {
            let end = EndMarker { is_commit, coordinator_epoch: 0 };
            let marker = Marker { producer_id, producer_epoch, end, bumps_epoch: false };
            log.append_marker(&marker, &config, now).map_err(|error| format!("the marker is refused: {error}"))?;
        }
        Ok((topic_id, base_offset))
    }
}
