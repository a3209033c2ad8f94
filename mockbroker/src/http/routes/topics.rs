//! Topics and partitions: what they are, waiting for what they are to be, operations on them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::http::extract::{At, Body, InCluster, OfPartition, OfTopic};
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::{Patience, apart};
use crate::inspect;
use crate::types::{NodeId, PartitionId};

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(describe))
        .routes(routes!(wait))
        .routes(routes!(roll_segments))
        .routes(routes!(compact))
        .routes(routes!(describe_partition))
        .routes(routes!(wait_for_partition))
        .routes(routes!(move_leader))
        .routes(routes!(delete_records))
}

/// A topic.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicState {
    /// Its name.
    name: String,
    /// The id that it has from its creation to its deletion (KIP-516).
    topic_id: String,
    /// Whether it is one of Kafka's own.
    is_internal: bool,
    /// Its partitions, by number.
    partitions: Vec<PartitionState>,
}

/// A partition.
#[derive(Serialize, ToSchema)]
struct PartitionState {
    /// Its number.
    partition: i32,
    /// The node that leads it; null while no node can.
    leader: Option<i32>,
    /// Rises with every election.
    leader_epoch: i32,
    /// The nodes that have it; the first is the preferred leader.
    replicas: Vec<i32>,
    /// Those of them that are in sync.
    isr: Vec<i32>,
    /// The offset of the first record that is not deleted.
    log_start_offset: i64,
    /// Up to where a consumer with `read_committed` reads.
    last_stable_offset: i64,
    /// Up to where any consumer reads.
    high_watermark: i64,
    /// The offset that the next record will have.
    log_end_offset: i64,
    /// What all its batches weigh.
    size_bytes: u64,
}

impl PartitionState {
    fn of(partition: i32, state: inspect::PartitionState) -> Self {
        let ids = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0).collect();
        let inspect::PartitionState {
            leader,
            leader_epoch,
            replicas,
            isr,
            log_start_offset,
            last_stable_offset,
            high_watermark,
            log_end_offset,
            size_bytes,
        } = state;
        Self {
            partition,
            leader: leader.map(|leader| leader.0),
            leader_epoch,
            replicas: ids(replicas),
            isr: ids(isr),
            log_start_offset,
            last_stable_offset,
            high_watermark,
            log_end_offset,
            size_bytes,
        }
    }
}

impl TopicState {
    /// The topics that `is_meant`, by name, as they are at one moment.
    pub(super) fn of(broker: &MockBroker, is_meant: impl Fn(&str) -> bool) -> Vec<Self> {
        broker.engine().read(|state| {
            let meant = state.cluster.topics().iter().filter(|topic| is_meant(topic.name()));
            let topics = meant.map(|topic| {
                let numbers = (0..topic.partitions().len()).filter_map(|index| i32::try_from(index).ok());
                let partition =
                    |number| Some(PartitionState::of(number, inspect::partition(state, topic.name(), number)?));
                Self {
                    name: topic.name().as_str().to_owned(),
                    topic_id: topic.id().to_string(),
                    is_internal: topic.is_internal(),
                    partitions: numbers.filter_map(partition).collect(),
                }
            });
            topics.collect()
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What a topic is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TopicWait {
    /// Whether it is to exist, or no longer to. Default: that it exists.
    #[serde(default = "yes")]
    exists: bool,
    /// How long.
    #[serde(default)]
    timeout_ms: Patience,
}

fn yes() -> bool {
    true
}

/// What a partition is to be: all that is said.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct PartitionWait {
    /// Its log ends at this offset or later.
    log_end_offset: Option<i64>,
    /// Consumers can read up to this offset or further.
    high_watermark: Option<i64>,
    /// Consumers of committed records can.
    last_stable_offset: Option<i64>,
    /// Its log starts at this offset or later.
    log_start_offset: Option<i64>,
    /// This node leads it.
    leader: Option<i32>,
    /// These replicas are in sync and no other, in any order.
    isr: Option<Vec<i32>>,
    /// How long.
    timeout_ms: Patience,
}

impl PartitionWait {
    fn holds(&self, state: &inspect::PartitionState) -> bool {
        let reached = |wanted: Option<i64>, offset: i64| wanted.is_none_or(|wanted| offset >= wanted);
        let sorted = |ids: &[i32]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        let isr: Vec<_> = state.isr.iter().map(|node| node.0).collect();
        reached(self.log_end_offset, state.log_end_offset)
            && reached(self.high_watermark, state.high_watermark)
            && reached(self.last_stable_offset, state.last_stable_offset)
            && reached(self.log_start_offset, state.log_start_offset)
            && self.leader.is_none_or(|leader| state.leader == Some(NodeId(leader)))
            && self.isr.as_ref().is_none_or(|wanted| sorted(wanted) == sorted(&isr))
    }

    fn text(&self, topic: &str, partition: i32) -> String {
        let said = [
            self.log_end_offset.map(|offset| format!("log end at {offset} or later")),
            self.high_watermark.map(|offset| format!("high watermark at {offset} or later")),
            self.last_stable_offset.map(|offset| format!("last stable offset at {offset} or later")),
            self.log_start_offset.map(|offset| format!("log start at {offset} or later")),
            self.leader.map(|leader| format!("led by {leader}")),
            self.isr.as_ref().map(|isr| format!("isr {isr:?}")),
        ];
        format!("{topic}-{partition}: {}", said.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Who is to lead or coordinate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveTo {
    /// `node.id`.
    pub(super) node: i32,
}

/// Which records to delete.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct DeleteRecords {
    /// Those before this offset. Default: all that consumers see.
    before_offset: Option<i64>,
}

/// All topics, Kafka's own among them, by name.
#[utoipa::path(get, path = "/clusters/{cluster}/topics", tag = "topics", operation_id = "list_topics", params(InCluster),
    responses((status = 200, body = Vec<TopicState>), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Vec<TopicState>>> {
    Ok(Json(TopicState::of(&hub.cluster(&at.cluster)?.broker, |_| true)))
}

/// A topic.
#[utoipa::path(get, path = "/clusters/{cluster}/topics/{topic}", tag = "topics", operation_id = "describe_topic", params(OfTopic),
    responses((status = 200, body = TopicState), Refusals))]
async fn describe(State(hub): Knows, At(at): At<OfTopic>) -> Outcome<Json<TopicState>> {
    let cluster = hub.cluster(&at.cluster)?;
    cluster.topic(&at.topic)?;
    let found = TopicState::of(&cluster.broker, |name| name == at.topic).pop();
    found.map(Json).ok_or_else(|| Problem::not_found(format!("topic {:?} was deleted meanwhile", at.topic)))
}

/// Waits until a topic exists, or no longer does.
#[utoipa::path(post, path = "/clusters/{cluster}/topics/{topic}/wait", tag = "topics", operation_id = "wait_for_topic",
    params(OfTopic), request_body = TopicWait,
    responses((status = 200, body = TopicState), (status = 204, description = "It does not exist."), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<OfTopic>, Body(to): Body<TopicWait>) -> Outcome<Response> {
    let cluster = hub.cluster(&at.cluster)?;
    let what = format!("topic {:?} {}", at.topic, if to.exists { "created" } else { "deleted" });
    let look = || {
        let found = TopicState::of(&cluster.broker, |name| name == at.topic).pop();
        (found.is_some() == to.exists).then_some(found)
    };
    Ok(match cluster.until(to.timeout_ms, &what, look).await? {
        Some(topic) => Json(topic).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Begins a new segment in every partition of a topic, as `segment.ms` does in time.
#[utoipa::path(post, path = "/clusters/{cluster}/topics/{topic}/roll-segments", tag = "topics", params(OfTopic),
    responses((status = 204, description = "It is done."), Refusals))]
async fn roll_segments(State(hub): Knows, At(at): At<OfTopic>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    cluster.topic(&at.topic)?;
    cluster.broker.engine().roll_segments(&at.topic).map_err(Problem::conflict)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Compacts a topic, however little is dirty. As in Kafka the last segment is left alone: roll the segments first.
#[utoipa::path(post, path = "/clusters/{cluster}/topics/{topic}/compact", tag = "topics", params(OfTopic),
    responses((status = 204, description = "It is done."), Refusals))]
async fn compact(State(hub): Knows, At(at): At<OfTopic>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    cluster.topic(&at.topic)?;
    let broker = cluster.broker.clone();
    apart(move || broker.engine().compact(&at.topic)).await.map_err(Problem::conflict)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A partition.
#[utoipa::path(get, path = "/clusters/{cluster}/topics/{topic}/partitions/{partition}", tag = "topics",
    operation_id = "describe_partition", params(OfPartition), responses((status = 200, body = PartitionState), Refusals))]
async fn describe_partition(State(hub): Knows, At(at): At<OfPartition>) -> Outcome<Json<PartitionState>> {
    let partition = hub.cluster(&at.cluster)?.partition(&at.topic, at.partition)?;
    let state = partition.state().ok_or_else(|| Problem::not_found("it was deleted meanwhile"))?;
    Ok(Json(PartitionState::of(at.partition, state)))
}

/// Waits until a partition is as is said. It need not exist before.
#[utoipa::path(post, path = "/clusters/{cluster}/topics/{topic}/partitions/{partition}/wait", tag = "topics",
    operation_id = "wait_for_partition", params(OfPartition), request_body = PartitionWait,
    responses((status = 200, body = PartitionState), WaitRefusals))]
async fn wait_for_partition(
    State(hub): Knows,
    At(at): At<OfPartition>,
    Body(to): Body<PartitionWait>,
) -> Outcome<Json<PartitionState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let partition = cluster.broker.topic(&at.topic).partition(at.partition);
    let what = to.text(&at.topic, at.partition);
    let found = cluster.until(to.timeout_ms, &what, || partition.state().filter(|state| to.holds(state))).await?;
    Ok(Json(PartitionState::of(at.partition, found)))
}

/// Lets a node lead a partition, with the next leader epoch.
#[utoipa::path(post, path = "/clusters/{cluster}/topics/{topic}/partitions/{partition}/leader", tag = "topics",
    operation_id = "move_leader", params(OfPartition), request_body = MoveTo,
    responses((status = 200, body = PartitionState), Refusals))]
async fn move_leader(
    State(hub): Knows,
    At(at): At<OfPartition>,
    Body(to): Body<MoveTo>,
) -> Outcome<Json<PartitionState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let partition = cluster.partition(&at.topic, at.partition)?;
    let moved = cluster.broker.engine().lead(&at.topic, PartitionId(at.partition), NodeId(to.node));
    moved.map_err(Problem::conflict)?;
    let state = partition.state().ok_or_else(|| Problem::not_found("it was deleted meanwhile"))?;
    Ok(Json(PartitionState::of(at.partition, state)))
}

/// Deletes the records of a partition before an offset, as DeleteRecords and retention do.
#[utoipa::path(post, path = "/clusters/{cluster}/topics/{topic}/partitions/{partition}/delete-records", tag = "topics",
    operation_id = "delete_records", params(OfPartition), request_body = DeleteRecords,
    responses((status = 200, body = PartitionState), Refusals))]
async fn delete_records(
    State(hub): Knows,
    At(at): At<OfPartition>,
    Body(to): Body<DeleteRecords>,
) -> Outcome<Json<PartitionState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let partition = cluster.partition(&at.topic, at.partition)?;
    let deleted = cluster.broker.engine().delete_records(&at.topic, PartitionId(at.partition), to.before_offset);
    deleted.map_err(Problem::conflict)?;
    let state = partition.state().ok_or_else(|| Problem::not_found("it was deleted meanwhile"))?;
    Ok(Json(PartitionState::of(at.partition, state)))
}
