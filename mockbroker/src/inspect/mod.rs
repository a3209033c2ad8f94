//! What is so, as plain values: what a test may look at of the state, and the report in words. Nothing here changes anything.
//!
//! - `group`, `transaction`, `partition`: one of each; `records`: what a log holds, decoded
//! - `text`: all of it, for people

mod group;
mod partition;
mod records;
mod text;
mod transaction;

pub use self::group::{GroupMember, GroupOffset, GroupState, PendingOffset};
pub(crate) use self::group::{group, groups};
pub use self::partition::PartitionState;
pub(crate) use self::partition::{log, partition};
pub(crate) use self::records::records;
pub use self::records::{LogBatch, LogHeader, LogRecord, MarkerKind};
pub(crate) use self::text::text;
pub use self::transaction::TransactionState;
pub(crate) use self::transaction::{transaction, transactions};
