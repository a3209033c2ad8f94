//! Coordinators that a test keeps from reading their log: the public face of the gap between the moment at which a node begins to
//! lead and the one at which it knows what it leads.

use std::fmt;
use std::sync::Arc;

use crate::types::{NodeId, PartitionId};
use crate::wait::{Watched, search, within_patience};

/// Where loading is held: the engine.
pub(crate) trait LoadingHome: Watched {
    /// One more holds the loading back, or one fewer.
    fn hold(&self, holds: bool);
    /// The partitions that are still to be read, in their order.
    fn pending(&self) -> Vec<PendingLoad>;
    /// Reads the next one.
    fn load(&self) -> Option<PendingLoad>;
}

/// A partition of a coordinator's topic whose leader has not read it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingLoad {
    /// `__consumer_offsets` or `__transaction_state`.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The node that leads it. `None` if it has gone meanwhile.
    pub leader: Option<NodeId>,
}

/// All coordinators, kept from reading their logs for as long as this lives. Made by `MockBroker::hold_loading`.
///
/// Dropping it lets them read what is left, unless another one of these lives.
#[must_use = "coordinators are kept from loading for as long as this lives"]
pub struct HeldLoading {
    home: Arc<dyn LoadingHome>,
}

impl HeldLoading {
    pub(crate) fn new(home: Arc<dyn LoadingHome>) -> Self {
        home.hold(true);
        Self { home }
    }

    /// What is to be read, in the order in which it is.
    pub fn pending(&self) -> Vec<PendingLoad> {
        self.home.pending()
    }

    /// Returns when at least `count` partitions are to be read. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the broker's patience: with its report.
    pub async fn wait(&self, count: usize) {
        within_patience(&*self.home, &format!("{count} coordinators that are to load"), self.come(count)).await;
    }

    /// As [`wait`](Self::wait), however long that takes.
    pub(crate) async fn come(&self, count: usize) {
        search(&*self.home, || (self.home.pending().len() >= count).then_some(())).await;
    }

    /// Lets the next partition be read, and returns which it was; `None` if none is pending.
    pub fn release_next(&self) -> Option<PendingLoad> {
        self.home.load()
    }

    /// Lets all that are pending now be read, and returns how many. Those whose leader begins later are held.
    pub fn release_all(&self) -> usize {
        let pending = self.pending().len();
        (0..pending).map_while(|_| self.release_next()).count()
    }
}

impl Drop for HeldLoading {
    fn drop(&mut self) {
        self.home.hold(false);
    }
}

impl fmt::Debug for HeldLoading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLoading").field("pending", &self.pending()).finish_non_exhaustive()
    }
}
