//! The log of a partition: record batches, the offsets, producer state, leader epochs.
//!
//! ```text
//!   log start        last stable        high watermark       log end
//!       v                 v                   v                 v
//!   [ batch ][ batch ][ batch ][ batch ][ batch ][ batch ][ batch ]
//!       read_committed ^      read_uncommitted ^      appended, not yet replicated
//! ```
//!
//! `log start <= last stable <= high watermark <= log end`, always.
//!
//! A batch arrives in three steps, so that the lock around the cluster's state is held for the last one only:
//! [`sole_batch`] finds it in the request, [`validate`] checks every record and rewrites what Kafka rewrites,
//! [`PartitionLog::append`] gives it its offset. Batches are never decoded and encoded again unless a rule asks for it:
//! what a producer sent is kept by reference and served by reference.
//!
//! Pure code: no clock, no files, no locks. Not here: replication, who may write, waiting for data.

mod rebuild;
mod record_walk;
mod rejected;
mod sole_batch;
mod validate;

mod batch;
mod checksum;
mod compression;
mod lz4;
mod records;

mod aborted;
mod control;

mod compaction;
mod leader_epochs;
mod lookup;
mod partition;
mod producer_state;
mod read_plan;
mod recovery;
mod retention;
mod seeded;
mod segment;
mod truncation;
mod verification;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use aborted::AbortedTransaction;
pub(crate) use batch::Batch;
pub(crate) use compaction::{Cleaned, Cleaning, Garbage};
pub(crate) use control::{EndMarker, Marker, marker_of};
pub(crate) use leader_epochs::EpochEnd;
pub(crate) use lookup::Found;
pub(crate) use partition::{Appended, PartitionLog};
pub(crate) use read_plan::Records;
pub(crate) use rebuild::{BatchBuilder, NewRecord};
pub(crate) use records::Malformed;
pub(crate) use rejected::Rejected;
pub(crate) use sole_batch::sole_batch;
pub(crate) use validate::{ValidBatch, validate};
pub(crate) use verification::Joining;
