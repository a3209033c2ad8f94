//! What is to go wrong: rules that a test mounts, and which of them a request meets. Sees requests, never state.
//!
//! A request meets a rule twice: before it is applied, which is before its handler, and after, which is between the handler
//! and the answer. What a rule says happens in the engine and on the connection; no handler knows of it.
//!
//! - `adversary`: whims of a cluster that is as unhelpful as Kafka may be
//! - `scope`: which requests; `rule`: what happens to them, and how often it has
//! - `mount`: the public face: mounting, guards that verify, gates; `markers`: of transactions that are held half-way;
//!   `loading`: of coordinators that do not know yet what they lead

mod adversary;
mod edit;
mod loading;
mod markers;
mod mount;
mod rule;
mod scope;

pub(crate) use self::adversary::{Adversary, Circumstances, Whim};
pub use self::edit::Edit;
pub(crate) use self::loading::LoadingHome;
pub use self::loading::{HeldLoading, PendingLoad};
pub(crate) use self::markers::MarkerHome;
pub use self::markers::{HeldMarkers, PendingMarker};
pub(crate) use self::mount::Home;
pub use self::mount::{FaultBuilder, FaultGuard, Gate, GateBuilder, Mount};
pub use self::rule::Fault;
pub(crate) use self::rule::{Action, Fuse, Plan, Rule, Stage};
pub use self::scope::{Scope, on, on_any};

use std::sync::Arc;

use crate::ids::IdSource;
use crate::types::{ConnectionId, NodeId};
use crate::wire::subject::Subject;

/// What a rule can look at in a request.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// Its API.
    pub(crate) api_key: i16,
    /// Its version.
    pub(crate) version: i16,
    /// The client id of its header.
    pub(crate) client_id: &'a str,
    /// The node that got it.
    pub(crate) node: NodeId,
    /// The connection that it came on.
    pub(crate) connection: ConnectionId,
    /// What it is about.
    pub(crate) subject: Subject,
}

/// All rules of a cluster, in the order in which they were mounted.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<Arc<Rule>>,
    random: IdSource,
}

impl Faults {
    /// No rules. `seed` decides about probabilities.
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), random: IdSource::new(seed) }
    }

    /// Adds a rule.
    pub(crate) fn mount(&mut self, rule: Arc<Rule>) {
        self.rules.push(rule);
    }

    /// Takes a rule away.
    pub(crate) fn unmount(&mut self, rule: &Arc<Rule>) {
        self.rules.retain(|mounted| !Arc::ptr_eq(mounted, rule));
    }

    /// Each that is mounted, in a line.
    pub(crate) fn describe(&self) -> impl Iterator<Item = String> {
        self.rules
            .iter()
            .map(|rule| format!("{} on {:?}: hit {} of {}", rule.name(), rule.scope(), rule.hits(), rule.seen()))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What happens to a request: at each stage the first rule that fires.
    ///
    /// As in doubles for other protocols, a request that one rule has taken does not come to the next, which counts neither
    /// `nth` nor `times` by it: of two rules that happen once each, the first request meets one and the second the other.
    pub(crate) fn plan(&mut self, asked: &Asked<'_>) -> Plan {
        let mut plan = Plan::default();
        for rule in &self.rules {
            if !rule.scope().holds(asked) {
                continue;
            }
            let place = match rule.stage() {
                Stage::BeforeApply => &mut plan.before,
                Stage::AfterApply => &mut plan.after,
            };
            if place.is_some() {
                rule.comes_late();
            } else if rule.fires(&mut self.random) {
                *place = Some(rule.action());
                plan.hits.push(Arc::clone(rule));
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests;
