//! The requests of a member, and what their answers mean. Pure.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
        SyncGroupRequest, SyncGroupResponse, join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity, sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};

use super::{Failure, classic::Joined};
use crate::{
    codes::ErrorCode,
    config::{Assignor, GroupConfig},
    consumer::assignor::{
        Member,
        protocol::{Subscription, encode_assignment},
    },
    error::{Error, Result},
    record::TopicPartition,
    wire::versions::Api,
};

/// `ConsumerProtocol.PROTOCOL_TYPE`.
const PROTOCOL_TYPE: &str = "consumer";

/// A member as it is named in requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) member_id: String,
    pub(crate) generation_id: i32,
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn group_id(config: &GroupConfig) -> GroupId {
    GroupId(text(&config.group_id))
}

pub(crate) fn instance_id(config: &GroupConfig) -> Option<StrBytes> {
    config.group_instance_id.as_deref().map(text)
}

pub(crate) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

pub(crate) fn join(
    config: &GroupConfig,
    member_id: &str,
    protocols: &[(Assignor, Subscription)],
    version: i16,
) -> JoinGroupRequest {
    let protocols = protocols.iter().map(|(assignor, subscription)| {
        JoinGroupRequestProtocol::default().with_name(text(assignor.name())).with_metadata(subscription.encode())
    });
    let request = JoinGroupRequest::default()
        .with_group_id(group_id(config))
        .with_session_timeout_ms(millis(config.session_timeout))
        .with_rebalance_timeout_ms(millis(config.max_poll_interval))
        .with_member_id(text(member_id))
        .with_protocol_type(text(PROTOCOL_TYPE))
        .with_protocols(protocols.collect());
    // Static membership came with v5 (KIP-345).
    if version >= 5 { request.with_group_instance_id(instance_id(config)) } else { request }
}

pub(crate) fn joined(answer: Result<JoinGroupResponse>) -> Result<Joined, Failure> {
    let answer = answer.map_err(Failure::of)?;
    let member_id = answer.member_id.to_string();
    if answer.error_code == ErrorCode::MemberIdRequired.number() {
        return Err(Failure::MemberIdRequired(member_id));
    }
    check::<JoinGroupRequest>(answer.error_code)?;
    let members = answer.members.into_iter().map(|member| Member {
        member_id: member.member_id.to_string(),
        group_instance_id: member.group_instance_id.map(|id| id.to_string()),
        // A member whose words cannot be read subscribes to nothing, and the others are assigned all the same.
        subscription: Subscription::decode(&member.metadata).unwrap_or_default(),
    });
    Ok(Joined {
        generation_id: answer.generation_id,
        is_leader: answer.leader == answer.member_id,
        nobody_leads: answer.leader.is_empty(),
        member_id,
        protocol_name: answer.protocol_name.map(|name| name.to_string()).unwrap_or_default(),
        skip_assignment: answer.skip_assignment,
        members: members.collect(),
    })
}

pub(crate) fn sync(
    config: &GroupConfig,
    identity: &Identity,
    protocol: Option<Assignor>,
    assignments: &[(String, Vec<TopicPartition>)],
    version: i16,
) -> SyncGroupRequest {
    let assignments = assignments.iter().map(|(member_id, partitions)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member_id))
            .with_assignment(encode_assignment(partitions))
    });
    let mut request = SyncGroupRequest::default()
        .with_group_id(group_id(config))
        .with_generation_id(identity.generation_id)
        .with_member_id(text(&identity.member_id))
        .with_assignments(assignments.collect());
    if version >= 3 {
        request = request.with_group_instance_id(instance_id(config));
    }
    if version >= 5 {
        request = request
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(protocol.map(|protocol| text(protocol.name())));
    }
    request
}

pub(crate) fn synced(answer: Result<SyncGroupResponse>) -> Result<Bytes, Failure> {
    let answer = answer.map_err(Failure::of)?;
    check::<SyncGroupRequest>(answer.error_code)?;
    Ok(answer.assignment)
}

pub(crate) fn heartbeat(config: &GroupConfig, identity: &Identity, version: i16) -> HeartbeatRequest {
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(config))
        .with_generation_id(identity.generation_id)
        .with_member_id(text(&identity.member_id));
    if version >= 3 { request.with_group_instance_id(instance_id(config)) } else { request }
}

pub(crate) fn beaten(answer: Result<HeartbeatResponse>) -> Result<(), Failure> {
    let answer = answer.map_err(Failure::of)?;
    check::<HeartbeatRequest>(answer.error_code)
}

pub(crate) fn leave(config: &GroupConfig, member_id: &str, version: i16) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(group_id(config));
    // From v3 on many members can leave with one request.
    if version < 3 {
        return request.with_member_id(text(member_id));
    }
    let member = MemberIdentity::default().with_member_id(text(member_id));
    request.with_members(vec![if version >= 5 {
        member.with_reason(Some(text("the consumer was closed")))
    } else {
        member
    }])
}

fn check<A: Api>(code: i16) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::of(Error::server(A::NAME, code))) }
}
