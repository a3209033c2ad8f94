//! Machine tests of the log, one file per file of the log, on batches that `kit` writes byte by byte;
//! and on batches of a real Kafka (`evidence`).

mod batch;
mod compaction;
mod compression;
mod evidence;
mod kit;
mod leader_epochs;
mod lookup;
mod producer_state;
mod property;
mod read_plan;
mod rebuild;
mod recovery;
mod retention;
mod segment;
mod sole_batch;
mod transactions;
mod validate;

/// The batch as it is sent.
pub(crate) fn bytes_of(batch: &super::Batch) -> bytes::Bytes {
    kit::bytes(batch).into()
}
