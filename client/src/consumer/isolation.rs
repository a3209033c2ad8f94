//! What a consumer with `read_committed` leaves out: the batches of transactions that were aborted.
//!
//! Pure. A broker sends aborted batches all the same, up to the last stable offset, and beside them a list of the transactions
//! that were aborted: the producer, and the offset of its first record. A transaction of the list lasts until the producer's
//! abort marker; a commit marker ends nothing (KIP-98, Java `CompletedFetch.nextFetchedRecord`).

use std::collections::HashSet;

use bytes::Bytes;

use crate::batch::cursor::{Batch, Batches, part};

/// The base offsets of batches that are left out, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aborted(Vec<i64>);

impl Aborted {
    /// Finds them in fetched batches by the broker's list of `(producer_id, first_offset)`. What cannot be read ends the search,
    /// and the reading as well.
    pub(crate) fn find(bytes: &Bytes, mut transactions: Vec<(i64, i64)>) -> Self {
        if transactions.is_empty() {
            return Self::default();
        }
        // Not every broker sends the list in order.
        transactions.sort_unstable_by_key(|(_, first_offset)| std::cmp::Reverse(*first_offset));
        let (mut open, mut found) = (HashSet::new(), Vec::new());
        let mut batches = Batches::new(bytes.clone());
        while let Ok(Some(batch)) = batches.next_batch() {
            while let Some((producer_id, _)) = transactions.pop_if(|(_, first)| *first < batch.next_offset()) {
                open.insert(producer_id);
            }
            let producer_id = batch.producer_id();
            if batch.is_control() {
                if is_abort(&batch) {
                    open.remove(&producer_id);
                }
            } else if batch.is_transactional() && open.contains(&producer_id) {
                found.push(batch.base_offset);
            }
        }
        Self(found)
    }

    pub(crate) fn contains(&self, batch: &Batch) -> bool {
        self.0.binary_search(&batch.base_offset).is_ok()
    }
}

/// The key of a marker is `version: i16, type: i16`, 0 for abort (`ControlRecordType`).
fn is_abort(batch: &Batch) -> bool {
    let read = || {
        let open = batch.open(false, 1 << 20).ok()?;
        let key = open.walk().next_record(&open)?.ok()?.key?;
        let kind = part(&open.records, key).get(2..4)?;
        Some(kind == [0, 0])
    };
    read().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::builder::{BatchBuilder, ProducerFields, RecordParts},
        config::Compression,
    };

    const TRANSACTIONAL: i16 = 1 << 4;
    const MARKER: i16 = 1 << 5 | TRANSACTIONAL;

    fn batch(base_offset: i64, producer_id: i64, attributes: i16, key: &[u8]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(100);
        builder.append(RecordParts { timestamp: 0, key: Some(key), value: None, headers: &[] });
        let fields = ProducerFields { producer_id, producer_epoch: 0, base_sequence: 0, is_transactional: true };
        let mut bytes = builder.close(Compression::None).unwrap().finish(fields).to_vec();
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes
    }

    fn data(base_offset: i64, producer_id: i64) -> Vec<u8> {
        batch(base_offset, producer_id, TRANSACTIONAL, b"k")
    }

    fn marker(base_offset: i64, producer_id: i64, kind: u8) -> Vec<u8> {
        batch(base_offset, producer_id, MARKER, &[0, 0, 0, kind])
    }

    const ABORT: u8 = 0;
    const COMMIT: u8 = 1;

    fn aborted(batches: &[Vec<u8>], transactions: &[(i64, i64)]) -> Vec<i64> {
        Aborted::find(&batches.concat().into(), transactions.to_vec()).0
    }

    #[test]
    fn a_transaction_is_left_out_from_its_first_record_to_its_abort_marker() {
        let batches = [data(0, 7), data(1, 7), marker(2, 7, ABORT), data(3, 7), marker(4, 7, COMMIT)];
        assert_eq!(aborted(&batches, &[(7, 0)]), [0, 1]);
        assert_eq!(aborted(&batches, &[]), [0; 0]);
    }

    #[test]
    fn transactions_of_others_and_records_without_one_stay() {
        let plain = batch(1, 7, 0, b"k");
        let batches = [data(0, 7), plain, data(2, 8), marker(3, 7, ABORT), marker(4, 8, COMMIT)];
        assert_eq!(aborted(&batches, &[(7, 0)]), [0]);
    }

    #[test]
    fn only_an_abort_marker_ends_an_aborted_transaction() {
        let batches =
            [data(0, 7), marker(1, 8, ABORT), marker(2, 7, COMMIT), data(3, 7), marker(4, 7, ABORT), data(5, 7)];
        assert_eq!(aborted(&batches, &[(7, 0)]), [0, 3]);
    }

    #[test]
    fn the_list_may_be_out_of_order_and_begin_before_what_was_fetched() {
        let batches = [data(10, 7), marker(11, 7, ABORT), data(12, 7), marker(13, 7, ABORT), data(14, 7)];
        assert_eq!(aborted(&batches, &[(7, 12), (7, 3)]), [10, 12]);
    }

    #[test]
    fn a_batch_that_cannot_be_read_ends_the_search() {
        let mut damaged = data(1, 7);
        damaged[16] = 9;
        assert_eq!(aborted(&[data(0, 7), damaged, data(2, 7)], &[(7, 0)]), [0]);
    }
}
