//! Requests that wait for their answer. Each is answered once, or given up by its connection.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::quiet::{Due, OnItsWay};
use crate::handlers::table::Response;
use crate::types::Ticket;

/// The connections that wait, by ticket.
#[derive(Debug)]
pub(super) struct Parked {
    waiting: HashMap<Ticket, Waiting>,
    on_its_way: Arc<OnItsWay>,
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    /// The version that it is answered at.
    version: i16,
    sender: oneshot::Sender<(Response, Due)>,
}

impl Parked {
    /// Nobody waits. Answers count as on their way.
    pub(super) fn new(on_its_way: Arc<OnItsWay>) -> Self {
        Self { waiting: HashMap::new(), on_its_way }
    }

    /// Parks the request of `ticket`, which has this version; the answer arrives at the receiver.
    pub(super) fn park(&mut self, ticket: Ticket, version: i16) -> oneshot::Receiver<(Response, Due)> {
        let (sender, receiver) = oneshot::channel();
        let before = self.waiting.insert(ticket, Waiting { version, sender });
        assert!(before.is_none(), "{ticket:?} is parked twice");
        receiver
    }

    /// Answers `ticket`. A connection that is gone is not told.
    pub(super) fn answer(&mut self, ticket: Ticket, response: Response) {
        self.answer_with(ticket, |_| response);
    }

    /// Answers `ticket` with what `response` makes for its version.
    pub(super) fn answer_with(&mut self, ticket: Ticket, response: impl FnOnce(i16) -> Response) {
        if let Some(Waiting { version, sender }) = self.waiting.remove(&ticket) {
            // The receiver may be gone with its connection; then there is nobody to tell.
            drop(sender.send((response(version), self.on_its_way.begin())));
        }
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets `ticket`: its connection is gone.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }
}
