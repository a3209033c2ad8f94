//! A warmed cluster, kept, and started as often as a test wants.

use std::fmt;
use std::sync::Arc;

use crate::broker::MockBroker;
use crate::builder::MockBrokerBuilder;
use crate::error::StartError;
use crate::state::State;
use crate::time::Timestamp;

/// Everything a cluster had at one moment. From [`MockBroker::snapshot`].
///
/// Clusters that are started from it share nothing that changes, and go on independently, all alike: what comes first after the
/// snapshot has the same ids in each. Record batches are shared, not copied, so that a start takes microseconds besides its
/// ports.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mockbroker::MockBroker;
///
/// let warmed = MockBroker::builder().topic("orders", 12).start().await;
/// // ... records are written, groups formed, transactions left open ...
/// let snapshot = warmed.snapshot();
/// for _case in 0..3 {
///     let broker = snapshot.start().await;
///     // ... each case breaks its own ...
/// #   drop(broker);
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    state: Arc<State>,
    builder: MockBrokerBuilder,
    now: Timestamp,
}

impl Snapshot {
    pub(crate) fn new(state: State, builder: MockBrokerBuilder, now: Timestamp) -> Self {
        Self { state: Arc::new(state), builder, now }
    }

    /// Starts a cluster that has all that the snapshot has, on the current tokio runtime and on free ports. Its time goes on
    /// where the snapshot was taken.
    ///
    /// Members of groups are members, and have to say that they live before their sessions end. Nodes that were down are down,
    /// and those that were isolated are; `node(i).isolate().heal()` ends that. Not in a snapshot: connections and who waits on them, fetch sessions, faults.
    ///
    /// # Panics
    ///
    /// With the text of the [`StartError`], see [`try_start`](Self::try_start).
    ///
    /// Dropping the future before it is ready starts nothing.
    pub async fn start(&self) -> MockBroker {
        self.try_start().await.unwrap_or_else(|error| panic!("MockBroker did not start: {error}"))
    }

    /// As [`Snapshot::start`], with the error as a value.
    ///
    /// # Errors
    ///
    /// No runtime, or no free port.
    ///
    /// Dropping the future before it is ready starts nothing.
    #[expect(clippy::unused_async, reason = "part of the public interface, as that of the builder")]
    pub async fn try_start(&self) -> Result<MockBroker, StartError> {
        self.builder.clone().start_again(self.state.fork(), self.now)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("now", &self.now).finish_non_exhaustive()
    }
}
