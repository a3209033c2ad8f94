//! Positions without a broker.

use super::*;
use crate::{
    batch::builder::{BatchBuilder, ProducerFields, RecordParts},
    config::Compression,
};

fn batch(base_offset: i64, records: usize) -> Bytes {
    let mut builder = BatchBuilder::new(100);
    for _ in 0..records {
        builder.append(RecordParts { timestamp: 0, key: None, value: Some(b"v"), headers: &[] });
    }
    let mut bytes = builder.close(Compression::None).unwrap().finish(ProducerFields::NONE).to_vec();
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes.into()
}

fn assigned(offsets: &[Offset]) -> Positions {
    let mut positions = Positions::default();
    for (partition, offset) in offsets.iter().enumerate() {
        positions.assign("t".into(), partition as i32, *offset);
    }
    positions
}

#[test]
fn the_next_fetch_begins_after_the_last_whole_batch() {
    let mut positions = assigned(&[Offset::At(10)]);
    let (wanted, _) = positions.start_fetching(Instant::now(), 1000);
    assert_eq!(wanted[0].what, 10);
    assert!(positions.start_fetching(Instant::now(), 1000).0.is_empty(), "one fetch of a partition at a time");
    let bytes = [&batch(8, 5)[..], &batch(13, 2), &batch(15, 9)[..50]].concat();
    positions.on_fetched(&wanted[0], bytes.into(), Aborted::default(), -1);
    assert_eq!(positions.start_fetching(Instant::now(), 1000).0[0].what, 15);
    assert_eq!(positions.position(0), Some(10), "the program has been given nothing yet");
}

#[test]
fn what_was_fetched_before_a_seek_is_dropped() {
    let mut positions = assigned(&[Offset::At(0)]);
    let (wanted, _) = positions.start_fetching(Instant::now(), 1000);
    positions.on_fetched(&wanted[0], batch(0, 1), Aborted::default(), -1);
    let (second, _) = positions.start_fetching(Instant::now(), 1000);
    positions.seek(0, Offset::At(100));
    positions.on_fetched(&second[0], batch(1, 1), Aborted::default(), -1);
    assert!(positions.take_arrived(None).is_none());
    let (wanted, room) = positions.start_fetching(Instant::now(), 1000);
    assert_eq!((wanted[0].what, room), (100, 1000));
}

#[test]
fn prefetching_is_bounded_and_an_empty_partition_goes_first() {
    let mut positions = assigned(&[Offset::At(0), Offset::At(0)]);
    let one = batch(0, 50);
    let prefetch = one.len() + one.len() / 2;
    let (wanted, _) = positions.start_fetching(Instant::now(), prefetch);
    let first = wanted.iter().find(|wanted| wanted.slot == 0).unwrap();
    positions.on_fetched(first, one.clone(), Aborted::default(), -1);
    positions.on_failed(wanted.iter().find(|wanted| wanted.slot == 1).unwrap(), Instant::now(), |_| Duration::ZERO);
    let (wanted, room) = positions.start_fetching(Instant::now(), prefetch);
    assert_eq!(wanted.iter().map(|wanted| wanted.slot).collect::<Vec<_>>(), [1]);
    assert_eq!(room, prefetch - one.len());
}

#[test]
fn a_failed_partition_waits_for_its_backoff() {
    let now = Instant::now();
    let mut positions = assigned(&[Offset::Earliest]);
    let wanted = positions.start_resolving(now);
    positions.on_failed(&wanted[0], now, |failures| Duration::from_secs(failures.into()));
    assert!(positions.start_resolving(now).is_empty());
    assert_eq!(positions.next_deadline(now), Some(now + Duration::from_secs(1)));
    assert_eq!(positions.start_resolving(now + Duration::from_secs(1)).len(), 1);
}

#[test]
fn damage_stops_the_partition_until_a_seek() {
    let mut positions = assigned(&[Offset::At(0)]);
    let (wanted, _) = positions.start_fetching(Instant::now(), 1000);
    let mut bytes = batch(0, 1).to_vec();
    bytes[16] = 1;
    positions.on_fetched(&wanted[0], bytes.into(), Aborted::default(), -1);
    assert!(positions.take_arrived(None).is_some(), "the program is to learn of it");
    assert!(positions.start_fetching(Instant::now(), 1000).0.is_empty());
    positions.seek(0, Offset::At(1));
    assert_eq!(positions.start_fetching(Instant::now(), 1000).0.len(), 1);
}
