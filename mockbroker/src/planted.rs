//! Bugs on purpose, to show that the history checker finds them (`just planted-bugs`). Only with `--cfg planted_bugs`, which is
//! no feature: nobody builds it by accident, and nothing of it is in a crate that is published.

use std::sync::LazyLock;

/// Whether the bug of this name is the one that `PLANTED_BUG` asks for.
pub(crate) fn is(bug: &str) -> bool {
    static PLANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("PLANTED_BUG").ok());
    PLANTED.as_deref() == Some(bug)
}

/// The epoch that counts for a request: with the bug `no-fencing`, an older one is as good as the current one.
pub(crate) fn unfenced(epoch: i16, current: i16) -> i16 {
    if is("no-fencing") { epoch.max(current) } else { epoch }
}
