//! Markers that a test holds back: the public face of the gap between the answer that ends a transaction and its end.

use std::fmt;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use tokio::sync::watch;

use crate::types::{PartitionId, ProducerId};
use crate::wait::{Watched, within_patience};

/// Where markers are held: the engine.
pub(crate) trait MarkerHome: Watched {
    /// One more holds markers back, or one fewer.
    fn hold(&self, holds: bool);
    /// The steps that are left, in their order.
    fn pending(&self) -> Vec<PendingMarker>;
    /// How many there are, from now on.
    fn watch(&self) -> watch::Receiver<usize>;
    /// Takes the next step, or has it fail.
    fn take(&self, fault: Option<ResponseError>) -> Option<PendingMarker>;
    /// Takes all that can be taken. How many.
    fn take_all(&self) -> usize;
}

/// A step that is left of a transaction whose end is decided and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingMarker {
    /// Whose transaction it is.
    pub transactional_id: String,
    /// The producer id that the marker bears.
    pub producer_id: ProducerId,
    /// The epoch that the marker bears: with transaction version 2 the one after that of the records.
    pub producer_epoch: i16,
    /// Whether it commits; else it aborts.
    pub is_commit: bool,
    /// The topic and the partition that the marker is written to. `None` for the last step: all markers are written, and the
    /// coordinator writes down that the transaction is complete.
    pub partition: Option<(String, PartitionId)>,
}

/// The markers of all transactions, held back for as long as this lives. Made by `MockBroker::hold_markers`.
///
/// Dropping it writes what is left, unless another one of these lives.
#[must_use = "markers are held for as long as this lives"]
pub struct HeldMarkers {
    home: Arc<dyn MarkerHome>,
}

impl HeldMarkers {
    pub(crate) fn new(home: Arc<dyn MarkerHome>) -> Self {
        home.hold(true);
        Self { home }
    }

    /// What is left of all transactions whose end was answered, in the order in which it is released: for each a marker for
    /// every partition, then its completion.
    pub fn pending(&self) -> Vec<PendingMarker> {
        self.home.pending()
    }

    /// Returns when at least `count` steps are pending. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the broker's patience: with its report.
    pub async fn wait(&self, count: usize) {
        within_patience(&*self.home, &format!("{count} markers pending"), self.come(count)).await;
    }

    /// As [`wait`](Self::wait), however long that takes.
    pub(crate) async fn come(&self, count: usize) {
        let came = self.home.watch().wait_for(|pending| *pending >= count).await.is_ok();
        assert!(came, "the engine is borrowed, so it cannot be gone");
    }

    /// Takes the next step, and returns which it was; `None` if nothing is pending. The marker of a partition that nobody leads
    /// now cannot be written: it stays pending.
    pub fn release_next(&self) -> Option<PendingMarker> {
        self.home.take(None)
    }

    /// Takes every step that is pending now, and returns how many. What is decided later is held. The markers of partitions
    /// that nobody leads now stay pending, and with them the completion of their transactions.
    pub fn release_all(&self) -> usize {
        self.home.take_all()
    }

    /// The leader of the next partition answers `error` to the marker instead of writing it; `None` if nothing is pending.
    ///
    /// The coordinator does what Kafka's does. After UNKNOWN_TOPIC_OR_PARTITION (3), NOT_LEADER_OR_FOLLOWER (6),
    /// REQUEST_TIMED_OUT (7), NOT_ENOUGH_REPLICAS (19), NOT_ENOUGH_REPLICAS_AFTER_APPEND (20) and KAFKA_STORAGE_ERROR (56) it
    /// tries again: the marker stays pending. After INVALID_PRODUCER_EPOCH (47) and TRANSACTION_COORDINATOR_FENCED (52) it
    /// gives up: nothing of the transaction is pending any more, and it stays prepared until another node takes up the
    /// coordination. A completion that fails is tried again, whatever the error.
    ///
    /// # Panics
    ///
    /// With any other error: Kafka's coordinator does not know how to go on after it
    /// (`TransactionMarkerRequestCompletionHandler`).
    pub fn fail_next(&self, error: i16) -> Option<PendingMarker> {
        self.try_fail_next(error).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`fail_next`](Self::fail_next).
    ///
    /// # Errors
    ///
    /// In a sentence, what would be a panic there.
    pub(crate) fn try_fail_next(&self, error: i16) -> Result<Option<PendingMarker>, String> {
        let known = ResponseError::try_from_code(error).filter(|error| is_known(*error));
        let fault =
            known.ok_or_else(|| format!("a marker cannot fail with the error code {error}: see `fail_next`"))?;
        Ok(self.home.take(Some(fault)))
    }
}

impl Drop for HeldMarkers {
    fn drop(&mut self) {
        self.home.hold(false);
    }
}

impl fmt::Debug for HeldMarkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldMarkers").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

fn is_known(error: ResponseError) -> bool {
    use ResponseError::{
        InvalidProducerEpoch, KafkaStorageError, NotEnoughReplicas, NotEnoughReplicasAfterAppend, NotLeaderOrFollower,
        RequestTimedOut, TransactionCoordinatorFenced, UnknownTopicOrPartition,
    };
    matches!(
        error,
        InvalidProducerEpoch
            | KafkaStorageError
            | NotEnoughReplicas
            | NotEnoughReplicasAfterAppend
            | NotLeaderOrFollower
            | RequestTimedOut
            | TransactionCoordinatorFenced
            | UnknownTopicOrPartition
    )
}
