//! Fetch (key 1), v4-v18.
//!
//! Reads record batches from partitions, and waits for them if there are too few.
//!
//! Versions: v5 log start offset; v7 sessions (KIP-227); v9 the client's leader epoch (KIP-320); v10 zstd; v11 rack, and
//! any replica may answer (KIP-392); v12 flexible, diverging epochs; v13 topic ids (KIP-516); v15 replica state tagged;
//! v16 node endpoints (KIP-951); v17 replica directory; v18 the follower's high watermark.
//! Not modelled: fetches by followers; preferred read replicas.
//! Source: FetchRequest.json; KafkaApis.handleFetchRequest, ReplicaManager.fetchMessages, DelayedFetch, FetchSession.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::partition_read::{PartitionRead, available_bytes, read};
use super::{Answer, Api, Ctx};
use crate::cluster::SessionRequest;
use crate::fetch_plan::{FetchPlan, IsolationLevel};
use crate::log::Records;
use crate::state::State;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, Ticket, TopicId};
use crate::wire::fetch::RecordBytes;
use crate::wire::outgoing::Outgoing;

pub(super) const API: Api = Api::new::<FetchRequest>(4, 18);

/// The answer, and the records that go into it in its order: they are not copied into the answer's type.
#[derive(Debug)]
pub(crate) struct FetchAnswer {
    pub(crate) response: FetchResponse,
    pub(crate) records: Vec<Records>,
}

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: FetchRequest) -> Answer<FetchAnswer> {
    let isolation_level = match request.isolation_level {
        0 => IsolationLevel::ReadUncommitted,
        1 => IsolationLevel::ReadCommitted,
        // Kafka's own check throws, and the whole request gets what an unmapped exception gets (IsolationLevel.forId).
        _ => return Answer::Now(refuse(&request, ResponseError::UnknownServerError).into()),
    };
    let begun = state.begin_fetch(ctx.node, SessionRequest::new(&request, ctx.version), ctx.now);
    let (session, partitions) = match begun {
        Ok(begun) => begun,
        Err(error) => return Answer::Now(FetchResponse::default().with_error_code(error.code()).into()),
    };
    let limit = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let max_bytes = limit(request.max_bytes).min(state.cluster.settings().fetch_max_bytes);
    let min_bytes = limit(request.min_bytes).min(max_bytes);
    let plan =
        FetchPlan { version: ctx.version, node: ctx.node, session, partitions, min_bytes, max_bytes, isolation_level };
    let reads = read(state, &plan);
    if request.max_wait_ms <= 0 || is_enough(&plan, &reads) {
        return Answer::Now(respond(state, plan, reads, ctx.now));
    }
    let available = plan.partitions.iter().map(|wanted| available_bytes(state, &plan, wanted).unwrap_or(0)).collect();
    let deadline = ctx.now.plus_millis(i64::from(request.max_wait_ms));
    let ticket = state.new_ticket();
    state.held.hold(ticket, plan, deadline, available);
    Answer::Later(ticket)
}

pub(super) fn refuse(request: &FetchRequest, error: ResponseError) -> FetchResponse {
    // From v13 on (topics have no names) the client knows the top-level error, and Kafka names no partition.
    let named = request.topics.iter().filter(|topic| !topic.topic.is_empty());
    let topics = named.map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let read = PartitionRead::refused_by_request(error);
            data(partition.partition, &read)
        });
        FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
    });
    FetchResponse::default()
        .with_error_code(error.code())
        .with_session_id(request.session_id)
        .with_responses(topics.collect())
}

/// What is to be answered because the partition moved: held fetches that now have enough, or can no longer have it.
pub(crate) fn on_partition_moved(
    state: &mut State,
    topic_id: TopicId,
    partition: PartitionId,
    now: Timestamp,
) -> Vec<(Ticket, FetchAnswer)> {
    let waiting: Vec<_> = state
        .held
        .waiting_for(topic_id, partition)
        .map(|(ticket, plan, index)| (ticket, index, available_bytes(state, plan, &plan.partitions[index])))
        .collect();
    let mut answers = Vec::new();
    for (ticket, index, available) in waiting {
        // A refusal ends the wait as well: the client is to hear of it now.
        let ends = match available {
            Some(bytes) => state.held.count(ticket, index, bytes),
            None => true,
        };
        if ends && let Some(plan) = state.held.take(ticket) {
            answers.push((ticket, complete(state, plan, now)));
        }
    }
    answers
}

/// What is to be answered because its time is up.
pub(crate) fn expire(state: &mut State, now: Timestamp) -> Vec<(Ticket, FetchAnswer)> {
    let mut answers = Vec::new();
    while let Some((ticket, plan)) = state.held.take_due(now) {
        answers.push((ticket, complete(state, plan, now)));
    }
    answers
}

/// Reads everything again and answers.
fn complete(state: &mut State, plan: FetchPlan, now: Timestamp) -> FetchAnswer {
    let reads = read(state, &plan);
    respond(state, plan, reads, now)
}

/// Whether the answer has no reason to wait (ReplicaManager.fetchMessages).
fn is_enough(plan: &FetchPlan, reads: &[PartitionRead]) -> bool {
    let mut size_bytes = 0;
    let mut any_known = false;
    for read in reads {
        // What is unknown before the read, a topic or partition that does not exist, does not shorten the others' wait.
        any_known |= !read.unknown;
        if !read.unknown && (read.error.is_some() || read.diverging_epoch.is_some()) {
            return true;
        }
        size_bytes += read.records.size_bytes;
    }
    !any_known || size_bytes >= plan.min_bytes
}

fn respond(state: &mut State, plan: FetchPlan, reads: Vec<PartitionRead>, now: Timestamp) -> FetchAnswer {
    let FetchPlan { version, node, session, partitions, .. } = plan;
    let facts: Vec<_> = reads.iter().map(PartitionRead::facts).collect();
    let finished = state.finish_fetch(node, &session, &partitions, &facts, now);
    let mut response = FetchResponse::default()
        .with_error_code(finished.error.map_or(0, |error| error.code()))
        .with_session_id(finished.session_id);
    let mut all_records = Vec::new();
    let included = partitions.iter().zip(reads).zip(finished.include).filter(|(_, included)| *included);
    // What was unknown before the read comes after what was read (KafkaApis.handleFetchRequest, `erroneous`).
    let (unknown, known): (Vec<_>, Vec<_>) = included.map(|(read, _)| read).partition(|(_, read)| read.unknown);
    for (wanted, mut read) in known.into_iter().chain(unknown) {
        let mut answer = data(wanted.partition.0, &read);
        if version >= 16 {
            name_leader(state, wanted.topic_id, &mut answer, &mut response.node_endpoints);
        }
        all_records.push(std::mem::take(&mut read.records));
        let same_topic = response.responses.last_mut().filter(|topic| {
            if version >= 13 { topic.topic_id == wanted.topic_id.0 } else { topic.topic == wanted.topic }
        });
        match same_topic {
            Some(topic) => topic.partitions.push(answer),
            None => {
                let topic = FetchableTopicResponse::default().with_partitions(vec![answer]);
                response.responses.push(if version >= 13 {
                    topic.with_topic_id(wanted.topic_id.0)
                } else {
                    topic.with_topic(wanted.topic.clone())
                });
            }
        }
    }
    FetchAnswer { response, records: all_records }
}

fn data(partition: i32, read: &PartitionRead) -> PartitionData {
    let data = PartitionData::default()
        .with_partition_index(partition)
        .with_error_code(read.error.map_or(0, |error| error.code()))
        .with_high_watermark(read.high_watermark)
        .with_last_stable_offset(read.last_stable_offset)
        .with_log_start_offset(read.log_start_offset)
        .with_aborted_transactions(read.aborted_transactions.clone());
    match read.diverging_epoch {
        None => data,
        Some(end) => {
            let mut data = data;
            data.diverging_epoch.epoch = end.leader_epoch;
            data.diverging_epoch.end_offset = end.end_offset;
            data
        }
    }
}

/// Says who leads a partition that this node does not lead, or of which the client knew an old epoch (KIP-951).
fn name_leader(state: &State, topic_id: TopicId, answer: &mut PartitionData, endpoints: &mut Vec<NodeEndpoint>) {
    let moved = [ResponseError::NotLeaderOrFollower, ResponseError::FencedLeaderEpoch];
    if !moved.iter().any(|error| error.code() == answer.error_code) {
        return;
    }
    let topic = state.cluster.topics().by_id(topic_id);
    let Some(partition) = topic.and_then(|topic| topic.partition(PartitionId(answer.partition_index))) else { return };
    let leader = partition.leader();
    answer.current_leader = LeaderIdAndEpoch::default()
        .with_leader_id(BrokerId(leader.map_or(-1, |NodeId(id)| id)))
        .with_leader_epoch(partition.leader_epoch());
    let Some(node) = leader.and_then(|id| state.cluster.node(id)) else { return };
    if endpoints.iter().all(|endpoint| endpoint.node_id.0 != node.id.0) {
        endpoints.push(
            NodeEndpoint::default()
                .with_node_id(BrokerId(node.id.0))
                .with_host(StrBytes::from_string(node.host.clone()))
                .with_port(i32::from(node.port))
                .with_rack(node.rack.clone().map(StrBytes::from_string)),
        );
    }
}

impl From<FetchResponse> for FetchAnswer {
    /// An answer whose partitions have no records.
    fn from(response: FetchResponse) -> Self {
        let count = response.responses.iter().map(|topic| topic.partitions.len()).sum();
        Self { response, records: std::iter::repeat_with(Records::default).take(count).collect() }
    }
}

impl RecordBytes for Records {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn put(&self, out: &mut Outgoing) {
        for piece in &self.pieces {
            out.put(|tail| tail.extend_from_slice(piece.prefix()));
            out.put_shared(piece.rest.clone());
        }
    }
}
