//! How transactions end: a client commits or aborts, the coordinator fences, and once the markers are written it is done.
//!
//! Source: `TransactionCoordinator.endTransaction`, `endTransactionWithTV1`; KIP-890 and its tables.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
use super::metadata::Metadata;
use super::{
    Answer, ClientVersion, Completing, Ctx, Effect, LAST_EPOCH, Markers, TopicPartition, TransactionCoordinator,
};
use crate::time::Timestamp;

/// What is to be done with a request to end a transaction.
enum Verdict {
    /// It is ended now. Whether it has begun at all: version 2 may abort what has not.
    End { is_empty: bool },
    /// It was ended before, by the same request.
    Retry,
}

impl TransactionCoordinator {
    pub(super) fn end(
        &mut self,
        ctx: &mut Ctx<'_>,
        transactional_id: &StrBytes,
        producer: (i64, i16),
        is_commit: bool,
        client_version: ClientVersion,
        out: &mut Vec<Effect>,
    ) -> Answer {
        let current = self.known(transactional_id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        let is_moving = self.is_moving(transactional_id);
        let verdict = match client_version {
            ClientVersion::V0 => judge_v1(current, is_moving, producer, is_commit)?,
            ClientVersion::V2 => judge_v2(current, is_moving, producer, is_commit)?,
        };
        let Verdict::End { is_empty } = verdict else {
            return Ok((current.producer_id, current.producer_epoch));
        };
        let mut next = current.moved(if is_commit { PrepareCommit } else { PrepareAbort }, ctx.now);
        next.client_version = client_version;
        if is_empty {
            next.start_time_ms = ctx.now.as_millis();
        }
        next.next_producer_id = -1;
        let mut last_epoch = self.last_producer_epoch(transactional_id);
        let mut answer = producer;
        if client_version.supports_epoch_bump() {
            answer = bump(&mut next, ctx, transactional_id)?;
            last_epoch = producer_epoch_before(&next);
        }
        self.prepare(ctx, transactional_id, next, last_epoch, out)?;
        Ok(answer)
    }

    /// Aborts an ongoing transaction with an epoch that its producer does not have. Goes by the level of the feature, as no
    /// client has a say in it.
    pub(super) fn fence_and_abort(
        &mut self,
        ctx: &mut Ctx<'_>,
        transactional_id: &StrBytes,
        out: &mut Vec<Effect>,
    ) -> Result<(), ResponseError> {
        let current = self.known(transactional_id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        let client_version = ClientVersion::of_feature(ctx.transaction_version);
        let mut next = current.moved(PrepareAbort, ctx.now);
        next.client_version = client_version;
        next.next_producer_id = -1;
        let last_epoch = if client_version.supports_epoch_bump() {
            bump(&mut next, ctx, transactional_id)?;
            producer_epoch_before(&next)
        } else {
            next.producer_epoch = next.producer_epoch.checked_add(1).ok_or(ResponseError::UnknownServerError)?;
            -1
        };
        self.prepare(ctx, transactional_id, next, last_epoch, out)
    }

    fn prepare(
        &mut self,
        ctx: &Ctx<'_>,
        transactional_id: &StrBytes,
        prepared: Metadata,
        last_epoch: i16,
        out: &mut Vec<Effect>,
    ) -> Result<(), ResponseError> {
        self.persist(ctx, transactional_id, prepared, out)?;
        self.remember_last_epoch(transactional_id, last_epoch);
        self.begin_completion(transactional_id, ctx.now, out);
        Ok(())
    }

    /// Asks for the markers of a prepared transaction.
    pub(super) fn begin_completion(&mut self, transactional_id: &StrBytes, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(prepared) = self.known(transactional_id) else { return };
        let markers = Markers {
            transactional_id: transactional_id.clone(),
            producer_id: prepared.producer_id,
            producer_epoch: prepared.producer_epoch,
            is_commit: prepared.state == PrepareCommit,
            bumps_epoch: prepared.client_version.supports_epoch_bump(),
            partitions: prepared.partitions.clone(),
        };
        let completing = Completing { remaining: prepared.partitions.clone(), completion: prepared.completed(now) };
        self.soft.entry(transactional_id.clone()).or_default().completing = Some(completing);
        out.push(Effect::WriteMarkers(markers));
    }

    /// Markers are written.
    pub(super) fn markers_written(&mut self, transactional_id: &StrBytes, partitions: &BTreeSet<TopicPartition>) {
        let soft = self.soft.get_mut(transactional_id);
        if let Some(completing) = soft.and_then(|soft| soft.completing.as_mut()) {
            completing.remaining.retain(|partition| !partitions.contains(partition));
        }
    }

    /// The transaction is complete, if its last marker is written.
    pub(super) fn complete(
        &mut self,
        ctx: &Ctx<'_>,
        transactional_id: &StrBytes,
        out: &mut Vec<Effect>,
    ) -> Result<(), ResponseError> {
        let completing = self.soft.get(transactional_id).and_then(|soft| soft.completing.as_ref());
        let Some(completing) = completing.filter(|completing| completing.remaining.is_empty()) else { return Ok(()) };
        let completed = self.persist(ctx, transactional_id, completing.completion.clone(), out);
        // A log that takes nothing now is tried again (TransactionMarkerChannelManager.tryAppendToLog).
        if completed != Err(ResponseError::CoordinatorNotAvailable)
            && let Some(soft) = self.soft.get_mut(transactional_id)
        {
            soft.completing = None;
        }
        completed
    }
}

/// Gives `next` the epoch after its own; where that is the last one, the producer goes on with a new id. What the producer
/// is told.
fn bump(next: &mut Metadata, ctx: &mut Ctx<'_>, transactional_id: &str) -> Answer {
    let is_exhausted = next.is_epoch_exhausted();
    next.producer_epoch = next.producer_epoch.checked_add(1).ok_or(ResponseError::UnknownServerError)?;
    if is_exhausted {
        next.next_producer_id = ctx.host.producer_id(transactional_id)?;
        return Ok((next.next_producer_id, 0));
    }
    Ok((next.producer_id, next.producer_epoch))
}

/// The epoch that was bumped.
fn producer_epoch_before(bumped: &Metadata) -> i16 {
    bumped.producer_epoch - 1
}

/// EndTxn up to v4.
fn judge_v1(
    current: &Metadata,
    is_moving: bool,
    (producer_id, producer_epoch): (i64, i16),
    is_commit: bool,
) -> Result<Verdict, ResponseError> {
    #[cfg(planted_bugs)]
    let producer_epoch = crate::planted::unfenced(producer_epoch, current.producer_epoch);
    if current.producer_id != producer_id {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    if current.producer_epoch != producer_epoch {
        return Err(ResponseError::ProducerFenced);
    }
    if is_moving {
        return Err(ResponseError::ConcurrentTransactions);
    }
    match (current.state, is_commit) {
        (Ongoing, _) => Ok(Verdict::End { is_empty: false }),
        (CompleteCommit, true) | (CompleteAbort, false) => Ok(Verdict::Retry),
        (PrepareCommit, true) | (PrepareAbort, false) => Err(ResponseError::ConcurrentTransactions),
        _ => Err(ResponseError::InvalidTxnState),
    }
}

/// EndTxn from v5 on. A request whose answer was lost bears the epoch before the bump, or the last epoch of the producer id
/// before.
fn judge_v2(
    current: &Metadata,
    is_moving: bool,
    (producer_id, producer_epoch): (i64, i16),
    is_commit: bool,
) -> Result<Verdict, ResponseError> {
    if is_moving {
        return Err(ResponseError::ConcurrentTransactions);
    }
    let is_bump_retry = i32::from(current.producer_epoch) == i32::from(producer_epoch) + 1;
    let is_overflow_retry =
        current.previous_producer_id == producer_id && producer_epoch == LAST_EPOCH && current.producer_epoch == 0;
    if current.producer_id != producer_id && !is_overflow_retry {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    #[cfg(planted_bugs)]
    let producer_epoch = crate::planted::unfenced(producer_epoch, current.producer_epoch);
    let is_current = producer_epoch == current.producer_epoch;
    let is_retry = is_bump_retry || is_overflow_retry;
    let is_valid = match current.state {
        PrepareCommit | PrepareAbort => is_bump_retry,
        CompleteCommit | CompleteAbort => is_retry || is_current,
        _ => is_current,
    };
    if !is_valid {
        return Err(ResponseError::ProducerFenced);
    }
    match (current.state, is_commit) {
        (Ongoing, _) => Ok(Verdict::End { is_empty: false }),
        (PrepareCommit, true) | (PrepareAbort, false) => Err(ResponseError::ConcurrentTransactions),
        (CompleteCommit, true) | (CompleteAbort, false) if is_retry => Ok(Verdict::Retry),
        (CompleteCommit | CompleteAbort, false) if !is_retry => Ok(Verdict::End { is_empty: true }),
        (Empty, false) => Ok(Verdict::End { is_empty: true }),
        _ => Err(ResponseError::InvalidTxnState),
    }
}
