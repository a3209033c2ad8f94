//! Our own client among foreign ones: writes record files into topics, and reads topics into record files.
//! `tests/foreign/README.md` says how a driver speaks and what a record file is.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{File, read_to_string};
use std::io::{BufWriter, Write};
use std::time::Duration;

use async_kafka::admin::OffsetSpec;
use async_kafka::{
    Compression, ConsumerRecord, Header, IsolationLevel, Kafka, Offset, Record, Timestamp, TopicPartition,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

const SILENCE: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut given: HashMap<&str, Vec<&str>> = HashMap::new();
    for pair in arguments[1..].chunks_exact(2) {
        given.entry(&pair[0]).or_default().push(&pair[1]);
    }
    let kafka = Kafka::builder(given["--bootstrap"][0]).connect().await?;
    let partition = given.get("--partition").map(|partition| partition[0].parse()).transpose()?;
    for (index, &topic) in given["--topic"].iter().enumerate() {
        if arguments[0] == "produce" {
            produce(&kafka, partition, topic, given["--codec"][index], given["--input"][index]).await?;
        } else {
            let count = given["--count"][index].parse()?;
            consume(&kafka, partition.unwrap_or(0), topic, count, given["--output"][index]).await?;
        }
    }
    Ok(())
}

async fn produce(kafka: &Kafka, partition: Option<i32>, topic: &str, codec: &str, input: &str) -> Outcome<()> {
    let builder = kafka.producer();
    let builder = match codec {
        "default" => builder,
        "none" => builder.compression(Compression::None),
        "gzip" => builder.compression(Compression::Gzip),
        "snappy" => builder.compression(Compression::Snappy),
        "lz4" => builder.compression(Compression::Lz4),
        "zstd" => builder.compression(Compression::Zstd),
        other => return Err(format!("no such codec: {other}").into()),
    };
    let producer = builder.build().await?;
    let mut records = Vec::new();
    for line in read_to_string(input)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let mut record = Record::to(topic).timestamp(Timestamp(line["timestamp"].as_i64().ok_or("no timestamp")?));
        record.key = unpack(&line["key"])?.map(Into::into);
        record.value = unpack(&line["value"])?.map(Into::into);
        record.partition = partition;
        for header in line["headers"].as_array().ok_or("no headers")? {
            let key = header[0].as_str().ok_or("a header without a key")?.to_owned();
            record.headers.push(Header { key, value: unpack(&header[1])?.map(Into::into) });
        }
        records.push(record);
    }
    for written in producer.send_all(records).await {
        written?;
    }
    Ok(())
}

/// Reads to the end of the log, where exactly `count` records have to be.
async fn consume(kafka: &Kafka, partition: i32, topic: &str, count: usize, output: &str) -> Outcome<()> {
    let consumer = kafka.assigned_consumer().assign(topic, partition, Offset::Earliest).build().await?;
    let mut lines = BufWriter::new(File::create(output)?);
    for seen in 0..count {
        let record = tokio::time::timeout(SILENCE, consumer.recv()).await;
        let record = record.map_err(|_| format!("{topic}: {seen} records, expected {count}"))??;
        write_line(&mut lines, &record.ok_or("the consumer ended")?)?;
    }
    lines.flush()?;
    let of = TopicPartition::new(topic, partition);
    let ends = kafka.admin().list_offsets([(of.clone(), OffsetSpec::Latest)], IsolationLevel::ReadUncommitted).await;
    let end = ends[&of].clone()?.offset;
    if consumer.position(topic, partition)? == end {
        Ok(())
    } else {
        Err(format!("{topic}: {count} records were read, and the log ends at {end:?}").into())
    }
}

/// Fields in the order that makes equal records equal lines.
fn write_line(to: &mut impl Write, record: &ConsumerRecord) -> Outcome<()> {
    let headers: Vec<Value> = record.headers().map(|(name, value)| serde_json::json!([name, pack(value)])).collect();
    writeln!(
        to,
        r#"{{"key":{},"value":{},"headers":{},"timestamp":{},"partition":{}}}"#,
        pack(record.key()),
        pack(record.value()),
        Value::from(headers),
        record.timestamp().as_millis(),
        record.partition(),
    )?;
    Ok(())
}

fn pack(bytes: Option<&[u8]>) -> Value {
    bytes.map(|bytes| BASE64_STANDARD.encode(bytes)).into()
}

fn unpack(text: &Value) -> Outcome<Option<Vec<u8>>> {
    Ok(text.as_str().map(|text| BASE64_STANDARD.decode(text).map_err(|error| error.to_string())).transpose()?)
}
