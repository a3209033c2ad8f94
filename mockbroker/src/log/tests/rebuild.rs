//! Recompression: the batches that a real 4.3.1 made of the same records, byte for byte where the codec leaves no
//! choice.

use kafka_protocol::error::ResponseError::{InvalidRecord, MessageTooLarge, UnknownServerError};

use super::kit::{NOW, batch, bytes, hex, payload, plain, record, records};
use crate::cluster::{CompressionType, TimestampType, TopicConfig};
use crate::log::batch::Compression;
use crate::log::compression::compress;
use crate::log::rebuild::{BatchBuilder, NewRecord};

const GZIP: CompressionType = CompressionType::Gzip { level: -1 };
const LZ4: CompressionType = CompressionType::Lz4 { level: 9 };
const ZSTD: CompressionType = CompressionType::Zstd { level: 3 };

fn config(compression_type: CompressionType) -> TopicConfig {
    TopicConfig { compression_type, ..TopicConfig::default() }
}

/// Three records whose inner offsets are out of order, one with headers, one of nulls.
fn shuffled() -> Vec<u8> {
    plain(&[record(0), record(2).header(b"a", Some(b"b")).header(b"a", None), record(1).at(-7).key(None).value(None)])
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    compress(GZIP, plain).unwrap()
}

#[test]
fn rebuilt_batches_are_the_bytes_that_a_real_kafka_stores() {
    // Apache Kafka 4.3.1, 2026-11-22, less the base offset: a gzip batch on topics of other codecs.
    let header = "00000002 00000000000003e8 00000000000003e8 ffffffffffffffff ffff ffffffff 00000003";
    let cases = [
        (
            CompressionType::Uncompressed,
            "00000051 ffffffff 02 4b4eeadd 0000",
            "10000000026b0276001e000002026b027604026102620261010c000d04010100",
        ),
        (
            CompressionType::Snappy,
            "00000066 ffffffff 02 35ff238b 0002",
            "82534e41505059000000000100000001 00000021 \
             203010000000026b0276001e00000201093804026102620261010c000d04010100",
        ),
        (
            LZ4,
            "00000060 ffffffff 02 25aa2398 0003",
            "04224d18604082 20000080 10000000026b0276001e000002026b027604026102620261010c000d04010100 00000000",
        ),
    ];
    for (codec, front, records) in cases {
        let raw = payload(&gzipped(&shuffled()), 3).attributes(1).timestamps(1000, 5);
        let rebuilt = raw.validate(&config(codec)).unwrap();
        let expected = hex(&format!("0000000000000000 {front} {header} {records}"));
        assert_eq!(bytes(&rebuilt.into_batch()), expected, "{codec:?}");
    }
}

#[test]
fn every_codec_is_rebuilt_into_every_other() {
    let codecs = [CompressionType::Uncompressed, GZIP, CompressionType::Snappy, LZ4, ZSTD];
    for (source, from) in codecs.into_iter().enumerate() {
        for (target, to) in codecs.into_iter().enumerate() {
            if source == target {
                continue;
            }
            let raw = payload(&compress(from, &shuffled()).unwrap(), 3).attributes(source as i16);
            let rebuilt = raw.producer(7, 2, 5).timestamps(1000, 1).validate(&config(to)).unwrap();
            let rebuilt = rebuilt.into_batch();
            assert_eq!(rebuilt.compression().unwrap() as usize, target);
            assert!(rebuilt.crc_matches());
            assert_eq!((rebuilt.producer_id(), rebuilt.producer_epoch(), rebuilt.base_sequence()), (7, 2, 5));
            let decoded = rebuilt.records().unwrap();
            let seen: Vec<_> = decoded.iter().map(Result::unwrap).map(|r| (r.offset, r.timestamp)).collect();
            assert_eq!(seen, [(0, 1000), (1, 1000), (2, 993)]);
        }
    }
}

#[test]
fn the_same_codec_keeps_the_bytes_and_uncompressed_ones_their_inner_offsets() {
    // assignOffsetsNonCompressed never looks at the inner offsets, whatever the topic says of codecs.
    for codec in [CompressionType::Producer, CompressionType::Uncompressed] {
        let raw = payload(&shuffled(), 3);
        assert_eq!(bytes(&raw.validate(&config(codec)).unwrap().into_batch()), raw.bytes());
    }
    let raw = payload(&gzipped(&plain(&records(3))), 3).attributes(1);
    assert_eq!(bytes(&raw.validate(&config(GZIP)).unwrap().into_batch()), raw.bytes());
}

#[test]
fn log_append_time_is_stamped_on_a_rebuilt_batch() {
    let config = TopicConfig { message_timestamp_type: TimestampType::LogAppendTime, ..config(LZ4) };
    let valid = batch(&records(3)).timestamps(1000, 77).validate(&config).unwrap();
    assert_eq!(valid.log_append_time_ms(), NOW.as_millis());
    let batch = valid.into_batch();
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1000, NOW.as_millis()));
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
}

#[test]
fn records_that_are_rebuilt_must_be_as_long_as_they_say() {
    for length in [3, 300, -3] {
        let raw = payload(&gzipped(&record(0).length(length).bytes()), 1).attributes(1);
        assert_eq!(raw.validate(&config(LZ4)).unwrap_err().error, InvalidRecord);
    }
    let overlong = [0xff; 20];
    assert_eq!(payload(&overlong, 1).validate(&config(LZ4)).unwrap_err().error, UnknownServerError);
    let compressed = payload(&gzipped(&overlong), 1).attributes(1);
    assert_eq!(compressed.validate(&config(LZ4)).unwrap_err().error, InvalidRecord);
}

#[test]
fn times_before_1970_cannot_be_rebuilt() {
    // MemoryRecordsBuilder.appendWithOffset: "Invalid negative timestamp"; -1 is no time.
    let at = |timestamp| batch(&[record(0)]).timestamps(timestamp, timestamp).validate(&config(GZIP));
    assert!(at(-1).is_ok());
    assert_eq!(at(-3).unwrap_err().error, UnknownServerError);
    let later = batch(&[record(0), record(1).at(-100)]).timestamps(50, 50).validate(&config(GZIP));
    assert_eq!(later.unwrap_err().error, UnknownServerError);
    assert!(batch(&[record(0)]).timestamps(-3, -3).validate(&config(CompressionType::Uncompressed)).is_ok());
}

#[test]
fn a_batch_that_outgrew_the_limit_is_too_large() {
    let config = TopicConfig { max_message_bytes: 200, ..config(CompressionType::Uncompressed) };
    let of = |size| payload(&gzipped(&record(0).value(Some(&vec![b'a'; size])).bytes()), 1).attributes(1);
    let rejected = of(1000).validate(&config).unwrap_err();
    assert_eq!((rejected.error, rejected.log_start_known), (MessageTooLarge, false));
    assert!(of(10).validate(&config).is_ok());
}

#[test]
fn a_batch_of_the_brokers_own_is_what_a_client_would_have_written() {
    let mut builder = BatchBuilder::new();
    let headers = [(&b"a"[..], Some(&b"b"[..])), (b"a", None)];
    builder.push(NewRecord { timestamp: 1000, key: Some(b"k"), value: Some(b"v"), headers: &[] });
    builder.push(NewRecord { timestamp: 1005, key: None, value: Some(&[7; 300]), headers: &headers });
    assert_eq!(builder.count(), 2);
    let built = builder.build(CompressionType::Uncompressed).unwrap();
    let second = record(1).at(5).key(None).value(Some(&[7; 300])).header(b"a", Some(b"b")).header(b"a", None);
    let expected = batch(&[record(0), second]).timestamps(1000, 1005);
    assert_eq!(bytes(&built), expected.bytes());
    assert_eq!(built.compression(), Some(Compression::None));
}
