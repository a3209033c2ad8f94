//! What a test asks of a broker: handles of a group, a topic, a partition, a transaction, each with its state now and with
//! waiters for what it is to become.
//!
//! A waiter looks, and looks again whenever anything in the cluster has changed: it never sleeps, so it works under either
//! clock. How long it waits is real time ([`MockBrokerBuilder::patience`](crate::MockBrokerBuilder::patience), 10 seconds);
//! then it panics with what it waited for and the broker's report.

mod group;
mod seed;
mod topic;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

pub use self::group::Group;
pub use self::seed::{Codec, SeedBatch, SeedRecord};
pub use self::topic::{Partition, Topic};
pub use self::transaction::Transaction;
use crate::engine::Engine;
use crate::state::State;
use crate::wait::until;

/// Whom to ask, and how long to wait for the answer.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) engine: Arc<Engine>,
    patience: Option<Duration>,
}

impl Asker {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, patience: None }
    }

    /// What `look` finds now.
    fn now<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.engine.read(look)
    }

    /// What `look` finds as soon as it finds something.
    async fn until<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> T {
        until(&*self.engine, self.patience, what, || self.engine.read(&mut look)).await
    }
}
