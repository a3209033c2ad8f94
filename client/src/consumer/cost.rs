//! The loops that run for every record: written into a batch, and read out of what was fetched. As a test it shows that the
//! one reads what the other wrote; under callgrind (`tests/cost/run records`) it says what a record costs.
//!
//! `RECORD_COST=LOOP,SIZE,BATCHES` chooses: `append` writes records, `encode` computes the checksum besides; `walk` gives
//! records out as [`ConsumerBatch`](super::ConsumerBatch) does, `decode` checks the checksum first.

use std::sync::Arc;

use bytes::Bytes;

use super::{Offset, isolation::Aborted, positions::Positions, shared::Shared};
use crate::{
    batch::builder::{BatchBuilder, ProducerFields, RecordParts},
    config::{Compression, ConsumerConfig},
};

/// What a batch takes by default (`max.partition.fetch.bytes`).
const BATCH_BYTES: usize = 1 << 20;

/// Records of a batch.
fn count(size: usize) -> usize {
    BATCH_BYTES / size
}

/// A batch of values of `size` bytes; with the checksum if it is to be sent.
fn write(value: &[u8], finish: bool) -> Bytes {
    let mut builder = BatchBuilder::new(BATCH_BYTES + BATCH_BYTES / 8);
    for timestamp in 0..count(value.len()) {
        builder.append(RecordParts { timestamp: timestamp as i64, key: None, value: Some(value), headers: &[] });
    }
    let closed = builder.close(Compression::None).unwrap();
    if finish { closed.finish(ProducerFields::NONE) } else { Bytes::new() }
}

/// Gives `batches` times the records of a batch to a program, and returns how many bytes it saw.
fn read(batch: &Bytes, batches: usize, check_crcs: bool) -> usize {
    let mut positions = Positions::default();
    positions.assign("t".into(), 0, Offset::At(0));
    let shared = Arc::new(Shared::new(ConsumerConfig { check_crcs, ..ConsumerConfig::default() }, positions));
    let mut seen = 0;
    for _ in 0..batches {
        let (wanted, _) = shared.positions().start_fetching(tokio::time::Instant::now(), BATCH_BYTES * 2);
        shared.positions().on_fetched(&wanted[0], batch.clone(), Aborted::default(), -1);
        let batch = shared.take_batch().unwrap().unwrap();
        seen += batch.records().map(|record| record.value().map_or(0, <[u8]>::len)).sum::<usize>();
        assert!(shared.take_batch().is_none());
        shared.positions().seek(0, Offset::At(0));
    }
    seen
}

fn run(which: &str, size: usize, batches: usize) {
    let value = vec![b'v'; size];
    match which {
        "append" | "encode" => {
            for _ in 0..batches {
                let bytes = write(&value, which == "encode");
                assert_eq!(bytes.len() > count(size) * size, which == "encode");
            }
        }
        "walk" | "decode" => {
            let batch = write(&value, true);
            assert_eq!(read(&batch, batches, which == "decode"), batches * count(size) * size);
        }
        other => panic!("no loop {other:?}: append, encode, walk, decode"),
    }
}

#[test]
fn what_was_written_is_read() {
    if let Ok(chosen) = std::env::var("RECORD_COST") {
        let [which, size, batches] = chosen.split(',').collect::<Vec<_>>()[..] else { panic!("LOOP,SIZE,BATCHES") };
        return run(which, size.parse().unwrap(), batches.parse().unwrap());
    }
    for which in ["append", "encode", "walk", "decode"] {
        run(which, 100, 2);
        run(which, 1024, 2);
    }
}
