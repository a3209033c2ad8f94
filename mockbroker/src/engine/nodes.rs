//! What a test does to nodes and replicas, carried out: the state changes, coordinators move, those who wait are told.

use super::{Engine, Shared};
use crate::cluster::HeldBack;
use crate::state::Changed;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

impl Engine {
    /// `node` is gone, for the rest of the cluster at once. Its connections are the caller's business.
    pub(crate) fn crash(&self, node: NodeId) {
        self.operate(|shared, now| {
            shared.give_up_alone(node, now);
            shared.state.crash(node, now)
        });
    }

    /// `node` is back, and all that it has is read from its logs. It is to be reachable after this, not before.
    pub(crate) fn restart(&self, node: NodeId) {
        self.operate(|shared, now| shared.state.restart(node, now));
    }

    /// The others do not hear of `node` any longer.
    pub(crate) fn isolate(&self, node: NodeId) {
        self.operate(|shared, now| {
            shared.state.isolate(node, now);
            Changed::default()
        });
    }

    /// They do again.
    pub(crate) fn reconnect(&self, node: NodeId) {
        self.operate(|shared, now| {
            shared.give_up_alone(node, now);
            shared.state.reconnect(node, now)
        });
    }

    /// Holds a replica back until it is released.
    ///
    /// # Errors
    /// There is no such replica.
    pub(crate) fn hold_replica(
        &self,
        topic: &str,
        partition: PartitionId,
        node: NodeId,
        held: HeldBack,
    ) -> Result<TopicId, String> {
        let mut held_back = Err(String::new());
        self.operate(|shared, now| {
            held_back = shared.state.hold_replica((topic, partition), node, held, now);
            Changed::default()
        });
        held_back
    }

    /// Lets a replica have everything again.
    pub(crate) fn release_replica(&self, topic_id: TopicId, partition: PartitionId, node: NodeId) {
        self.operate(|shared, now| shared.state.release_replica(topic_id, partition, node, now));
    }

    /// Does something to the state, and all that follows from it.
    pub(super) fn operate(&self, act: impl FnOnce(&mut Shared, Timestamp) -> Changed) {
        let now = self.now();
        let mut shared = self.lock();
        if shared.state.cluster.replicas().all_have_all() {
            shared.chores.begin_looking_at_replicas(now);
        }
        let changed = act(&mut shared, now);
        shared.tell_changed(changed, now);
        self.rearm(&mut shared);
    }
}
