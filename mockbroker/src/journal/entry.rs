//! One request of the journal, as a test sees it. Bodies are decoded when they are asked for.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::ring::{Fate, Frame, Peer, Record};
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId};
use crate::wire::api_key::ApiKey;
use crate::wire::request::read_header;
use crate::wire::schema;
use crate::wire::subject::Subject;
use crate::wire::value::{self, Value};

/// A request, and what became of it. As text it is one line that is the same in every run of the same test:
/// `c0 n0 app Produce v9 orders-0 -> NOT_LEADER_OR_FOLLOWER [fault "moved"]`.
#[derive(Clone, Debug)]
pub struct Entry {
    number: u64,
    record: Record,
    peer: Option<Peer>,
    api_key: i16,
    version: i16,
    correlation_id: i32,
    client_id: String,
    body: Bytes,
    subject: Subject,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It waits: a long poll, a join, a gate, a delay, a silence.
    Waits,
    /// It was answered.
    Answered,
    /// It was carried out and has no answer: a Produce with acks=0.
    NoAnswer,
    /// Its connection was closed instead of an answer, for this reason.
    Closed(String),
    /// Its client closed the connection before there was an answer.
    ClientGone,
}

impl Entry {
    /// The request that `record` holds; what it is about is for the caller to find out.
    pub(crate) fn new(number: u64, record: Record, peer: Option<Peer>) -> Self {
        let header = read_header(&record.request, |key, version| {
            Ok(schema::request(key).is_some_and(|message| message.header_version(version) >= 2))
        });
        let raw = |at: usize| record.request.get(at..at + 2).map_or(-1, |mut bytes| bytes.get_i16());
        let (api_key, version, correlation_id, client_id, body) = match header {
            Ok((header, body)) => {
                (header.api_key, header.api_version, header.correlation_id, header.client_id.to_string(), body)
            }
            Err(_) => (raw(0), raw(2), -1, String::new(), Bytes::new()),
        };
        let subject = Subject::default();
        Self { number, record, peer, api_key, version, correlation_id, client_id, body, subject }
    }

    /// The same, about `subject`.
    pub(crate) fn about(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// Which request of the broker it is, counted from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The connection that it came on.
    pub fn connection(&self) -> ConnectionId {
        self.record.connection
    }

    /// The node that got it; `None` if the connection ended so long ago that it is forgotten.
    pub fn node(&self) -> Option<NodeId> {
        self.peer.as_ref().map(|peer| peer.node)
    }

    /// Where it came from; `None` as for [`node`](Self::node).
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.peer.as_ref().map(|peer| peer.client)
    }

    /// The API; `None` for a key that Kafka does not have.
    pub fn api(&self) -> Option<ApiKey> {
        ApiKey::of(self.api_key)
    }

    /// The API's number, whether Kafka has it or not.
    pub fn api_key(&self) -> i16 {
        self.api_key
    }

    /// The version of the API.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// What the client counts its requests by.
    pub fn correlation_id(&self) -> i32 {
        self.correlation_id
    }

    /// The client's name for itself; empty for none.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// When it arrived, by the broker's clock.
    pub fn arrived(&self) -> Timestamp {
        self.record.arrived
    }

    /// How long it took until it was decided what becomes of it, by the broker's clock, in milliseconds; `None` while it
    /// waits.
    pub fn took(&self) -> Option<Duration> {
        (self.decision() != Decision::Waits).then(|| self.record.decided.since(self.record.arrived))
    }

    /// What became of it.
    pub fn decision(&self) -> Decision {
        match &self.record.fate {
            Fate::Waits => Decision::Waits,
            Fate::Answered(_) => Decision::Answered,
            Fate::NoAnswer => Decision::NoAnswer,
            Fate::Closed(reason) => Decision::Closed(reason.clone()),
            Fate::PeerGone => Decision::ClientGone,
        }
    }

    /// The names of the faults and gates that it met.
    pub fn faults(&self) -> &[String] {
        &self.record.hits
    }

    /// The topics that it names, each with the partitions that it names, in its order.
    pub fn topics(&self) -> &[(String, Vec<i32>)] {
        &self.subject.topics
    }

    /// The groups that it names.
    pub fn groups(&self) -> &[String] {
        &self.subject.groups
    }

    /// The transactional ids that it names.
    pub fn transactional_ids(&self) -> &[String] {
        &self.subject.transactional_ids
    }

    /// What was asked; [`Value::Null`] for a request that the broker could not read, and closed the connection.
    pub fn request(&self) -> Value {
        let message = schema::request(self.api_key);
        message.and_then(|message| value::decode(message, self.version, &self.body).ok()).unwrap_or(Value::Null)
    }

    /// What was answered, as it was sent; `None` if nothing was.
    pub fn answer(&self) -> Option<Value> {
        let Fate::Answered(frame) = &self.record.fate else { return None };
        let message = schema::response(self.api_key)?;
        let asked = schema::request(self.api_key)?;
        // KIP-511: an unknown version of ApiVersions is answered at v0.
        let version = if asked.versions.contains(self.version) { self.version } else { 0 };
        let mut bytes = frame.bytes();
        if bytes.len() < 5 {
            return None;
        }
        bytes.advance(size_of::<i32>() + usize::from(message.header_version(version) >= 1));
        value::decode(message, version, &bytes).ok()
    }

    /// The error codes in the answer that are not 0, in its order.
    pub fn errors(&self) -> Vec<i16> {
        let mut found = Vec::new();
        if let Some(answer) = self.answer() {
            answer.errors(&mut found);
        }
        found
    }

    /// The whole request as it came, from the API key on.
    pub fn request_bytes(&self) -> Bytes {
        self.record.request.clone()
    }

    /// The whole answer as it was sent, from the correlation id on; `None` if nothing was.
    pub fn answer_bytes(&self) -> Option<Bytes> {
        match &self.record.fate {
            Fate::Answered(frame) => Some(Frame::bytes(frame)),
            _ => None,
        }
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }
}
