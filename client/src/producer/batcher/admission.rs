//! Who writes, and what it may write to: ids and epochs, and the partitions of the open transaction.

use std::sync::Arc;

use super::{Batcher, LaneId};
use crate::producer::sequence::Identity;

impl Batcher {
    /// Whether batches wait for a producer id.
    pub(crate) fn wants_producer_id(&self) -> bool {
        self.limits.idempotence
            && !self.limits.transactional
            && self.producer_id.is_none()
            && !self.unsettled.is_empty()
    }

    /// A broker gave out a producer id. Partitions that have one keep it.
    pub(crate) fn identify(&mut self, producer_id: i64) {
        self.producer_id = Some(producer_id);
        for index in 0..self.lanes.len() {
            self.lanes[index].sequence.identify(producer_id);
            self.index(LaneId(index as u32));
        }
    }

    /// A transaction begins: nothing of an earlier one is left, and what was taken for this one already can go out. With
    /// another identity all sequences begin anew.
    pub(crate) fn begin_transaction(&mut self, identity: Identity, admits_by_request: bool) {
        self.identity = Some(identity);
        self.admits_by_request = admits_by_request;
        self.unadmitted.clear();
        self.barrier = None;
        for index in 0..self.lanes.len() {
            self.lanes[index].sequence.adopt(identity);
            self.lanes[index].admitted = !admits_by_request;
            if admits_by_request && self.lanes[index].queued() > 0 {
                self.unadmitted.push(LaneId(index as u32));
            }
            self.index(LaneId(index as u32));
        }
    }

    /// The partitions that are to be added to the transaction, each once.
    pub(crate) fn take_unadmitted(&mut self) -> Vec<(LaneId, Arc<str>, i32)> {
        let ids = std::mem::take(&mut self.unadmitted);
        let place = |id: LaneId| {
            let lane = &self.lanes[id.0 as usize];
            (id, Arc::clone(&lane.topic), lane.partition)
        };
        ids.into_iter().map(place).collect()
    }

    /// The transaction has a partition now.
    pub(crate) fn admit(&mut self, id: LaneId) {
        self.lanes[id.0 as usize].admitted = true;
        self.index(id);
    }

    /// Whether something that was stamped is missing in a log, or may be, so that only another epoch helps.
    pub(crate) fn is_broken(&self) -> bool {
        self.lanes.iter().any(|lane| lane.sequence.is_broken())
    }
}
