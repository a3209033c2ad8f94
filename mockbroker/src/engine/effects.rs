//! What handlers ask for besides their answers.

use super::Shared;
use crate::handlers::table::Response;
use crate::handlers::{Effect, fetch};
use crate::time::Timestamp;

impl Shared {
    /// Carries out `effects` in their order, and what follows from them.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>, now: Timestamp) {
        for effect in effects {
            match effect {
                Effect::PartitionMoved(topic_id, partition) => {
                    for (ticket, answer) in fetch::on_partition_moved(&mut self.state, topic_id, partition, now) {
                        self.parked.answer(ticket, Response::Fetch(answer));
                    }
                }
                Effect::CreateTopic(name) => self.state.auto_create(&name),
            }
        }
    }
}
