//! librdkafka, the C client, through the crate `rdkafka`.

mod transact;

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

const SILENCE: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut given: HashMap<&str, Vec<&str>> = HashMap::new();
    for pair in arguments[1..].chunks_exact(2) {
        given.entry(&pair[0]).or_default().push(&pair[1]);
    }
    if arguments[0] == "transact" {
        return transact::run(&given);
    }
    let bootstrap = given["--bootstrap"][0];
    let partition = given.get("--partition").map(|partition| partition[0].parse()).transpose()?;
    let mut readings = Vec::new();
    for (index, &topic) in given["--topic"].iter().enumerate() {
        if arguments[0] == "produce" {
            produce(bootstrap, partition, topic, given["--codec"][index], given["--input"][index])?;
        } else {
            let lines = BufWriter::new(File::create(given["--output"][index])?);
            readings.push(Reading { topic, count: given["--count"][index].parse()?, seen: 0, at_end: false, lines });
        }
    }
    if readings.is_empty() { Ok(()) } else { consume(bootstrap, partition.unwrap_or(0), readings) }
}

/// A line of a record file: bytes as base64.
#[derive(Serialize, Deserialize)]
struct Line {
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
    timestamp: i64,
    partition: i32,
}

/// Ends the process at the first record that is refused.
struct FailFast;

impl ClientContext for FailFast {}

impl ProducerContext for FailFast {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = delivery {
            eprintln!("{}: {error}", message.topic());
            std::process::exit(1);
        }
    }
}

fn produce(bootstrap: &str, partition: Option<i32>, topic: &str, codec: &str, input: &str) -> Outcome<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    if codec != "default" {
        config.set("compression.type", codec);
    }
    let producer: ThreadedProducer<FailFast> = config.create_with_context(FailFast)?;
    for line in BufReader::new(File::open(input)?).lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let (key, value) = (unpack(line.key)?, unpack(line.value)?);
        let mut headers = OwnedHeaders::new();
        for (name, value) in line.headers {
            headers = headers.insert(Header { key: &name, value: unpack(value)?.as_ref() });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).timestamp(line.timestamp);
        if headers.count() > 0 {
            record = record.headers(headers);
        }
        record.key = key.as_deref();
        record.payload = value.as_deref();
        record.partition = partition;
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.flush(Duration::from_millis(100)).or_else(still_waiting)?;
            record = back;
        }
    }
    Ok(producer.flush(SILENCE)?)
}

/// A flush that ends at its time limit has made some room, which is all that is asked of it.
fn still_waiting(error: KafkaError) -> Result<(), KafkaError> {
    match error {
        KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Ok(()),
        other => Err(other),
    }
}

/// One topic to read.
struct Reading<'a> {
    topic: &'a str,
    count: usize,
    seen: usize,
    at_end: bool,
    lines: BufWriter<File>,
}

/// All topics at once: librdkafka waits half a second for each end of a partition, and the waits overlap.
fn consume(bootstrap: &str, partition: i32, mut readings: Vec<Reading<'_>>) -> Outcome<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        // Without subscribe() the group is only a name: nothing joins and nothing is committed.
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for reading in &readings {
        assignment.add_partition_offset(reading.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    while readings.iter().any(|reading| !reading.at_end) {
        match consumer.poll(SILENCE) {
            None => return Err("nothing more, and not at the end".into()),
            Some(Ok(message)) => {
                let reading = readings.iter_mut().find(|reading| reading.topic == message.topic());
                let reading = reading.ok_or("a record of a topic that was not asked for")?;
                reading.seen += 1;
                serde_json::to_writer(&mut reading.lines, &line(&message))?;
                reading.lines.write_all(b"\n")?;
            }
            // The event does not say of which topic: whoever has all its records is at its end.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                for reading in &mut readings {
                    reading.at_end = reading.seen >= reading.count;
                }
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
    for reading in &mut readings {
        if reading.seen != reading.count {
            return Err(format!("{}: {} records, expected {}", reading.topic, reading.seen, reading.count).into());
        }
        reading.lines.flush()?;
    }
    Ok(())
}

fn line(message: &BorrowedMessage<'_>) -> Line {
    let headers = message.headers().map_or(vec![], |headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(pack))).collect()
    });
    Line {
        key: message.key().map(pack),
        value: message.payload().map(pack),
        headers,
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        partition: message.partition(),
    }
}

fn pack(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn unpack(text: Option<String>) -> Outcome<Option<Vec<u8>>> {
    Ok(text.map(|text| BASE64_STANDARD.decode(text)).transpose()?)
}
