//! ConsumerGroupDescribe (key 69), v0-v1.
//!
//! Consumer groups (KIP-848): state, epochs, members with what they have and what they are to have. A group of the other
//! protocol is not found.
//!
//! Versions: v0 flexible; v1 says of each member which protocol it speaks (KIP-1099).
//! Not modelled: an authorizer.
//! Source: ConsumerGroupDescribeRequest.json; KafkaApis.handleConsumerGroupDescribe,
//! GroupCoordinatorService.consumerGroupDescribe.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::answers::{GROUP_OPERATIONS, NO_OPERATIONS, text};
use super::{Answer, Api, Ctx};
use crate::group::consumer::{DescribedMember, DescribedPartitions};
use crate::state::State;

pub(super) const API: Api = Api::new::<ConsumerGroupDescribeRequest>(0, 1);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: ConsumerGroupDescribeRequest,
) -> Answer<ConsumerGroupDescribeResponse> {
    if !state.cluster.serves_consumer_protocol() {
        return Answer::Now(refuse(&request, ResponseError::UnsupportedVersion));
    }
    let with_operations = request.include_authorized_operations;
    // What has no name is answered before a coordinator is asked.
    let (unnamed, named): (Vec<_>, Vec<_>) = request.group_ids.iter().partition(|group_id| group_id.is_empty());
    let groups = unnamed.into_iter().chain(named).map(|group_id| {
        let described = describe(state, ctx, group_id);
        let is_well = described.error_code == 0;
        described.with_authorized_operations(if with_operations && is_well { GROUP_OPERATIONS } else { NO_OPERATIONS })
    });
    Answer::Now(ConsumerGroupDescribeResponse::default().with_groups(groups.collect()))
}

pub(super) fn refuse(request: &ConsumerGroupDescribeRequest, error: ResponseError) -> ConsumerGroupDescribeResponse {
    let groups = request.group_ids.iter().map(|group_id| refused(group_id, error));
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe(state: &State, ctx: &Ctx<'_>, group_id: &GroupId) -> DescribedGroup {
    if group_id.is_empty() {
        return refused(group_id, ResponseError::InvalidGroupId);
    }
    if let Err(error) = state.check_group_coordinator(ctx.node, group_id) {
        return refused(group_id, error);
    }
    match state.groups.describe_consumer(&state.cluster, state.cluster.settings(), group_id) {
        Err(refusal) => refused(group_id, refusal.error).with_error_message(refusal.message.map(text)),
        Ok(group) => DescribedGroup::default()
            .with_group_id(group_id.clone())
            .with_group_state(StrBytes::from_static_str(group.group_state.name()))
            .with_group_epoch(group.group_epoch)
            .with_assignment_epoch(group.assignment_epoch)
            .with_assignor_name(StrBytes::from_static_str(group.assignor_name))
            .with_members(group.members.into_iter().map(|it| member(it, ctx.version)).collect()),
    }
}

fn member(member: DescribedMember, version: i16) -> Member {
    Member::default()
        .with_member_id(text(member.member_id))
        .with_instance_id(member.instance_id.map(text))
        .with_rack_id(member.rack_id.map(text))
        .with_member_epoch(member.member_epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(member.subscribed_topic_names.into_iter().map(|it| TopicName(text(it))).collect())
        .with_subscribed_topic_regex(member.subscribed_topic_regex.map(text))
        .with_assignment(assignment(member.assignment))
        .with_target_assignment(assignment(member.target_assignment))
        .with_member_type(if version >= 1 { member.member_type } else { -1 })
}

fn assignment(topics: Vec<DescribedPartitions>) -> Assignment {
    let topics = topics.into_iter().map(|topic| {
        TopicPartitions::default()
            .with_topic_id(topic.topic_id.0)
            .with_topic_name(TopicName(text(topic.topic_name)))
            .with_partitions(topic.partitions.into_iter().map(|partition| partition.0).collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

fn refused(group_id: &GroupId, error: ResponseError) -> DescribedGroup {
    DescribedGroup::default().with_group_id(group_id.clone()).with_error_code(error.code())
}
