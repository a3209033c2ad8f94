//! Compressed batches: each codec both ways, and what `compression.type` makes of them.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use system_tests::batch::{Batch, Record};

use crate::ask::{append, batches, start, topic, write};
use crate::code;

/// A codec, as the lowest three bits of the attributes have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

const EVERY_CODEC: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

#[tokio::test]
async fn what_is_compressed_comes_back_as_it_was_sent() {
    // Spec C.4: compression.type=producer keeps the batch.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for codec in EVERY_CODEC {
        let sent = compressed(codec, &plain());
        let offset = append(&mut connection, &topic, 0, &sent).await;
        let read = batches(&mut connection, &topic, 0, offset).await;
        assert_eq!(read[0].attributes, codec as i16);
        assert_eq!(read[0].payload, sent.payload, "{codec:?}");
        assert_eq!(records(&read[0]), plain().records());
    }
}

#[tokio::test]
async fn a_topic_may_have_a_codec_of_its_own() {
    // Spec C.4: from every codec to every codec, broker-side.
    let (_broker, mut connection) = start().await;
    for (target, name) in [
        (Codec::None, "uncompressed"),
        (Codec::Gzip, "gzip"),
        (Codec::Snappy, "snappy"),
        (Codec::Lz4, "lz4"),
        (Codec::Zstd, "zstd"),
    ] {
        let topic = topic(&mut connection, 1, &[("compression.type", name)]).await;
        for source in EVERY_CODEC {
            let sent = Batch { partition_leader_epoch: 9, ..compressed(source, &plain()) };
            let offset = append(&mut connection, &topic, 0, &sent).await;
            let read = batches(&mut connection, &topic, 0, offset).await;
            assert_eq!((read.len(), read[0].attributes), (1, target as i16), "{source:?} to {target:?}");
            assert_eq!(records(&read[0]), plain().records(), "{source:?} to {target:?}");
            assert_eq!((read[0].base_timestamp, read[0].max_timestamp), (sent.base_timestamp, sent.max_timestamp));
            assert_eq!((read[0].record_count, read[0].last_offset_delta), (sent.record_count, sent.last_offset_delta));
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_compressed_again_keeps_its_producer() {
    // Spec C.4: only the records and what depends on them are new.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("compression.type", "lz4")]).await;
    let id = crate::ask::producer_id(&mut connection).await;
    let sent = compressed(Codec::Gzip, &plain()).from_producer(id, 0, 0);
    for _ in 0..2 {
        assert_eq!(append(&mut connection, &topic, 0, &sent).await, 0, "and a retry is a duplicate");
    }
    let read = batches(&mut connection, &topic, 0, 0).await;
    assert_eq!((read[0].producer_id, read[0].producer_epoch, read[0].base_sequence), (id, 0, 0));
}

#[tokio::test]
async fn the_time_of_a_compressed_batch_is_looked_at_record_by_record() {
    // Spec C.4: max_timestamp is recomputed from what is inside.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for codec in EVERY_CODEC {
        let sent = Batch { max_timestamp: 5, ..compressed(codec, &plain()) };
        let offset = append(&mut connection, &topic, 0, &sent).await;
        let read = batches(&mut connection, &topic, 0, offset).await;
        assert_eq!(read[0].max_timestamp, plain().max_timestamp, "{codec:?}");
    }
}

#[tokio::test]
async fn a_compacted_topic_looks_for_keys_inside() {
    // Spec C.4.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[("cleanup.policy", "compact")]).await;
    for codec in EVERY_CODEC {
        let keyless = Batch::of(["no key"]);
        let refused = write(&mut connection, &topic, 0, &compressed(codec, &keyless)).await;
        assert_eq!(refused["error_code"], code::INVALID_RECORD, "{codec:?}");
        assert_eq!(refused["record_errors"][0]["batch_index"], 0);
        append(&mut connection, &topic, 0, &compressed(codec, &keyed())).await;
    }
}

#[tokio::test]
async fn what_no_codec_can_read_is_an_error_nobody_expected() {
    // Seen on 4.3.1: the codec's exception is no ApiException, so the producer sees UNKNOWN_SERVER_ERROR; 5 to 7 are none.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for attributes in 1..=7 {
        let wrong = Batch { attributes, payload: Bytes::from_static(&[b'x'; 40]), ..Batch::of(["a"]) };
        let refused = write(&mut connection, &topic, 0, &wrong).await;
        assert_eq!(refused["error_code"], code::UNKNOWN_SERVER_ERROR, "codec {attributes}");
        assert_eq!((refused["base_offset"].int(), refused["log_start_offset"].int()), (-1, 0));
    }
    assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["a"])).await, 0);
}

#[tokio::test]
async fn records_are_counted_within() {
    // Spec C.3 row 7; LogValidator.validateMessagesAndAssignOffsetsCompressed.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    for codec in EVERY_CODEC {
        let right = compressed(codec, &plain());
        for count in [right.record_count - 1, right.record_count + 1] {
            let wrong = Batch { record_count: count, last_offset_delta: count - 1, ..right.clone() };
            let refused = write(&mut connection, &topic, 0, &wrong).await;
            assert_eq!(refused["error_code"], code::INVALID_RECORD, "{codec:?}, {count} records");
        }
    }
}

#[tokio::test]
async fn the_limit_is_on_what_is_sent_and_on_what_is_stored() {
    // Spec C.3 rows 5 and 11: a small batch that becomes large is refused as well.
    let (_broker, mut connection) = start().await;
    let large = Batch::of(["x".repeat(5_000)]);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let small = compressed(codec, &large);
        assert!(small.encode().len() < 1_000, "{codec:?}");
        let kept = topic(&mut connection, 1, &[("max.message.bytes", "1000")]).await;
        append(&mut connection, &kept, 0, &small).await;
        assert_eq!(write(&mut connection, &kept, 0, &large).await["error_code"], code::MESSAGE_TOO_LARGE);
        let opened =
            topic(&mut connection, 1, &[("max.message.bytes", "1000"), ("compression.type", "uncompressed")]).await;
        let refused = write(&mut connection, &opened, 0, &small).await;
        assert_eq!(refused["error_code"], code::MESSAGE_TOO_LARGE, "{codec:?}");
    }
}

/// Records of every kind, as far as a codec could care.
fn plain() -> Batch {
    let value = |text: String| Some(Bytes::from(text));
    Batch::of_records([
        Record { key: Some("k".into()), value: value("v".repeat(300)), ..Record::default() },
        Record { value: value(String::new()), timestamp_delta: 70, ..Record::default() },
        Record {
            headers: vec![("h".to_owned(), Some("1".into())), ("h".to_owned(), None)],
            timestamp_delta: 3,
            ..Record::default()
        },
    ])
}

fn keyed() -> Batch {
    Batch::of_records([Record { key: Some("k".into()), value: Some("v".into()), ..Record::default() }])
}

/// The same batch with its records compressed.
fn compressed(codec: Codec, batch: &Batch) -> Batch {
    let payload = match codec {
        Codec::None => batch.payload.clone(),
        Codec::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&batch.payload).expect("memory takes all");
            encoder.finish().expect("memory takes all").into()
        }
        Codec::Snappy => xerial(&batch.payload),
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&batch.payload).expect("memory takes all");
            encoder.finish().expect("memory takes all").into()
        }
        Codec::Zstd => zstd::encode_all(&batch.payload[..], 3).expect("memory takes all").into(),
    };
    Batch { payload, attributes: batch.attributes | codec as i16, ..batch.clone() }
}

/// The records of a batch of any codec.
fn records(batch: &Batch) -> Vec<Record> {
    let mut payload = Vec::new();
    match batch.attributes & 0b111 {
        0 => payload.extend(&batch.payload),
        1 => drop(
            GzDecoder::new(&batch.payload[..]).read_to_end(&mut payload).expect("what the broker serves can be read"),
        ),
        2 => payload = unxerial(&batch.payload),
        3 => drop(
            lz4_flex::frame::FrameDecoder::new(&batch.payload[..])
                .read_to_end(&mut payload)
                .expect("what the broker serves can be read"),
        ),
        4 => payload = zstd::decode_all(&batch.payload[..]).expect("what the broker serves can be read"),
        other => panic!("there is no codec {other}"),
    }
    Batch { attributes: 0, payload: payload.into(), ..batch.clone() }.records()
}

/// The framing of snappy-java: 16 bytes of magic and versions, then blocks with their lengths.
const XERIAL: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];

fn xerial(plain: &[u8]) -> Bytes {
    let mut out = XERIAL.to_vec();
    for block in plain.chunks(32 * 1_024) {
        let block = snap::raw::Encoder::new().compress_vec(block).expect("a block is small");
        out.extend(u32::try_from(block.len()).expect("a block is small").to_be_bytes());
        out.extend(block);
    }
    out.into()
}

fn unxerial(framed: &[u8]) -> Vec<u8> {
    let mut rest = framed.strip_prefix(&XERIAL).expect("Java's framing");
    let mut plain = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (block, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        plain.extend(snap::raw::Decoder::new().decompress_vec(block).expect("a block is small"));
        rest = behind;
    }
    plain
}
