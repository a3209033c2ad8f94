//! Finds the one batch in the records field of a Produce request, before the log is asked.
//!
//! Source: `ProduceRequest.validateRecords`, `ByteBufferLogInputStream.nextBatch`; answers checked on a real 4.3.1.
//! The CRC and all that needs the topic's configs is left to `validate`.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::batch::{Batch, Compression, HEADER_BYTES};
use super::rejected::Rejected;

/// Base offset and length: what every batch begins with.
const LOG_OVERHEAD: usize = 12;

/// The smallest record of the oldest format (`LegacyRecord.RECORD_OVERHEAD_V0`).
const SMALLEST_RECORD: i32 = 14;

/// Up to the end of the producer id, which Kafka reads of a batch that is alone before it looks at its size.
const READ_UNCHECKED: usize = 51;

/// Produce v7 is the first that may carry zstd (KIP-110).
const FIRST_VERSION_WITH_ZSTD: i16 = 7;

/// The batch that one partition of a Produce request of version `produce_version` carries. An incomplete batch after it
/// is ignored.
///
/// # Errors
///
/// INVALID_RECORD if there is no complete batch, more than one, or one of an old format; CORRUPT_MESSAGE if the length
/// or the magic byte makes no sense or the header is cut; UNSUPPORTED_COMPRESSION_TYPE for zstd in an old request;
/// UNKNOWN_SERVER_ERROR, as Kafka, for less than its own reading of the header needs.
pub(crate) fn sole_batch(records: &Bytes, produce_version: i16) -> Result<Batch, Rejected> {
    let first = match next_batch(records) {
        Ok(Some(first)) => first,
        Ok(None) => return Err(Rejected::outside_log(ResponseError::InvalidRecord)),
        Err(text) => return Err(Rejected::whole_request(ResponseError::CorruptMessage, Some(text))),
    };
    if first.magic != 2 {
        return Err(Rejected::outside_log(ResponseError::InvalidRecord));
    }
    if produce_version < FIRST_VERSION_WITH_ZSTD {
        let zstd = Compression::Zstd as u8;
        match records[22] & 0x07 {
            codec if codec == zstd => return Err(Rejected::outside_log(ResponseError::UnsupportedCompressionType)),
            // Only these versions look at the codec here, and CompressionType.forId throws.
            codec if codec > zstd => return Err(Rejected::whole_request(ResponseError::UnknownServerError, None)),
            _ => {}
        }
    }
    match next_batch(&records[first.size..]) {
        Ok(None) => {}
        Ok(Some(_)) => return Err(Rejected::outside_log(ResponseError::InvalidRecord)),
        Err(_) => return Err(Rejected::outside_log(ResponseError::CorruptMessage)),
    }
    if first.size < READ_UNCHECKED {
        return Err(Rejected::whole_request(ResponseError::UnknownServerError, None));
    }
    if first.size < HEADER_BYTES {
        // UnifiedLog.analyzeAndValidateRecords looks at the base offset before the size.
        return Err(match records[..8] {
            [0, 0, 0, 0, 0, 0, 0, 0] => Rejected::outside_log(ResponseError::CorruptMessage),
            _ => Rejected::in_log(ResponseError::InvalidRecord),
        });
    }
    // Longer than an i32 can say is impossible: the size comes from such a field.
    Batch::from_bytes(&records.slice(..first.size)).ok_or(Rejected::outside_log(ResponseError::CorruptMessage))
}

struct Found {
    size: usize,
    magic: u8,
}

/// What the front of `bytes` says of a batch: `None` if there is no whole one, an error text if it makes no sense.
fn next_batch(bytes: &[u8]) -> Result<Option<Found>, String> {
    let Some(length) = bytes.get(8..LOG_OVERHEAD).and_then(|field| field.first_chunk()) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    if length < SMALLEST_RECORD {
        return Err(format!("Record size {length} is less than the minimum record overhead ({SMALLEST_RECORD})"));
    }
    let Some(&magic) = bytes.get(16) else {
        return Ok(None);
    };
    if magic > 2 {
        return Err(format!("Invalid magic found in record: {}", magic.cast_signed()));
    }
    let size = LOG_OVERHEAD + usize::try_from(length).expect("the length is at least 14");
    Ok((size <= bytes.len()).then_some(Found { size, magic }))
}
