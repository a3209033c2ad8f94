//! The journal's place in the engine: what connections tell it on the way of a request, and what a test asks of it.
//!
//! It has a lock of its own, which is held for a push and for nothing else: the lock of the state is never waited for under
//! it, and no frame is decoded under it.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::changes::Changes;
use super::{Engine, Origin};
use crate::error::Close;
use crate::fault::{Asked, Scope};
use crate::handlers::subject::subject;
use crate::handlers::table::{self, Incoming};
use crate::journal::{Entry, Fate, Found, Kept, Ring, Source, Start};
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId};
use crate::wait::Watched;
use crate::wire::outgoing::Pieces;
use crate::wire::subject::Subject;

/// How many requests a report shows.
const REPORTED_REQUESTS: usize = 20;

/// The journal, where connections reach it.
#[derive(Debug)]
pub(super) struct Recorder {
    /// `None` if the broker was built without one.
    ring: Option<Mutex<Ring>>,
}

impl Recorder {
    pub(super) fn new(is_kept: bool) -> Self {
        Self { ring: is_kept.then(Mutex::default) }
    }

    #[inline]
    fn ring(&self) -> Option<MutexGuard<'_, Ring>> {
        // Nothing panics under this lock that leaves the ring half-way.
        self.ring.as_ref().map(|ring| ring.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What connections tell.
impl Engine {
    /// A request was answered at once with what `answer` has; with `None` it waits, and has a number to be told by.
    #[inline]
    pub(crate) fn record(
        &self,
        connection: ConnectionId,
        arrived: Timestamp,
        request: &Bytes,
        answer: Option<Pieces<'_>>,
    ) -> Option<u64> {
        let waits = self.recorder.ring()?.push(connection, arrived, request, answer);
        self.changes.note();
        waits
    }

    /// A request that waited was answered.
    pub(crate) fn record_answer(&self, number: Option<u64>, answer: Pieces<'_>) {
        if let (Some(mut ring), Some(number)) = (self.recorder.ring(), number) {
            ring.answered(number, self.now(), answer);
            drop(ring);
            self.changes.note();
        }
    }

    /// A request has been carried out and has no answer.
    pub(crate) fn record_no_answer(&self, number: Option<u64>) {
        self.record_fate(number, Fate::NoAnswer);
    }

    /// The connection of a request was closed by us.
    pub(crate) fn record_close(&self, number: Option<u64>, close: &Close) {
        self.record_fate(number, Fate::Closed(close.to_string()));
    }

    /// The client of a request that waited is gone.
    pub(crate) fn record_gone(&self, number: Option<u64>) {
        self.record_fate(number, Fate::PeerGone);
    }

    fn record_fate(&self, number: Option<u64>, fate: Fate) {
        if let (Some(mut ring), Some(number)) = (self.recorder.ring(), number) {
            ring.decide(number, self.now(), fate);
            drop(ring);
            self.changes.note();
        }
    }

    /// A connection begins.
    pub(crate) fn connection_opened(&self, connection: ConnectionId, node: NodeId, client: SocketAddr) {
        if let Some(mut ring) = self.recorder.ring() {
            ring.opened(connection, node, client, self.now());
        }
        self.changes.note();
    }

    /// A connection ends. Only the first reason counts.
    pub(crate) fn connection_closed(&self, connection: ConnectionId, why: &str) {
        if let Some(mut ring) = self.recorder.ring() {
            ring.closed(connection, self.now(), why);
        }
        self.changes.note();
    }

    /// What tells the waiters of a change.
    pub(crate) fn change_bell(&self) -> Changes {
        self.changes.clone()
    }

    /// The request that a connection is busy with meets something of the test's.
    pub(super) fn record_hit(&self, origin: Origin, name: &str) {
        if let Some(mut ring) = self.recorder.ring() {
            ring.hit(origin.connection, name);
        }
    }

    fn entries_in(&self, start: Start, scope: &Scope) -> Found {
        let Some(ring) = self.recorder.ring() else {
            return Found { entries: Vec::new(), forgotten: 0, next: 0, written: 0 };
        };
        let entry = |kept: Kept<'_>| {
            let peer = ring.peers().get(&kept.connection()).cloned();
            scope.may_hold(kept.api_key()).then(|| Entry::new(kept.number(), kept.record(), peer))
        };
        let entries: Vec<Entry> = match start {
            Start::Number(number) => ring.since(number).filter_map(entry).collect(),
            Start::Written(written) => ring.changed(written).filter_map(entry).collect(),
        };
        let (forgotten, next, written) = (ring.forgotten(), ring.next_number(), ring.written());
        drop(ring);
        let entries = entries.into_iter().map(|entry| self.found_out(entry));
        Found { entries: entries.filter(|entry| is_in(scope, entry)).collect(), forgotten, next, written }
    }

    /// `entry` with what it is about: topics by the names that they have now.
    fn found_out(&self, entry: Entry) -> Entry {
        let about = match table::decode(&entry.request_bytes()) {
            Ok(Incoming::Request(_, request)) => self.read(|state| subject(&request, state.cluster.topics())),
            _ => Subject::default(),
        };
        entry.about(about)
    }

    /// The last requests, a line for each.
    pub(super) fn last_requests(&self) -> Vec<String> {
        let Some(ring) = self.recorder.ring() else { return vec!["the broker was built without a journal".into()] };
        let since = ring.next_number().saturating_sub(REPORTED_REQUESTS as u64);
        drop(ring);
        let line = |entry: Entry| {
            let at = entry.arrived().since(self.started).as_millis();
            let took = match entry.took() {
                Some(took) if !took.is_zero() => format!(" (after {} ms)", took.as_millis()),
                _ => String::new(),
            };
            format!("#{} +{at} ms {entry}{took}", entry.number())
        };
        self.entries_in(Start::Number(since), &crate::fault::on_any()).entries.into_iter().map(line).collect()
    }

    /// The connections that are known, those that have ended among them, by id.
    #[cfg(feature = "control")]
    pub(crate) fn connections(&self) -> Vec<(ConnectionId, crate::journal::Peer)> {
        let Some(ring) = self.recorder.ring() else { return Vec::new() };
        ring.peers().iter().map(|(id, peer)| (*id, peer.clone())).collect()
    }

    /// The connections, a line for each.
    pub(super) fn known_connections(&self) -> Vec<String> {
        let Some(ring) = self.recorder.ring() else { return Vec::new() };
        let at = |instant: Timestamp| instant.since(self.started).as_millis();
        let line = |(id, peer): (&ConnectionId, &crate::journal::Peer)| {
            let since = at(peer.opened);
            let end = match &peer.closed {
                None => "open".to_owned(),
                Some((when, why)) => format!("ended +{} ms: {why}", at(*when)),
            };
            format!("c{} {} to node {}, +{since} ms, {end}", id.0, peer.client, peer.node)
        };
        ring.peers().iter().map(line).collect()
    }
}

fn is_in(scope: &Scope, entry: &Entry) -> bool {
    scope.holds(&Asked {
        api_key: entry.api_key(),
        version: entry.version(),
        client_id: entry.client_id(),
        // Of a connection that is forgotten nobody knows the node: it is in no scope that names one.
        node: entry.node().unwrap_or(NodeId(i32::MIN)),
        connection: entry.connection(),
        subject: entry.subject().clone(),
    })
}

impl Watched for Engine {
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn report(&self) -> String {
        self.report_once()
    }
}

impl Source for Engine {
    fn entries(&self, start: Start, scope: &Scope) -> Found {
        self.entries_in(start, scope)
    }

    fn is_kept(&self) -> bool {
        self.recorder.ring.is_some()
    }
}
