//! One request: fault, handler, effects, fault, answer, in that order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::changes::Locked;
use super::{Engine, Origin, Outcome, Pending, Shared, isolation};
use crate::error::Close;
use crate::handlers::table::{self, Request, Response};
use crate::handlers::{Answer, Ctx, produce};
use crate::state::State;
use crate::wire::request::RequestHeader;

impl Engine {
    /// Takes `request` to its handler, by way of what is mounted for it.
    pub(crate) fn submit(self: &Arc<Self>, origin: Origin, header: &RequestHeader, request: Request) -> Outcome {
        self.on_its_way.submit();
        match self.plan(origin, header, &request) {
            None => self.apply(origin, header, request),
            Some(plan) => self.steer(origin, header, request, plan),
        }
    }

    /// Takes `request` to its handler.
    pub(super) fn apply(self: &Arc<Self>, origin: Origin, header: &RequestHeader, request: Request) -> Outcome {
        self.guarded(header, || self.handle(origin, header, request))
    }

    /// A handler that panics ends its connection, and is counted.
    pub(super) fn guarded(&self, header: &RequestHeader, handle: impl FnOnce() -> Outcome) -> Outcome {
        let handled = std::panic::catch_unwind(AssertUnwindSafe(handle));
        handled.unwrap_or_else(|_| {
            self.panics.fetch_add(1, Ordering::Relaxed);
            Outcome::Close(Close::because(format!(
                "the handler of api key {} panicked: a bug of mockbroker",
                header.api_key
            )))
        })
    }

    fn handle(self: &Arc<Self>, origin: Origin, header: &RequestHeader, request: Request) -> Outcome {
        match request {
            Request::Produce(request) => {
                let admitted = self.run(origin, header, |state, ctx| produce::admit(state, ctx, request));
                let checked = produce::check(admitted, header.api_version, self.now());
                self.answer(origin, header, |state, ctx| produce::append(state, ctx, checked).map(Response::Produce))
            }
            request => self.answer(origin, header, |state, ctx| {
                if isolation::asks_in_vain(state, ctx, &request) {
                    return isolation::refuse(state, &request);
                }
                table::handle(state, ctx, request)
            }),
        }
    }

    /// Runs one step of a handler under the lock, then its effects.
    fn run<R>(&self, origin: Origin, header: &RequestHeader, step: impl FnOnce(&mut State, &mut Ctx<'_>) -> R) -> R {
        self.lock().as_seen_by(origin.node, |shared| self.run_locked(shared, origin, header, step))
    }

    pub(super) fn run_locked<R>(
        &self,
        shared: &mut Shared,
        origin: Origin,
        header: &RequestHeader,
        step: impl FnOnce(&mut State, &mut Ctx<'_>) -> R,
    ) -> R {
        let mut effects = Vec::new();
        let mut ctx = Ctx {
            now: self.now(),
            node: origin.node,
            version: header.api_version,
            client_id: &header.client_id,
            client_address: origin.client_address,
            effects: &mut effects,
        };
        let result = step(&mut shared.state, &mut ctx);
        let now = ctx.now;
        shared.carry_out(effects, now);
        result
    }

    /// As [`Engine::run`], for the step that answers.
    pub(super) fn answer(
        self: &Arc<Self>,
        origin: Origin,
        header: &RequestHeader,
        step: impl FnOnce(&mut State, &mut Ctx<'_>) -> Answer<Response>,
    ) -> Outcome {
        let mut shared = self.lock();
        if !shared.state.cluster.is_running(origin.node) {
            // It arrived as its node crashed.
            return Outcome::Close(Close::because("the node is down"));
        }
        if !shared.state.is_whole() {
            return self.answer_apart(shared, origin, header, step);
        }
        let answer = self.run_locked(&mut shared, origin, header, step);
        self.conclude(shared, header, answer)
    }

    /// What a handler says, for the connection. Inlined, because answers are large.
    #[inline(always)]
    pub(super) fn conclude(
        self: &Arc<Self>,
        mut shared: Locked<'_>,
        header: &RequestHeader,
        answer: Answer<Response>,
    ) -> Outcome {
        let receiver = match &answer {
            Answer::Later(ticket) => Some(shared.parked.park(*ticket, header.api_version)),
            _ => None,
        };
        self.rearm(&mut shared);
        drop(shared);
        match (answer, receiver) {
            (Answer::Later(ticket), Some(answer)) => {
                Outcome::Parked(Pending { engine: Arc::clone(self), ticket, answer })
            }
            (Answer::Now(response), _) => Outcome::Answer(response),
            (Answer::Close(close), _) => Outcome::Close(close),
            (Answer::Never | Answer::Later(_), _) => Outcome::Nothing,
        }
    }
}
