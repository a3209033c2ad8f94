//! The public face of the journal: which requests, how many, and waiting for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Decision, Entry};
use super::pcapng::pcapng;
use crate::fault::{Scope, on_any};
use crate::types::{ConnectionId, NodeId};
use crate::wait::{Watched, or_panic, search};
use crate::wire::api_key::ApiKey;

/// Where the requests are: the engine.
pub(crate) trait Source: Watched {
    /// The requests of `scope` from `start` on.
    fn entries(&self, start: Start, scope: &Scope) -> Found;
    /// Every request is kept; it was not switched off.
    fn is_kept(&self) -> bool;
}

/// From where on requests are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// Those with this number or a later one.
    Number(u64),
    /// Those that came, or of which it was decided what becomes of them, since so much was [`written`](Found::written).
    Written(u64),
}

/// What the ring had.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) entries: Vec<Entry>,
    /// How many of the broker's requests are forgotten.
    pub(crate) forgotten: u64,
    /// The number of the next request.
    pub(crate) next: u64,
    /// How much had been written: all of it was looked at.
    pub(crate) written: u64,
}

/// Why a question cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// No request is kept.
    NotKept,
    /// The answer may depend on some of the first so many requests, which are forgotten.
    Forgotten(u64),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept => f.write_str("this broker was built without a journal"),
            Self::Forgotten(requests) => write!(
                f,
                "the first {requests} requests are forgotten: the journal keeps the last 10,000, or 16 MiB of them; ask for \
                 less, with since(mark)"
            ),
        }
    }
}

/// What clients have asked of a broker: all of it, or what the filters leave. Made by [`MockBroker::journal`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mockbroker::{ApiKey, MockBroker};
///
/// let broker = MockBroker::builder().topic("orders", 1).start().await;
/// // ... the code under test runs ...
/// assert_eq!(broker.journal().produce().topic("orders").count(), 0);
/// assert_eq!(broker.journal().api(ApiKey::EndTxn).failed_with(51).count(), 0, "no CONCURRENT_TRANSACTIONS");
/// println!("{}", broker.journal().text()); // a line for each request
/// # }
/// ```
///
/// The last 10,000 requests are kept, or as many as fit into 16 MiB. A question that what was forgotten may have changed
/// the answer of panics and says so; [`since`](Self::since) asks about less.
///
/// [`MockBroker::journal`]: crate::MockBroker::journal
#[derive(Clone)]
#[must_use = "it does nothing until it is asked for something"]
pub struct Journal {
    source: Arc<dyn Source>,
    scope: Scope,
    since: u64,
    outcome: Option<Outcome>,
    patience: Option<Duration>,
}

/// What has become of a request, as far as a filter cares.
#[derive(Clone, Debug)]
enum Outcome {
    Answered,
    Ok,
    FailedWith(i16),
    HitBy(String),
    Waits,
}

impl Outcome {
    fn is_of(&self, entry: &Entry) -> bool {
        match self {
            Self::Answered => entry.decision() == Decision::Answered,
            Self::Ok => entry.decision() == Decision::Answered && entry.errors().is_empty(),
            Self::FailedWith(code) => entry.errors().contains(code),
            Self::HitBy(name) => entry.faults().contains(name),
            Self::Waits => entry.decision() == Decision::Waits,
        }
    }
}

/// Which requests.
impl Journal {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, scope: on_any(), since: 0, outcome: None, patience: None }
    }

    /// Only requests of this API.
    pub fn api(self, api: ApiKey) -> Self {
        let scope = self.scope.clone().of(api);
        self.matching(scope)
    }

    /// Only Produce.
    pub fn produce(self) -> Self {
        self.api(ApiKey::Produce)
    }

    /// Only Fetch.
    pub fn fetch(self) -> Self {
        self.api(ApiKey::Fetch)
    }

    /// Only Metadata.
    pub fn metadata(self) -> Self {
        self.api(ApiKey::Metadata)
    }

    /// Only OffsetCommit.
    pub fn offset_commit(self) -> Self {
        self.api(ApiKey::OffsetCommit)
    }

    /// Only requests of this scope, which is that of faults; it replaces what was said before of API, topic and so on.
    ///
    /// # Panics
    ///
    /// If it says how many ([`Scope::nth`] and its like): a journal is asked for all.
    pub fn matching(mut self, scope: Scope) -> Self {
        assert!(
            !scope.counts(),
            "a journal is asked for all requests of a scope: leave out nth, times and probability"
        );
        self.scope = scope;
        self
    }

    /// Only at these versions of the API.
    pub fn versions(self, versions: impl RangeBounds<i16>) -> Self {
        let scope = self.scope.clone().versions(versions);
        self.matching(scope)
    }

    /// Only requests that name this topic.
    pub fn topic(self, name: impl Into<String>) -> Self {
        let scope = self.scope.clone().topic(name);
        self.matching(scope)
    }

    /// Only requests that name a partition of this number.
    pub fn partition(self, partition: i32) -> Self {
        let scope = self.scope.clone().partition(partition);
        self.matching(scope)
    }

    /// Only requests that name this group.
    pub fn group(self, group_id: impl Into<String>) -> Self {
        let scope = self.scope.clone().group(group_id);
        self.matching(scope)
    }

    /// Only requests that name this transactional id.
    pub fn transactional_id(self, transactional_id: impl Into<String>) -> Self {
        let scope = self.scope.clone().transactional_id(transactional_id);
        self.matching(scope)
    }

    /// Only requests of clients with this `client.id`.
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        let scope = self.scope.clone().client_id(client_id);
        self.matching(scope)
    }

    /// Only requests to this node.
    pub fn node(self, node: NodeId) -> Self {
        let scope = self.scope.clone().node(node);
        self.matching(scope)
    }

    /// Only requests on this connection.
    pub fn connection(self, connection: ConnectionId) -> Self {
        let scope = self.scope.clone().connection(connection);
        self.matching(scope)
    }

    /// Only requests from this number on: what [`mark`](Self::mark) said before something began.
    pub fn since(mut self, number: u64) -> Self {
        self.since = number;
        self
    }

    /// Only requests that were answered.
    pub fn answered(self) -> Self {
        self.with(Outcome::Answered)
    }

    /// Only requests that were answered without any error.
    pub fn succeeded(self) -> Self {
        self.with(Outcome::Ok)
    }

    /// Only requests whose answer has this error code, wherever the API has room for one.
    pub fn failed_with(self, code: i16) -> Self {
        self.with(Outcome::FailedWith(code))
    }

    /// Only requests that met the fault of this name.
    pub fn hit_by(self, fault: impl Into<String>) -> Self {
        self.with(Outcome::HitBy(fault.into()))
    }

    /// Only requests that wait for their answer.
    pub fn waiting(self) -> Self {
        self.with(Outcome::Waits)
    }

    /// How long [`wait_for`](Self::wait_for) waits, in real time, instead of what the broker was built with.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    fn with(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }
}

/// What is asked of them. Every question
///
/// # Panics
///
/// if the broker was built without a journal, or has forgotten requests that the answer may depend on.
impl Journal {
    /// The number that the next request of the broker will have, for [`since`](Self::since).
    pub fn mark(&self) -> u64 {
        self.source.entries(Start::Written(u64::MAX), &on_any()).next
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// All of them, in the order in which it was decided what becomes of them, or that they wait.
    pub fn entries(&self) -> Vec<Entry> {
        self.try_entries().unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`entries`](Self::entries).
    ///
    /// # Errors
    ///
    /// What would be a panic there.
    pub(crate) fn try_entries(&self) -> Result<Vec<Entry>, Unknown> {
        let found = self.look(Start::Number(self.since), self.since)?;
        Ok(found.entries.into_iter().filter(|entry| self.holds(entry)).collect())
    }

    /// The last one.
    pub fn last(&self) -> Option<Entry> {
        self.entries().pop()
    }

    /// One line for each, the same in every run of the same test: for `insta`, and for reading.
    pub fn text(&self) -> String {
        self.entries().iter().map(|entry| format!("{entry}\n")).collect()
    }

    /// A capture file (pcapng) of them, for Wireshark: `std::fs::write("story.pcapng", journal.pcapng())`. Every connection is a
    /// TCP stream to port 9092 of an address that stands for the node, in the time of the broker's clock, with faults as
    /// comments.
    pub fn pcapng(&self) -> Vec<u8> {
        pcapng(&self.entries())
    }

    /// As [`pcapng`](Self::pcapng).
    ///
    /// # Errors
    ///
    /// What would be a panic there.
    #[cfg(feature = "control")]
    pub(crate) fn try_pcapng(&self) -> Result<Vec<u8>, Unknown> {
        Ok(pcapng(&self.try_entries()?))
    }

    /// What there is from `start` on, whatever is forgotten; `None` if no request is kept at all.
    #[cfg(feature = "control")]
    pub(crate) fn news(&self, start: Start) -> Option<Found> {
        self.source.is_kept().then(|| self.source.entries(start, &self.scope))
    }

    /// Waits until there are `count` of them, and returns all that there are then. Safe to drop.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// let commits = broker.journal().offset_commit().group("billing").succeeded().wait_for(2).await;
    /// assert_eq!(commits[0].client_id(), "billing-1");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If they do not come within the patience, with the broker's report.
    pub async fn wait_for(&self, count: usize) -> Vec<Entry> {
        let what = format!("{count} requests of {self:?}");
        let patience = self.patience.unwrap_or_else(|| self.source.patience());
        let gathered = or_panic(&*self.source, patience, &what, self.gather(count)).await;
        gathered.unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`wait_for`](Self::wait_for), however long that takes. Safe to drop.
    ///
    /// # Errors
    ///
    /// It cannot be known how many there are.
    pub(crate) async fn gather(&self, count: usize) -> Result<Vec<Entry>, Unknown> {
        let (mut from, mut start) = (self.since, Start::Number(self.since));
        let (mut held, mut open) = (BTreeMap::new(), BTreeSet::new());
        search(&*self.source, || {
            let found = match self.look(start, open.first().map_or(from, |oldest| from.min(*oldest))) {
                Ok(found) => found,
                Err(why) => return Some(Err(why)),
            };
            (from, start) = (found.next.max(from), Start::Written(found.written));
            for entry in found.entries.into_iter().filter(|entry| entry.number() >= self.since) {
                // What it comes to is still open, and must not be forgotten before it is told.
                if self.outcome.is_some() && entry.decision() == Decision::Waits {
                    open.insert(entry.number());
                } else {
                    open.remove(&entry.number());
                }
                if self.holds(&entry) {
                    held.insert(entry.number(), entry);
                } else {
                    held.remove(&entry.number());
                }
            }
            (held.len() >= count).then(|| Ok(std::mem::take(&mut held).into_values().collect()))
        })
        .await
    }

    /// What there is from `start` on, if nothing from request `needed` on is forgotten.
    fn look(&self, start: Start, needed: u64) -> Result<Found, Unknown> {
        if !self.source.is_kept() {
            return Err(Unknown::NotKept);
        }
        let found = self.source.entries(start, &self.scope);
        if found.forgotten > needed {
            return Err(Unknown::Forgotten(found.forgotten));
        }
        Ok(found)
    }

    fn holds(&self, entry: &Entry) -> bool {
        self.outcome.as_ref().is_none_or(|outcome| outcome.is_of(entry))
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Journal");
        shown.field("scope", &self.scope);
        if self.since > 0 {
            shown.field("since", &self.since);
        }
        if let Some(outcome) = &self.outcome {
            shown.field("outcome", outcome);
        }
        shown.finish()
    }
}
