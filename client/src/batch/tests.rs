//! What is written is read back, with every codec, and damage is found.

use bytes::Bytes;

use super::{
    Compression, HEADER_BYTES,
    builder::{BatchBuilder, ProducerFields, RecordParts},
    cursor::{Batches, OpenBatch, RecordSpan, headers, part},
};
use crate::{
    error::BatchError,
    record::{Header, Timestamp},
};

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const LIMIT: usize = 64 << 20;

fn header(key: &str, value: Option<&'static str>) -> Header {
    Header { key: key.to_owned(), value: value.map(Bytes::from_static_str) }
}

trait FromStaticStr {
    fn from_static_str(text: &'static str) -> Self;
}

impl FromStaticStr for Bytes {
    fn from_static_str(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

fn sample(compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(1024);
    let headers = [header("a", Some("1")), header("a", Some("2")), header("", None), header("ü", Some(""))];
    let big = vec![b'x'; 100_000];
    for (timestamp, key, value, headers) in [
        (1_700_000_000_000, Some(&b"k"[..]), Some(&b"v"[..]), &headers[..]),
        (1_699_999_999_999, None, None, &[]),
        (1_700_000_000_500, Some(b""), Some(&big), &headers[2..]),
    ] {
        let parts = RecordParts { timestamp, key, value, headers };
        let before = builder.len();
        builder.append(parts);
        assert!(builder.len() - before <= parts.upper_bound());
    }
    builder.close(compression).unwrap().finish(ProducerFields::NONE)
}

fn open(bytes: &Bytes) -> Result<OpenBatch, BatchError> {
    Batches::new(bytes.clone()).next_batch()?.expect("a whole batch").open(true, LIMIT)
}

fn records(batch: &OpenBatch) -> Result<Vec<RecordSpan>, BatchError> {
    let mut walk = batch.walk();
    std::iter::from_fn(|| walk.next_record(batch)).collect()
}

#[test]
fn every_codec_gives_back_what_was_written() {
    for compression in CODECS {
        let bytes = sample(compression);
        let batch = open(&bytes).unwrap();
        let spans = records(&batch).unwrap();
        assert_eq!(spans.len(), 3, "{compression:?}");
        assert_eq!(spans.iter().map(|span| span.offset).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(
            spans.iter().map(|span| span.timestamp.0 - 1_700_000_000_000).collect::<Vec<_>>(),
            [0, -1, 500],
            "a time before the first record's is kept"
        );
        assert_eq!(part(&batch.records, spans[0].key.unwrap()), b"k");
        assert_eq!((spans[1].key, spans[1].value), (None, None));
        assert_eq!(part(&batch.records, spans[2].key.unwrap()), b"");
        assert_eq!(part(&batch.records, spans[2].value.unwrap()).len(), 100_000);
        let read: Vec<_> = headers(&batch.records, &spans[0]).collect();
        assert_eq!(read, [("a", Some(&b"1"[..])), ("a", Some(b"2")), ("", None), ("ü", Some(b""))]);
        if compression != Compression::None {
            assert!(bytes.len() < 20_000, "{compression:?}: {}", bytes.len());
        }
    }
}

#[test]
fn the_header_is_laid_out_as_kafka_lays_it_out() {
    // DefaultRecordBatch.java; broker-side checks of LogValidator: base offset 0, count = last offset delta + 1.
    let bytes = sample(Compression::Lz4);
    assert_eq!(bytes[..8], [0; 8]);
    assert_eq!(bytes[8..12], i32::try_from(bytes.len() - 12).unwrap().to_be_bytes());
    assert_eq!(bytes[16], 2);
    assert_eq!(bytes[21..23], [0, 3]);
    assert_eq!(bytes[23..27], 2_i32.to_be_bytes());
    assert_eq!(bytes[27..35], 1_700_000_000_000_i64.to_be_bytes());
    assert_eq!(bytes[35..43], 1_700_000_000_500_i64.to_be_bytes());
    assert_eq!(bytes[43..57], [0xff; 14]);
    assert_eq!(bytes[57..61], 3_i32.to_be_bytes());
}

#[test]
fn log_append_time_gives_every_record_the_time_of_the_batch() {
    // DefaultRecordBatch.java: with TimestampType.LOG_APPEND_TIME the record time is maxTimestamp.
    let mut bytes = sample(Compression::None).to_vec();
    bytes[22] |= 1 << 3;
    bytes[35..43].copy_from_slice(&42_i64.to_be_bytes());
    let batch = Batches::new(bytes.into()).next_batch().unwrap().unwrap().open(false, LIMIT).unwrap();
    assert!(records(&batch).unwrap().iter().all(|span| span.timestamp == Timestamp(42)));
}

#[test]
fn a_batch_that_is_cut_off_ends_the_walk_without_an_error() {
    // KIP-74: a fetch may end in the middle of a batch.
    let one = sample(Compression::Zstd);
    let two = Bytes::from([&one[..], &one[..]].concat());
    for cut in [0, 1, 11, 12, 60, 61, one.len() - 1] {
        let mut batches = Batches::new(two.slice(..one.len() + cut));
        assert!(batches.next_batch().unwrap().is_some());
        assert!(batches.next_batch().unwrap().is_none(), "cut after {cut} bytes");
        assert_eq!(batches.remaining_bytes(), cut);
    }
}

#[test]
fn a_flipped_bit_anywhere_under_the_checksum_is_found() {
    let bytes = sample(Compression::Snappy);
    for at in (17..bytes.len()).step_by(97) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 4;
        let opened = open(&damaged.into());
        assert!(opened.is_err(), "byte {at}");
    }
}

#[test]
fn damage_without_a_checksum_never_panics_and_never_costs_memory() {
    for compression in CODECS {
        let bytes = sample(compression);
        for seed in 0..400 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut damaged = bytes.to_vec();
            for _ in 0..random.usize(1..4) {
                let at = if random.bool() { random.usize(8..120) } else { random.usize(8..damaged.len()) };
                damaged[at] = random.u8(..);
            }
            let Ok(Some(batch)) = Batches::new(damaged.into()).next_batch() else { continue };
            if let Ok(open) = batch.open(false, 1 << 20) {
                assert!(open.records.len() <= 1 << 20 || compression == Compression::None);
                let _ = records(&open);
            }
        }
    }
}

#[test]
fn a_decompression_bomb_stops_at_the_limit() {
    // Reliability R20: every codec has an output limit.
    let zeros = vec![0; 8 << 20];
    for compression in CODECS {
        let bomb = compression.compress(None, &zeros, Vec::new()).unwrap();
        let error = compression.decompress(&bomb, 1 << 20).unwrap_err();
        assert_eq!(error, BatchError::TooLarge { limit_bytes: 1 << 20 }, "{compression:?}");
    }
    // A raw Snappy block of five bytes that announces 4 GiB.
    assert!(Compression::Snappy.decompress(&[0xff, 0xff, 0xff, 0xff, 0x0f], usize::MAX).is_err());
}

#[test]
fn raw_snappy_is_read_as_well() {
    let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
    assert_eq!(Compression::Snappy.decompress(&raw, 100).unwrap(), b"hello hello hello");
}

#[test]
fn old_formats_are_named() {
    let mut bytes = sample(Compression::None).to_vec();
    bytes[16] = 1;
    assert_eq!(Batches::new(bytes.into()).next_batch().unwrap_err(), BatchError::Magic(1));
}

#[test]
fn a_batch_emptied_by_compaction_still_moves_the_position() {
    // LogCleaner retains an empty batch with its offsets for idempotence.
    let mut bytes = sample(Compression::None)[..HEADER_BYTES].to_vec();
    bytes[8..12].copy_from_slice(&49_i32.to_be_bytes());
    bytes[57..61].copy_from_slice(&0_i32.to_be_bytes());
    let batch = Batches::new(bytes.into()).next_batch().unwrap().unwrap();
    assert_eq!(batch.next_offset(), 3);
    assert!(records(&batch.open(false, LIMIT).unwrap()).unwrap().is_empty());
}

#[test]
fn every_level_of_a_codec_is_read_back_and_a_higher_one_is_no_larger() {
    let text: Vec<u8> = (0..20_000_u32).flat_map(|number| format!("line {} ", number % 977).into_bytes()).collect();
    for (compression, low, high) in [(Compression::Gzip, 1, 9), (Compression::Zstd, -7, 19)] {
        let at = |level| compression.compress(Some(level), &text, Vec::new()).unwrap();
        let sizes = [low, high].map(|level| {
            assert!(compression.levels().contains(&level));
            let compressed = at(level);
            assert_eq!(compression.decompress(&compressed, text.len()).unwrap(), text);
            compressed.len()
        });
        assert!(sizes[0] > sizes[1], "{compression:?}: {sizes:?}");
    }
}
