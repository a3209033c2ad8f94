//! Brokers that take nothing: the batches that wait for them, and what comes of it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::Batcher;

impl Batcher {
    /// The batches that could go out if only their brokers took them, with topic, partition and since when. Walks over every
    /// partition. What waits for its transaction to begin is not the brokers' business.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&Arc<str>, i32, Instant)> {
        self.lanes
            .iter()
            .filter(|lane| !lane.is_behind(self.barrier))
            .filter_map(move |lane| lane.waits_since(&self.limits).map(|since| (lane, since)))
            .map(|(lane, since)| (&lane.topic, lane.partition, since))
    }

    /// Says which brokers take nothing of what waits for them, and since when.
    pub(crate) fn stalled(&mut self, since: BTreeMap<i32, Instant>) {
        self.stalled = since;
    }
}
