//! Connections by lane and node: at most one each, dialled by whoever needs it first.
//!
//! A node that cannot be reached is not dialled again before its backoff is over. The pool starts nothing by itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dashmap::DashMap;
use tokio::time::{Instant, sleep_until};

use crate::{
    config::ClientConfig,
    conn::{
        Connection,
        transport::{Address, Transport},
    },
    error::Result,
    metrics::Recorder,
};

/// A lane's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(pub(crate) u32);

/// What a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    /// A broker of the metadata.
    Id(i32),
    /// An address of the bootstrap list, whoever answers there.
    Bootstrap(usize),
}

#[derive(Debug)]
pub(crate) struct Pool {
    slots: DashMap<(LaneId, Node), Arc<Slot>>,
    transport: Transport,
    config: Arc<ClientConfig>,
    recorder: Arc<Recorder>,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    /// Held while dialling, so that everybody else waits for the one attempt.
    dialling: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Pool {
    pub(crate) fn new(transport: Transport, config: Arc<ClientConfig>, recorder: Arc<Recorder>) -> Self {
        Self { slots: DashMap::new(), transport, config, recorder }
    }

    /// The open connection to `address`, if there is one. A node that moved is dialled anew.
    pub(crate) fn live(&self, lane: LaneId, node: Node, address: &Address) -> Option<Connection> {
        let slot = Arc::clone(self.slots.get(&(lane, node))?.value());
        slot.live(address)
    }

    /// How long a caller would wait before it could even dial. `None` sorts first: there is a connection.
    pub(crate) fn wait(&self, lane: LaneId, node: Node, address: &Address) -> Option<Duration> {
        let Some(slot) = self.slots.get(&(lane, node)).map(|slot| Arc::clone(slot.value())) else {
            return Some(Duration::ZERO);
        };
        if slot.live(address).is_some() {
            return None;
        }
        let not_before = slot.state().not_before;
        Some(not_before.map_or(Duration::ZERO, |instant| instant.saturating_duration_since(Instant::now())))
    }

    /// The connection, dialled if need be.
    pub(crate) async fn connection(&self, lane: LaneId, node: Node, address: &Address) -> Result<Connection> {
        let slot = Arc::clone(self.slots.entry((lane, node)).or_default().value());
        if let Some(connection) = slot.live(address) {
            return Ok(connection);
        }
        let _dialling = slot.dialling.lock().await;
        if let Some(connection) = slot.live(address) {
            return Ok(connection);
        }
        let not_before = slot.state().not_before;
        if let Some(instant) = not_before {
            sleep_until(instant).await;
        }
        let opened = Connection::open(address.clone(), &self.transport, &self.config, &self.recorder).await;
        let mut state = slot.state();
        match &opened {
            Ok(connection) => *state = State { connection: Some(connection.clone()), failures: 0, not_before: None },
            Err(error) => {
                self.recorder.unreachable(&address.to_string(), error);
                state.failures += 1;
                state.not_before = Some(Instant::now() + self.config.reconnect_backoff.wait(state.failures));
            }
        }
        opened
    }

    /// Lets go of a lane's connections.
    pub(crate) fn close_lane(&self, lane: LaneId) {
        // One by one in their order, so that the same run does the same.
        let mut nodes: Vec<_> = self.slots.iter().map(|slot| *slot.key()).filter(|(of, _)| *of == lane).collect();
        nodes.sort_unstable();
        for node in nodes {
            self.slots.remove(&node);
        }
    }
}

impl Slot {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the three fields half changed in a way that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, address: &Address) -> Option<Connection> {
        let state = self.state();
        state.connection.as_ref().filter(|connection| connection.is_open() && connection.target() == address).cloned()
    }
}
