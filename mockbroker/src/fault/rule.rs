//! What happens to the requests of a scope, and how often it has.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use tokio::sync::watch;

use super::adversary::Whim;
use super::edit::Edit;
use super::scope::Scope;
use crate::ids::IdSource;

/// What goes wrong.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mockbroker::{ApiKey, Fault, MockBroker, on};
/// use std::time::Duration;
///
/// let broker = MockBroker::builder().topic("orders", 1).start().await;
/// let second = Duration::from_secs(1);
/// let mounts = [
///     broker.fault(on(ApiKey::EndTxn)).before_apply(Fault::Error(51)), // CONCURRENT_TRANSACTIONS
///     broker.fault(on(ApiKey::OffsetCommit)).before_apply(Fault::Delay(second)),
///     broker.fault(on(ApiKey::Heartbeat)).before_apply(Fault::Silence),
///     broker.fault(on(ApiKey::Fetch)).after_apply(Fault::CorruptRecords),
///     broker.fault(on(ApiKey::Metadata)).after_apply(Fault::Partial(10)), // bytes
///     broker.fault(on(ApiKey::Produce)).after_apply(Fault::Throttle(second)),
/// ];
/// let guards = mounts.map(|mount| mount.maybe().mount());
/// # drop(guards);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The answer says this error code wherever the API has room for one. Before apply, nothing has happened; after apply
    /// it has, and the client is told otherwise. A code that Kafka does not have is sent as it is.
    Error(i16),
    /// The connection ends without an answer. After apply, what was asked for has been done and the answer is lost.
    Disconnect,
    /// No answer comes, and the connection stays open: the client's own timeout has to end it. What it sends after this
    /// is not looked at.
    Silence,
    /// It takes this long by the broker's clock: before apply until it is done, after apply until it is answered.
    Delay(Duration),
    /// The records are corrupted: before apply those that a Produce brings (the broker refuses them with CORRUPT_MESSAGE),
    /// after apply those that a Fetch is answered with. Other requests have none and go on unharmed.
    CorruptRecords,
    /// Only so many bytes of the answer's frame are sent, its length field among them, and the connection ends. After apply.
    Partial(usize),
    /// The answer says that the client exceeds its quota (`throttle_time_ms`), and its connection is not read for that long by
    /// the broker's clock, as KIP-219 has it. After apply. An answer without that field is only muted.
    Throttle(Duration),
    /// The answer is changed before it is sent. After apply. Made by [`Fault::edit`].
    Edit(Edit),
}

impl Fault {
    /// The answer that the broker has built is changed by `change`, and then sent. `R` is the type that the crate
    /// `kafka-protocol` has for it, given out as [`messages`](crate::messages); a request of another API that meets this fault
    /// ends its connection, and says so.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use mockbroker::messages::ProduceResponse;
    /// use mockbroker::{ApiKey, Fault, MockBroker, on};
    ///
    /// let broker = MockBroker::builder().topic("orders", 1).start().await;
    /// let edit = Fault::edit(|answer: &mut ProduceResponse| {
    ///     answer.responses[0].partition_responses[0].base_offset = -1; // as brokers did before 1.0
    /// });
    /// let guard = broker.fault(on(ApiKey::Produce)).after_apply(edit).named("no offset").maybe().mount();
    /// # drop(guard);
    /// # }
    /// ```
    pub fn edit<R: 'static>(change: impl Fn(&mut R) + Send + Sync + 'static) -> Self {
        Self::Edit(Edit::new(change))
    }

    /// Whether there is anything for it to do before a request is applied.
    pub(crate) fn needs_an_answer(&self) -> bool {
        matches!(self, Self::Partial(_) | Self::Throttle(_) | Self::Edit(_))
    }
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before the handler has seen the request.
    BeforeApply,
    /// When the handler has done its work, before the answer.
    AfterApply,
}

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// As [`Fault::Error`].
    Error(ResponseError),
    /// As [`Fault::Disconnect`]; the name of the rule is for the log.
    Disconnect(String),
    /// As [`Fault::Silence`].
    Silence,
    /// As [`Fault::Delay`].
    Delay(Duration),
    /// As [`Fault::CorruptRecords`].
    CorruptRecords,
    /// As [`Fault::Partial`].
    Partial(usize),
    /// As [`Fault::Throttle`].
    Throttle(Duration),
    /// As [`Fault::Edit`].
    Edit(Edit),
    /// It waits until the test lets it go.
    Gate(Fuse),
    /// What the adversary has drawn.
    Whim(Whim),
}

/// What happens to one request at both stages.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) before: Option<Action>,
    pub(crate) after: Option<Action>,
    /// Which rules these are.
    pub(crate) hits: Vec<Arc<Rule>>,
}

/// Something mounted.
#[derive(Debug)]
pub(crate) struct Rule {
    name: String,
    scope: Scope,
    stage: Stage,
    what: What,
    counts: watch::Sender<Counts>,
}

/// What a rule does.
#[derive(Debug)]
pub(super) enum What {
    Fault(Fault),
    Gate(Fuse),
}

/// What a rule has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    in_scope: u64,
    hits: u64,
    late: u64,
}

/// A gate as both sides hold it: how many wait at it, and whether it is open.
#[derive(Clone, Debug)]
pub(crate) struct Fuse {
    waiting: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Rule {
    pub(super) fn new(name: String, scope: Scope, stage: Stage, what: What) -> Arc<Self> {
        Arc::new(Self { name, scope, stage, what, counts: watch::Sender::default() })
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How often it has fired.
    pub(crate) fn hits(&self) -> u64 {
        self.counts.borrow().hits
    }

    /// How many requests of its scope have come to it.
    pub(crate) fn in_scope(&self) -> u64 {
        self.counts.borrow().in_scope
    }

    /// How many requests of its scope did not come to it: another rule had taken them.
    pub(crate) fn late(&self) -> u64 {
        self.counts.borrow().late
    }

    /// Returns when it has fired `count` times.
    pub(crate) async fn wait(&self, count: u64) {
        let counted = self.counts.subscribe().wait_for(|counts| counts.hits >= count).await.is_ok();
        assert!(counted, "the rule is borrowed, so it cannot be gone");
    }

    /// That it never fired, in a sentence.
    pub(crate) fn missed(&self) -> String {
        let (name, scope, in_scope) = (&self.name, &self.scope, self.in_scope());
        let mut missed = format!("the fault {name:?} on {scope:?} never fired: {in_scope} requests were in its scope");
        if self.late() > 0 {
            missed += &format!(", and {} more that another fault took first", self.late());
        }
        missed
    }

    /// How many requests it has seen, in words.
    pub(super) fn seen(&self) -> String {
        match (self.in_scope(), self.late()) {
            (in_scope, 0) => format!("{in_scope} requests"),
            (in_scope, late) => format!("{in_scope} requests, and {late} more were taken by others"),
        }
    }

    /// Notes a request of the scope that another rule has taken.
    pub(super) fn comes_late(&self) {
        self.counts.send_modify(|counts| counts.late += 1);
    }

    /// Counts a request of the scope; says whether it is hit.
    pub(super) fn fires(&self, random: &mut IdSource) -> bool {
        let Scope { nth, times, probability, .. } = &self.scope;
        let first = nth.unwrap_or(1);
        let times = times.unwrap_or(if nth.is_some() { 1 } else { u64::MAX });
        let drawn = probability.is_none_or(|probability| random.unit() < probability);
        let mut fires = false;
        self.counts.send_modify(|counts| {
            counts.in_scope += 1;
            fires = counts.in_scope >= first && counts.hits < times && drawn;
            counts.hits += u64::from(fires);
        });
        fires
    }

    pub(super) fn action(&self) -> Action {
        match &self.what {
            What::Fault(Fault::Error(code)) => {
                Action::Error(ResponseError::try_from_code(*code).unwrap_or(ResponseError::Unknown(*code)))
            }
            What::Fault(Fault::Disconnect) => Action::Disconnect(self.name.clone()),
            What::Fault(Fault::Silence) => Action::Silence,
            What::Fault(Fault::Delay(length)) => Action::Delay(*length),
            What::Fault(Fault::CorruptRecords) => Action::CorruptRecords,
            What::Fault(Fault::Partial(bytes)) => Action::Partial(*bytes),
            What::Fault(Fault::Throttle(length)) => Action::Throttle(*length),
            What::Fault(Fault::Edit(edit)) => Action::Edit(edit.clone()),
            What::Gate(fuse) => Action::Gate(fuse.clone()),
        }
    }
}

impl Fuse {
    pub(super) fn new() -> Self {
        Self { waiting: Arc::default(), open: Arc::default() }
    }

    /// Waits at the gate until it opens.
    pub(crate) async fn pass(&self) {
        let mut open = self.open.subscribe();
        self.waiting.send_modify(|waiting| *waiting += 1);
        let opened = open.wait_for(|open| *open).await.is_ok();
        assert!(opened, "the gate is borrowed, so it cannot be gone");
    }

    /// Returns when a request waits, or has waited.
    pub(super) async fn entered(&self) {
        let entered = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.is_ok();
        assert!(entered, "the gate is borrowed, so it cannot be gone");
    }

    /// Lets everyone through, now and later.
    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }
}
