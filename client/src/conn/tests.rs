//! A connection against a scripted broker on the other end of an in-memory stream, on tokio's paused clock.

#[cfg(feature = "sasl")]
mod sasl;
#[cfg(feature = "tls")]
mod tls;

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::{
    CallError, Connection, Pending,
    task::Expect,
    transport::{Address, Transport},
};
use crate::{
    config::ClientConfig,
    error::{CloseReason, Error, Written},
    wire::message::EncodedRequest,
};

/// The broker's end: reads whole requests, writes what the test says.
struct Script<S = DuplexStream>(S);

struct Request {
    api_key: i16,
    version: i16,
    correlation_id: i32,
    /// What follows the client id, with the tagged fields of a flexible header.
    body: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Script<S> {
    async fn request(&mut self) -> Request {
        let length = self.0.read_i32().await.unwrap();
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut frame).await.unwrap();
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let correlation_id = i32::from_be_bytes(frame[4..8].try_into().unwrap());
        let client_id_bytes = usize::try_from(number(8)).unwrap_or(0);
        let body = frame[10 + client_id_bytes..].to_vec();
        Request { api_key: number(0), version: number(2), correlation_id, body }
    }

    async fn answer(&mut self, correlation_id: i32, body: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_i32(i32::try_from(body.len()).unwrap() + 4);
        frame.put_i32(correlation_id);
        frame.put_slice(body);
        self.0.write_all(&frame).await.unwrap();
    }

    /// Answers ApiVersions v3 and later with one range for Metadata and Produce each.
    async fn greet(&mut self) {
        let request = self.request().await;
        assert_eq!((request.api_key, request.version), (18, 4));
        self.answer(request.correlation_id, &api_versions(true)).await;
    }
}

/// Metadata v4 to v9, Produce v3 to v8 and SASL as of Kafka 2.1, in the layout of v3+ or of v0.
fn api_versions(flexible: bool) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_i16(0);
    if flexible {
        body.put_u8(5)
    } else {
        body.put_i32(4)
    }
    for (key, min, max) in [(3, 4, 9), (0, 3, 8), (17, 0, 1), (36, 0, 1)] {
        [key, min, max].iter().for_each(|number| body.put_i16(*number));
        if flexible {
            body.put_u8(0);
        }
    }
    if flexible {
        body.put_i32(0);
        body.put_u8(0);
    }
    body.to_vec()
}

/// An empty answer to Metadata v9.
const METADATA: &[u8] = b"\0\0\0\0\0\x01\0\xff\xff\xff\xff\x01\x80\0\0\0\0";

async fn open(config: ClientConfig) -> (Connection, Script) {
    let (transport, mut streams) = transport();
    let config = Arc::new(config);
    let address = Address::parse("b:9092").unwrap();
    let opening = tokio::spawn(async move { Connection::open(address, &transport, &config, &Arc::default()).await });
    let mut script = Script(streams.recv().await.unwrap());
    script.greet().await;
    (opening.await.unwrap().unwrap(), script)
}

fn transport() -> (Transport, tokio::sync::mpsc::UnboundedReceiver<DuplexStream>) {
    let (sender, streams) = tokio::sync::mpsc::unbounded_channel();
    let transport = Transport::new(move |_| {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        sender.send(theirs).unwrap();
        async { Ok(ours) }
    });
    (transport, streams)
}

fn metadata(connection: &Connection, limit: Duration) -> Pending<MetadataRequest> {
    let request = EncodedRequest::new(&MetadataRequest::default(), 9, "t").unwrap();
    connection.submit(request, 9, Expect::Answer, limit)
}

fn reason(failed: &CallError) -> &CloseReason {
    let Error::Disconnected { reason, .. } = &failed.error else { panic!("{failed:?}") };
    reason
}

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn requests_are_pipelined_and_answers_find_their_request() {
    let (connection, mut script) = open(ClientConfig::default()).await;
    let (first, second) = (metadata(&connection, LIMIT), metadata(&connection, LIMIT));
    let (one, two) = (script.request().await, script.request().await);
    assert_eq!((one.version, two.correlation_id), (9, one.correlation_id + 1));
    script.answer(one.correlation_id, METADATA).await;
    assert_eq!(first.await.unwrap().unwrap().controller_id.0, -1);
    script.answer(two.correlation_id, METADATA).await;
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_our_api_versions_is_asked_in_its_own() {
    // KIP-511: error 35 in the layout of v0, with the range that the broker speaks.
    let (transport, mut streams) = transport();
    let config = Arc::new(ClientConfig::default());
    let address = Address::parse("b:9092").unwrap();
    let opening = tokio::spawn(async move { Connection::open(address, &transport, &config, &Arc::default()).await });
    let mut script = Script(streams.recv().await.unwrap());
    let request = script.request().await;
    script.answer(request.correlation_id, b"\0\x23\0\0\0\x01\0\x12\0\0\0\x03").await;
    let request = script.request().await;
    assert_eq!((request.api_key, request.version), (18, 3));
    script.answer(request.correlation_id, &api_versions(true)).await;
    let connection = opening.await.unwrap().unwrap();
    assert_eq!(connection.version::<ProduceRequest>(i16::MAX).unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_range_means_v0() {
    let (transport, mut streams) = transport();
    let config = Arc::new(ClientConfig::default());
    let address = Address::parse("b:9092").unwrap();
    let opening = tokio::spawn(async move { Connection::open(address, &transport, &config, &Arc::default()).await });
    let mut script = Script(streams.recv().await.unwrap());
    let request = script.request().await;
    script.answer(request.correlation_id, b"\0\x23\0\0\0\0").await;
    let request = script.request().await;
    assert_eq!(request.version, 0);
    script.answer(request.correlation_id, &api_versions(false)).await;
    assert_eq!(opening.await.unwrap().unwrap().version::<MetadataRequest>(i16::MAX).unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_at_our_api_versions_is_asked_in_v0_on_another_connection() {
    let (transport, mut streams) = transport();
    let config = Arc::new(ClientConfig::default());
    let address = Address::parse("b:9092").unwrap();
    let opening = tokio::spawn(async move { Connection::open(address, &transport, &config, &Arc::default()).await });
    let mut script = Script(streams.recv().await.unwrap());
    assert_eq!(script.request().await.version, 4);
    drop(script);
    let mut script = Script(streams.recv().await.unwrap());
    let request = script.request().await;
    assert_eq!((request.api_key, request.version), (18, 0));
    script.answer(request.correlation_id, &api_versions(false)).await;
    assert_eq!(opening.await.unwrap().unwrap().version::<MetadataRequest>(i16::MAX).unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_at_v0_as_well_is_not_asked_again() {
    let (transport, mut streams) = transport();
    let config = Arc::new(ClientConfig::default());
    let address = Address::parse("b:9092").unwrap();
    let opening = tokio::spawn(async move { Connection::open(address, &transport, &config, &Arc::default()).await });
    for version in [4, 0] {
        assert_eq!(Script(streams.recv().await.unwrap()).request().await.version, version);
    }
    let failed = opening.await.unwrap().unwrap_err();
    assert!(matches!(failed, Error::Disconnected { reason: CloseReason::ByBroker, .. }), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_closes_the_connection_and_only_what_was_sent_may_be_written() {
    // NetworkClient.handleTimedOutRequests: the connection is closed, everything on it fails.
    let config = ClientConfig { max_in_flight: 1, ..ClientConfig::default() };
    let (connection, mut script) = open(config).await;
    let (sent, queued) = (metadata(&connection, LIMIT), metadata(&connection, LIMIT));
    script.request().await;
    let failed = sent.await.unwrap_err();
    assert!(matches!(reason(&failed), CloseReason::RequestTimedOut(LIMIT)), "{failed:?}");
    assert_eq!(failed.written, Written::MaybeWritten);
    assert_eq!(queued.await.unwrap_err().written, Written::NotWritten);
    assert!(!connection.is_open());
    let failed = connection.call(&MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(reason(&failed), CloseReason::RequestTimedOut(LIMIT)), "a dead connection says why it died");
}

#[tokio::test(start_paused = true)]
async fn an_answer_out_of_order_closes_the_connection() {
    let (connection, mut script) = open(ClientConfig::default()).await;
    let pending = metadata(&connection, LIMIT);
    let request = script.request().await;
    script.answer(request.correlation_id + 1, METADATA).await;
    let failed = pending.await.unwrap_err();
    assert!(matches!(reason(&failed), CloseReason::UnexpectedCorrelationId { .. }), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_leaves_the_connection_and_its_answer_is_read_away() {
    let (connection, mut script) = open(ClientConfig::default()).await;
    let cancelled = metadata(&connection, LIMIT);
    let first = script.request().await;
    drop(cancelled);
    let next = metadata(&connection, LIMIT);
    let second = script.request().await;
    script.answer(first.correlation_id, METADATA).await;
    script.answer(second.correlation_id, METADATA).await;
    next.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_done_when_it_is_written() {
    // ProduceRequest with acks=0.
    let (connection, mut script) = open(ClientConfig::default()).await;
    let request = EncodedRequest::finish(crate::wire::message::begin::<ProduceRequest>(8, "t", 0), Vec::new());
    let pending = connection.submit::<ProduceRequest>(request, 8, Expect::Nothing, LIMIT);
    assert!(pending.await.unwrap().is_none());
    script.request().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_connection_is_quiet_for_as_long_as_it_was_told() {
    // KIP-219: the broker answers first, then the client waits.
    let (connection, mut script) = open(ClientConfig::default()).await;
    let pending = metadata(&connection, LIMIT);
    let request = script.request().await;
    let mut throttled = METADATA.to_vec();
    throttled[1..5].copy_from_slice(&5000_i32.to_be_bytes());
    script.answer(request.correlation_id, &throttled).await;
    pending.await.unwrap();
    let before = tokio::time::Instant::now();
    let pending = metadata(&connection, LIMIT);
    let request = script.request().await;
    assert!(before.elapsed() >= Duration::from_secs(5), "{:?}", before.elapsed());
    script.answer(request.correlation_id, METADATA).await;
    pending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_before_the_broker_does_it() {
    let (connection, mut script) = open(ClientConfig::default()).await;
    assert!(script.0.read_u8().await.is_err(), "nothing is sent, then the stream ends");
    assert!(!connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_gone_ends_the_connection_after_what_is_in_flight() {
    let (connection, mut script) = open(ClientConfig::default()).await;
    let pending = metadata(&connection, LIMIT);
    drop(connection);
    let request = script.request().await;
    script.answer(request.correlation_id, METADATA).await;
    // `pending` itself holds the way to the task, to report a throttle.
    pending.await.unwrap();
    assert!(script.0.read_u8().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_metadata_are_an_error_and_not_a_panic() {
    let (connection, mut script) = open(ClientConfig::default()).await;
    let pending = metadata(&connection, LIMIT);
    let request = script.request().await;
    script.answer(request.correlation_id, &Bytes::from_static(b"\0\xff")).await;
    let failed = pending.await.unwrap_err();
    assert!(matches!(failed.error, Error::Malformed { api: "Metadata", .. }), "{failed:?}");
    assert!(connection.is_open());
}
