//! AddPartitionsToTxn (key 24), v0-v5.
//!
//! Partitions join a transaction before they are written. Clients speak v0 to v3; brokers ask with v4 and v5 for many
//! transactions at once, and may only verify.
//!
//! Versions: v2 may answer PRODUCER_FENCED; v3 flexible; v4 batches and verification (KIP-890); v5 may answer
//! TRANSACTION_ABORTABLE.
//! Not modelled: an authorizer, so that anyone may speak v4 and v5.
//! Source: AddPartitionsToTxnRequest.json; KIP-98, KIP-890; KafkaApis.handleAddPartitionsToTxnRequest.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::{Answer, Api, Ctx, code, transactions};
use crate::state::State;
use crate::txn::{ClientVersion, Event, TopicPartition};
use crate::types::PartitionId;

pub(super) const API: Api = Api::new::<AddPartitionsToTxnRequest>(0, 5);

/// What becomes of each partition of one transaction.
type Verdicts = BTreeMap<TopicPartition, Option<ResponseError>>;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: AddPartitionsToTxnRequest,
) -> Answer<AddPartitionsToTxnResponse> {
    let response = AddPartitionsToTxnResponse::default();
    if ctx.version < 4 {
        let transaction = single(&request);
        let verdicts = decide(state, ctx, &transaction);
        return Answer::Now(response.with_results_by_topic_v3_and_below(results(&transaction.topics, &verdicts)));
    }
    let results = request.transactions.iter().map(|transaction| {
        let verdicts = decide(state, ctx, transaction);
        AddPartitionsToTxnResult::default()
            .with_transactional_id(transaction.transactional_id.clone())
            .with_topic_results(results(&transaction.topics, &verdicts))
    });
    Answer::Now(response.with_results_by_transaction(results.collect()))
}

pub(super) fn refuse(request: &AddPartitionsToTxnRequest, error: ResponseError) -> AddPartitionsToTxnResponse {
    let response = AddPartitionsToTxnResponse::default();
    if request.transactions.is_empty() {
        let transaction = single(request);
        let verdicts = all(&transaction, Some(error));
        return response.with_results_by_topic_v3_and_below(results(&transaction.topics, &verdicts));
    }
    // From v4 on there is one error for all, and the transactions are not listed (AddPartitionsToTxnRequest.getErrorResponse).
    response.with_error_code(error.code())
}

/// The one transaction of an old request.
fn single(request: &AddPartitionsToTxnRequest) -> AddPartitionsToTxnTransaction {
    AddPartitionsToTxnTransaction::default()
        .with_transactional_id(request.v3_and_below_transactional_id.clone())
        .with_producer_id(request.v3_and_below_producer_id)
        .with_producer_epoch(request.v3_and_below_producer_epoch)
        .with_topics(request.v3_and_below_topics.clone())
}

fn decide(state: &mut State, ctx: &mut Ctx<'_>, transaction: &AddPartitionsToTxnTransaction) -> Verdicts {
    let mut verdicts = all(transaction, None);
    let topics = state.cluster.topics();
    let mut any_unknown = false;
    for (at, verdict) in &mut verdicts {
        let topic = topics.by_name(&at.topic);
        // Nobody but its coordinator writes to an internal topic; brokers may add those of groups.
        *verdict = if ctx.version < 4 && topic.is_some_and(|topic| topic.is_internal()) {
            Some(ResponseError::TopicAuthorizationFailed)
        } else if topic.and_then(|topic| topic.partition(PartitionId(at.partition))).is_none() {
            Some(ResponseError::UnknownTopicOrPartition)
        } else {
            None
        };
        any_unknown |= verdict.is_some();
    }
    if any_unknown {
        // All or nothing.
        for verdict in verdicts.values_mut().filter(|verdict| verdict.is_none()) {
            *verdict = Some(ResponseError::OperationNotAttempted);
        }
        return verdicts;
    }
    let producer = (transaction.producer_id.0, transaction.producer_epoch);
    let id = &transaction.transactional_id.0;
    if transaction.verify_only {
        return verify(state, ctx, transaction, verdicts);
    }
    let partitions: BTreeSet<_> = verdicts.keys().cloned().collect();
    let client_version = if ctx.version < 4 { ClientVersion::V0 } else { ClientVersion::V2 };
    let outcome = transactions::step(state, ctx, id, Event::AddPartitions { producer, partitions, client_version });
    let error = outcome.err().map(|error| if ctx.version < 2 { transactions::before_fencing(error) } else { error });
    all(transaction, error)
}

fn verify(
    state: &State,
    ctx: &Ctx<'_>,
    transaction: &AddPartitionsToTxnTransaction,
    mut verdicts: Verdicts,
) -> Verdicts {
    let id = &transaction.transactional_id.0;
    let producer = (transaction.producer_id.0, transaction.producer_epoch);
    let may_ask = if id.is_empty() {
        Err(ResponseError::InvalidRequest)
    } else {
        state.check_transaction_coordinator(ctx.node, id)
    };
    for (at, verdict) in &mut verdicts {
        *verdict = may_ask.and_then(|()| state.transactions.verify(id, producer, at)).err();
    }
    verdicts
}

fn all(transaction: &AddPartitionsToTxnTransaction, verdict: Option<ResponseError>) -> Verdicts {
    let partitions =
        transaction.topics.iter().flat_map(|topic| transactions::partitions_of(&topic.name, &topic.partitions));
    partitions.map(|at| (at, verdict)).collect()
}

fn results(topics: &[AddPartitionsToTxnTopic], verdicts: &Verdicts) -> Vec<AddPartitionsToTxnTopicResult> {
    let named: BTreeSet<_> = topics.iter().map(|topic| &topic.name).collect();
    let topic = |name: &crate::types::TopicName| {
        let of_topic = verdicts.iter().filter(|(at, _)| at.topic == name.0);
        let partition = |(at, verdict): (&TopicPartition, &Option<ResponseError>)| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(at.partition)
                .with_partition_error_code(code(*verdict))
        };
        AddPartitionsToTxnTopicResult::default()
            .with_name(name.clone())
            .with_results_by_partition(of_topic.map(partition).collect())
    };
    named.into_iter().map(topic).filter(|topic| !topic.results_by_partition.is_empty()).collect()
}
