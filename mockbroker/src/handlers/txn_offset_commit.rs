//! TxnOffsetCommit (key 28), v0-v5.
//!
//! Commits offsets of a group in a transaction: they count when it is committed.
//!
//! Versions: v2 leader epoch; v3 flexible, member, instance and generation (KIP-447); v4 may answer TRANSACTION_ABORTABLE;
//! v5 adds the group's partition to the transaction in passing (KIP-890).
//! Not modelled: an authorizer.
//! Source: TxnOffsetCommitRequest.json; KIP-98, KIP-447, KIP-890; KafkaApis.handleTxnOffsetCommitRequest,
//! GroupCoordinatorService.commitTransactionalOffsets.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::{Answer, Api, Ctx, code, groups, transactions};
use crate::cluster::{CoordinatorType, Topics};
use crate::group::{CommitPartition, CommitTopic, Event, MemberIdentity, Response, TopicResult, TxnOffsetCommit};
use crate::log::Joining;
use crate::state::State;
use crate::txn::{self, ClientVersion};
use crate::types::{PartitionId, TopicId, TopicName};

pub(super) const API: Api = Api::new::<TxnOffsetCommitRequest>(0, 5);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    mut request: TxnOffsetCommitRequest,
) -> Answer<TxnOffsetCommitResponse> {
    let (mut results, topics) = sort(state.cluster.topics(), std::mem::take(&mut request.topics));
    if !topics.is_empty() {
        let refused = |error: ResponseError| refuse_topics(&topics, error);
        let committed = match admit(state, ctx, &request) {
            Err(error) => refused(for_version(error, ctx.version)),
            Ok(()) => commit(state, ctx, request, topics),
        };
        merge(&mut results, committed);
    }
    Answer::Now(TxnOffsetCommitResponse::default().with_topics(results))
}

pub(super) fn refuse(request: &TxnOffsetCommitRequest, error: ResponseError) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|it| result(it.partition_index, Some(error))).collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// Whether the group's partition is in the transaction, or joins it.
fn admit(state: &mut State, ctx: &mut Ctx<'_>, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
    groups::admit(state, ctx, &request.group_id)?;
    let at = state.offsets_partition(&request.group_id);
    let producer = (request.producer_id.0, request.producer_epoch);
    let topic = state.cluster.topics().by_name(&at.topic).ok_or(ResponseError::NotCoordinator)?;
    let log = state.logs.partition_mut(topic.id(), PartitionId(at.partition)).ok_or(ResponseError::NotCoordinator)?;
    let joining = Joining {
        producer_id: producer.0,
        producer_epoch: producer.1,
        base_sequence: -1,
        supports_epoch_bump: ctx.version >= 5,
    };
    if !log.joins_transaction(joining, ctx.now).map_err(|rejected| rejected.error)? {
        return Ok(());
    }
    let coordinator = state.cluster.coordinator(CoordinatorType::Transaction, &request.transactional_id);
    let is_out_of_reach = coordinator.is_some_and(|coordinator| !state.reach_each_other(ctx.node, coordinator.id));
    let must_ask = ctx.version >= 5 || state.cluster.settings().transaction_partition_verification_enable;
    if must_ask && is_out_of_reach {
        // What older clients do not know is told as this (CoordinatorOperationExceptionHelper, NETWORK_EXCEPTION).
        Err(ResponseError::CoordinatorLoadInProgress)
    } else if ctx.version >= 5 {
        let partitions = BTreeSet::from([at]);
        let event = txn::Event::AddPartitions { producer, partitions, client_version: ClientVersion::V2 };
        transactions::step_anywhere(state, ctx, &request.transactional_id.0, event).map(drop)
    } else if must_ask {
        state.check_transactions_loaded(&request.transactional_id)?;
        state.transactions.verify(&request.transactional_id.0, producer, &at)
    } else {
        Ok(())
    }
}

/// What the coordinator of transactions says, in the words of this API.
fn for_version(error: ResponseError, version: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::TransactionAbortable if version < 4 => ResponseError::InvalidTxnState,
        // Producers before 2.0 might crash of it (KAFKA-7296).
        ResponseError::CoordinatorLoadInProgress if version < 2 => ResponseError::CoordinatorNotAvailable,
        error => error,
    }
}

fn commit(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: TxnOffsetCommitRequest,
    topics: Vec<CommitTopic>,
) -> Vec<TxnOffsetCommitResponseTopic> {
    let commit = TxnOffsetCommit {
        member: MemberIdentity {
            group_id: request.group_id.0,
            member_id: request.member_id,
            group_instance_id: request.group_instance_id,
            generation_id: request.generation_id,
        },
        producer_id: request.producer_id,
        producer_epoch: request.producer_epoch,
        topics,
    };
    match groups::step_now(state, ctx, |ticket| Event::TxnOffsetCommit(ticket, commit)) {
        Response::OffsetCommit(results) => results.into_iter().map(committed).collect(),
        other => panic!("a commit is not answered with {other:?}"),
    }
}

/// What is answered without the coordinator, since there is no such partition, and what it is asked.
fn sort(
    topics: &Topics,
    requested: Vec<TxnOffsetCommitRequestTopic>,
) -> (Vec<TxnOffsetCommitResponseTopic>, Vec<CommitTopic>) {
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    for topic in requested {
        let is_known = |index: i32| groups::partition_exists(topics, &topic.name, index);
        let (here, absent): (Vec<_>, Vec<_>) =
            topic.partitions.into_iter().partition(|it| is_known(it.partition_index));
        if !absent.is_empty() {
            let error = Some(ResponseError::UnknownTopicOrPartition);
            let absent = absent.iter().map(|it| result(it.partition_index, error)).collect();
            merge(&mut unknown, vec![of_topic(topic.name.clone(), absent)]);
        }
        if !here.is_empty() {
            let partition = |it: TxnOffsetCommitRequestPartition| CommitPartition {
                partition: it.partition_index,
                offset: it.committed_offset,
                leader_epoch: it.committed_leader_epoch,
                metadata: it.committed_metadata,
            };
            let partitions = here.into_iter().map(partition).collect();
            known.push(CommitTopic { name: topic.name.0, topic_id: TopicId::ZERO, partitions });
        }
    }
    (unknown, known)
}

fn refuse_topics(topics: &[CommitTopic], error: ResponseError) -> Vec<TxnOffsetCommitResponseTopic> {
    let refused = |topic: &CommitTopic| {
        let partitions = topic.partitions.iter().map(|it| result(it.partition, Some(error))).collect();
        of_topic(TopicName(topic.name.clone()), partitions)
    };
    topics.iter().map(refused).collect()
}

fn committed(topic: TopicResult) -> TxnOffsetCommitResponseTopic {
    let partitions = topic.partitions.into_iter().map(|(index, error)| result(index, error)).collect();
    of_topic(TopicName(topic.name), partitions)
}

/// Adds the answers of `more` to topics that have one already, and after them.
fn merge(topics: &mut Vec<TxnOffsetCommitResponseTopic>, more: Vec<TxnOffsetCommitResponseTopic>) {
    for new in more {
        match topics.iter_mut().find(|topic| topic.name == new.name) {
            Some(topic) => topic.partitions.extend(new.partitions),
            None => topics.push(new),
        }
    }
}

fn of_topic(name: TopicName, partitions: Vec<TxnOffsetCommitResponsePartition>) -> TxnOffsetCommitResponseTopic {
    TxnOffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions)
}

fn result(partition: i32, error: Option<ResponseError>) -> TxnOffsetCommitResponsePartition {
    TxnOffsetCommitResponsePartition::default().with_partition_index(partition).with_error_code(code(error))
}
