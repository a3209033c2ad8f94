//! Metadata (key 3), v0-v13.
//!
//! The nodes of the cluster, and the partitions of the topics that are asked for with their leaders. A topic that is
//! missing may be created by it, a moment later.
//!
//! Versions: v0 an empty list is all topics, dead replicas are left out; v1 null is all topics, controller, rack, internal;
//! v2 cluster id; v3 throttle time; v4 auto-creation may be forbidden; v5 offline replicas; v7 leader epoch; v8 authorized
//! operations (those of the cluster until v10); v9 flexible; v10 topic ids in the answer; v12 topics may be asked for by id
//! (v10 and v11 have the field but refuse it); v13 top-level error.
//! Not modelled: several listeners (LISTENER_NOT_FOUND), offline log directories, an authorizer.
//! Source: MetadataRequest.json; KIP-4, KIP-430, KIP-516; KafkaApis.handleTopicMetadataRequest, KRaftMetadataCache.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::{CLUSTER_OPERATIONS, NO_OPERATIONS, TOPIC_OPERATIONS, broker_ids, text};
use super::{Answer, Api, Ctx, Effect};
use crate::cluster::{Cluster, Node, Partition, Topic, names};
use crate::state::State;
use crate::types::{NodeId, TopicId, TopicName};

pub(super) const API: Api = Api::new::<MetadataRequest>(0, 13);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: MetadataRequest) -> Answer<MetadataResponse> {
    if let Some(error) = malformed(&request, ctx.version) {
        return Answer::Now(refuse(&request, error));
    }
    let operations = if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { NO_OPERATIONS };
    let topics = match &request.topics {
        None => all(&state.cluster, ctx.version),
        Some(asked) if ctx.version == 0 && asked.is_empty() => all(&state.cluster, ctx.version),
        Some(asked) if asked.iter().any(|topic| !topic.topic_id.is_nil()) => by_id(&state.cluster, ctx.version, asked),
        Some(asked) => by_name(state, ctx, asked, ctx.version < 4 || request.allow_auto_topic_creation),
    };
    let with_operations = |topic: MetadataResponseTopic| topic.with_topic_authorized_operations(operations);
    let response = MetadataResponse::default()
        .with_brokers(state.cluster.alive_nodes().map(broker).collect())
        .with_cluster_id(Some(text(state.cluster.cluster_id())))
        .with_controller_id(BrokerId(state.cluster.random_alive_node(&mut state.ids)))
        .with_topics(topics.into_iter().map(with_operations).collect());
    Answer::Now(match request.include_cluster_authorized_operations {
        true => response.with_cluster_authorized_operations(CLUSTER_OPERATIONS),
        false => response,
    })
}

pub(super) fn refuse(request: &MetadataRequest, error: ResponseError) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        let name = topic.name.clone().unwrap_or_default();
        unknown(Some(name), error).with_topic_id(topic.topic_id)
    });
    MetadataResponse::default()
        .with_controller_id(BrokerId(-1))
        .with_cluster_id(None)
        .with_topics(topics.collect())
        .with_error_code(error.code())
}

/// v10 and v11 have ids that a broker does not take, because a first broker with them had a bug (KAFKA-13945). From v12 a
/// topic with neither a name nor an id, and none with an id beside it, ends in a null pointer in Kafka.
fn malformed(request: &MetadataRequest, version: i16) -> Option<ResponseError> {
    let asked = request.topics.as_deref().unwrap_or_default();
    let by_id = asked.iter().any(|topic| !topic.topic_id.is_nil());
    let nameless = asked.iter().any(|topic| topic.name.is_none());
    if version < 12 && (by_id || nameless) {
        return Some(ResponseError::InvalidRequest);
    }
    (nameless && !by_id).then_some(ResponseError::UnknownServerError)
}

fn all(cluster: &Cluster, version: i16) -> Vec<MetadataResponseTopic> {
    cluster.topics().iter().map(|topic| known(cluster, topic, version)).collect()
}

/// One entry with an id makes the request one by ids; entries without are then not looked at. What is not known comes first.
fn by_id(cluster: &Cluster, version: i16, asked: &[MetadataRequestTopic]) -> Vec<MetadataResponseTopic> {
    let mut seen = BTreeSet::new();
    let (mut unknown_ids, mut found) = (Vec::new(), Vec::new());
    for id in asked.iter().map(|topic| TopicId(topic.topic_id)).filter(|id| !id.is_zero()) {
        if !seen.insert(id) {
            continue;
        }
        match cluster.topics().by_id(id) {
            Some(topic) => found.push(known(cluster, topic, version)),
            None => unknown_ids.push(unknown(None, ResponseError::UnknownTopicId).with_topic_id(id.0)),
        }
    }
    unknown_ids.append(&mut found);
    unknown_ids
}

/// What exists comes first. A name that comes twice is answered once.
fn by_name(
    state: &State,
    ctx: &mut Ctx<'_>,
    asked: &[MetadataRequestTopic],
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let cluster = &state.cluster;
    let may_create = may_create && cluster.settings_of(ctx.node).auto_create_topics_enable;
    // The controllers do not hear of it.
    let may_create = may_create && !state.is_isolated(ctx.node);
    let mut seen = BTreeSet::new();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in asked.iter().filter_map(|topic| topic.name.as_ref()) {
        if !seen.insert(&***name) {
            continue;
        }
        if let Some(topic) = cluster.topics().by_name(name) {
            found.push(known(cluster, topic, ctx.version));
            continue;
        }
        let error = match names::check(name) {
            Err(refusal) => refusal.error,
            Ok(()) => {
                if may_create {
                    ctx.effects.push(Effect::CreateTopic(name.to_string()));
                }
                ResponseError::UnknownTopicOrPartition
            }
        };
        missing.push(unknown(Some(name.clone()), error));
    }
    found.append(&mut missing);
    found
}

fn unknown(name: Option<TopicName>, error: ResponseError) -> MetadataResponseTopic {
    let is_internal = name.as_ref().is_some_and(|name| names::is_internal(name));
    MetadataResponseTopic::default().with_name(name).with_error_code(error.code()).with_is_internal(is_internal)
}

fn known(cluster: &Cluster, topic: &Topic, version: i16) -> MetadataResponseTopic {
    let partitions = (0..).zip(topic.partitions()).map(|(index, it)| partition(cluster, index, it, version));
    MetadataResponseTopic::default()
        .with_name(Some(topic.name().clone()))
        .with_topic_id(topic.id().0)
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect())
}

/// A dead leader is no leader. v0 has no offline replicas: it leaves the dead ones out, and says so with an error.
fn partition(cluster: &Cluster, index: i32, partition: &Partition, version: i16) -> MetadataResponsePartition {
    let is_up = |node: &NodeId| cluster.alive(*node).is_some();
    let listed = |nodes: &[NodeId]| broker_ids(nodes.iter().copied().filter(|node| version > 0 || is_up(node)));
    let leader = partition.leader().filter(is_up);
    let all_up = partition.replicas().iter().chain(partition.isr()).all(is_up);
    let error = match leader {
        None => Some(ResponseError::LeaderNotAvailable),
        Some(_) if version == 0 && !all_up => Some(ResponseError::ReplicaNotAvailable),
        Some(_) => None,
    };
    MetadataResponsePartition::default()
        .with_error_code(super::code(error))
        .with_partition_index(index)
        .with_leader_id(BrokerId(leader.map_or(-1, |node| node.0)))
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(listed(partition.replicas()))
        .with_isr_nodes(listed(partition.isr()))
        .with_offline_replicas(broker_ids(partition.replicas().iter().copied().filter(|node| !is_up(node))))
}

fn broker(node: &Node) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(BrokerId(node.id.0))
        .with_host(text(node.host.as_str()))
        .with_port(i32::from(node.port))
        .with_rack(node.rack.clone().map(StrBytes::from_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use uuid::Uuid;

    fn named(names: &[&str]) -> MetadataRequest {
        let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        MetadataRequest::default().with_topics(Some(names.iter().map(topic).collect()))
    }

    fn codes(response: &MetadataResponse) -> Vec<(String, i16)> {
        let pair = |topic: &MetadataResponseTopic| {
            (topic.name.as_ref().map_or("null".to_owned(), |name| name.to_string()), topic.error_code)
        };
        response.topics.iter().map(pair).collect()
    }

    #[test]
    fn a_missing_topic_is_unknown_now_and_created_afterwards() {
        // Source: KafkaApis.getTopicMetadata; seen on 4.3.1: 3, not LEADER_NOT_AVAILABLE.
        let mut rig = Rig::new(1, &[]);
        let response = rig.call(12, handle, named(&["new", "bad name", "new"]));
        assert_eq!(codes(&response), [("new".to_owned(), 3), ("bad name".to_owned(), 17)]);
        assert_eq!(rig.take_effects(), [Effect::CreateTopic("new".to_owned())]);
        rig.state.auto_create("new");
        let response = rig.call(12, handle, named(&["new"]));
        assert_eq!(codes(&response), [("new".to_owned(), 0)]);
        assert_eq!(response.topics[0].partitions.len(), 1);
    }

    #[test]
    fn creation_needs_the_broker_and_the_request_to_allow_it() {
        let mut rig = Rig::new(1, &[]);
        rig.call(4, handle, named(&["new"]).with_allow_auto_topic_creation(false));
        assert_eq!(rig.take_effects(), []);
        rig.call(3, handle, named(&["new"]).with_allow_auto_topic_creation(false));
        assert_eq!(rig.take_effects().len(), 1, "before v4 there is no such field");
        let mut rig = Rig::new(1, &[("auto.create.topics.enable", "false")]);
        rig.call(12, handle, named(&["new"]));
        assert_eq!(rig.take_effects(), []);
    }

    #[test]
    fn nothing_asked_for_is_all_topics_in_v0_and_none_from_v1() {
        // Source: MetadataRequest.json, Topics.
        let mut rig = Rig::new(1, &[]);
        rig.topic("a", 1);
        rig.topic("b", 1);
        assert_eq!(rig.call(0, handle, named(&[])).topics.len(), 2);
        assert_eq!(rig.call(1, handle, named(&[])).topics.len(), 0);
        assert_eq!(rig.call(1, handle, MetadataRequest::default().with_topics(None)).topics.len(), 2);
    }

    #[test]
    fn an_id_is_looked_up_from_v12_and_refused_before() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let id = rig.topic("a", 1);
        let ask = |id: Uuid| MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        let request = MetadataRequest::default().with_topics(Some(vec![ask(id.0), ask(Uuid::from_u128(5)), ask(id.0)]));
        let response = rig.call(12, handle, request.clone());
        assert_eq!(codes(&response), [("null".to_owned(), 100), ("a".to_owned(), 0)]);
        let refused = rig.call(10, handle, request);
        assert!(refused.topics.iter().all(|topic| topic.error_code == 42));
        assert_eq!((refused.brokers.len(), refused.controller_id.0), (0, -1));
        let neither = MetadataRequest::default().with_topics(Some(vec![ask(Uuid::nil())]));
        assert_eq!(rig.call(13, handle, neither).error_code, -1);
    }

    #[test]
    fn a_dead_leader_is_not_available_and_v0_leaves_dead_replicas_out() {
        // Source: KRaftMetadataCache.getPartitionMetadata.
        let mut rig = Rig::new(3, &[("default.replication.factor", "3")]);
        rig.topic("a", 3);
        rig.state.cluster.set_alive(NodeId(1), false);
        let response = rig.call(12, handle, named(&["a"]));
        assert_eq!(response.brokers.len(), 2);
        let partitions = &response.topics[0].partitions;
        let dead: Vec<_> = partitions.iter().filter(|partition| partition.error_code == 5).collect();
        assert_eq!(dead.len(), 1);
        assert_eq!((dead[0].leader_id.0, dead[0].leader_epoch, dead[0].replica_nodes.len()), (-1, 0, 3));
        assert!(partitions.iter().all(|partition| partition.offline_replicas == [BrokerId(1)]));
        let v0 = rig.call(0, handle, named(&["a"]));
        let codes: Vec<_> = v0.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!(codes.iter().filter(|code| **code == 9).count(), 2);
        assert!(v0.topics[0].partitions.iter().all(|partition| partition.replica_nodes.len() == 2));
    }

    #[test]
    fn authorized_operations_without_an_authorizer_are_all_of_them() {
        // Seen on 4.3.1: 3576 and 8096, the former also for topics that do not exist.
        let mut rig = Rig::new(1, &[]);
        let request = named(&["a"])
            .with_include_topic_authorized_operations(true)
            .with_include_cluster_authorized_operations(true);
        let response = rig.call(9, handle, request);
        assert_eq!(response.topics[0].topic_authorized_operations, 3576);
        assert_eq!(response.cluster_authorized_operations, 8096);
        assert_eq!(rig.call(12, handle, named(&["a"])).topics[0].topic_authorized_operations, i32::MIN);
    }
}
