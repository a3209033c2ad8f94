//! Waiting for a state instead of sleeping: look, and look again whenever something has changed.

use std::time::Duration;

use tokio::sync::watch;

/// Something whose changes can be waited for.
pub(crate) trait Watched: Send + Sync {
    /// Changes whenever the state may have.
    fn changes(&self) -> watch::Receiver<u64>;
    /// How long a waiter waits, in real time.
    fn patience(&self) -> Duration;
    /// What is so now, for whoever waited in vain.
    fn report(&self) -> String;
}

/// Returns what `look` finds, as soon as it finds something. Safe to drop.
///
/// # Panics
///
/// If it finds nothing for as long as `watched` is patient: with `what` was waited for, and the report.
pub(crate) async fn until<T>(
    watched: &(impl Watched + ?Sized),
    patience: Option<Duration>,
    what: &str,
    look: impl FnMut() -> Option<T>,
) -> T {
    or_panic(watched, patience.unwrap_or_else(|| watched.patience()), what, search(watched, look)).await
}

/// Returns what `look` finds, however long that takes. Safe to drop.
pub(crate) async fn search<T>(watched: &(impl Watched + ?Sized), mut look: impl FnMut() -> Option<T>) -> T {
    let mut changes = watched.changes();
    loop {
        changes.borrow_and_update();
        if let Some(found) = look() {
            return found;
        }
        let changed = changes.changed().await.is_ok();
        assert!(changed, "what is waited for is borrowed, so it cannot be gone");
    }
}

/// Returns what `wait` does. Safe to drop if `wait` is.
///
/// # Panics
///
/// As [`until`].
pub(crate) async fn within_patience<T>(
    watched: &(impl Watched + ?Sized),
    what: &str,
    wait: impl Future<Output = T>,
) -> T {
    or_panic(watched, watched.patience(), what, wait).await
}

/// As [`within_patience`], with a patience of its own.
///
/// # Panics
///
/// As [`until`].
pub(crate) async fn or_panic<T>(
    watched: &(impl Watched + ?Sized),
    patience: Duration,
    what: &str,
    wait: impl Future<Output = T>,
) -> T {
    match tokio::time::timeout(patience, wait).await {
        Ok(done) => done,
        Err(_) => panic!("waited {patience:?} in vain: {what}\n\n{}", watched.report()),
    }
}
