//! Which requests something is to happen to, as JSON: the scope of faults and gates.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::fault::{Scope, Stage, on, on_any};
use crate::http::model::ApiName;
use crate::http::problem::{Outcome, Problem};
use crate::types::{ConnectionId, NodeId};

/// Which requests something is to happen to, and how many of them. What is not said does not matter; nothing said is every request.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ScopeSpec {
    /// Only requests of this API.
    api: Option<ApiName>,
    /// Only from this version of the API on.
    #[schema(minimum = 0)]
    min_version: Option<i16>,
    /// Only up to this version of the API.
    #[schema(minimum = 0)]
    max_version: Option<i16>,
    /// Only requests that name this topic, whatever else they name.
    topic: Option<String>,
    /// Only requests that name a partition of this number, of the topic if one is given.
    partition: Option<i32>,
    /// Only requests that name this group.
    group: Option<String>,
    /// Only requests that name this transactional id.
    transactional_id: Option<String>,
    /// Only requests of clients with this `client.id`.
    client_id: Option<String>,
    /// Only requests to this node.
    node: Option<i32>,
    /// Only requests on this connection.
    connection: Option<u64>,
    /// From the nth request of this scope on, counted from 1; and once, unless `times` says otherwise.
    #[schema(minimum = 1)]
    nth: Option<u64>,
    /// At most so many times. Without it, and without `nth`, to every request for as long as it is mounted.
    times: Option<u64>,
    /// To this share of the requests, from 0 to 1, drawn by the cluster's seed.
    #[schema(minimum = 0, maximum = 1)]
    probability: Option<f64>,
}

/// When something happens to a request.
#[derive(Clone, Copy, Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum When {
    /// Before the broker has done anything of what is asked.
    BeforeApply,
    /// When it has done what is asked, before it answers.
    AfterApply,
}

impl From<Stage> for When {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::BeforeApply => Self::BeforeApply,
            Stage::AfterApply => Self::AfterApply,
        }
    }
}

impl ScopeSpec {
    pub(super) fn scope(self) -> Outcome<Scope> {
        if self.nth == Some(0) {
            return Err(Problem::bad("scope.nth: requests are counted from 1"));
        }
        if let Some(probability) = self.probability.filter(|probability| !(0.0..=1.0).contains(probability)) {
            return Err(Problem::bad(format!("scope.probability: it is between 0 and 1, not {probability}")));
        }
        let mut scope = self.api.map_or_else(on_any, |api| on(api.0));
        if self.min_version.is_some() || self.max_version.is_some() {
            scope = scope.versions(self.min_version.unwrap_or(0)..=self.max_version.unwrap_or(i16::MAX));
        }
        scope = narrowed(scope, self.topic, Scope::topic);
        scope = narrowed(scope, self.partition, Scope::partition);
        scope = narrowed(scope, self.group, Scope::group);
        scope = narrowed(scope, self.transactional_id, Scope::transactional_id);
        scope = narrowed(scope, self.client_id, Scope::client_id);
        scope = narrowed(scope, self.node.map(NodeId), Scope::node);
        scope = narrowed(scope, self.connection.map(ConnectionId), Scope::connection);
        scope = narrowed(scope, self.nth, Scope::nth);
        scope = narrowed(scope, self.times, Scope::times);
        Ok(narrowed(scope, self.probability, Scope::probability))
    }
}

fn narrowed<S, T>(scope: S, by: Option<T>, narrow: impl FnOnce(S, T) -> S) -> S {
    match by {
        Some(by) => narrow(scope, by),
        None => scope,
    }
}
