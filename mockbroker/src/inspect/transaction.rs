//! The transaction of a transactional id.

use kafka_protocol::protocol::StrBytes;

use crate::state::State;
use crate::time::Timestamp;
use crate::txn::ListFilter;

/// How far the transaction of a transactional id is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionState {
    /// Its id.
    pub transactional_id: String,
    /// Kafka's name of its state: `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort`.
    pub state: &'static str,
    /// Who writes it.
    pub producer_id: i64,
    /// The epoch that is not fenced.
    pub producer_epoch: i16,
    /// `transaction.timeout.ms`.
    pub timeout_ms: i32,
    /// When it began; `None` if it has not.
    pub started: Option<Timestamp>,
    /// The partitions that have joined and have no marker yet.
    pub partitions: Vec<(String, i32)>,
}

/// The transaction of this id, if the id is known.
pub(crate) fn transaction(state: &State, transactional_id: &str) -> Option<TransactionState> {
    let described = state.transactions.describe(&StrBytes::from_string(transactional_id.to_owned()))?;
    Some(TransactionState {
        transactional_id: transactional_id.to_owned(),
        state: described.state.name(),
        producer_id: described.producer_id,
        producer_epoch: described.producer_epoch,
        timeout_ms: described.timeout_ms,
        started: (described.start_time_ms >= 0).then(|| Timestamp::from_millis(described.start_time_ms)),
        partitions: described.partitions.iter().map(|it| (it.topic.to_string(), it.partition)).collect(),
    })
}

/// All of them, by id.
pub(crate) fn transactions(state: &State) -> Vec<TransactionState> {
    let all = ListFilter { longer_than_ms: -1, ..ListFilter::default() };
    let listed = state.transactions.list(&all, Timestamp::default());
    listed.iter().filter_map(|it| transaction(state, &it.transactional_id)).collect()
}
