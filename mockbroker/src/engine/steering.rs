//! Faults and gates around a request: the one place where they happen. The handler between them knows of nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::quiet::Due;
use super::{Engine, Origin, Outcome};
use crate::error::Close;
use crate::fault::{Action, Asked, Edit, Fuse, Home, Plan, Rule};
use crate::handlers::editing::corrupt_request;
use crate::handlers::subject::subject;
use crate::handlers::table::{self, Request, Response};
use crate::time::Timestamp;
use crate::wire::request::RequestHeader;

/// A request that a fault or a gate holds before it is applied.
#[derive(Debug)]
pub(crate) struct HeldRequest {
    /// What it waits for.
    pub(crate) until: Until,
    request: Request,
    afterwards: Option<Afterwards>,
}

/// What something held waits for.
#[derive(Debug)]
pub(crate) enum Until {
    /// An instant of the broker's clock.
    Time(Timestamp),
    /// A gate of the test.
    Open(Fuse),
}

/// What happens to an answer when it is there.
#[derive(Debug)]
pub(crate) enum Afterwards {
    /// Another one is sent.
    Replace(Response),
    /// The connection ends instead.
    Close(Close),
    /// Nothing is ever sent.
    Silence,
    /// It waits.
    Wait(Until),
    /// It waits this much longer than it took.
    Delay(std::time::Duration),
    /// Its records are corrupted.
    CorruptRecords,
    /// So many bytes of it are sent.
    Partial(usize),
    /// It is sent with this time, and nothing is read for as long.
    Throttle(std::time::Duration),
    /// It is changed.
    Edit(Edit),
}

impl Engine {
    /// What is mounted for this request, if anything is.
    pub(super) fn plan(&self, origin: Origin, header: &RequestHeader, request: &Request) -> Option<Plan> {
        if !self.is_steered.load(Ordering::Acquire) {
            return None;
        }
        let now = self.now();
        let mut shared = self.lock();
        let asked = Asked {
            api_key: header.api_key,
            version: header.api_version,
            client_id: &header.client_id,
            node: origin.node,
            connection: origin.connection,
            subject: subject(request, shared.state.cluster.topics()),
        };
        let mut plan = shared.faults.plan(&asked);
        let whim = shared.tempt(&mut plan, &asked, request, now);
        drop(shared);
        plan.hits.iter().for_each(|rule| self.record_hit(origin, rule.name()));
        whim.iter().for_each(|name| self.record_hit(origin, name));
        Some(plan).filter(|plan| plan.before.is_some() || plan.after.is_some())
    }

    /// Lets `plan` happen to a request.
    pub(super) fn steer(
        self: &Arc<Self>,
        origin: Origin,
        header: &RequestHeader,
        mut request: Request,
        plan: Plan,
    ) -> Outcome {
        let afterwards = plan.after.and_then(|action| self.afterwards(action, &request));
        let until = match plan.before {
            None => return self.apply(origin, header, request).then(afterwards),
            Some(Action::Error(error)) if expects_no_answer(&request) => return Outcome::Close(unanswerable(error)),
            Some(Action::Error(error)) => return Outcome::Answer(table::refuse(&request, error)).then(afterwards),
            Some(Action::Disconnect(name)) => return Outcome::Close(disconnected(&name)),
            Some(Action::Silence) => return Outcome::Silent,
            Some(Action::Delay(length)) => Until::Time(self.now() + length),
            Some(Action::Gate(fuse)) => Until::Open(fuse),
            Some(Action::CorruptRecords) => {
                corrupt_request(&mut request);
                return self.apply(origin, header, request).then(afterwards);
            }
            Some(Action::Whim(whim)) => return self.indulge(whim, origin, header, request).then(afterwards),
            Some(Action::Partial(_) | Action::Throttle(_) | Action::Edit(_)) => {
                unreachable!("what happens to an answer is mounted after apply")
            }
        };
        Outcome::Held(Box::new(HeldRequest { until, request, afterwards }))
    }

    /// Goes on with a request that was held.
    pub(crate) fn resume(self: &Arc<Self>, origin: Origin, header: &RequestHeader, held: HeldRequest) -> Outcome {
        self.apply(origin, header, held.request).then(held.afterwards)
    }

    /// Waits as long as something is held. What follows counts as on its way if it was time that it waited for.
    pub(crate) async fn hold(&self, until: &Until) -> Option<Due> {
        match until {
            Until::Time(instant) => Some(self.sleep_until(*instant).await),
            Until::Open(fuse) => {
                fuse.pass().await;
                None
            }
        }
    }

    fn afterwards(&self, action: Action, request: &Request) -> Option<Afterwards> {
        Some(match action {
            Action::Error(error) if expects_no_answer(request) => Afterwards::Close(unanswerable(error)),
            Action::Error(error) => Afterwards::Replace(table::refuse(request, error)),
            Action::Disconnect(name) => Afterwards::Close(disconnected(&name)),
            Action::Silence => Afterwards::Silence,
            Action::Delay(length) => Afterwards::Delay(length),
            Action::Gate(fuse) => Afterwards::Wait(Until::Open(fuse)),
            // A request without an answer can be throttled all the same.
            Action::Throttle(length) => Afterwards::Throttle(length),
            Action::CorruptRecords | Action::Partial(_) | Action::Edit(_) if expects_no_answer(request) => return None,
            Action::Whim(_) => unreachable!("a whim that needs the cluster comes before apply"),
            Action::CorruptRecords => Afterwards::CorruptRecords,
            Action::Partial(bytes) => Afterwards::Partial(bytes),
            Action::Edit(edit) => Afterwards::Edit(edit),
        })
    }
}

/// What is left to be done to an answer when it is written.
#[derive(Debug)]
pub(crate) enum Finish {
    /// So many bytes of it are sent.
    Partial(usize),
    /// It is sent with this time, and nothing is read for as long.
    Throttle(std::time::Duration),
}

/// Changes `answer` as the test says.
///
/// # Errors
///
/// The test's closure is for the answer of another API.
pub(crate) fn edited(mut answer: Response, edit: &Edit) -> Result<Response, Close> {
    let mut fits = false;
    table::edit(&mut answer, &mut |inner| fits = edit.change(inner));
    if fits { Ok(answer) } else { Err(Close::because(format!("a fault edits {}, and this answer is none", edit.of()))) }
}

impl Outcome {
    fn then(self, afterwards: Option<Afterwards>) -> Self {
        match (self, afterwards) {
            (outcome, None) => outcome,
            // What ends the connection has no answer that anything could happen to.
            (Self::Close(close), Some(_)) => Self::Close(close),
            (outcome, Some(afterwards)) => Self::Steered(Box::new(outcome), Box::new(afterwards)),
        }
    }
}

impl Home for Engine {
    fn mount(&self, rule: Arc<Rule>) {
        self.lock().faults.mount(rule);
        self.is_steered.store(true, Ordering::Release);
    }

    fn unmount(&self, rule: &Arc<Rule>) {
        let mut shared = self.lock();
        shared.faults.unmount(rule);
        let is_steered = !shared.faults.is_empty() || shared.unhelpful.is_some();
        self.is_steered.store(is_steered, Ordering::Release);
    }
}

/// A producer that asked for no answer would take one for the answer to something else.
fn expects_no_answer(request: &Request) -> bool {
    matches!(request, Request::Produce(request) if request.acks == 0)
}

/// As Kafka does with an error for acks=0.
fn unanswerable(error: kafka_protocol::error::ResponseError) -> Close {
    Close::because(format!("a fault answers {error} to a Produce with acks=0, which has no answer"))
}

fn disconnected(name: &str) -> Close {
    Close::because(format!("a fault says so: {name}"))
}
