//! Requests that wait for their answer. Each is answered once, or given up by its connection.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::handlers::table::Response;
use crate::types::Ticket;

/// The connections that wait, by ticket.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: HashMap<Ticket, Waiting>,
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    /// The version that it is answered at.
    version: i16,
    sender: oneshot::Sender<Response>,
}

impl Parked {
    /// Parks the request of `ticket`, which has this version; the answer arrives at the receiver.
    pub(super) fn park(&mut self, ticket: Ticket, version: i16) -> oneshot::Receiver<Response> {
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
            drop(sender.send(response(version)));
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
