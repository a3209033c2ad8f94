//! The whole state of the cluster: what sits behind the engine's one lock. A composition of the core, no rules.

use crate::ids::IdSource;

/// Everything the cluster knows.
#[derive(Debug)]
pub(crate) struct State {
    /// Where new ids come from.
    pub(crate) ids: IdSource,
}
