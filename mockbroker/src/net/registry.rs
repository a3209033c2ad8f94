//! The open connections: who they are, when they last said something, and how to end them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::engine::changes::Changes;
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId};

const SHUT_DOWN: &str = "the broker is shut down";

/// The open connections of one broker.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    connections: DashMap<ConnectionId, Entry>,
    next_id: AtomicU64,
    /// Set by `close_all`: a connection whose task is only now known ends as well.
    closed: AtomicBool,
    one_ended: Notify,
}

#[derive(Debug)]
struct Entry {
    node: NodeId,
    last_active_ms: Arc<AtomicI64>,
    /// Set once the task runs; a connection that ends before that removes its entry itself.
    task: Option<AbortHandle>,
    /// It is to end as soon as its task is known, for this reason.
    doom: Option<&'static str>,
}

/// A connection's own entry; it is out of the registry when this is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    pub(super) id: ConnectionId,
    last_active_ms: Arc<AtomicI64>,
    /// Tells the waiters of the test.
    changes: Changes,
}

impl Registry {
    /// Enters a new connection to `node`.
    pub(super) fn register(self: &Arc<Self>, node: NodeId, now: Timestamp, changes: Changes) -> Registration {
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let last_active_ms = Arc::new(AtomicI64::new(now.as_millis()));
        tracing::debug!(%node, connection = id.0, "accepted");
        let entry = Entry { node, last_active_ms: Arc::clone(&last_active_ms), task: None, doom: None };
        self.connections.insert(id, entry);
        changes.note();
        Registration { changes, registry: Arc::clone(self), id, last_active_ms }
    }

    /// Remembers the task of a connection.
    pub(super) fn runs_as(&self, id: ConnectionId, task: AbortHandle) {
        if let Some(mut entry) = self.connections.get_mut(&id) {
            if entry.doom.is_some() || self.closed.load(Ordering::SeqCst) {
                task.abort();
            }
            entry.task = Some(task);
        }
    }

    /// Ends every connection. Their tasks are gone as soon as the runtime has run.
    pub(crate) fn close_all(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.end(SHUT_DOWN, |_| true);
    }

    /// Ends every connection to `node`.
    pub(crate) fn close_node(&self, node: NodeId) {
        self.end("its node crashed", |entry| entry.node == node);
    }

    /// Ends the connections that were last active before `instant`.
    pub(crate) fn close_idle_since(&self, instant: Timestamp) {
        self.end("it was idle", |entry| entry.last_active_ms.load(Ordering::Relaxed) <= instant.as_millis());
    }

    /// Ends the connections that `is_meant`, in the order in which they came, so that a run can be had again.
    fn end(&self, why: &'static str, is_meant: impl Fn(&Entry) -> bool) {
        let meant = self.connections.iter().filter(|entry| is_meant(entry)).map(|entry| *entry.key());
        let mut meant: Vec<_> = meant.collect();
        meant.sort_unstable();
        for id in meant {
            if let Some(mut entry) = self.connections.get_mut(&id) {
                tracing::debug!(connection = id.0, node = %entry.node, "ended by us: {why}");
                entry.doom = Some(why);
                entry.abort();
            }
        }
    }

    /// When the connection that has been silent longest was last active.
    pub(crate) fn longest_idle_since(&self) -> Option<Timestamp> {
        self.connections.iter().map(|entry| Timestamp::from_millis(entry.last_active_ms.load(Ordering::Relaxed))).min()
    }

    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        self.connections.len()
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_ended(&self) {
        loop {
            let one_ended = self.one_ended.notified();
            tokio::pin!(one_ended);
            one_ended.as_mut().enable();
            if self.connections.is_empty() {
                return;
            }
            one_ended.await;
        }
    }
}

impl Entry {
    fn abort(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Registration {
    /// Notes that the connection said something.
    pub(super) fn active(&self, now: Timestamp) {
        self.last_active_ms.store(now.as_millis(), Ordering::Relaxed);
    }

    /// Why the broker ends the connection.
    pub(super) fn doom(&self) -> &'static str {
        // Tasks that nobody has doomed are dropped with their runtime.
        self.registry.connections.get(&self.id).and_then(|entry| entry.doom).unwrap_or(SHUT_DOWN)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.connections.remove(&self.id);
        self.registry.one_ended.notify_waiters();
        self.changes.note();
    }
}
