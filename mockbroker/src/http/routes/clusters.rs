//! Clusters, created and dropped on demand.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::clock::{ClockState, NewClock};
use super::nodes::NodeState;
use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::builder::MockBrokerBuilder;
use crate::http::extract::{Asked, At, Body, InCluster};
use crate::http::hub::{Cluster, Surroundings, never_fired};
use crate::http::problem::{Outcome, Problem, Refusals};

/// Each takes a port and a file descriptor.
const MOST_NODES: u16 = 64;
/// As many as Kafka creates in one request (`QuorumController.MAX_RECORDS_PER_USER_OP`).
const MOST_PARTITIONS: i64 = 10_000;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(describe, drop_cluster)).routes(routes!(report))
}

/// A cluster to be.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct NewCluster {
    /// Its name in the paths of this address. Default: a free one.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,100}$")]
    name: Option<String>,
    /// How many nodes it has. Default: 1.
    #[schema(minimum = 1, maximum = 64)]
    nodes: Option<u16>,
    /// The `node.id` of the first node; the others follow. Default: 0.
    first_node_id: i32,
    /// Topics that are there from the start, with together at most 10000 partitions.
    topics: Vec<NewTopic>,
    /// Broker properties by Kafka's names; `node.ID.KEY` is one node's, `feature.NAME` the level of a feature.
    properties: BTreeMap<String, PropertyValue>,
    /// By which time it lives. Default: the real one.
    clock: NewClock,
    /// The seed of every id that it gives out. Default: a random one.
    seed: Option<u64>,
    /// Be as unhelpful as Kafka may be, drawn from this seed (docs/UNHELPFUL.md). Default: no more than by itself.
    unhelpful: Option<u64>,
    /// The port of the first node; node i gets port + i. Default: 0, free ones.
    port: u16,
    /// The host that clients are told. Default: as the program was started.
    advertised_host: Option<String>,
    /// Whether it keeps its last requests: the last 10,000, or 16 MiB of them. Default: it does.
    journal: Option<bool>,
}

/// A topic to be.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTopic {
    /// Its name.
    name: String,
    /// How many partitions it has.
    #[schema(minimum = 1)]
    partitions: i32,
}

/// The value of a property, as text or as what it looks like.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "a property is text, a number, true or false")]
enum PropertyValue {
    /// As in a properties file.
    Text(String),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Bool(bool),
}

/// A cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct ClusterState {
    /// Its name in the paths of this address.
    name: String,
    /// What a client takes as `bootstrap.servers`.
    bootstrap_servers: String,
    /// The seed of every id that it gives out.
    seed: u64,
    /// Its time.
    clock: ClockState,
    /// Its nodes, by id.
    nodes: Vec<NodeState>,
    /// How many connections of Kafka clients are open.
    connection_count: usize,
    /// How many requests wait for their answer: long polls.
    parked_request_count: usize,
}

impl ClusterState {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let broker = &cluster.broker;
        Self {
            name: cluster.name.clone(),
            bootstrap_servers: broker.bootstrap_servers().to_owned(),
            seed: broker.seed(),
            clock: ClockState::of(broker),
            nodes: NodeState::all(broker),
            connection_count: broker.connection_count(),
            parked_request_count: broker.parked_request_count(),
        }
    }
}

/// Whether faults that never fired are an error.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Verify {
    /// Answer 409 (`never-fired`) if a fault that had to fire never did. What is deleted is gone either way. Default: true.
    pub(super) verify: Option<bool>,
}

impl Verify {
    /// Nothing, or the refusal.
    pub(super) fn judge(&self, missed: &[String]) -> Outcome<StatusCode> {
        if missed.is_empty() || self.verify == Some(false) {
            Ok(StatusCode::NO_CONTENT)
        } else {
            Err(never_fired(missed))
        }
    }
}

/// All clusters, by name.
#[utoipa::path(get, path = "/clusters", tag = "clusters", operation_id = "list_clusters",
    responses((status = 200, body = Vec<ClusterState>), Refusals))]
async fn list(State(hub): Knows) -> Json<Vec<ClusterState>> {
    Json(hub.clusters().iter().map(|cluster| ClusterState::of(cluster)).collect())
}

/// Creates a cluster, with its own nodes, topics, properties, clock and seed. It serves when this answers.
#[utoipa::path(post, path = "/clusters", tag = "clusters", operation_id = "create_cluster", request_body = NewCluster,
    responses((status = 201, body = ClusterState), Refusals))]
async fn create(State(hub): Knows, Body(new): Body<NewCluster>) -> Outcome<(StatusCode, Json<ClusterState>)> {
    let builder = new.builder(&hub.surroundings)?;
    let cluster = start(&hub, new.name, async { builder.try_start().await }).await?;
    Ok((StatusCode::CREATED, Json(ClusterState::of(&cluster))))
}

/// A cluster.
#[utoipa::path(get, path = "/clusters/{cluster}", tag = "clusters", operation_id = "describe_cluster", params(InCluster),
    responses((status = 200, body = ClusterState), Refusals))]
async fn describe(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<ClusterState>> {
    Ok(Json(ClusterState::of(&*hub.cluster(&at.cluster)?)))
}

/// Drops a cluster with all that is mounted on it. Its ports are free and its connections closed when this answers.
#[utoipa::path(delete, path = "/clusters/{cluster}", tag = "clusters", operation_id = "drop_cluster", params(InCluster, Verify),
    responses((status = 204, description = "It is gone."), Refusals))]
async fn drop_cluster(State(hub): Knows, At(at): At<InCluster>, Asked(verify): Asked<Verify>) -> Outcome<StatusCode> {
    verify.judge(&hub.drop_cluster(&at.cluster).await?)
}

/// The state of the cluster and its last requests, for people.
#[utoipa::path(get, path = "/clusters/{cluster}/report", tag = "journal", params(InCluster),
    responses((status = 200, body = String, content_type = "text/plain"), Refusals))]
async fn report(State(hub): Knows, At(at): At<InCluster>) -> Outcome<String> {
    Ok(hub.cluster(&at.cluster)?.broker.report())
}

/// Starts a cluster under the name that was asked for.
pub(super) async fn start(
    hub: &Hub,
    name: Option<String>,
    start: impl Future<Output = Result<MockBroker, crate::error::StartError>>,
) -> Outcome<Arc<Cluster>> {
    name.as_deref().map_or(Ok(()), check_name)?;
    let name = hub.name(name)?;
    let broker = start.await.map_err(|error| match error {
        crate::error::StartError::Setting(_) => Problem::bad(error.to_string()),
        _ => Problem::conflict(error.to_string()),
    })?;
    hub.add(name, broker)
}

fn check_name(name: &str) -> Outcome<()> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=100).contains(&name.len()) && name.chars().all(is_fine) && name.contains(|c| c != '.') {
        return Ok(());
    }
    Err(Problem::bad("name: a cluster's has 1 to 100 of the characters a-z, A-Z, 0-9, `.`, `_`, `-`"))
}

impl NewCluster {
    fn builder(&self, surroundings: &Surroundings) -> Outcome<MockBrokerBuilder> {
        let nodes = self.nodes.unwrap_or(1);
        if !(1..=MOST_NODES).contains(&nodes) {
            return Err(Problem::bad(format!("nodes: a cluster here has 1 to {MOST_NODES}, not {nodes}")));
        }
        let partitions: i64 = self.topics.iter().map(|topic| i64::from(topic.partitions).max(0)).sum();
        if partitions > MOST_PARTITIONS {
            return Err(Problem::bad(format!("topics: {MOST_PARTITIONS} partitions are the most, not {partitions}")));
        }
        let host = self.advertised_host.clone().or_else(|| surroundings.advertised_host.clone());
        // Port 0 stands for the one that the node gets.
        let advertised = host.map(|host| vec![(host, 0); usize::from(nodes)]).unwrap_or_default();
        let mut builder = MockBroker::builder()
            .nodes(nodes)
            .first_node_id(self.first_node_id)
            .bind(surroundings.bind)
            .port(self.port)
            .advertised(advertised)
            .clock(self.clock.clock()?)
            .journal(self.journal.unwrap_or(true))
            .patience(crate::http::PATIENCE);
        if let Some(seed) = self.unhelpful {
            builder = builder.unhelpful(seed);
        }
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        for topic in &self.topics {
            builder = builder.topic(&topic.name, topic.partitions);
        }
        for (key, value) in &self.properties {
            builder = builder.config(key, value.text(key)?);
        }
        Ok(builder)
    }
}

impl PropertyValue {
    fn text(&self, key: &str) -> Outcome<String> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
        };
        // Of the internal topics as well: they are created whole.
        if key.ends_with("num.partitions") && text.trim().parse::<i64>().is_ok_and(|count| count > MOST_PARTITIONS) {
            return Err(Problem::bad(format!(
                "properties.{key}: {MOST_PARTITIONS} partitions are the most, not {text}"
            )));
        }
        Ok(text)
    }
}
