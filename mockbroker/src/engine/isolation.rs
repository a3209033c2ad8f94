//! Nodes that are cut off from the others: their requests are answered from what they know themselves, and what wants somebody
//! else to answer waits until its time is up.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;

use super::changes::Locked;
use super::{Engine, Origin, Outcome, Shared};
use crate::handlers::table::{self, Request, Response};
use crate::handlers::{Answer, Ctx, follow};
use crate::state::State;
use crate::time::Timestamp;
use crate::types::NodeId;
use crate::wire::request::RequestHeader;

/// How long a node tries to reach the controllers for its client (the channel `forwarding` of `BrokerServer`).
const FORWARDING_MS: i64 = 60_000;

impl Shared {
    /// Has `act` see what `node` sees: the state of the cluster, but for a node that has one of its own.
    pub(super) fn as_seen_by<R>(&mut self, node: NodeId, act: impl FnOnce(&mut Self) -> R) -> R {
        if self.state.is_whole() {
            return act(self);
        }
        let Some(whole) = self.state.enter(node) else { return act(self) };
        let done = catch_unwind(AssertUnwindSafe(|| act(self)));
        self.state.leave(node, whole);
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Does what is due at nodes that have states of their own.
    pub(super) fn tick_alone(&mut self, now: Timestamp) {
        for node in self.state.alone() {
            self.as_seen_by(node, |shared| shared.tick_requests(now));
        }
    }

    /// Whoever waits at `node` for its groups is told that it does not speak for them: it knows that now.
    pub(super) fn give_up_alone(&mut self, node: NodeId, now: Timestamp) {
        if !self.state.is_alone(node) {
            return;
        }
        self.as_seen_by(node, |shared| {
            let given_up = shared.state.give_up_all_groups(now);
            shared.carry_out(follow(given_up).collect(), now);
        });
    }
}

impl Engine {
    /// Runs the step of a handler that answers, while some node is cut off. The answer waits for as long as the node has waited
    /// for others.
    #[cold]
    pub(super) fn answer_apart(
        self: &Arc<Self>,
        mut shared: Locked<'_>,
        origin: Origin,
        header: &RequestHeader,
        step: impl FnOnce(&mut State, &mut Ctx<'_>) -> Answer<Response>,
    ) -> Outcome {
        let (answer, wait) = shared.as_seen_by(origin.node, |shared| {
            shared.state.take_wait();
            // A closure of its own, so that `run_locked` has one caller for each and may be inlined: answers are large.
            let answer = self.run_locked(shared, origin, header, |state, ctx| step(state, ctx));
            (answer, shared.state.take_wait())
        });
        let outcome = self.conclude(shared, header, answer);
        match wait {
            None => outcome,
            Some(length) => Outcome::Late(Box::new(outcome), length),
        }
    }
}

/// Whether `request` is one for the controllers, and they do not hear of the node.
#[inline]
pub(super) fn asks_in_vain(state: &State, ctx: &Ctx<'_>, request: &Request) -> bool {
    state.is_isolated(ctx.node) && is_for_controllers(request)
}

/// What such a request is told, in the end.
#[cold]
pub(super) fn refuse(state: &mut State, request: &Request) -> Answer<Response> {
    state.wait_in_vain(FORWARDING_MS);
    Answer::Now(table::refuse(request, ResponseError::RequestTimedOut))
}

/// `KafkaApis.handle`, `forwardToController`.
fn is_for_controllers(request: &Request) -> bool {
    matches!(
        request,
        Request::CreateTopics(_)
            | Request::DeleteTopics(_)
            | Request::CreatePartitions(_)
            | Request::CreateAcls(_)
            | Request::DeleteAcls(_)
            | Request::AlterConfigs(_)
            | Request::IncrementalAlterConfigs(_)
            | Request::ElectLeaders(_)
            | Request::AlterPartitionReassignments(_)
            | Request::ListPartitionReassignments(_)
            | Request::AlterClientQuotas(_)
            | Request::AlterUserScramCredentials(_)
            | Request::DescribeQuorum(_)
            | Request::UpdateFeatures(_)
    )
}
