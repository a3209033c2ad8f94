//! What one fetch wants: the request and its session, resolved. It is read at once or held until there is enough.

use crate::cluster::{SessionContext, WantedPartition};
use crate::types::NodeId;

/// Which records a fetch may see (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
}

/// A fetch, ready to be read as often as it takes.
#[derive(Debug)]
pub(crate) struct FetchPlan {
    /// The version of the request.
    pub(crate) version: i16,
    /// The node that was asked.
    pub(crate) node: NodeId,
    /// The fetch session it belongs to (KIP-227).
    pub(crate) session: SessionContext,
    /// What to read, in the order in which the bytes are shared out.
    pub(crate) partitions: Vec<WantedPartition>,
    /// The answer may wait for this many bytes.
    pub(crate) min_bytes: usize,
    /// The answer has no more bytes than this, but for its first batch.
    pub(crate) max_bytes: usize,
    pub(crate) isolation_level: IsolationLevel,
}
