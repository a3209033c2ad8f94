//! Markers that a test holds back, under the lock.

use kafka_protocol::error::ResponseError;
use tokio::sync::watch;

use super::{Engine, Shared};
use crate::fault::{MarkerHome, PendingMarker};
use crate::state::{Moved, State, Step};
use crate::time::Timestamp;
use crate::types::{PartitionId, ProducerId};

impl Engine {
    /// Tells whoever waits for pending steps how many there are.
    pub(super) fn count_steps(&self, shared: &Shared) {
        if self.pending_steps.receiver_count() > 0 {
            let count = shared.state.pending_count();
            self.pending_steps.send_if_modified(|pending| std::mem::replace(pending, count) != count);
        }
    }

    fn with_markers<R>(&self, act: impl FnOnce(&mut State, Timestamp, &mut Moved) -> R) -> R {
        let now = self.now();
        let mut shared = self.lock();
        let mut moved = Vec::new();
        let result = act(&mut shared.state, now, &mut moved);
        shared.tell_moved(moved, now);
        self.rearm(&mut shared);
        result
    }
}

impl MarkerHome for Engine {
    fn hold(&self, holds: bool) {
        // What is left when nobody holds is written by the task that keeps the time, as if it had just been decided.
        self.with_markers(|state, _, _| state.hold_markers(holds));
    }

    fn pending(&self) -> Vec<PendingMarker> {
        self.read(|state| state.pending_steps().map(told).collect())
    }

    fn watch(&self) -> watch::Receiver<usize> {
        let pending = self.pending_steps.subscribe();
        self.count_steps(&self.lock());
        pending
    }

    fn take(&self, fault: Option<ResponseError>) -> Option<PendingMarker> {
        self.with_markers(|state, now, moved| state.take_step(fault, now, moved)).map(told)
    }

    fn take_all(&self) -> usize {
        self.with_markers(|state, now, moved| {
            let before = state.pending_count();
            state.release_markers(now, moved);
            before - state.pending_count()
        })
    }
}

fn told((markers, partition): Step) -> PendingMarker {
    PendingMarker {
        transactional_id: markers.transactional_id.to_string(),
        producer_id: ProducerId(markers.producer_id),
        producer_epoch: markers.producer_epoch,
        is_commit: markers.is_commit,
        partition: partition.map(|at| (at.topic.to_string(), PartitionId(at.partition))),
    }
}
