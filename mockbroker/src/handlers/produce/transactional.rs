//! How the partitions of a transactional Produce join the transaction, or show that they have: its coordinator is asked before
//! anything is appended, once for each partition and transaction (KIP-890).
//!
//! Source: ReplicaManager.handleProduceAppend, AddPartitionsToTxnManager.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceRequest;

use super::super::{Ctx, transactions};
use super::{Outcome, Target};
use crate::cluster::CoordinatorType;
use crate::log::{Joining, Rejected};
use crate::state::State;
use crate::txn::{ClientVersion, Event, TopicPartition};

/// From this version on a partition joins in passing (transaction version 2).
pub(super) const IMPLICIT_VERSION: i16 = 12;

/// From this version on a client knows TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 11;

/// Refused if the batches of a request are of more than one producer.
pub(super) fn several_producers(joining: impl Iterator<Item = Joining>) -> Option<Rejected> {
    let producers: BTreeSet<_> = joining.map(|joining| (joining.producer_id, joining.producer_epoch)).collect();
    (producers.len() > 1).then(|| Rejected::whole_request(ResponseError::InvalidProducerIdMapping, None))
}

/// Asks about every partition whose log does not know the transaction yet. Those that may not be written are refused,
/// whatever was wrong with their batches besides.
pub(super) fn join(state: &mut State, ctx: &mut Ctx<'_>, request: &ProduceRequest, outcomes: &mut [Outcome]) {
    let mut unverified = Vec::new();
    for outcome in &mut *outcomes {
        let (Some(joining), Some(target)) = (outcome.joining, &outcome.target) else { continue };
        let Some(log) = state.logs.partition_mut(target.topic_id, target.partition) else { continue };
        match log.joins_transaction(joining, ctx.now) {
            Err(rejected) => outcome.batch = Err(rejected.error.into()),
            Ok(true) => unverified.push((joining, outcome)),
            Ok(false) => {}
        }
    }
    let Some(id) = &request.transactional_id else { return };
    let adds = ctx.version >= IMPLICIT_VERSION;
    if unverified.is_empty() {
        return;
    }
    let (joining, _) = unverified[0];
    let producer = (joining.producer_id, joining.producer_epoch);
    let partition = |target: &Target| TopicPartition { topic: target.topic.0.clone(), partition: target.partition.0 };
    let targets = unverified.iter().filter_map(|(_, outcome)| outcome.target.as_ref());
    let partitions: BTreeSet<_> = targets.map(partition).collect();
    let must_ask = adds || state.cluster.settings_of(ctx.node).transaction_partition_verification_enable;
    let coordinator = state.cluster.coordinator(CoordinatorType::Transaction, id).map(|coordinator| coordinator.id);
    let added = match coordinator {
        _ if !must_ask => Ok(()),
        None => Err(ResponseError::CoordinatorNotAvailable),
        Some(coordinator) if !state.reach_each_other(ctx.node, coordinator) => Err(ResponseError::NetworkException),
        Some(_) if adds => {
            let event = Event::AddPartitions { producer, partitions, client_version: ClientVersion::V2 };
            transactions::step_anywhere(state, ctx, &id.0, event).map(drop)
        }
        Some(_) => state.check_transactions_loaded(id),
    };
    for (_, outcome) in unverified {
        let Some(target) = &outcome.target else { continue };
        let verified = added.and_then(|()| {
            if adds || !must_ask { Ok(()) } else { state.transactions.verify(&id.0, producer, &partition(target)) }
        });
        let batch = std::mem::replace(&mut outcome.batch, Err(ResponseError::UnknownServerError.into()));
        outcome.batch = match verified {
            Ok(()) => batch.map(crate::log::ValidBatch::verified),
            Err(error) => Err(refused(error, ctx.version)),
        };
    }
}

/// What the coordinator says, in words that clients of this version act on.
fn refused(error: ResponseError, version: i16) -> Rejected {
    use ResponseError::{
        ConcurrentTransactions, CoordinatorLoadInProgress, CoordinatorNotAvailable, InvalidProducerEpoch,
        InvalidTxnState, NetworkException, NotEnoughReplicas, ProducerFenced, TransactionAbortable,
    };
    match error {
        ProducerFenced => InvalidProducerEpoch.into(),
        TransactionAbortable if version < ABORTABLE_VERSION => {
            told(InvalidTxnState, "Partition was not added to the transaction".to_owned())
        }
        // These would not be tried again; too few replicas are (KAFKA-15380).
        ConcurrentTransactions if version < IMPLICIT_VERSION => unable("CONCURRENT_TRANSACTIONS", NotEnoughReplicas),
        CoordinatorLoadInProgress => unable("COORDINATOR_LOAD_IN_PROGRESS", NotEnoughReplicas),
        CoordinatorNotAvailable => unable("COORDINATOR_NOT_AVAILABLE", NotEnoughReplicas),
        NetworkException => unable("NETWORK_EXCEPTION", NotEnoughReplicas),
        error => error.into(),
    }
}

fn unable(underlying: &str, error: ResponseError) -> Rejected {
    let text = "Unable to verify the partition has been added to the transaction. Underlying error: ";
    told(error, format!("{text}{underlying}"))
}

fn told(error: ResponseError, message: String) -> Rejected {
    Rejected { message: Some(message), ..Rejected::from(error) }
}
