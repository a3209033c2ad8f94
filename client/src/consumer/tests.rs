//! What the program is given, from bytes that are put in as if they had been fetched. No task, no broker.

use bytes::Bytes;

use super::*;
use crate::{
    batch::builder::{BatchBuilder, ProducerFields, RecordParts},
    config::Compression,
    consumer::{AssignedConsumer, Offset, assigned::Handle},
};

struct World {
    shared: Arc<Shared>,
    consumer: AssignedConsumer,
}

impl World {
    /// A consumer of as many partitions of topic `t`, each at offset 0.
    fn new(partitions: i32) -> Self {
        let mut positions = Positions::default();
        (0..partitions).for_each(|partition| positions.assign("t".into(), partition, Offset::At(0)));
        let shared = Arc::new(Shared::new(ConsumerConfig::default(), positions));
        let consumer = AssignedConsumer { handle: Arc::new(Handle { shared: Arc::clone(&shared) }) };
        Self { shared, consumer }
    }

    fn fetched(&self, partition: usize, batches: &[Bytes]) {
        let mut positions = self.shared.positions();
        let (wanted, _) = positions.start_fetching(tokio::time::Instant::now(), 1 << 20);
        for wanted in wanted {
            match wanted.slot == partition {
                true => positions.on_fetched(&wanted, batches.concat().into(), Aborted::default(), -1),
                false => positions.not_asked(&wanted),
            }
        }
    }

    fn batch_offsets(&self) -> Option<Vec<i64>> {
        let batch = self.shared.take_batch()?.unwrap();
        Some(batch.records().map(|record| record.offset()).collect())
    }

    fn record_offset(&self) -> Option<i64> {
        self.shared.take_record().map(|record| record.unwrap().offset())
    }

    fn position(&self, partition: i32) -> Option<i64> {
        self.consumer.position("t", partition).unwrap()
    }
}

fn batch(base_offset: i64, records: usize) -> Bytes {
    edited(base_offset, records, |_| {})
}

/// A batch whose bytes were changed before its checksum was computed.
fn edited(base_offset: i64, records: usize, edit: impl FnOnce(&mut [u8])) -> Bytes {
    let mut builder = BatchBuilder::new(100);
    for _ in 0..records {
        builder.append(RecordParts { timestamp: 0, key: None, value: Some(b"v"), headers: &[] });
    }
    let mut bytes = builder.close(Compression::None).unwrap().finish(ProducerFields::NONE).to_vec();
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    edit(&mut bytes);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn records_before_the_position_are_left_out() {
    // ReplicaManager reads from the batch that contains the offset, so earlier records come along.
    let world = World::new(1);
    world.consumer.seek("t", 0, Offset::At(3)).unwrap();
    world.fetched(0, &[batch(0, 2), batch(2, 4)]);
    assert_eq!(world.batch_offsets(), Some(vec![3, 4, 5]));
    assert_eq!(world.position(0), Some(6));
    assert_eq!(world.batch_offsets(), None);
}

#[test]
fn a_transaction_marker_is_not_given_out_and_moves_the_position() {
    // KIP-98: control batches take an offset each.
    let world = World::new(1);
    let marker = edited(2, 1, |bytes| bytes[22] |= 1 << 5);
    world.fetched(0, &[batch(0, 2), marker]);
    assert_eq!(world.batch_offsets(), Some(vec![0, 1]));
    assert_eq!(world.batch_offsets(), None);
    assert_eq!(world.position(0), Some(3));
}

#[test]
fn the_position_follows_each_record_that_was_received() {
    let world = World::new(1);
    world.fetched(0, &[batch(0, 3), batch(3, 1)]);
    assert_eq!((world.record_offset(), world.position(0)), (Some(0), Some(1)));
    assert_eq!(world.batch_offsets(), Some(vec![1, 2]), "the rest of the batch");
    assert_eq!((world.record_offset(), world.position(0)), (Some(3), Some(4)));
    assert_eq!(world.record_offset(), None);
}

#[test]
fn a_damaged_batch_is_told_again_and_again_and_does_not_stop_other_partitions() {
    let world = World::new(2);
    let mut damaged = batch(0, 1).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    world.fetched(0, &[damaged.into()]);
    world.fetched(1, &[batch(0, 2)]);
    let error = |world: &World| world.shared.take_batch().unwrap().unwrap_err();
    assert!(matches!(error(&world), Error::CorruptBatch { partition: 0, offset: 0, .. }));
    assert_eq!(world.batch_offsets(), Some(vec![0, 1]));
    assert!(matches!(error(&world), Error::CorruptBatch { partition: 0, offset: 0, .. }));
    assert_eq!(world.position(0), Some(0));
    world.consumer.seek("t", 0, Offset::At(1)).unwrap();
    assert!(world.batch_offsets().is_none());
}

#[test]
fn a_paused_partition_keeps_the_rest_of_its_batch() {
    let world = World::new(2);
    world.fetched(0, &[batch(0, 3)]);
    world.fetched(1, &[batch(0, 1)]);
    assert_eq!(world.record_offset(), Some(0));
    world.consumer.pause("t", 0).unwrap();
    assert_eq!(world.shared.take_record().unwrap().unwrap().partition(), 1);
    assert_eq!(world.record_offset(), None);
    world.consumer.resume("t", 0).unwrap();
    assert_eq!(world.batch_offsets(), Some(vec![1, 2]));
}

#[test]
fn a_seek_drops_what_was_about_to_be_given_out() {
    let world = World::new(1);
    world.fetched(0, &[batch(0, 3)]);
    assert_eq!(world.record_offset(), Some(0));
    world.consumer.seek("t", 0, Offset::At(50)).unwrap();
    assert_eq!(world.record_offset(), None);
    assert_eq!(world.position(0), Some(50));
}

#[test]
fn a_partition_that_is_not_assigned_is_an_error() {
    let world = World::new(1);
    assert!(matches!(world.consumer.seek("t", 1, Offset::Latest), Err(Error::NotAssigned { partition: 1, .. })));
}

#[tokio::test]
async fn close_ends_every_call_that_waits() {
    let world = World::new(1);
    let waiting = tokio::spawn({
        let consumer = world.consumer.clone();
        async move { consumer.recv().await }
    });
    tokio::task::yield_now().await;
    world.consumer.close();
    assert!(waiting.await.unwrap().unwrap().is_none());
}
