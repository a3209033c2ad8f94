//! The client with a Kafka of 2.1, the oldest that it is for: the mock behind a connection that offers and lets through what
//! Kafka 2.1.1 has, or a real Kafka of any version with `KAFKA_BOOTSTRAP`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::admin::{ScramChange, ScramMechanism};
use async_kafka::{Compression, Error, Kafka, KafkaBuilder, Offset, OffsetReset, Record};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::protocol::{Decodable, Encodable};
use mockbroker::MockBroker;
use system_tests::raw::patiently;
use system_tests::world::{Broker, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

const API_VERSIONS: i16 = 18;
const UNSUPPORTED_VERSION: &[u8] = b"\0\x23\0\0\0\0";

/// Key, and the lowest and highest version.
fn kafka_2_1() -> BTreeMap<i16, (i16, i16)> {
    let lines = include_str!("../../fixtures/kafka/api_versions_2.1.txt").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let cells: Vec<_> = line.split('\t').collect();
        let number = |index: usize| cells[index].parse::<i16>().expect("a number");
        (number(0), (number(2), number(3)))
    };
    lines.map(row).collect()
}

/// The highest version of each API that went through.
type Seen = Arc<Mutex<BTreeMap<i16, i16>>>;

async fn frame(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Bytes> {
    let length = from.read_i32().await?;
    let mut frame = BytesMut::zeroed(usize::try_from(length).expect("a length"));
    from.read_exact(&mut frame).await?;
    Ok(frame.freeze())
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), frame: &[u8]) -> io::Result<()> {
    to.write_i32(i32::try_from(frame.len()).expect("a length")).await?;
    to.write_all(frame).await
}

/// What the mock offers, cut down to what the old broker has.
fn cut_down(answer: &[u8], offered: &BTreeMap<i16, (i16, i16)>, version: i16) -> Vec<u8> {
    let mut body = Bytes::copy_from_slice(&answer[4..]);
    let mut response = ApiVersionsResponse::decode(&mut body, version).expect("an answer");
    response.api_keys.retain_mut(|api| match offered.get(&api.api_key) {
        Some((_, highest)) => {
            api.max_version = api.max_version.min(*highest);
            api.min_version <= api.max_version
        }
        None => false,
    });
    let mut cut = BytesMut::from(&answer[..4]);
    response.encode(&mut cut, version).expect("it was decoded");
    cut.to_vec()
}

/// An old broker: refuses versions of ApiVersions that it does not know as Kafka does, and closes at any other.
async fn old_broker(mut client: DuplexStream, mut mock: TcpStream, seen: Seen) -> io::Result<()> {
    let offered = kafka_2_1();
    let mut waiting = VecDeque::new();
    loop {
        // One request at a time, as brokers do.
        let request = frame(&mut client).await?;
        let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
        let (key, version) = (number(0), number(2));
        let (lowest, highest) = *offered.get(&key).expect("an API that was not offered");
        if key == API_VERSIONS && version > highest {
            write(&mut client, &[&request[4..8], UNSUPPORTED_VERSION].concat()).await?;
            continue;
        }
        assert!((lowest..=highest).contains(&version), "API {key} v{version} was not offered");
        seen.lock().expect("nobody panics").entry(key).and_modify(|it| *it = version.max(*it)).or_insert(version);
        waiting.push_back((key, version));
        write(&mut mock, &request).await?;
        let answer = frame(&mut mock).await?;
        let (key, version) = waiting.pop_front().expect("it was asked");
        let answer = if key == API_VERSIONS { cut_down(&answer, &offered, version) } else { answer.to_vec() };
        write(&mut client, &answer).await?;
    }
}

fn through_an_old_broker(mock: &MockBroker, seen: &Seen) -> KafkaBuilder {
    let seen = Arc::clone(seen);
    Kafka::builder(mock.bootstrap_servers()).dial(move |address| {
        let seen = Arc::clone(&seen);
        async move {
            let mock = TcpStream::connect((&*address.host, address.port)).await?;
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(old_broker(theirs, mock, seen));
            Ok::<_, io::Error>(ours)
        }
    })
}

/// Writes with every codec, idempotently; reads by assignment, by time and as a member of a group that commits.
async fn walk(builder: KafkaBuilder) {
    let kafka = builder.connect().await.expect("a broker");
    let (topic, group) = (unique("old"), unique("old-group"));
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let mut expected = Vec::new();
    for codec in codecs {
        let producer = kafka.producer().compression(codec).build().await.expect("valid settings");
        for number in 0..3 {
            let value = format!("{codec:?} {number}");
            let record = Record::to(topic.as_str()).partition(0).value(value.clone());
            producer.send(record).await.expect("room").await.expect("acknowledged");
            expected.push(value);
        }
    }
    let text = |value: Option<&[u8]>| String::from_utf8(value.expect("a value").to_vec()).expect("text");
    let consumer =
        kafka.assigned_consumer().assign(topic.as_str(), 0, Offset::Earliest).build().await.expect("assigned");
    for value in &expected {
        let record = patiently("a record", consumer.recv()).await.expect("no error").expect("open");
        assert_eq!(text(record.value()), *value);
    }
    let member = || {
        let builder = kafka.consumer(group.as_str()).topics([topic.as_str()]).auto_offset_reset(OffsetReset::Earliest);
        builder.auto_commit_interval(None).build()
    };
    let consumer = member().await.expect("valid settings");
    for value in &expected[..5] {
        let record = patiently("a record", consumer.recv()).await.expect("no error").expect("open");
        assert_eq!(text(record.value()), *value);
        consumer.commit_record(&record).await.expect("committed");
    }
    consumer.close(Duration::from_secs(5)).await.expect("closed");
    let consumer = member().await.expect("valid settings");
    let record = patiently("the next record", consumer.recv()).await.expect("no error").expect("open");
    assert_eq!(text(record.value()), expected[5], "what was committed is where the next one begins");
    consumer.close(Duration::from_secs(5)).await.expect("closed");
}

#[tokio::test]
async fn the_client_speaks_with_a_kafka_of_2_1() {
    if let Some(real) = Broker::real() {
        return walk(Kafka::builder(real.bootstrap())).await;
    }
    let mock = MockBroker::builder().config("group.initial.rebalance.delay.ms", "0").start().await;
    let seen = Seen::default();
    walk(through_an_old_broker(&mock, &seen)).await;
    let offered = kafka_2_1();
    let seen = seen.lock().expect("nobody panics").clone();
    // Produce, Fetch, ListOffsets, Metadata, offsets and groups, ApiVersions, InitProducerId.
    for key in [0, 1, 2, 3, 8, 9, 10, 11, 13, 14, 18, 22] {
        assert!(seen.contains_key(&key), "API {key} was not used: {seen:?}");
    }
    for (key, version) in seen {
        let highest = if key == API_VERSIONS { 0 } else { offered[&key].1 };
        assert_eq!(version, highest, "API {key}: the highest that both have, and v0 after a refusal");
    }
}

#[tokio::test]
async fn what_a_broker_does_not_offer_is_refused_at_once_and_says_what_it_needs() {
    if Broker::real().is_some() {
        return;
    }
    let mock = MockBroker::start().await;
    let kafka = through_an_old_broker(&mock, &Seen::default()).connect().await.expect("a broker");
    let error = kafka.admin().list_scram_credentials().await.expect_err("it came with Kafka 2.7");
    assert!(matches!(error, Error::UnsupportedVersion { broker_max: -1, .. }), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("does not offer DescribeUserScramCredentials: it needs a newer broker"), "{words}");
    let change = ScramChange::delete("somebody", ScramMechanism::Sha256);
    let altered = kafka.admin().alter_scram_credentials([change]).await;
    assert!(matches!(altered["somebody"], Err(Error::UnsupportedVersion { .. })), "{altered:?}");
}
