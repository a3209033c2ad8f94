//! Requests that wait for their answer. Each is answered once, or given up by its connection.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::handlers::table::Response;
use crate::types::Ticket;

/// The connections that wait, by ticket.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: HashMap<Ticket, oneshot::Sender<Response>>,
}

impl Parked {
    /// Parks the request of `ticket`; the answer arrives at the receiver.
    pub(super) fn park(&mut self, ticket: Ticket) -> oneshot::Receiver<Response> {
        let (sender, receiver) = oneshot::channel();
        let before = self.waiting.insert(ticket, sender);
        assert!(before.is_none(), "{ticket:?} is parked twice");
        receiver
    }

    /// Answers `ticket`. A connection that is gone is not told.
    pub(super) fn answer(&mut self, ticket: Ticket, response: Response) {
        if let Some(sender) = self.waiting.remove(&ticket) {
            // The receiver may be gone with its connection; then there is nobody to tell.
            drop(sender.send(response));
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
