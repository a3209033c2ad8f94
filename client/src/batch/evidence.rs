//! What a real Kafka has stored, in `fixtures/wire/batches`: we read in it what Java's consumer reads in it, and write
//! the bytes that Java's producer writes. Markers are not for programs: they are skipped, as the consumer does.

use std::{fs, path::PathBuf};

use bytes::Bytes;

use super::{
    CODEC, Compression, HEADER_BYTES, LOG_APPEND_TIME,
    builder::{BatchBuilder, ProducerFields, RecordParts},
    cursor::{Batch, Batches, OpenBatch, RecordSpan, headers, part},
};
use crate::record::Header;

/// The leader epoch: the broker's, like the base offset, which is zero in these segments' first batches.
const LEADER_EPOCH: std::ops::Range<usize> = 12..16;
const ATTRIBUTES: std::ops::Range<usize> = 21..23;
const PRODUCER_ID: std::ops::Range<usize> = 43..51;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire/batches")
}

/// A fixture's lines, without its comment.
fn lines(file: &str) -> Vec<String> {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

fn topics() -> Vec<String> {
    let mut topics: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".hex").map(str::to_owned))
        .collect();
    topics.sort();
    assert!(topics.len() >= 16, "{topics:?}");
    topics
}

fn segment(topic: &str) -> Bytes {
    let digits = lines(&format!("{topic}.hex")).concat();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The batches of a segment that are not markers, each with its bytes.
fn batches(segment: &Bytes) -> Vec<(Batch, Bytes)> {
    let mut walk = Batches::new(segment.clone());
    let mut found = Vec::new();
    loop {
        let start = segment.len() - walk.remaining_bytes();
        let Some(batch) = walk.next_batch().unwrap() else { break };
        if !batch.is_control() {
            found.push((batch, segment.slice(start..segment.len() - walk.remaining_bytes())));
        }
    }
    assert_eq!(walk.remaining_bytes(), 0, "a segment ends with a whole batch");
    found
}

fn records(batch: &OpenBatch) -> Vec<RecordSpan> {
    let mut walk = batch.walk();
    std::iter::from_fn(|| walk.next_record(batch)).map(Result::unwrap).collect()
}

/// A batch in the words of `tests/evidence/Evidence.java`.
fn told(batch: &Batch) -> Vec<String> {
    let open = batch.open(true, 1 << 20).unwrap();
    let bytes = &open.records;
    let line = |span: RecordSpan| {
        let headers: Vec<_> = headers(bytes, &span)
            .map(|(key, value)| format!("{}: {}", quoted(Some(key.as_bytes())), quoted(value)))
            .collect();
        format!(
            "offset: {} timestamp: {} key: {} value: {} headers: [{}]",
            span.offset,
            span.timestamp.0,
            quoted(span.key.map(|key| part(bytes, key))),
            quoted(span.value.map(|value| part(bytes, value))),
            headers.join(", ")
        )
    };
    records(&open).into_iter().map(line).collect()
}

fn quoted(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}

/// Our batch of the same records.
fn rewritten(batch: &Batch, compression: Compression) -> Bytes {
    let open = batch.open(true, 1 << 20).unwrap();
    let mut builder = BatchBuilder::new(1024);
    for span in records(&open) {
        let headers: Vec<_> = headers(&open.records, &span)
            .map(|(key, value)| Header { key: key.to_owned(), value: value.map(Bytes::copy_from_slice) })
            .collect();
        let field = |range: Option<(u32, u32)>| range.map(|range| part(&open.records, range));
        let (key, value) = (field(span.key), field(span.value));
        builder.append(RecordParts { timestamp: span.timestamp.0, key, value, headers: &headers });
    }
    builder.close(compression).unwrap().finish(ProducerFields::NONE)
}

fn has(bytes: &Bytes, attributes: i16) -> bool {
    i16::from_be_bytes(bytes[ATTRIBUTES].try_into().unwrap()) & attributes != 0
}

#[test]
fn we_read_in_a_segment_what_java_reads_in_it() {
    // KafkaConsumer of 4.3.1; the lines of batches and markers are not the consumer's.
    for topic in topics() {
        let ours: Vec<_> = batches(&segment(&topic)).iter().flat_map(|(batch, _)| told(batch)).collect();
        let mut javas = lines(&format!("{topic}.records.txt"));
        javas.retain(|line| line.starts_with("offset: "));
        assert_eq!(ours, javas, "{topic}");
    }
}

#[test]
fn we_write_the_bytes_that_java_and_librdkafka_write() {
    // DefaultRecordBatch.writeHeader, DefaultRecord.writeTo; rd_kafka_msgset_writer_write_msg_v2
    let mut whole = 0;
    for topic in topics() {
        for (batch, theirs) in batches(&segment(&topic)) {
            if has(&theirs, CODEC | LOG_APPEND_TIME) {
                continue;
            }
            let ours = rewritten(&batch, Compression::None);
            assert_eq!(ours[HEADER_BYTES..], theirs[HEADER_BYTES..], "{topic}: the records");
            if theirs[PRODUCER_ID] == [0xff; 8] {
                // Before and after the epoch, which the broker writes.
                assert_eq!(ours[..LEADER_EPOCH.start], theirs[..LEADER_EPOCH.start], "{topic}: offset and length");
                assert_eq!(ours[LEADER_EPOCH.end..], theirs[LEADER_EPOCH.end..], "{topic}: from the magic on");
                whole += 1;
            }
        }
    }
    assert!(whole >= 3, "java-none, java-timestamps and librdkafka-none are whole batches like ours");
}

#[test]
fn every_codec_keeps_what_java_wrote() {
    // Compressors of different makes write different bytes; what is in them is the same.
    let codecs = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for topic in topics() {
        let (first, _) = batches(&segment(&topic)).remove(0);
        for codec in codecs {
            let (ours, _) = batches(&rewritten(&first, codec)).remove(0);
            assert_eq!(told(&ours), told(&first), "{topic}, {codec:?}");
        }
    }
}
