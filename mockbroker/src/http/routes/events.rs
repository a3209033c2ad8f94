//! What happens in a cluster, as it happens: server-sent events.
//!
//! Requests are told from the journal, one by one. Everything else is told as what it has become: what changed twice before it was
//! looked at is told once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::connections::ConnectionState;
use super::groups::GroupState;
use super::journal::JournalEntry;
use super::nodes::NodeState;
use super::topics::TopicState;
use super::transactions::TransactionState;
use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::http::extract::{Asked, At, InCluster};
use crate::http::hub::Cluster;
use crate::http::problem::{Outcome, Problem, Refusals};
use crate::journal::{Decision, Entry, Start};
use crate::wait::Watched;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Kinds, joined by commas: `request`, `connection`, `node`, `topic`, `group`, `transaction`. Default: all.
    kinds: Option<String>,
    /// Requests from this number on. Default: those that come from now on. `Last-Event-ID` wins.
    since: Option<u64>,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Request,
    Connection,
    Node,
    Topic,
    Group,
    Transaction,
}

const KINDS: [(&str, Kind); 6] = [
    ("request", Kind::Request),
    ("connection", Kind::Connection),
    ("node", Kind::Node),
    ("topic", Kind::Topic),
    ("group", Kind::Group),
    ("transaction", Kind::Transaction),
];

/// The name and the state of each thing of a kind.
type States = BTreeMap<(Kind, String), Value>;

/// Someone who listens.
struct Listener {
    cluster: Arc<Cluster>,
    changes: watch::Receiver<u64>,
    is_gone: watch::Receiver<bool>,
    kinds: BTreeSet<Kind>,
    known: States,
    /// The number of the next request to be told.
    next: u64,
    /// From where on the journal has something new.
    start: Start,
    /// The requests that were told as waiting.
    waiting: BTreeSet<u64>,
    ready: VecDeque<Event>,
    has_ended: bool,
}

/// What happens, as it happens: a stream of server-sent events, each with its kind as `event` and JSON as `data`.
///
/// - `request`: a request of the journal, when it is decided what becomes of it, or that it waits, and then again. The `id` of
///   the event is the number of the first request of which the reader has not been told yet what became of it. A client that
///   reconnects is told from there on: it misses none that the journal still has, and may hear of those twice that were decided
///   while an earlier one waited;
/// - `connection`, `node`, `topic`, `group`, `transaction`: `{"name": …, "state": …}`, what it is now, null if it is no more; those
///   that are there when the stream begins are not told;
/// - `forgotten`: `{"from": …, "to": …}`, requests that the journal no longer had when they were to be told;
/// - `end`: the cluster was dropped.
#[utoipa::path(get, path = "/clusters/{cluster}/events", tag = "journal", params(InCluster, Which,
        ("Last-Event-ID" = Option<u64>, Header, description = "Where the reader is: the last `id` that it got.")),
    responses((status = 200, body = String, content_type = "text/event-stream"), Refusals))]
async fn events(
    State(hub): Knows,
    At(at): At<InCluster>,
    Asked(which): Asked<Which>,
    headers: HeaderMap,
) -> Outcome<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let cluster = hub.cluster(&at.cluster)?;
    let kinds = which.kinds()?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let next = last.or(which.since).unwrap_or_else(|| cluster.broker.journal().mark());
    // Subscribed before it looks: what changes in between is looked at again.
    let changes = cluster.broker.engine().changes();
    let mut listener = Listener {
        changes,
        is_gone: cluster.is_gone.subscribe(),
        known: States::new(),
        kinds,
        next,
        start: Start::Number(next),
        waiting: BTreeSet::new(),
        ready: VecDeque::new(),
        has_ended: false,
        cluster,
    };
    listener.known = listener.states();
    listener.tell_requests();
    let stream = unfold(listener, |mut listener| async move {
        let event = listener.next_event().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

impl Which {
    fn kinds(&self) -> Outcome<BTreeSet<Kind>> {
        let Some(kinds) = &self.kinds else { return Ok(KINDS.iter().map(|(_, kind)| *kind).collect()) };
        let known = |name: &str| KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        let unknown = |name: &str| {
            let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
            Problem::bad(format!("kinds: there is no {name:?}, there are: {}", names.join(", ")))
        };
        kinds.split(',').map(|name| known(name.trim()).ok_or_else(|| unknown(name))).collect()
    }
}

impl Listener {
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.has_ended {
                return None;
            }
            let is_gone = tokio::select! {
                biased;
                gone = self.is_gone.wait_for(|is_gone| *is_gone) => gone.is_ok(),
                changed = self.changes.changed() => changed.is_err(),
            };
            if is_gone {
                self.has_ended = true;
                self.ready.push_back(Event::default().event("end").data("{}"));
            } else {
                self.tell_requests();
                self.tell_states();
            }
        }
    }

    fn tell_requests(&mut self) {
        if !self.kinds.contains(&Kind::Request) {
            return;
        }
        let Some(found) = self.cluster.broker.journal().news(self.start) else { return };
        self.start = Start::Written(found.written);
        if found.forgotten > self.next {
            let data = json!({ "from": self.next, "to": found.forgotten - 1 });
            self.ready.push_back(Event::default().event("forgotten").data(data.to_string()));
            self.next = found.forgotten;
        }
        self.waiting = self.waiting.split_off(&found.forgotten);
        for entry in found.entries {
            let number = entry.number();
            let waits = entry.decision() == Decision::Waits;
            let is_news = number >= self.next || self.waiting.contains(&number) && !waits;
            if waits {
                self.waiting.insert(number);
            } else {
                self.waiting.remove(&number);
            }
            self.next = self.next.max(number + 1);
            if is_news {
                let settled = self.waiting.first().map_or(self.next, |oldest| self.next.min(*oldest));
                self.ready.push_back(request(&entry, settled));
            }
        }
    }

    fn tell_states(&mut self) {
        let now = self.states();
        let gone = self.known.keys().filter(|key| !now.contains_key(key)).map(|key| (key, &Value::Null));
        let new = now.iter().filter(|(key, state)| self.known.get(key) != Some(state));
        for ((kind, name), state) in gone.chain(new) {
            let name_of_kind = KINDS.iter().find(|(_, known)| known == kind).map_or("", |(name, _)| name);
            let data = json!({ "name": name, "state": state });
            self.ready.push_back(Event::default().event(name_of_kind).data(data.to_string()));
        }
        self.known = now;
    }

    fn states(&self) -> States {
        let broker = &self.cluster.broker;
        let mut states = States::new();
        for kind in &self.kinds {
            let of_kind = match kind {
                Kind::Request => Vec::new(),
                Kind::Connection => named(ConnectionState::all(broker), |it| it.id().to_string()),
                Kind::Node => named(NodeState::all(broker), |it| it.node_id().to_string()),
                Kind::Topic => named(topics(broker), |it| it.name().to_owned()),
                Kind::Group => named(GroupState::all(broker), |it| it.group_id().to_owned()),
                Kind::Transaction => named(TransactionState::all(broker), |it| it.transactional_id().to_owned()),
            };
            states.extend(of_kind.into_iter().map(|(name, state)| ((*kind, name), state)));
        }
        states
    }
}

/// Kafka's own topics change with every commit, which is told as what it is: a group, a transaction.
fn topics(broker: &MockBroker) -> Vec<TopicState> {
    TopicState::of(broker, |name| !name.starts_with("__"))
}

fn named<T: Serialize>(states: Vec<T>, name: impl Fn(&T) -> String) -> Vec<(String, Value)> {
    states.into_iter().map(|state| (name(&state), json!(state))).collect()
}

fn request(entry: &Entry, settled: u64) -> Event {
    let data = json!(JournalEntry::of(entry, false));
    Event::default().event("request").id(settled.to_string()).data(data.to_string())
}
