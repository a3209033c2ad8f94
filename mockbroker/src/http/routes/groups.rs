//! Groups: their members, assignments and offsets, and waiting for what they are to be.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::topics::MoveTo;
use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::cluster::CoordinatorType;
use crate::http::extract::{At, Body, InCluster, OfGroup};
use crate::http::model::TopicPartitions;
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::Patience;
use crate::inspect;
use crate::types::NodeId;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(describe))
        .routes(routes!(wait))
        .routes(routes!(move_coordinator))
        .routes(routes!(expire_offsets))
}

/// A group.
#[derive(Serialize, ToSchema)]
pub(super) struct GroupState {
    /// Its id.
    group_id: String,
    /// `classic` or `consumer` (KIP-848).
    group_type: &'static str,
    /// Kafka's name of its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Assigning`, `Reconciling`.
    state: &'static str,
    /// The generation of a classic group, the epoch of a consumer group.
    epoch: i32,
    /// The members, by id.
    members: Vec<Member>,
    /// What is committed, by topic and partition.
    offsets: Vec<Offset>,
    /// What open transactions will have committed if they commit.
    pending: Vec<PendingOffset>,
}

/// A member of a group.
#[derive(Serialize, ToSchema)]
struct Member {
    /// Its id.
    member_id: String,
    /// `group.instance.id`, of a static member.
    instance_id: Option<String>,
    /// `client.id`.
    client_id: String,
    /// Where it connects from, as Kafka writes it: `/127.0.0.1`.
    client_host: String,
    /// The epoch of a member of a consumer group; -1 in a classic group.
    epoch: i32,
    /// What it is assigned.
    assignment: Vec<TopicPartitions>,
}

/// A committed offset.
#[derive(Serialize, ToSchema)]
struct Offset {
    /// Of which topic.
    topic: String,
    /// Of which partition.
    partition: i32,
    /// The offset.
    offset: i64,
    /// The leader epoch of the last record that was consumed; -1 for none.
    leader_epoch: i32,
    /// What the committer wrote beside it.
    metadata: String,
}

/// An offset that counts if its transaction commits.
#[derive(Serialize, ToSchema)]
struct PendingOffset {
    /// Whose transaction.
    producer_id: i64,
    /// Of which topic.
    topic: String,
    /// Of which partition.
    partition: i32,
    /// The offset.
    offset: i64,
}

impl GroupState {
    fn of(state: inspect::GroupState) -> Self {
        let inspect::GroupState { group_id, group_type, state, epoch, members, offsets, pending } = state;
        let members = members.into_iter().map(|member| {
            let inspect::GroupMember { member_id, instance_id, client_id, client_host, epoch, assignment } = member;
            let assignment = assignment.into_iter().map(TopicPartitions::of).collect();
            Member { member_id, instance_id, client_id, client_host, epoch, assignment }
        });
        let offsets = offsets.into_iter().map(|it| {
            let inspect::GroupOffset { topic, partition, offset, leader_epoch, metadata } = it;
            Offset { topic, partition, offset, leader_epoch, metadata }
        });
        let pending = pending.into_iter().map(|it| {
            let inspect::PendingOffset { producer_id, topic, partition, offset } = it;
            PendingOffset { producer_id, topic, partition, offset }
        });
        Self {
            group_id,
            group_type,
            state,
            epoch,
            members: members.collect(),
            offsets: offsets.collect(),
            pending: pending.collect(),
        }
    }

    /// All of a cluster, by kind and id.
    pub(super) fn all(broker: &MockBroker) -> Vec<Self> {
        broker.engine().read(inspect::groups).into_iter().map(Self::of).collect()
    }

    pub(super) fn group_id(&self) -> &str {
        &self.group_id
    }
}

/// What a group is to be: all that is said.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct GroupWait {
    /// In this state.
    state: Option<GroupStateName>,
    /// With so many members, no more and no less.
    members: Option<usize>,
    /// Without this member.
    without_member: Option<String>,
    /// With these offsets committed, or later ones.
    committed: Vec<CommittedAt>,
    /// Whether it is to exist, or no longer to. Default: that it exists, unless only `without_member` is said.
    exists: Option<bool>,
    /// How long.
    timeout_ms: Patience,
}

/// A state of a group, as Kafka spells it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
enum GroupStateName {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Assigning,
    Reconciling,
    Dead,
}

/// An offset that is to be committed.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CommittedAt {
    /// Of which topic.
    topic: String,
    /// Of which partition.
    partition: i32,
    /// At least this one.
    offset: i64,
}

impl GroupWait {
    fn holds(&self, group: Option<&inspect::GroupState>) -> bool {
        let Some(group) = group else {
            // A group that is no more has no members.
            let is_about_one_member = self.exists.is_none() && self.without_member.is_some();
            let wants_a_group = self.state.is_some() || self.members.is_some() || !self.committed.is_empty();
            return self.exists == Some(false) || is_about_one_member && !wants_a_group;
        };
        let is_committed = |at: &CommittedAt| group.offset(&at.topic, at.partition).is_some_and(|it| it >= at.offset);
        self.exists != Some(false)
            && self.state.is_none_or(|state| format!("{state:?}") == group.state)
            && self.members.is_none_or(|members| group.members.len() == members)
            && self.without_member.as_ref().is_none_or(|id| group.members.iter().all(|it| it.member_id != *id))
            && self.committed.iter().all(is_committed)
    }

    fn text(&self, group_id: &str) -> String {
        let mut said = Vec::new();
        said.extend(self.exists.map(|exists| if exists { "there" } else { "deleted" }.to_owned()));
        said.extend(self.state.map(|state| format!("{state:?}")));
        said.extend(self.members.map(|members| format!("with {members} members")));
        said.extend(self.without_member.as_ref().map(|id| format!("without member {id:?}")));
        let committed = self.committed.iter();
        said.extend(committed.map(|at| format!("{}-{} committed at least at {}", at.topic, at.partition, at.offset)));
        format!("group {group_id:?}: {}", said.join(", "))
    }
}

/// All groups, by kind and id.
#[utoipa::path(get, path = "/clusters/{cluster}/groups", tag = "groups", operation_id = "list_groups", params(InCluster),
    responses((status = 200, body = Vec<GroupState>), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Vec<GroupState>>> {
    Ok(Json(GroupState::all(&hub.cluster(&at.cluster)?.broker)))
}

/// A group.
#[utoipa::path(get, path = "/clusters/{cluster}/groups/{group_id}", tag = "groups", operation_id = "describe_group", params(OfGroup),
    responses((status = 200, body = GroupState), Refusals))]
async fn describe(State(hub): Knows, At(at): At<OfGroup>) -> Outcome<Json<GroupState>> {
    let found = hub.cluster(&at.cluster)?.broker.group(&at.group_id).state();
    let found = found.ok_or_else(|| Problem::not_found(format!("there is no group {:?}", at.group_id)))?;
    Ok(Json(GroupState::of(found)))
}

/// Waits until a group is as is said. It need not exist before.
#[utoipa::path(post, path = "/clusters/{cluster}/groups/{group_id}/wait", tag = "groups", operation_id = "wait_for_group",
    params(OfGroup), request_body = GroupWait,
    responses((status = 200, body = GroupState), (status = 204, description = "It does not exist."), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<OfGroup>, Body(to): Body<GroupWait>) -> Outcome<Response> {
    let cluster = hub.cluster(&at.cluster)?;
    let group = cluster.broker.group(&at.group_id);
    let look = || {
        let found = group.state();
        to.holds(found.as_ref()).then_some(found)
    };
    Ok(match cluster.until(to.timeout_ms, &to.text(&at.group_id), look).await? {
        Some(found) => Json(GroupState::of(found)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Lets a node coordinate a group, which it reads from the log; and with it every group of the same partition of
/// `__consumer_offsets`.
#[utoipa::path(post, path = "/clusters/{cluster}/groups/{group_id}/coordinator", tag = "groups",
    operation_id = "move_group_coordinator", params(OfGroup), request_body = MoveTo,
    responses((status = 204, description = "It does."), Refusals))]
async fn move_coordinator(State(hub): Knows, At(at): At<OfGroup>, Body(to): Body<MoveTo>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    let moved = cluster.broker.engine().coordinate(CoordinatorType::Group, &at.group_id, NodeId(to.node));
    moved.map_err(Problem::conflict)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets committed offsets expire, as `offsets.retention.minutes` does in time: those of groups without members, and of topics that no
/// member of their group is subscribed to.
#[utoipa::path(post, path = "/clusters/{cluster}/expire-offsets", tag = "groups", params(InCluster),
    responses((status = 204, description = "They have."), Refusals))]
async fn expire_offsets(State(hub): Knows, At(at): At<InCluster>) -> Outcome<StatusCode> {
    hub.cluster(&at.cluster)?.broker.expire_offsets();
    Ok(StatusCode::NO_CONTENT)
}
