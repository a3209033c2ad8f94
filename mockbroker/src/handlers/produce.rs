//! Produce (key 0), v3-v13.
//!
//! Appends one record batch to each partition of the request. The work is in three steps, so that no byte of a batch is
//! looked at while the cluster's lock is held: `admit` asks the state, `check` validates the batches, `append` appends them.
//!
//! Versions: v5 log start offset; v7 zstd; v8 record errors; v9 flexible; v10 the current leader (KIP-951); v12 adds
//! partitions to transactions implicitly (KIP-890); v13 topic ids (KIP-516).
//! Not modelled: an authorizer; the broker does not try again by itself where a transaction is just ending.
//! Source: ProduceRequest.json; KIP-98, KIP-467; KafkaApis.handleProduceRequest, ReplicaManager.appendRecords.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Ctx, Effect};
use crate::cluster::{Partition, TopicConfig, min_insync_replicas};
use crate::error::Close;
use crate::log::{self, Appended, Joining, Rejected, ValidBatch};
use crate::state::State;
use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId, TopicName};
use crate::unacked::{UnackedProduce, Waiting};

mod acks;
mod transactional;

pub(crate) use acks::{expire, on_partition_moved};

pub(super) const API: Api = Api::new::<ProduceRequest>(3, 13);

/// The client id that may write to internal topics (`AdminClientIdPrefix`, a special case of Kafka's).
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// A request whose partitions the state was asked about.
#[derive(Debug)]
pub(crate) struct Admitted {
    request: ProduceRequest,
    verdicts: Vec<Verdict>,
}

/// What the state says of one partition of the request.
#[derive(Debug)]
enum Verdict {
    /// There is no such partition.
    Unknown(ResponseError),
    /// The log to append to, or why it takes nothing now.
    Known { log: Target, refusal: Option<ResponseError> },
}

/// Where a batch goes, and by which rules.
#[derive(Debug)]
struct Target {
    topic: TopicName,
    topic_id: TopicId,
    partition: PartitionId,
    config: Arc<TopicConfig>,
}

/// What became of one partition of the request so far.
#[derive(Debug)]
struct Outcome {
    /// The log, if there is one.
    target: Option<Target>,
    /// What a batch of a transaction says of it, well-formed or not: its partition joins all the same.
    joining: Option<Joining>,
    batch: Result<ValidBatch, Rejected>,
}

/// A request whose batches are validated.
#[derive(Debug)]
pub(crate) struct Checked {
    request: ProduceRequest,
    outcomes: Vec<Outcome>,
}

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: ProduceRequest) -> Answer<ProduceResponse> {
    let admitted = admit(state, ctx, request);
    append(state, ctx, check(admitted, ctx.version, ctx.now))
}

pub(super) fn refuse(request: &ProduceRequest, error: ResponseError) -> ProduceResponse {
    let rejected = Rejected::from(error);
    let count = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum();
    respond(request, (0..count).map(|_| PartitionProduceResponse::default().rejected(&rejected, -1)))
}

/// First step, under the lock: which log each partition means, by which configs.
pub(crate) fn admit(state: &State, ctx: &Ctx<'_>, mut request: ProduceRequest) -> Admitted {
    keep_last_of_each(&mut request);
    let mut verdicts = Vec::new();
    for topic_data in &request.topic_data {
        let topics = state.cluster.topics();
        let topic = if ctx.version >= 13 {
            topics.by_id(TopicId(topic_data.topic_id)).ok_or(ResponseError::UnknownTopicId)
        } else {
            topics.by_name(&topic_data.name).ok_or(ResponseError::UnknownTopicOrPartition)
        };
        for data in &topic_data.partition_data {
            let partition_id = PartitionId(data.index);
            let partition = topic.and_then(|topic| {
                topic.partition(partition_id).map(|p| (topic, p)).ok_or(ResponseError::UnknownTopicOrPartition)
            });
            verdicts.push(match partition {
                Err(error) => Verdict::Unknown(error),
                Ok((topic, partition)) => {
                    let config = topic.config();
                    let internal = topic.is_internal() && ctx.client_id != ADMIN_CLIENT_ID;
                    let refusal = internal
                        .then_some(ResponseError::InvalidTopicException)
                        .or_else(|| refusal(partition, config, ctx, request.acks));
                    let log = Target {
                        topic: topic.name().clone(),
                        topic_id: topic.id(),
                        partition: partition_id,
                        config: Arc::clone(config),
                    };
                    Verdict::Known { log, refusal }
                }
            });
        }
    }
    Admitted { request, verdicts }
}

/// Of a partition that is named twice the last one counts, and a topic without partitions not at all: Kafka gathers them
/// in a map. Seen on 4.3.1.
fn keep_last_of_each(request: &mut ProduceRequest) {
    request.topic_data.retain(|topic| !topic.partition_data.is_empty());
    if matches!(&request.topic_data[..], [topic] if topic.partition_data.len() == 1) {
        return;
    }
    let mut seen = BTreeSet::new();
    let mut data = request.topic_data.iter().flat_map(|topic| {
        let of_topic = |data: &PartitionProduceData| (topic.topic_id, &topic.name, data.index);
        topic.partition_data.iter().map(of_topic)
    });
    if data.all(|named| seen.insert(named)) {
        return;
    }
    let mut seen = BTreeSet::new();
    for topic in request.topic_data.iter_mut().rev() {
        let all = std::mem::take(&mut topic.partition_data).into_iter().rev();
        topic.partition_data =
            all.filter(|data| seen.insert((topic.topic_id, topic.name.clone(), data.index))).collect();
        topic.partition_data.reverse();
    }
    request.topic_data.retain(|topic| !topic.partition_data.is_empty());
}

/// Why a partition that exists takes no data from this request.
fn refusal(partition: &Partition, config: &TopicConfig, ctx: &Ctx<'_>, acks: i16) -> Option<ResponseError> {
    if partition.leader() != Some(ctx.node) {
        return Some(ResponseError::NotLeaderOrFollower);
    }
    let needed = usize::try_from(config.min_insync_replicas).unwrap_or(0).min(partition.replicas().len());
    (acks == -1 && partition.isr().len() < needed).then_some(ResponseError::NotEnoughReplicas)
}

/// Second step, without the lock: the work on the bytes.
pub(crate) fn check(admitted: Admitted, version: i16, now: Timestamp) -> Checked {
    let Admitted { mut request, verdicts } = admitted;
    let facts = RequestFacts { version, acks: request.acks, has_transactional_id: request.transactional_id.is_some() };
    let data = request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
    let mut outcomes: Vec<_> = data
        .zip(verdicts)
        .map(|(data, verdict)| match verdict {
            Verdict::Unknown(error) => Outcome { target: None, joining: None, batch: Err(Rejected::from(error)) },
            Verdict::Known { log, refusal } => {
                let mut joining = None;
                let checked = check_one(data.records.take(), facts, &log, refusal, now, &mut joining);
                let batch = checked.map_err(|rejected| rejected.in_partition(&log.topic, log.partition));
                Outcome { target: Some(log), joining, batch }
            }
        })
        .collect();
    let mut refusals = outcomes.iter().filter_map(|outcome| outcome.batch.as_ref().err());
    let rejected = refusals.find(|rejected| rejected.whole_request).cloned();
    let rejected = rejected.or_else(|| transactional::several_producers(outcomes.iter().filter_map(|it| it.joining)));
    if let Some(rejected) = rejected {
        for outcome in &mut outcomes {
            (outcome.batch, outcome.joining) = (Err(rejected.clone()), None);
        }
    }
    Checked { request, outcomes }
}

/// What counts for every batch of a request.
#[derive(Clone, Copy, Debug)]
struct RequestFacts {
    version: i16,
    acks: i16,
    has_transactional_id: bool,
}

fn check_one(
    records: Option<Bytes>,
    request: RequestFacts,
    target: &Target,
    refusal: Option<ResponseError>,
    now: Timestamp,
    joining: &mut Option<Joining>,
) -> Result<ValidBatch, Rejected> {
    // Kafka's append step fails on a null, and with it the whole request (KafkaApis.handleError).
    let records = records.ok_or_else(|| Rejected::whole_request(ResponseError::UnknownServerError, None))?;
    let batch = log::sole_batch(&records, request.version)?;
    if batch.is_transactional() && !request.has_transactional_id {
        return Err(Rejected::whole_request(ResponseError::TransactionalIdAuthorizationFailed, None));
    }
    if !(-1..=1).contains(&request.acks) {
        return Err(ResponseError::InvalidRequiredAcks.into());
    }
    if batch.is_transactional() && batch.has_producer_id() && refusal != Some(ResponseError::NotLeaderOrFollower) {
        *joining = Some(Joining {
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            supports_epoch_bump: request.version >= transactional::IMPLICIT_VERSION,
        });
    }
    match refusal {
        Some(error) => Err(error.into()),
        None => log::validate(batch, &target.config, now),
    }
}

/// Third step, under the lock again: leadership may have moved since, so it is asked once more.
pub(crate) fn append(state: &mut State, ctx: &mut Ctx<'_>, checked: Checked) -> Answer<ProduceResponse> {
    let Checked { request, mut outcomes } = checked;
    if outcomes.iter().any(|outcome| outcome.joining.is_some()) {
        transactional::join(state, ctx, &request, &mut outcomes);
    }
    let acks = request.acks;
    let mut all_well = true;
    let mut waiting = Vec::new();
    let places = places(&request);
    let partitions: Vec<_> = outcomes
        .into_iter()
        .zip(places)
        .map(|(Outcome { target, batch, .. }, place)| {
            let appended = batch.and_then(|batch| {
                let target = target.as_ref().expect("a batch is only checked for a log");
                let appended = append_one(state, ctx, target, batch, acks);
                appended.map_err(|rejected| rejected.in_partition(&target.topic, target.partition))
            });
            let response = PartitionProduceResponse::default();
            if let (Ok(appended), Some(target), -1) = (&appended, &target, acks) {
                waiting.extend(not_replicated(state, target, appended, place));
            }
            match appended {
                Ok(appended) => response
                    .with_base_offset(appended.base_offset)
                    .with_log_append_time_ms(appended.log_append_time_ms)
                    .with_log_start_offset(appended.log_start_offset),
                Err(rejected) => {
                    all_well = false;
                    let log_start_offset = target
                        .filter(|_| rejected.log_start_known)
                        .and_then(|target| state.logs.partition(target.topic_id, target.partition))
                        .map_or(-1, log::PartitionLog::log_start_offset);
                    response.rejected(&rejected, log_start_offset)
                }
            }
        })
        .collect();
    if acks == 0 {
        return if all_well {
            Answer::Never
        } else {
            Answer::Close(Close::because("a Produce with acks=0 failed, and closing is the only way to say so"))
        };
    }
    let mut response = respond(&request, partitions.into_iter());
    if !waiting.is_empty() {
        let (node, version) = (ctx.node, ctx.version);
        let deadline = ctx.now.plus_millis(i64::from(request.timeout_ms.max(0)));
        let ticket = state.new_ticket();
        state.unacked.hold(ticket, UnackedProduce { node, version, response, waiting, deadline });
        return Answer::Later(ticket);
    }
    if ctx.version >= 10 {
        let mut endpoints = Vec::new();
        name_leaders(state, &mut response, &mut endpoints);
        response.node_endpoints = endpoints;
    }
    Answer::Now(response)
}

/// Where each partition of the request stands in it.
fn places(request: &ProduceRequest) -> Vec<(usize, usize)> {
    let topics = request.topic_data.iter().enumerate();
    topics.flat_map(|(topic, data)| (0..data.partition_data.len()).map(move |partition| (topic, partition))).collect()
}

/// What acks=all has to wait for, if replicas in sync lack what was appended.
fn not_replicated(state: &State, target: &Target, appended: &Appended, place: (usize, usize)) -> Option<Waiting> {
    let (topic_id, partition) = (target.topic_id, target.partition);
    let required_offset = appended.last_offset + 1;
    let log = state.logs.partition(topic_id, partition)?;
    (log.high_watermark() < required_offset).then_some(Waiting { topic_id, partition, required_offset, place })
}

fn append_one(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    target: &Target,
    batch: ValidBatch,
    acks: i16,
) -> Result<Appended, Rejected> {
    let topic = state.cluster.topics().by_id(target.topic_id).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.partition(target.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if let Some(error) = refusal(partition, topic.config(), ctx, acks) {
        return Err(error.into());
    }
    let has_too_few = partition.isr().len() < min_insync_replicas(topic, partition);
    if has_too_few {
        // The high watermark stays where it is (KIP-966).
        state.replicate(target.topic_id, target.partition, ctx.now);
    }
    let log = state.logs.partition_mut(target.topic_id, target.partition);
    let log = log.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let appended = log.append(batch, &target.config, ctx.now)?;
    if log.is_bound() {
        state.replicate(target.topic_id, target.partition, ctx.now);
    }
    if !appended.duplicate {
        ctx.effects.push(Effect::PartitionMoved(target.topic_id, target.partition));
    }
    Ok(appended)
}

/// The response in the order and with the names of the request.
fn respond(
    request: &ProduceRequest,
    mut partitions: impl Iterator<Item = PartitionProduceResponse>,
) -> ProduceResponse {
    let mut next = |data: &PartitionProduceData| {
        partitions.next().expect("one answer for each partition of the request").with_index(data.index)
    };
    let topics = request.topic_data.iter().map(|topic| {
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partition_responses(topic.partition_data.iter().map(&mut next).collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

/// Adds the current leader to every NOT_LEADER_OR_FOLLOWER, and where it can be reached (KIP-951).
fn name_leaders(state: &State, response: &mut ProduceResponse, endpoints: &mut Vec<NodeEndpoint>) {
    let topics = state.cluster.topics();
    for topic in &mut response.responses {
        let known = topics.by_name(&topic.name).or_else(|| topics.by_id(TopicId(topic.topic_id)));
        for answer in &mut topic.partition_responses {
            if answer.error_code != ResponseError::NotLeaderOrFollower.code() {
                continue;
            }
            let Some(partition) = known.and_then(|topic| topic.partition(PartitionId(answer.index))) else { continue };
            let leader = partition.leader();
            answer.current_leader = LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(leader.map_or(-1, |node| node.0)))
                .with_leader_epoch(partition.leader_epoch());
            let Some(node) = leader.and_then(|id| state.cluster.node(id)) else { continue };
            if endpoints.iter().all(|endpoint| endpoint.node_id.0 != node.id.0) {
                let rack = node.rack.clone().map(StrBytes::from_string);
                endpoints.push(
                    NodeEndpoint::default()
                        .with_node_id(BrokerId(node.id.0))
                        .with_host(StrBytes::from_string(node.host.clone()))
                        .with_port(i32::from(node.port))
                        .with_rack(rack),
                );
            }
        }
    }
}

/// How a refusal reads on the wire.
trait Refused {
    fn rejected(self, rejected: &Rejected, log_start_offset: i64) -> Self;
}

impl Refused for PartitionProduceResponse {
    fn rejected(self, rejected: &Rejected, log_start_offset: i64) -> Self {
        let record_errors = rejected.record_errors.iter().map(|error| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(error.batch_index)
                .with_batch_index_error_message(error.message.clone().map(StrBytes::from_string))
        });
        self.with_error_code(rejected.error.code())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(log_start_offset)
            .with_record_errors(record_errors.collect())
            .with_error_message(rejected.message.clone().map(StrBytes::from_string))
    }
}
