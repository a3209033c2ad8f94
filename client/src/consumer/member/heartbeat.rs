//! ConsumerGroupHeartbeat as a member says it, and what its answer means. Pure.

use std::{collections::BTreeMap, time::Duration};

use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, consumer_group_heartbeat_request::TopicPartitions,
};
use uuid::Uuid;

use super::{
    Failure,
    consumer::{Beat, Heard, Partitions},
    requests::{group_id, instance_id, millis, text},
};
use crate::{
    config::{ConsumerConfig, GroupConfig},
    consumer::subscription::Subscription,
    error::{Error, Result},
    wire::versions::Api,
};

/// A heartbeat; a full one says all that the member wants (`HeartbeatState.buildRequestData`).
pub(crate) fn beat(
    (group, consumer): (&GroupConfig, &ConsumerConfig),
    subscription: &Subscription,
    member_id: &str,
    beat: &Beat,
) -> ConsumerGroupHeartbeatRequest {
    let mut request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member_id))
        .with_member_epoch(beat.member_epoch)
        .with_instance_id(instance_id(group))
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(beat.owned.as_ref().map(by_topic));
    if beat.is_full {
        let names = subscription.topics.iter().map(|name| text(name).into());
        request = request
            .with_rebalance_timeout_ms(millis(group.max_poll_interval))
            .with_subscribed_topic_names(Some(names.collect()))
            .with_subscribed_topic_regex(subscription.pattern.as_ref().map(|pattern| text(pattern.as_str())))
            .with_server_assignor(group.group_remote_assignor.as_deref().map(text))
            .with_rack_id(consumer.client_rack.as_deref().map(text));
    }
    request
}

/// The heartbeat by which a member leaves.
pub(crate) fn depart(group: &GroupConfig, member_id: &str, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member_id))
        .with_member_epoch(member_epoch)
        .with_instance_id(instance_id(group))
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
}

pub(crate) fn heard(answer: Result<ConsumerGroupHeartbeatResponse>) -> Result<Heard, Failure> {
    let answer = answer.map_err(Failure::of)?;
    if answer.error_code != 0 {
        let error = Error::server(ConsumerGroupHeartbeatRequest::NAME, answer.error_code);
        return Err(Failure::of(error.with_message(answer.error_message.as_deref())));
    }
    let partitions = |topics: Vec<_>| -> Partitions {
        let pairs = |topic: kafka_protocol::messages::consumer_group_heartbeat_response::TopicPartitions| {
            topic.partitions.into_iter().map(move |number| (topic.topic_id, number))
        };
        topics.into_iter().flat_map(pairs).collect()
    };
    Ok(Heard {
        member_epoch: answer.member_epoch,
        // A broker that says 0 is not taken at its word: the member would do nothing else.
        heartbeat_interval: Duration::from_millis(u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0).max(10)),
        assignment: answer.assignment.map(|assignment| partitions(assignment.topic_partitions)),
    })
}

fn by_topic(owned: &Partitions) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic_id, number) in owned {
        topics.entry(*topic_id).or_default().push(*number);
    }
    let topics = topics.into_iter();
    topics.map(|(id, numbers)| TopicPartitions::default().with_topic_id(id).with_partitions(numbers)).collect()
}
