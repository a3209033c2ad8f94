//! FindCoordinator (key 10), v0-v6.
//!
//! Which node coordinates a group, a transactional id or a share partition: the leader of the partition of the internal
//! topic that the key hashes to. The first request creates that topic. Kafka's answer to it is COORDINATOR_NOT_AVAILABLE, for
//! the topic takes it a moment; here it is there at once, and so is the coordinator, unless the cluster began cold
//! (`MockBrokerBuilder::cold_start`): a test has a broker of its own, would pay a client's backoff every time, and members
//! that start together would find each other a heartbeat later.
//!
//! Versions: v1 key type, error message, throttle time; v3 flexible; v4 many keys with an error each; v5 for clients that
//! know TRANSACTION_ABORTABLE; v6 share partitions.
//! Not modelled: an authorizer.
//! Source: FindCoordinatorRequest.json; KIP-98, KIP-699, KIP-932; KafkaApis.handleFindCoordinatorRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::{default_text, text};
use super::{Answer, Api, Ctx, Effect};
use crate::cluster::{CoordinatorType, Node};
use crate::state::State;

pub(super) const API: Api = Api::new::<FindCoordinatorRequest>(0, 6);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: FindCoordinatorRequest,
) -> Answer<FindCoordinatorResponse> {
    let Some(kind) = CoordinatorType::from_wire(request.key_type) else {
        return Answer::Now(refuse(&request, ResponseError::InvalidRequest));
    };
    if ctx.version < 4 {
        return Answer::Now(match find(state, ctx, kind, &request.key) {
            Ok(node) => FindCoordinatorResponse::default()
                .with_error_message(Some(StrBytes::from_static_str("NONE")))
                .with_node_id(BrokerId(node.id.0))
                .with_host(text(node.host.as_str()))
                .with_port(i32::from(node.port)),
            Err(error) => refused_alone(error),
        });
    }
    // Unlike the older versions, these say nothing in the text (KafkaApis.handleFindCoordinatorRequestV4AndAbove).
    let coordinators = request.coordinator_keys.iter().map(|key| {
        let coordinator = match find(state, ctx, kind, key) {
            Ok(node) => Coordinator::default()
                .with_node_id(BrokerId(node.id.0))
                .with_host(text(node.host.as_str()))
                .with_port(i32::from(node.port)),
            Err(error) => nobody(error),
        };
        coordinator.with_key(key.clone()).with_error_message(Some(StrBytes::default()))
    });
    Answer::Now(FindCoordinatorResponse::default().with_coordinators(coordinators.collect()))
}

/// A request without any key is refused with an empty list: from v4 on there is no room for an error in it, and before,
/// an empty key is what a group that no one can have is called.
pub(super) fn refuse(request: &FindCoordinatorRequest, error: ResponseError) -> FindCoordinatorResponse {
    if !request.key.is_empty() {
        return refused_alone(error);
    }
    let coordinators = request.coordinator_keys.iter();
    let coordinators = coordinators
        .map(|key| nobody(error).with_key(key.clone()).with_error_message(Some(default_text(error))))
        .collect();
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}

fn find<'a>(
    state: &'a mut State,
    ctx: &mut Ctx<'_>,
    kind: CoordinatorType,
    key: &str,
) -> Result<&'a Node, ResponseError> {
    if kind == CoordinatorType::Share && (ctx.version < 6 || !is_share_key(key)) {
        return Err(ResponseError::InvalidRequest);
    }
    if state.cluster.topics().by_name(kind.topic()).is_none() && !state.is_isolated(ctx.node) {
        if state.is_cold {
            let creation = Effect::CreateTopic(kind.topic().to_owned());
            if !ctx.effects.contains(&creation) {
                ctx.effects.push(creation);
            }
        } else {
            state.auto_create(kind.topic());
        }
    }
    // Not available is who has no leader, and a topic that cannot be made.
    state.cluster.coordinator(kind, key).ok_or(ResponseError::CoordinatorNotAvailable)
}

/// `group:topic id:partition`; the group may have colons itself (`SharePartitionKey.validate`).
fn is_share_key(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let (partition, topic_id, group) = (parts.next(), parts.next(), parts.next());
    let is_base64_url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    partition.is_some_and(|number| number.parse::<i32>().is_ok())
        && topic_id.is_some_and(|id| id.len() == 22 && id.bytes().all(is_base64_url))
        && group.is_some_and(|group| !group.trim().is_empty())
}

fn nobody(error: ResponseError) -> Coordinator {
    Coordinator::default().with_error_code(error.code()).with_node_id(BrokerId(-1)).with_port(-1)
}

fn refused_alone(error: ResponseError) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(default_text(error)))
        .with_node_id(BrokerId(-1))
        .with_port(-1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, encodes};
    use crate::types::NodeId;

    fn one(key: &'static str, kind: i8) -> FindCoordinatorRequest {
        FindCoordinatorRequest::default().with_key(StrBytes::from_static_str(key)).with_key_type(kind)
    }

    fn many(keys: &[&'static str], kind: i8) -> FindCoordinatorRequest {
        let keys = keys.iter().map(|key| StrBytes::from_static_str(key)).collect();
        FindCoordinatorRequest::default().with_coordinator_keys(keys).with_key_type(kind)
    }

    #[test]
    fn the_first_request_creates_the_topic_and_finds_the_coordinator() {
        // Source: KafkaApis.getCoordinator.
        let mut rig = Rig::new(1, &[("offsets.topic.num.partitions", "5")]);
        let response = rig.call(4, handle, many(&["g", "h"], 0));
        let rows: Vec<_> = response.coordinators.iter().map(|it| (it.error_code, it.node_id.0)).collect();
        assert_eq!(rows, [(0, 1), (0, 1)]);
        let topic = rig.state.cluster.topics().by_name("__consumer_offsets").unwrap();
        assert_eq!((topic.partitions().len(), topic.is_internal()), (5, true));
        assert!(topic.config().cleanup_compact);
        let response = rig.call(6, handle, many(&["g"], 0));
        assert_eq!((response.coordinators[0].error_code, response.coordinators[0].node_id.0), (0, 1));
        let old = rig.call(3, handle, one("g", 0));
        assert_eq!((old.error_code, old.node_id.0, old.error_message.as_deref()), (0, 1, Some("NONE")));
        assert_eq!(rig.take_effects(), []);
    }

    #[test]
    fn in_a_cold_cluster_the_first_request_asks_for_the_topic_and_finds_nobody() {
        // Source: KafkaApis.getCoordinator; a real one says so for some hundred milliseconds.
        let mut rig = Rig::new(1, &[]);
        rig.state.begin_cold();
        let response = rig.call(4, handle, many(&["g", "h"], 0));
        let rows: Vec<_> = response.coordinators.iter().map(|it| (it.error_code, it.node_id.0)).collect();
        assert_eq!(rows, [(15, -1), (15, -1)]);
        assert_eq!(rig.take_effects(), [Effect::CreateTopic("__consumer_offsets".to_owned())]);
        rig.state.auto_create("__consumer_offsets");
        assert_eq!(rig.call(4, handle, many(&["g"], 0)).coordinators[0].error_code, 0);
    }

    #[test]
    fn a_topic_that_cannot_be_made_has_no_coordinators() {
        let mut rig = Rig::new(1, &[("offsets.topic.replication.factor", "3")]);
        let response = rig.call(4, handle, many(&["g"], 0));
        let rows: Vec<_> = response.coordinators.iter().map(|it| (it.error_code, it.node_id.0, it.port)).collect();
        assert_eq!(rows, [(15, -1, -1)]);
        assert!(rig.state.cluster.topics().by_name("__consumer_offsets").is_none());
    }

    #[test]
    fn the_leader_of_the_partition_of_the_key_coordinates() {
        // Source: GroupCoordinatorService.partitionFor: "g" hashes to 103, "abc" to 96354.
        let mut rig = Rig::new(3, &[]);
        rig.state.auto_create("__consumer_offsets");
        for (key, hash) in [("g", 103), ("abc", 96_354)] {
            let topic = rig.state.cluster.topics().by_name("__consumer_offsets").unwrap();
            let leader = topic.partitions()[hash % 50].leader().unwrap();
            assert_eq!(rig.call(3, handle, one(key, 0)).node_id.0, leader.0);
            rig.state.cluster.set_alive(leader, false);
            assert_eq!(rig.call(3, handle, one(key, 0)).error_code, 15);
            rig.state.cluster.set_alive(leader, true);
        }
        assert_eq!(rig.state.cluster.nodes().filter(|node| node.id == NodeId(0)).count(), 0);
    }

    #[test]
    fn a_key_type_or_share_key_that_makes_no_sense_is_invalid() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        assert_eq!(rig.call(3, handle, one("g", 7)).error_code, 42);
        assert_eq!(rig.call(3, handle, one("g", 2)).error_code, 42);
        let keys = [
            "g",
            "g:YmFk:1",
            ":aa6ddUeLTOmN4CWroSdOuA:1",
            "a:b:aa6ddUeLTOmN4CWroSdOuA:1",
            "g:aa6ddUeLTOmN4CWroSdOuA:-1",
        ];
        let mut codes = |version: i16| {
            let response = rig.call(version, handle, many(&keys, 2));
            response.coordinators.iter().map(|it| it.error_code).collect::<Vec<_>>()
        };
        assert_eq!(codes(6), [42, 42, 42, 0, 0]);
        assert_eq!(codes(5), [42; 5]);
    }

    #[test]
    fn a_refusal_fits_the_versions_of_its_request() {
        for version in 0..=6 {
            let request = if version < 4 { one("g", 0) } else { many(&["g", "h"], 0) };
            encodes(&refuse(&request, ResponseError::GroupAuthorizationFailed), version);
        }
    }
}
