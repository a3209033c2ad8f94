//! The ring: the last requests and the connections they came on.
//!
//! Small frames are copied into chunks of memory that go as a whole, so that an entry costs no allocation and pins no
//! buffer of a connection; large ones are shared with whoever else has them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId};
use crate::wire::outgoing::Pieces;

/// How many requests are kept.
const MOST_RECORDS: usize = 10_000;
/// How many bytes of frames are kept.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Connections that have ended are remembered up to this number, besides those that a kept request came on.
const MOST_PEERS: usize = 1000;
/// Frames are copied up to this size.
const COPY_UP_TO_BYTES: usize = 8 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// A frame without its length field, in one piece or in several.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Whole(Bytes),
    Pieces(Vec<Bytes>),
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It waits for its answer.
    Waits,
    /// It was answered with this frame.
    Answered(Frame),
    /// It was handled and has no answer.
    NoAnswer,
    /// Its connection was closed instead, for this reason.
    Closed(String),
    /// Its client went away before it was answered.
    PeerGone,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) connection: ConnectionId,
    pub(crate) arrived: Timestamp,
    /// When it was decided what becomes of it; until then, when it arrived.
    pub(crate) decided: Timestamp,
    pub(crate) request: Bytes,
    pub(crate) fate: Fate,
    /// The names of the faults and gates that it has met; nearly always none.
    pub(crate) hits: Box<[String]>,
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) client: SocketAddr,
    pub(crate) opened: Timestamp,
    /// When and why it ended.
    pub(crate) closed: Option<(Timestamp, String)>,
}

/// The last requests, by number. Numbers begin at 0 and leave none out.
#[derive(Debug)]
pub(crate) struct Ring {
    records: VecDeque<Record>,
    /// The number of the oldest record that is kept: how many are forgotten.
    first: u64,
    size_bytes: usize,
    chunk: BytesMut,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Connections that have ended, the oldest first.
    ended: VecDeque<ConnectionId>,
    /// What faults the request has met that a connection is busy with.
    hits: BTreeMap<ConnectionId, Vec<String>>,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            first: 0,
            size_bytes: 0,
            chunk: BytesMut::new(),
            peers: BTreeMap::new(),
            ended: VecDeque::new(),
            hits: BTreeMap::new(),
        }
    }
}

impl Ring {
    /// Adds a request; its number.
    pub(crate) fn push(
        &mut self,
        connection: ConnectionId,
        now: Timestamp,
        request: Bytes,
        answer: Option<Pieces<'_>>,
    ) -> u64 {
        let fate = match answer {
            Some(pieces) => Fate::Answered(self.keep_pieces(pieces)),
            None => Fate::Waits,
        };
        let request = if request.len() <= COPY_UP_TO_BYTES { self.keep(&request) } else { request };
        let hits = self.take_hits(connection);
        self.size_bytes += request.len() + fate.size_bytes();
        self.records.push_back(Record { connection, arrived: now, decided: now, request, fate, hits });
        self.forget_the_oldest();
        self.next_number() - 1
    }

    /// Notes that a request has been answered.
    pub(crate) fn answered(&mut self, number: u64, now: Timestamp, answer: Pieces<'_>) {
        let fate = Fate::Answered(self.keep_pieces(answer));
        self.decide(number, now, fate);
    }

    /// Notes what else has become of a request.
    pub(crate) fn decide(&mut self, number: u64, now: Timestamp, fate: Fate) {
        let size_bytes = fate.size_bytes();
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some(record) = place.and_then(|place| self.records.get_mut(place)) else { return };
        record.fate = fate;
        record.decided = now;
        let connection = record.connection;
        self.size_bytes += size_bytes;
        let late = self.take_hits(connection);
        if !late.is_empty()
            && let Some(record) = place.and_then(|place| self.records.get_mut(place))
        {
            record.hits = [&record.hits[..], &late].concat().into();
        }
        self.forget_the_oldest();
    }

    /// Notes that the request that `connection` is busy with has met a fault or a gate of this name.
    pub(crate) fn hit(&mut self, connection: ConnectionId, name: &str) {
        self.hits.entry(connection).or_default().push(name.to_owned());
    }

    /// A connection begins.
    pub(crate) fn opened(&mut self, connection: ConnectionId, node: NodeId, client: SocketAddr, now: Timestamp) {
        self.peers.insert(connection, Peer { node, client, opened: now, closed: None });
    }

    /// A connection ends.
    pub(crate) fn closed(&mut self, connection: ConnectionId, now: Timestamp, why: &str) {
        self.hits.remove(&connection);
        let Some(peer) = self.peers.get_mut(&connection) else { return };
        if peer.closed.is_some() {
            return;
        }
        peer.closed = Some((now, why.to_owned()));
        self.ended.push_back(connection);
        while self.ended.len() > MOST_PEERS {
            // A connection that ended so long ago is still known while a request of it is.
            let Some(oldest) = self.ended.pop_front() else { break };
            self.peers.remove(&oldest);
        }
    }

    /// The number that the next request will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// How many requests are forgotten: the number of the oldest that is kept.
    pub(crate) fn forgotten(&self) -> u64 {
        self.first
    }

    /// The requests from `number` on, with their numbers.
    pub(crate) fn since(&self, number: u64) -> impl Iterator<Item = (u64, &Record)> {
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.records.len());
        let from = self.first + skipped as u64;
        (from..).zip(self.records.range(skipped..))
    }

    /// Every connection that is known.
    pub(crate) fn peers(&self) -> &BTreeMap<ConnectionId, Peer> {
        &self.peers
    }

    #[inline]
    fn take_hits(&mut self, connection: ConnectionId) -> Box<[String]> {
        if self.hits.is_empty() {
            return Box::default();
        }
        self.hits.remove(&connection).unwrap_or_default().into()
    }

    fn forget_the_oldest(&mut self) {
        while self.records.len() > MOST_RECORDS || self.size_bytes > MOST_BYTES && self.records.len() > 1 {
            let Some(oldest) = self.records.pop_front() else { return };
            self.size_bytes -= oldest.request.len() + oldest.fate.size_bytes();
            self.first += 1;
        }
    }

    fn keep_pieces(&mut self, pieces: Pieces<'_>) -> Frame {
        if let Some(whole) = pieces.whole() {
            return Frame::Whole(self.keep(whole));
        }
        Frame::Pieces(
            pieces.map(|(own, shared)| shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(own))).collect(),
        )
    }

    /// `bytes` in memory of the journal.
    fn keep(&mut self, bytes: &[u8]) -> Bytes {
        if self.chunk.capacity() < bytes.len() {
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES.max(bytes.len()));
        }
        self.chunk.put_slice(bytes);
        self.chunk.split().freeze()
    }
}

impl Fate {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Answered(Frame::Whole(bytes)) => bytes.len(),
            Self::Answered(Frame::Pieces(pieces)) => pieces.iter().map(Bytes::len).sum(),
            Self::Waits | Self::NoAnswer | Self::Closed(_) | Self::PeerGone => 0,
        }
    }
}

impl Frame {
    /// The bytes, in one piece.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes.clone(),
            Self::Pieces(pieces) => pieces.concat().into(),
        }
    }
}
