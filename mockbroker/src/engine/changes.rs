//! Who waits for a change of anything, and how they hear of it. Without a waiter a change costs one atomic look.

use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

use tokio::sync::watch;

use super::Shared;

/// Wakes those that wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(watch::Sender<u64>);

impl Changes {
    /// Something may have changed. Whoever subscribed before this looks again.
    #[inline]
    pub(crate) fn note(&self) {
        if self.0.receiver_count() > 0 {
            self.0.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// The lock, held to change something: when it is let go, those that wait look again.
pub(super) struct Locked<'a> {
    /// `None` only while it is dropped.
    guard: Option<MutexGuard<'a, Shared>>,
    changes: &'a Changes,
}

impl<'a> Locked<'a> {
    pub(super) fn new(guard: MutexGuard<'a, Shared>, changes: &'a Changes) -> Self {
        Self { guard: Some(guard), changes }
    }
}

impl Deref for Locked<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.guard.as_ref().expect("held until it is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Shared {
        self.guard.as_mut().expect("held until it is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        self.changes.note();
    }
}
