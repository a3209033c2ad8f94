//! Record batches, version 2: written straight into the buffer that is sent, read in place.
//!
//! ```text
//! offset  field                   size
//!      0  base_offset             i64   0 from a producer, assigned by the broker
//!      8  batch_length            i32   of everything after this field
//!     12  partition_leader_epoch  i32   outside of the checksum
//!     16  magic                   i8    2
//!     17  crc                     u32   CRC-32C of everything from attributes on
//!     21  attributes              i16   codec, timestamp type, transactional, control
//!     23  last_offset_delta       i32
//!     27  base_timestamp          i64
//!     35  max_timestamp           i64
//!     43  producer_id             i64   -1 for none
//!     51  producer_epoch          i16
//!     53  base_sequence           i32
//!     57  record_count            i32
//!     61  records                       compressed as one block, if at all
//! ```
//!
//! Source: Kafka's `DefaultRecordBatch` and `DefaultRecord` (KIP-98). The `records` module of kafka-protocol is not used: it
//! loses duplicate header keys and allocates per record.

pub(crate) mod builder;
mod checksum;
pub(crate) mod compression;
pub(crate) mod cursor;
mod plain;
mod varint;

pub use compression::Compression;

/// The length of a batch without its records.
pub(crate) const HEADER_BYTES: usize = 61;
/// What `batch_length` does not count.
pub(crate) const LOG_OVERHEAD_BYTES: usize = 12;
/// Where the checksum is.
const CRC_AT: usize = 17;
/// Where the producer's id, epoch and sequence are.
const PRODUCER_AT: usize = 43;
/// Where the bytes begin that the checksum covers.
const CRC_FROM: usize = 21;

/// Attributes bit 3: every record has the time of `max_timestamp`.
const LOG_APPEND_TIME: i16 = 1 << 3;
/// Attributes bit 4: the records are part of a transaction.
const TRANSACTIONAL: i16 = 1 << 4;
/// Attributes bit 5: the batch holds a transaction marker.
const CONTROL: i16 = 1 << 5;
/// Attributes bits 0 to 2.
const CODEC: i16 = 0b111;

#[cfg(test)]
mod evidence;
#[cfg(test)]
mod tests;
