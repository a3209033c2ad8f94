//! What can be asked of transactions without changing any.
//!
//! Source: `TransactionCoordinator.handleDescribeTransactions`, `TransactionStateManager.listTransactionStates`; KIP-664,
//! KIP-994, KIP-1152.

use std::collections::BTreeSet;

use kafka_protocol::protocol::StrBytes;
use regex::Regex;

use super::{TopicPartition, TransactionCoordinator, TransactionState};
use crate::time::Timestamp;

/// What DescribeTransactions says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedTransaction {
    pub(crate) state: TransactionState,
    pub(crate) timeout_ms: i32,
    /// -1 if none has begun.
    pub(crate) start_time_ms: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Those that have joined and have no marker yet.
    pub(crate) partitions: BTreeSet<TopicPartition>,
}

/// What ListTransactions says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedTransaction {
    pub(crate) transactional_id: StrBytes,
    pub(crate) producer_id: i64,
    pub(crate) state: TransactionState,
}

/// Which transactions are listed. What is empty does not filter.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListFilter {
    /// By name; a name that no state has is in no transaction.
    pub(crate) states: Vec<StrBytes>,
    pub(crate) producer_ids: Vec<i64>,
    /// Those that run for longer; below 0 all.
    pub(crate) longer_than_ms: i64,
    /// The whole id.
    pub(crate) pattern: Option<Regex>,
}

/// A pattern that a whole transactional id must match.
///
/// # Errors
///
/// If it is none.
pub(crate) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{text})$"))
}

impl TransactionCoordinator {
    /// How far the transaction of `transactional_id` is; `None` if nothing is known of it.
    pub(crate) fn describe(&self, transactional_id: &StrBytes) -> Option<DescribedTransaction> {
        let known = self.known(transactional_id)?;
        let completing = self.soft.get(transactional_id).and_then(|soft| soft.completing.as_ref());
        Some(DescribedTransaction {
            state: known.state,
            timeout_ms: known.timeout_ms,
            start_time_ms: known.start_time_ms,
            producer_id: known.producer_id,
            producer_epoch: known.producer_epoch,
            partitions: completing.map_or(&known.partitions, |completing| &completing.remaining).clone(),
        })
    }

    /// The transactions that `filter` lets through, by id.
    pub(crate) fn list(&self, filter: &ListFilter, now: Timestamp) -> Vec<ListedTransaction> {
        let mut listed = Vec::new();
        for (transactional_id, known) in &self.hard {
            let has_state = filter.states.is_empty() || filter.states.iter().any(|name| **name == *known.state.name());
            let has_producer = filter.producer_ids.is_empty() || filter.producer_ids.contains(&known.producer_id);
            let duration_ms = now.as_millis().saturating_sub(known.start_time_ms);
            let is_long = filter.longer_than_ms < 0 || duration_ms > filter.longer_than_ms;
            let has_name = filter.pattern.as_ref().is_none_or(|pattern| pattern.is_match(transactional_id));
            if has_state && has_producer && is_long && has_name {
                listed.push(ListedTransaction {
                    transactional_id: transactional_id.clone(),
                    producer_id: known.producer_id,
                    state: known.state,
                });
            }
        }
        listed
    }
}
