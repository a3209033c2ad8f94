//! What handlers ask for besides their answers.

use super::Shared;
use crate::handlers::table::Response;
use crate::handlers::{Effect, fetch, follow, groups, produce};
use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId};

impl Shared {
    /// Carries out `effects` in their order, and what follows from them.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>, now: Timestamp) {
        for effect in effects {
            match effect {
                Effect::PartitionMoved(topic_id, partition) => self.answer_held(topic_id, partition, now),
                Effect::CreateTopic(name) => self.state.auto_create(&name),
                Effect::AnswerMember(ticket, answer) => {
                    self.parked.answer_with(ticket, |version| groups::late_answer(answer, version));
                }
                Effect::LeaderMoved(topic_id, partition) => {
                    self.state.recover_log(topic_id, partition, now);
                    self.answer_held(topic_id, partition, now);
                    let outcome = self.state.begin_loading(topic_id, partition, now);
                    self.carry_out(follow(outcome).collect(), now);
                }
            }
        }
    }

    /// Answers the fetches and produces that need not wait for the partition any longer.
    fn answer_held(&mut self, topic_id: TopicId, partition: PartitionId, now: Timestamp) {
        for (ticket, answer) in fetch::on_partition_moved(&mut self.state, topic_id, partition, now) {
            self.parked.answer(ticket, Response::Fetch(answer));
        }
        for (ticket, answer) in produce::on_partition_moved(&mut self.state, topic_id, partition) {
            self.parked.answer(ticket, Response::Produce(answer));
        }
    }
}
