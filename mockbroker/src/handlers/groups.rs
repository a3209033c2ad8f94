//! What the handlers of groups share: the step of the coordinator, and the answers that may come late.

use std::net::IpAddr;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::table::Response;
use super::{Ctx, code};
use crate::cluster::Topics;
use crate::group::{self, Event, Joined, Synced};
use crate::state::State;
use crate::types::{PartitionId, Ticket};

/// How an event went that a request made.
#[derive(Debug)]
pub(super) enum Step {
    /// It is answered.
    Answered(group::Response),
    /// It will be.
    Waits(Ticket),
}

/// Lets the event of a request happen to groups.
pub(super) fn step(state: &mut State, ctx: &mut Ctx<'_>, event: impl FnOnce(Ticket) -> Event) -> Step {
    let own = state.new_ticket();
    let mut outcome = state.step_groups(event(own), ctx.now);
    let place = outcome.answers.iter().position(|(ticket, _)| *ticket == own);
    let answer = place.map(|place| outcome.answers.remove(place).1);
    ctx.follow(outcome);
    answer.map_or(Step::Waits(own), Step::Answered)
}

/// As [`step`], for an event that is always answered at once.
pub(super) fn step_now(state: &mut State, ctx: &mut Ctx<'_>, event: impl FnOnce(Ticket) -> Event) -> group::Response {
    match step(state, ctx, event) {
        Step::Answered(answer) => answer,
        Step::Waits(ticket) => panic!("{ticket:?} waits, and only joins and syncs do"),
    }
}

/// Whether this node may answer for a group that must have a name.
pub(super) fn admit(state: &State, ctx: &Ctx<'_>, group_id: &str) -> Result<(), ResponseError> {
    if group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    state.check_group_coordinator(ctx.node, group_id)
}

/// Whether a partition that a request names exists.
pub(super) fn partition_exists(topics: &Topics, topic: &str, partition: i32) -> bool {
    topics.by_name(topic).is_some_and(|topic| topic.partition(PartitionId(partition)).is_some())
}

/// The answer to a request that has waited, at its version.
///
/// # Panics
/// On an answer to a request that cannot wait, which is a bug of the coordinator.
pub(crate) fn late_answer(answer: group::Response, version: i16) -> Response {
    match answer {
        group::Response::Join(joined) => Response::JoinGroup(joined_answer(joined, version)),
        group::Response::Sync(synced) => Response::SyncGroup(synced_answer(synced, version)),
        other => panic!("only joins and syncs wait, not what {other:?} answers"),
    }
}

/// A JoinGroup's answer.
pub(super) fn joined_answer(joined: Joined, version: i16) -> JoinGroupResponse {
    let member = |member: group::JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id.filter(|_| version >= 5))
            .with_metadata(member.metadata)
    };
    let protocol_name = joined.protocol_name.or_else(|| (version < 7).then(StrBytes::new));
    JoinGroupResponse::default()
        .with_error_code(code(joined.error))
        .with_generation_id(joined.generation_id)
        .with_protocol_type(joined.protocol_type.filter(|_| version >= 7))
        .with_protocol_name(protocol_name)
        .with_leader(joined.leader)
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(joined.member_id)
        .with_members(joined.members.into_iter().map(member).collect())
}

/// A SyncGroup's answer.
pub(super) fn synced_answer(synced: Result<Synced, ResponseError>, version: i16) -> SyncGroupResponse {
    match synced {
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
        Ok(Synced { protocol_type, protocol_name, assignment }) => SyncGroupResponse::default()
            .with_protocol_type(protocol_type.filter(|_| version >= 5))
            .with_protocol_name(protocol_name.filter(|_| version >= 5))
            .with_assignment(assignment),
    }
}

/// An address as Java prints one that it knows no name of (`InetAddress.toString`): `/127.0.0.1`, `/0:0:0:0:0:0:0:1`.
pub(super) fn client_host(address: IpAddr) -> StrBytes {
    let text = match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let parts = address.segments().map(|segment| format!("{segment:x}"));
            format!("/{}", parts.join(":"))
        }
    };
    StrBytes::from_string(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_java_prints_it() {
        // Source: InetAddress.toString, Inet6Address.numericToTextFormat.
        for (address, text) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("fe80::a0:1", "/fe80:0:0:0:0:0:a0:1"),
            ("::ffff:10.0.0.7", "/10.0.0.7"),
        ] {
            assert_eq!(&*client_host(address.parse().unwrap()), text);
        }
    }
}
