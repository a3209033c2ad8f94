//! A connection that speaks any API at any version, or no API at all, without either crate's wire code.
//!
//! ```text
//! let mut connection = Raw::connect(&broker.bootstrap()).await;
//! let answer = connection.call(METADATA, 12, value!({ topics: [{ topic_id: Uuid::nil(), name: "a" }] })).await;
//! assert_eq!(answer["topics"][0]["error_code"], 3);
//! ```
//!
//! Every wait ends after [`PATIENCE`] with a panic that says what was waited for.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use mockbroker::schema::{self, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::codec;
use crate::value::Value;

/// How long a test waits for anything: a Kafka beside a build can take more than ten seconds to lead a new topic.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One TCP connection to a broker.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    address: String,
    next_correlation_id: i32,
    /// What goes into the header of the requests that follow.
    pub client_id: Option<String>,
}

/// A request that was sent and not yet answered.
#[derive(Clone, Copy, Debug)]
#[must_use = "an answer that nobody reads is taken for that to the next request"]
pub struct Sent {
    /// The number by which the answer is known.
    pub correlation_id: i32,
    response: &'static Message,
    version: i16,
}

impl Raw {
    /// Connects to `host:port`.
    ///
    /// # Panics
    ///
    /// If nobody listens there.
    pub async fn connect(address: &str) -> Self {
        let stream = patiently(&format!("connection to {address}"), TcpStream::connect(address)).await;
        let stream = stream.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).expect("a connected socket takes this option");
        Self { stream, address: address.to_owned(), next_correlation_id: 1, client_id: Some("raw".to_owned()) }
    }

    /// Sends a request and waits for the answer to it.
    ///
    /// # Panics
    ///
    /// If the answer does not come, is not that of this request, or does not decode to its last byte.
    pub async fn call(&mut self, api_key: i16, version: i16, body: Value) -> Value {
        let sent = self.send(api_key, version, body).await;
        self.receive(sent).await
    }

    /// Sends a request and does not wait: for pipelines, and for requests that are never answered.
    ///
    /// # Panics
    ///
    /// If there is no such API, if `body` does not fit it, or if the connection is gone.
    pub async fn send(&mut self, api_key: i16, version: i16, body: Value) -> Sent {
        let request = schema::request(api_key).unwrap_or_else(|| panic!("there is no API {api_key}"));
        let response = schema::response(api_key).expect("every request has a response");
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let mut frame = header(request, version, correlation_id, self.client_id.as_deref());
        frame.extend(codec::encode(request, version, &body));
        self.send_frame(&frame).await;
        Sent { correlation_id, response, version }
    }

    /// Waits for the answer to a request that was sent. A broker answers in the order of the requests.
    ///
    /// # Panics
    ///
    /// As [`Raw::call`].
    pub async fn receive(&mut self, sent: Sent) -> Value {
        let frame = self.read_frame().await;
        answer(sent, frame).unwrap_or_else(|fault| panic!("{} answered nonsense: {fault}", self.address))
    }

    /// Sends `frame` with its length in front.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub async fn send_frame(&mut self, frame: &[u8]) {
        let mut bytes = Vec::with_capacity(4 + frame.len());
        bytes.put_i32(frame.len().try_into().expect("a frame has at most 2^31 - 1 bytes"));
        bytes.extend(frame);
        self.send_bytes(&bytes).await;
    }

    /// Sends bytes as they are, not even with a length.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let written = patiently("the broker to take a request", self.stream.write_all(bytes)).await;
        written.unwrap_or_else(|error| panic!("{} took no request: {error}", self.address));
    }

    /// The next frame, without its length.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn read_frame(&mut self) -> Bytes {
        let read = patiently("an answer", self.try_read_frame()).await;
        read.unwrap_or_else(|error| panic!("{} did not answer: {error}", self.address))
    }

    /// The next frame, or why there is none: `UnexpectedEof` for a closed connection. Waits for as long as it takes.
    ///
    /// # Errors
    ///
    /// What the socket says.
    pub async fn try_read_frame(&mut self) -> io::Result<Bytes> {
        let length = self.stream.read_i32().await?;
        let length = usize::try_from(length).map_err(|_| io::Error::other(format!("a frame of {length} bytes")))?;
        let mut frame = Vec::new();
        (&mut self.stream).take(length as u64).read_to_end(&mut frame).await?;
        if frame.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(frame.into())
    }

    /// Waits until the broker closes the connection.
    ///
    /// # Panics
    ///
    /// If it answers instead, or does neither.
    pub async fn closed(mut self) {
        match patiently("the broker to close the connection", self.stream.read_u8()).await {
            Ok(byte) => panic!("{} answered instead of closing; the first byte is {byte}", self.address),
            Err(error) => {
                let closed = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
                assert!(closed, "{} neither answered nor closed: {error}", self.address);
            }
        }
    }

    /// Whether nothing came within `window`: the connection is open and the broker silent.
    pub async fn is_silent_for(&mut self, window: Duration) -> bool {
        // Not `readable`: it may still remember what has been read since.
        tokio::time::timeout(window, self.stream.peek(&mut [0])).await.is_err()
    }
}

/// A request header, at the version that this request has in front of it.
#[must_use]
pub fn header(request: &Message, version: i16, correlation_id: i32, client_id: Option<&str>) -> Vec<u8> {
    let fields = crate::value!({
        request_api_key: request.api_key, request_api_version: version, correlation_id: correlation_id, client_id: client_id,
    });
    codec::encode(schema::request_header(), request.header_version(version), &fields)
}

/// Decodes a whole answer: its header, which has to be that of the request, and its body.
fn answer(sent: Sent, frame: Bytes) -> Result<Value, String> {
    let Sent { correlation_id, response, mut version } = sent;
    let (header, used) = codec::decode_prefix(schema::response_header(), response.header_version(version), &frame)?;
    if header["correlation_id"] != correlation_id {
        return Err(format!("{header:?} answers another request than {correlation_id}, {} v{version}", response.name));
    }
    let body = frame.slice(used..);
    // KIP-511: an ApiVersions that the broker does not speak is answered at v0, whatever it was.
    if response.name == "ApiVersions" && body.starts_with(&[0, 35]) {
        version = 0;
    }
    codec::decode(response, version, &body)
}

/// Waits, but not for ever.
///
/// # Panics
///
/// After [`PATIENCE`].
pub async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}, in vain"))
}
