//! Coordinators that a test keeps from reading their log, under the lock.

use super::Engine;
use crate::fault::{LoadingHome, PendingLoad};
use crate::handlers::follow;
use crate::state::State;
use crate::types::{PartitionId, TopicId};

impl LoadingHome for Engine {
    fn hold(&self, holds: bool) {
        // What is left when nobody holds is read by the task that keeps the time, as if its leader had just begun.
        let mut shared = self.lock();
        shared.state.hold_loading(holds);
        self.rearm(&mut shared);
    }

    fn pending(&self) -> Vec<PendingLoad> {
        self.read(|state| state.pending_loads().filter_map(|at| told(state, at)).collect())
    }

    fn load(&self) -> Option<PendingLoad> {
        let now = self.now();
        let mut shared = self.lock();
        let (at, outcome) = shared.state.load_next(now)?;
        shared.carry_out(follow(outcome).collect(), now);
        self.rearm(&mut shared);
        told(&shared.state, at)
    }
}

fn told(state: &State, (topic_id, partition): (TopicId, PartitionId)) -> Option<PendingLoad> {
    let topic = state.cluster.topics().by_id(topic_id)?;
    let leader = topic.partition(partition)?.leader();
    Some(PendingLoad { topic: topic.name().to_string(), partition, leader })
}
