//! The latest offset of every key in the dirty part of a log. As in Kafka a key is known by its hash (Kafka takes MD5).
//!
//! Source: `SkimpyOffsetMap`, `Cleaner.buildOffsetMap`. Kafka's map is limited by `log.cleaner.dedupe.buffer.size`, which
//! then takes several rounds; this one is not.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use super::transactions::Transactions;
use crate::log::aborted::AbortedTransaction;
use crate::log::batch::Batch;
use crate::log::records::Malformed;

/// Offsets by hash of the key.
#[derive(Debug, Default)]
pub(super) struct LatestOffsets {
    by_hash: HashMap<u128, i64>,
}

impl LatestOffsets {
    /// Reads `batches`, which are in order. What lies before `first_dirty_offset` and what was aborted does not count.
    pub(super) fn read<'a>(
        batches: impl Iterator<Item = &'a Batch>,
        first_dirty_offset: i64,
        aborted: &[AbortedTransaction],
    ) -> Result<Self, Malformed> {
        let mut latest = Self::default();
        let mut transactions = Transactions::new(aborted);
        for batch in batches {
            if batch.is_control() {
                transactions.on_control(batch)?;
            } else if !transactions.on_batch(batch) {
                for record in &batch.records()? {
                    let record = record?;
                    if let Some(key) = record.key.filter(|_| record.offset >= first_dirty_offset) {
                        latest.by_hash.insert(xxh3_128(key), record.offset);
                    }
                }
            }
        }
        Ok(latest)
    }

    /// The latest offset of `key`, if the dirty part has it.
    pub(super) fn of(&self, key: &[u8]) -> Option<i64> {
        self.by_hash.get(&xxh3_128(key)).copied()
    }
}
