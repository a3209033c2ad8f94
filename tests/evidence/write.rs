//! Our client as a writer, and a raw connection that fetches what a broker has stored. A program for `tests/evidence/run`.
//!
//! ```text
//! write-evidence produce BOOTSTRAP DIRECTORY TOPIC...    fills topics that are there; TOPIC.expected says with what
//! write-evidence fetch BOOTSTRAP DIRECTORY TOPIC...      all bytes of partition 0 into TOPIC-0/00000000000000000000.log
//! ```
//!
//! A topic `client-CODEC` is written with that codec, any other without one.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use async_kafka::{Compression, Header, Kafka, Record};
use bytes::Bytes;
use system_tests::{Raw, api, value};

const TIME: i64 = 1_700_000_000_000;
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, bootstrap, directory, topics @ ..] = &arguments[..] else {
        return Err("write-evidence produce|fetch BOOTSTRAP DIRECTORY TOPIC...".into());
    };
    for topic in topics {
        if what == "produce" {
            produce(bootstrap, Path::new(directory), topic).await?;
        } else {
            fetch(bootstrap, Path::new(directory), topic).await?;
        }
    }
    Ok(())
}

async fn produce(bootstrap: &str, directory: &Path, topic: &str) -> Result<(), Box<dyn Error>> {
    let kafka = Kafka::builder(bootstrap).connect().await?;
    // Everything that is sent is one batch.
    let producer = kafka.producer().compression(codec(topic)).linger(LIMIT).batch_size(500_000).build().await?;
    let mut expected = String::new();
    let mut deliveries = Vec::new();
    for (offset, record) in sample(topic).into_iter().enumerate() {
        writeln!(expected, "offset: {offset} {}", told(&record))?;
        deliveries.push(producer.send(record).await?);
    }
    producer.flush().await?;
    for delivery in deliveries {
        delivery.await?;
    }
    producer.close(LIMIT).await?;
    Ok(fs::write(directory.join(format!("{topic}.expected")), expected)?)
}

/// Null and empty fields, headers that come twice and without a value, times that go back, and something to compress.
fn sample(topic: &str) -> Vec<Record> {
    let record = |time: i64| Record::to(topic).partition(0).timestamp(time);
    let mut headers = record(TIME).key("key").value("value").header("a", "1");
    headers.headers.push(Header { key: "b".to_owned(), value: None });
    vec![
        headers.header("a", "2").header("\u{fc}", ""),
        record(TIME - 1),
        record(TIME + 86_400_000).key("").value(""),
        record(0).key("binary").value("kafka ".repeat(50)).header("bytes", Bytes::from_static(&[0, 1, 127, 128, 255])),
        record(1).value("kafka ".repeat(20_000)),
    ]
}

/// A record in the words of Evidence.java.
fn told(record: &Record) -> String {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|header| format!("{}: {}", quoted(Some(header.key.as_bytes())), quoted(header.value.as_deref())))
        .collect();
    let timestamp = record.timestamp.map_or(-1, async_kafka::Timestamp::as_millis);
    let (key, value) = (quoted(record.key.as_deref()), quoted(record.value.as_deref()));
    format!("timestamp: {timestamp} key: {key} value: {value} headers: [{}]", headers.join(", "))
}

fn quoted(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}

fn codec(topic: &str) -> Compression {
    match topic.strip_prefix("client-") {
        Some("gzip") => Compression::Gzip,
        Some("snappy") => Compression::Snappy,
        Some("lz4") => Compression::Lz4,
        Some("zstd") => Compression::Zstd,
        _ => Compression::None,
    }
}

async fn fetch(bootstrap: &str, directory: &Path, topic: &str) -> Result<(), Box<dyn Error>> {
    let mut connection = Raw::connect(bootstrap).await;
    let partition = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: i32::MAX });
    // The last version that knows topics by name.
    let body = value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: i32::MAX,
        topics: [{ topic: topic, partitions: [partition] }] });
    let answer = connection.call(api::FETCH, 12, body).await;
    let partition = &answer["responses"][0]["partitions"][0];
    if partition["error_code"] != 0 {
        return Err(format!("{topic}: {answer:?}").into());
    }
    let folder = directory.join(format!("{topic}-0"));
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join("00000000000000000000.log"), partition["records"].bytes())?)
}
