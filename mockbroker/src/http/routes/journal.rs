//! The journal: what clients have asked, and what became of it.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::http::extract::{Asked, At, Body, InCluster};
use crate::http::model::{ApiName, KafkaError, TopicPartitions, error_code, message};
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::{Patience, apart};
use crate::journal::{Decision, Entry, Journal};
use crate::types::{ConnectionId, NodeId};

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new()
        .routes(routes!(entries))
        .routes(routes!(count))
        .routes(routes!(text))
        .routes(routes!(pcapng))
        .routes(routes!(wait))
}

/// Which requests. What is not said does not matter.
#[derive(Default, Deserialize, IntoParams, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of this API.
    api: Option<ApiName>,
    /// From this version of the API on.
    min_version: Option<i16>,
    /// Up to this version of the API.
    max_version: Option<i16>,
    /// That name this topic.
    topic: Option<String>,
    /// That name a partition of this number.
    partition: Option<i32>,
    /// That name this group.
    group: Option<String>,
    /// That name this transactional id.
    transactional_id: Option<String>,
    /// Of clients with this `client.id`.
    client_id: Option<String>,
    /// To this node.
    node: Option<i32>,
    /// On this connection.
    connection: Option<u64>,
    /// From this number on: what the answer to an earlier question had as `next`.
    since: u64,
    /// With this outcome.
    outcome: Option<Outcomes>,
    /// Whose answer has this error code, wherever the API has room for one.
    failed_with: Option<i16>,
    /// The same by Kafka's name of the error, as `NOT_LEADER_OR_FOLLOWER`.
    failed_with_name: Option<String>,
    /// That met the fault or gate of this name.
    hit_by: Option<String>,
    /// Also what was asked and answered, by Kafka's field names. Default: false.
    bodies: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcomes {
    /// It was answered.
    Answered,
    /// It was answered without any error.
    Succeeded,
    /// It waits for its answer.
    Waiting,
}

/// A request, and what became of it.
#[derive(Serialize, ToSchema)]
pub(super) struct JournalEntry {
    /// Which request of the cluster it is, counted from 0.
    number: u64,
    /// The connection that it came on.
    connection: u64,
    /// The node that got it; null if the connection ended so long ago that it is forgotten.
    node: Option<i32>,
    /// Where it came from; null as for `node`.
    client_address: Option<String>,
    /// The API by Kafka's name; null for a key that Kafka does not have.
    api: Option<String>,
    /// The API's number.
    api_key: i16,
    /// The version of the API.
    version: i16,
    /// What the client counts its requests by.
    correlation_id: i32,
    /// The client's name for itself; empty for none.
    client_id: String,
    /// When it arrived, by the cluster's clock, in milliseconds since 1970.
    arrived_ms: i64,
    /// How long it took until it was decided what becomes of it; null while it waits.
    took_ms: Option<u64>,
    /// What became of it.
    decision: DecisionName,
    /// Why its connection was closed, if it was.
    closed_because: Option<String>,
    /// The names of the faults and gates that it met.
    faults: Vec<String>,
    /// The topics that it names, each with the partitions that it names.
    topics: Vec<TopicPartitions>,
    /// The groups that it names.
    groups: Vec<String>,
    /// The transactional ids that it names.
    transactional_ids: Vec<String>,
    /// The errors in its answer.
    errors: Vec<KafkaError>,
    /// All of it in one line, which is the same in every run of the same test.
    text: String,
    /// What was asked, by Kafka's field names in snake case, bytes in base64; null unless `bodies` was asked for.
    #[schema(value_type = Option<Object>)]
    request: Option<serde_json::Value>,
    /// What was answered; null unless `bodies` was asked for.
    #[schema(value_type = Option<Object>)]
    answer: Option<serde_json::Value>,
}

/// What became of a request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DecisionName {
    /// It waits: a long poll, a join, a gate, a delay, a silence.
    Waits,
    /// It was answered.
    Answered,
    /// It was carried out and has no answer: a Produce with acks=0.
    NoAnswer,
    /// Its connection was closed instead of an answer.
    Closed,
    /// Its client closed the connection before there was an answer.
    ClientGone,
}

/// Requests.
#[derive(Serialize, ToSchema)]
struct JournalEntries {
    /// In the order in which it was decided what becomes of them, or that they wait.
    entries: Vec<JournalEntry>,
    /// The number that the next request of the cluster will have: `since` of the next question.
    next: u64,
}

/// How many requests.
#[derive(Serialize, ToSchema)]
struct JournalCount {
    /// So many.
    count: usize,
    /// The number that the next request of the cluster will have.
    next: u64,
}

/// What to wait for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct JournalWait {
    /// Requests like these. Default: any.
    #[serde(default)]
    filter: Filter,
    /// So many of them, counted from `filter.since` on. Default: 1.
    count: Option<usize>,
    /// How long.
    #[serde(default)]
    timeout_ms: Patience,
}

impl JournalEntry {
    pub(super) fn of(entry: &Entry, with_bodies: bool) -> Self {
        let (decision, closed_because) = match entry.decision() {
            Decision::Waits => (DecisionName::Waits, None),
            Decision::Answered => (DecisionName::Answered, None),
            Decision::NoAnswer => (DecisionName::NoAnswer, None),
            Decision::Closed(why) => (DecisionName::Closed, Some(why)),
            Decision::ClientGone => (DecisionName::ClientGone, None),
        };
        Self {
            number: entry.number(),
            connection: entry.connection().0,
            node: entry.node().map(|node| node.0),
            client_address: entry.client_address().map(|address| address.to_string()),
            api: entry.api().map(|api| format!("{api:?}")),
            api_key: entry.api_key(),
            version: entry.version(),
            correlation_id: entry.correlation_id(),
            client_id: entry.client_id().to_owned(),
            arrived_ms: entry.arrived().as_millis(),
            took_ms: entry.took().map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            decision,
            closed_because,
            faults: entry.faults().to_vec(),
            topics: entry.topics().iter().cloned().map(TopicPartitions::of).collect(),
            groups: entry.groups().to_vec(),
            transactional_ids: entry.transactional_ids().to_vec(),
            errors: entry.errors().into_iter().map(KafkaError::of).collect(),
            text: entry.to_string(),
            request: with_bodies.then(|| message(&entry.request())),
            answer: entry.answer().filter(|_| with_bodies).map(|answer| message(&answer)),
        }
    }
}

impl Filter {
    /// The journal of `broker`, narrowed to what is said.
    fn of(&self, broker: &MockBroker) -> Outcome<Journal> {
        let mut journal = narrowed(broker.journal().since(self.since), self.api, |it, api| it.api(api.0));
        if self.min_version.is_some() || self.max_version.is_some() {
            journal = journal.versions(self.min_version.unwrap_or(0)..=self.max_version.unwrap_or(i16::MAX));
        }
        journal = narrowed(journal, self.topic.as_ref(), |it, topic| it.topic(topic));
        journal = narrowed(journal, self.partition, Journal::partition);
        journal = narrowed(journal, self.group.as_ref(), |it, group| it.group(group));
        journal = narrowed(journal, self.transactional_id.as_ref(), |it, id| it.transactional_id(id));
        journal = narrowed(journal, self.client_id.as_ref(), |it, id| it.client_id(id));
        journal = narrowed(journal, self.node, |it, node| it.node(NodeId(node)));
        journal = narrowed(journal, self.connection, |it, connection| it.connection(ConnectionId(connection)));
        let failed_with = match (self.failed_with, self.failed_with_name.as_deref()) {
            (None, None) => None,
            (code, name) => Some(error_code(code, name)?),
        };
        match (self.outcome, failed_with, self.hit_by.as_ref()) {
            (None, None, None) => Ok(journal),
            (Some(Outcomes::Answered), None, None) => Ok(journal.answered()),
            (Some(Outcomes::Succeeded), None, None) => Ok(journal.succeeded()),
            (Some(Outcomes::Waiting), None, None) => Ok(journal.waiting()),
            (None, Some(code), None) => Ok(journal.failed_with(code)),
            (None, None, Some(fault)) => Ok(journal.hit_by(fault)),
            _ => Err(Problem::bad("give one of `outcome`, `failed_with` and `hit_by`")),
        }
    }

    /// The requests, and the number of the next one: a request that comes between the two is asked for again.
    async fn entries(&self, broker: &MockBroker) -> Outcome<(Vec<Entry>, u64)> {
        let (journal, next) = (self.of(broker)?, broker.journal().mark());
        let entries = apart(move || journal.try_entries()).await?;
        let next = entries.last().map_or(next, |last| next.max(last.number() + 1));
        Ok((entries, next))
    }
}

fn narrowed<T>(journal: Journal, by: Option<T>, narrow: impl FnOnce(Journal, T) -> Journal) -> Journal {
    match by {
        Some(by) => narrow(journal, by),
        None => journal,
    }
}

async fn told(entries: Vec<Entry>, with_bodies: bool, next: u64) -> Json<JournalEntries> {
    let told = apart(move || entries.iter().map(|entry| JournalEntry::of(entry, with_bodies)).collect());
    Json(JournalEntries { entries: told.await, next })
}

/// The requests that were asked of the cluster, the last 10,000 or 16 MiB of them.
#[utoipa::path(get, path = "/clusters/{cluster}/journal", tag = "journal", operation_id = "journal", params(InCluster, Filter),
    responses((status = 200, body = JournalEntries), Refusals))]
async fn entries(
    State(hub): Knows,
    At(at): At<InCluster>,
    Asked(filter): Asked<Filter>,
) -> Outcome<Json<JournalEntries>> {
    let (entries, next) = filter.entries(&hub.cluster(&at.cluster)?.broker).await?;
    Ok(told(entries, filter.bodies, next).await)
}

/// How many requests there are.
#[utoipa::path(get, path = "/clusters/{cluster}/journal/count", tag = "journal", operation_id = "journal_count",
    params(InCluster, Filter), responses((status = 200, body = JournalCount), Refusals))]
async fn count(State(hub): Knows, At(at): At<InCluster>, Asked(filter): Asked<Filter>) -> Outcome<Json<JournalCount>> {
    let (entries, next) = filter.entries(&hub.cluster(&at.cluster)?.broker).await?;
    Ok(Json(JournalCount { count: entries.len(), next }))
}

/// One line for each request, the same in every run of the same test: for snapshots, and for reading.
#[utoipa::path(get, path = "/clusters/{cluster}/journal/text", tag = "journal", operation_id = "journal_text",
    params(InCluster, Filter), responses((status = 200, body = String, content_type = "text/plain"), Refusals))]
async fn text(State(hub): Knows, At(at): At<InCluster>, Asked(filter): Asked<Filter>) -> Outcome<String> {
    let (entries, _) = filter.entries(&hub.cluster(&at.cluster)?.broker).await?;
    Ok(apart(move || entries.iter().map(|entry| format!("{entry}\n")).collect()).await)
}

/// A capture file of the requests, for Wireshark.
#[utoipa::path(get, path = "/clusters/{cluster}/journal/pcapng", tag = "journal", operation_id = "journal_pcapng",
    params(InCluster, Filter),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "pcapng"), Refusals))]
async fn pcapng(State(hub): Knows, At(at): At<InCluster>, Asked(filter): Asked<Filter>) -> Outcome<impl IntoResponse> {
    let cluster = hub.cluster(&at.cluster)?;
    let journal = filter.of(&cluster.broker)?;
    let file = apart(move || journal.try_pcapng()).await?;
    let name = format!("attachment; filename=\"{}.pcapng\"", cluster.name);
    Ok(([(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, name)], file))
}

/// Waits until there are so many requests, and answers all that there are then.
#[utoipa::path(post, path = "/clusters/{cluster}/journal/wait", tag = "journal", operation_id = "wait_for_journal",
    params(InCluster), request_body = JournalWait, responses((status = 200, body = JournalEntries), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<JournalWait>) -> Outcome<Json<JournalEntries>> {
    let cluster = hub.cluster(&at.cluster)?;
    let (journal, count) = (to.filter.of(&cluster.broker)?, to.count.unwrap_or(1));
    let what = format!("{count} requests of {journal:?}");
    let entries = cluster.wait(to.timeout_ms, &what, journal.gather(count)).await??;
    let next = cluster.broker.journal().mark();
    Ok(told(entries, to.filter.bodies, next).await)
}
