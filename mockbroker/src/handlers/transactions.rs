//! What the handlers of transactions share: the step of the coordinator, and what answers the versions know.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::{Ctx, Effect};
use crate::state::State;
use crate::txn::{Answer, Event, TopicPartition};

/// Lets `event` happen to a transactional id that this node coordinates.
///
/// # Errors
///
/// INVALID_REQUEST for the empty id, NOT_COORDINATOR, and whatever the coordinator says.
pub(super) fn step(state: &mut State, ctx: &mut Ctx<'_>, id: &StrBytes, event: Event) -> Answer {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    state.check_transaction_coordinator(ctx.node, id)?;
    step_anywhere(state, ctx, id, event)
}

/// As [`step`], for a node that asks the coordinator, wherever it is.
///
/// # Errors
///
/// COORDINATOR_LOAD_IN_PROGRESS, and whatever the coordinator says.
pub(super) fn step_anywhere(state: &mut State, ctx: &mut Ctx<'_>, id: &StrBytes, event: Event) -> Answer {
    state.check_transactions_loaded(id)?;
    let mut moved = Vec::new();
    let answer = state.step_transactions(id, event, ctx.now, &mut moved);
    ctx.effects.extend(moved.into_iter().map(|(topic_id, partition)| Effect::PartitionMoved(topic_id, partition)));
    answer
}

/// What clients were told before PRODUCER_FENCED existed for this API (KIP-588).
pub(super) fn before_fencing(error: ResponseError) -> ResponseError {
    if error == ResponseError::ProducerFenced { ResponseError::InvalidProducerEpoch } else { error }
}

/// The partitions of one topic.
pub(super) fn partitions_of<'a>(
    topic: &'a TopicName,
    partitions: &'a [i32],
) -> impl Iterator<Item = TopicPartition> + 'a {
    partitions.iter().map(|partition| TopicPartition { topic: topic.0.clone(), partition: *partition })
}

/// Partitions by topic, as answers list them.
pub(super) fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<(TopicName, Vec<i32>)> {
    let mut topics: Vec<(TopicName, Vec<i32>)> = Vec::new();
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut().filter(|(name, _)| name.0 == *topic) {
            Some((_, partitions)) => partitions.push(*partition),
            None => topics.push((TopicName(topic.clone()), vec![*partition])),
        }
    }
    topics
}
