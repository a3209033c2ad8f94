//! The ring: the last requests and the connections they came on.
//!
//! On the way of a request this is a copy of two small frames into one stretch of memory and a header of a fixed size: no
//! allocation, no reference to anybody's buffer, nothing decoded. Large frames are shared with whoever else has them. What
//! few requests have (a fault, a reason, a large frame) is beside the headers.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;

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
/// Copies lie in chunks, which go as a whole when the last request that needs one is forgotten.
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

/// A request, taken out of the ring.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) connection: ConnectionId,
    pub(crate) arrived: Timestamp,
    /// When it was decided what becomes of it; until then, when it arrived.
    pub(crate) decided: Timestamp,
    pub(crate) request: Bytes,
    pub(crate) fate: Fate,
    /// The names of the faults and gates that it has met; nearly always none.
    pub(crate) hits: Vec<String>,
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
#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// Request *n* is at place *n* modulo [`MOST_RECORDS`].
    headers: Vec<Header>,
    /// The place of the next request.
    place: usize,
    /// The number of the next request.
    next: u64,
    /// The number of the oldest request that is kept: how many are forgotten.
    first: u64,
    copies: Copies,
    /// What few requests have, by their numbers; of forgotten ones until the next of them comes.
    rare: BTreeMap<u64, Rare>,
    /// How long the frames are that are shared.
    shared_bytes: usize,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Connections that have ended, the oldest first.
    ended: VecDeque<ConnectionId>,
    /// What faults the request has met that a connection is busy with.
    hits: BTreeMap<ConnectionId, Vec<String>>,
}

/// What every request has.
#[derive(Clone, Copy, Debug)]
struct Header {
    connection: ConnectionId,
    arrived: Timestamp,
    decided: Timestamp,
    request: Span,
    answer: Span,
    end: End,
}

/// [`Fate`] without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Waits,
    Answered,
    NoAnswer,
    Closed,
    PeerGone,
}

/// Where a copy is.
#[derive(Clone, Copy, Debug)]
struct Span {
    chunk: u32,
    start: u32,
    length: u32,
}

/// What is not copied is with the [`Rare`].
const ELSEWHERE: Span = Span { chunk: u32::MAX, start: 0, length: 0 };

/// What few requests have.
#[derive(Debug, Default)]
struct Rare {
    request: Option<Bytes>,
    answer: Option<Frame>,
    reason: String,
    hits: Vec<String>,
}

/// The chunks of copies, the last of which is being written.
#[derive(Debug, Default)]
struct Copies {
    /// Each with the number of the last request that may have anything in it or in an earlier one.
    full: VecDeque<(Vec<u8>, u64)>,
    last: Vec<u8>,
    /// The number of the chunk that is being written.
    current: u32,
    /// One that nobody needs any longer.
    spare: Vec<u8>,
}

/// A request in the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    ring: &'a Ring,
    number: u64,
    header: &'a Header,
}

impl Ring {
    /// Adds a request; its number.
    #[inline]
    pub(crate) fn push(
        &mut self,
        connection: ConnectionId,
        now: Timestamp,
        request: &Bytes,
        answer: Option<Pieces<'_>>,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        let request = if request.len() <= COPY_UP_TO_BYTES {
            self.keep(request)
        } else {
            self.share_request(number, request.clone())
        };
        let (answer, end) = match answer {
            Some(pieces) => (self.keep_answer(number, pieces), End::Answered),
            None => (ELSEWHERE, End::Waits),
        };
        let header = Header { connection, arrived: now, decided: now, request, answer, end };
        match self.headers.get_mut(self.place) {
            Some(oldest) => *oldest = header,
            None => self.headers.push(header),
        }
        self.place += 1;
        if self.place == MOST_RECORDS {
            self.place = 0;
        }
        self.first = self.first.max(self.next.saturating_sub(MOST_RECORDS as u64));
        if !self.hits.is_empty() {
            self.take_hits(number, connection);
        }
        number
    }

    /// Notes that a request has been answered.
    pub(crate) fn answered(&mut self, number: u64, now: Timestamp, answer: Pieces<'_>) {
        if !self.has(number) {
            return;
        }
        let answer = self.keep_answer(number, answer);
        if let Some(header) = self.end(number, now, End::Answered) {
            header.answer = answer;
        }
    }

    /// Notes what else has become of a request.
    pub(crate) fn decide(&mut self, number: u64, now: Timestamp, fate: Fate) {
        let end = match fate {
            Fate::Waits => End::Waits,
            Fate::NoAnswer => End::NoAnswer,
            Fate::PeerGone => End::PeerGone,
            Fate::Answered(_) => unreachable!("an answer is told with its bytes"),
            Fate::Closed(reason) => {
                if self.has(number) {
                    self.rare_of(number).reason = reason;
                }
                End::Closed
            }
        };
        self.end(number, now, end);
    }

    fn end(&mut self, number: u64, now: Timestamp, end: End) -> Option<&mut Header> {
        if !self.has(number) {
            return None;
        }
        let header = &mut self.headers[place_of(number)];
        header.end = end;
        header.decided = now;
        let connection = header.connection;
        if !self.hits.is_empty() {
            self.take_hits(number, connection);
        }
        self.headers.get_mut(place_of(number))
    }

    fn has(&self, number: u64) -> bool {
        (self.first..self.next).contains(&number)
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
        self.next
    }

    /// How many requests are forgotten: the number of the oldest that is kept.
    pub(crate) fn forgotten(&self) -> u64 {
        self.first
    }

    /// The requests from `number` on.
    pub(crate) fn since(&self, number: u64) -> impl Iterator<Item = Kept<'_>> {
        let numbers = number.max(self.first)..self.next;
        numbers.map(|number| Kept { ring: self, number, header: &self.headers[place_of(number)] })
    }

    /// Every connection that is known.
    pub(crate) fn peers(&self) -> &BTreeMap<ConnectionId, Peer> {
        &self.peers
    }

    #[cold]
    fn take_hits(&mut self, number: u64, connection: ConnectionId) {
        if let Some(hits) = self.hits.remove(&connection) {
            self.rare_of(number).hits.extend(hits);
        }
    }

    /// A copy of `bytes`.
    #[inline]
    fn keep(&mut self, bytes: &[u8]) -> Span {
        let copies = &mut self.copies;
        if copies.last.capacity() - copies.last.len() < bytes.len() {
            self.turn();
        }
        let copies = &mut self.copies;
        let start = copies.last.len();
        copies.last.extend_from_slice(bytes);
        Span { chunk: copies.current, start: start as u32, length: bytes.len() as u32 }
    }

    #[inline]
    fn keep_answer(&mut self, number: u64, pieces: Pieces<'_>) -> Span {
        match pieces.whole() {
            Some(whole) if whole.len() <= COPY_UP_TO_BYTES => self.keep(whole),
            _ => self.share_answer(number, pieces),
        }
    }

    #[cold]
    fn share_request(&mut self, number: u64, request: Bytes) -> Span {
        self.shared_bytes += request.len();
        self.rare_of(number).request = Some(request);
        self.forget_what_is_too_much();
        ELSEWHERE
    }

    #[cold]
    fn share_answer(&mut self, number: u64, pieces: Pieces<'_>) -> Span {
        let own = |own: &[u8], shared: Option<&Bytes>| shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(own));
        let pieces: Vec<_> = pieces.map(|(bytes, shared)| own(bytes, shared)).collect();
        self.shared_bytes += pieces.iter().map(Bytes::len).sum::<usize>();
        self.rare_of(number).answer = Some(Frame::Pieces(pieces));
        self.forget_what_is_too_much();
        ELSEWHERE
    }

    fn rare_of(&mut self, number: u64) -> &mut Rare {
        while let Some(oldest) = self.rare.first_entry().filter(|oldest| *oldest.key() < self.first) {
            self.shared_bytes -= oldest.remove().shared_bytes();
        }
        self.rare.entry(number).or_default()
    }

    /// Begins another chunk.
    #[cold]
    fn turn(&mut self) {
        let copies = &mut self.copies;
        let mut next = std::mem::take(&mut copies.spare);
        next.clear();
        next.reserve_exact(CHUNK_BYTES);
        let full = std::mem::replace(&mut copies.last, next);
        if full.capacity() == 0 {
            return;
        }
        copies.full.push_back((full, self.next - 1));
        copies.current += 1;
        self.forget_what_is_too_much();
    }

    /// Forgets the oldest requests until what is kept fits, but never the one that is being added.
    fn forget_what_is_too_much(&mut self) {
        while self.copies.full.len() * CHUNK_BYTES + self.shared_bytes > MOST_BYTES {
            let of_copies = self.copies.full.front().map_or(u64::MAX, |(_, last)| *last);
            let of_shared = self.rare.first_key_value().map_or(u64::MAX, |(number, _)| *number);
            let goes = of_copies.min(of_shared);
            if goes >= self.next - 1 {
                break;
            }
            self.first = self.first.max(goes + 1);
            if of_shared == goes
                && let Some(rare) = self.rare.remove(&goes)
            {
                self.shared_bytes -= rare.shared_bytes();
            }
            self.let_go();
        }
        self.let_go();
    }

    /// Gives back the chunks of what is forgotten.
    fn let_go(&mut self) {
        while let Some((chunk, _)) = self.copies.full.pop_front_if(|(_, last)| *last < self.first) {
            self.copies.spare = chunk;
        }
    }
}

impl Copies {
    fn get(&self, span: Span) -> &[u8] {
        let before = (self.current - span.chunk) as usize;
        let chunk = if before == 0 { &self.last } else { &self.full[self.full.len() - before].0 };
        &chunk[span.start as usize..][..span.length as usize]
    }
}

impl Rare {
    fn shared_bytes(&self) -> usize {
        let answer = match &self.answer {
            Some(Frame::Pieces(pieces)) => pieces.iter().map(Bytes::len).sum(),
            Some(Frame::Whole(bytes)) => bytes.len(),
            None => 0,
        };
        self.request.as_ref().map_or(0, Bytes::len) + answer
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is below the number of places")]
fn place_of(number: u64) -> usize {
    (number % MOST_RECORDS as u64) as usize
}

impl Kept<'_> {
    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The connection that it came on.
    pub(crate) fn connection(&self) -> ConnectionId {
        self.header.connection
    }

    /// The API that it claims to be of; -1 if it is too short to claim one.
    pub(crate) fn api_key(&self) -> i16 {
        let rare = || self.rare().and_then(|rare| rare.request.as_deref()).unwrap_or_default();
        let bytes = self.copied(self.header.request).unwrap_or_else(rare);
        bytes.first_chunk().map_or(-1, |key| i16::from_be_bytes(*key))
    }

    /// The request itself, in memory of its own.
    pub(crate) fn record(&self) -> Record {
        let Header { connection, arrived, decided, request, answer, end, .. } = *self.header;
        let rare = self.rare();
        let copy = |span| self.copied(span).map(Bytes::copy_from_slice);
        let request = copy(request).or_else(|| rare?.request.clone()).unwrap_or_default();
        let shared = || rare.and_then(|rare| rare.answer.clone());
        let fate = match end {
            End::Waits => Fate::Waits,
            End::Answered => {
                let frame = copy(answer).map(Frame::Whole).or_else(shared);
                Fate::Answered(frame.expect("what is not copied is shared"))
            }
            End::NoAnswer => Fate::NoAnswer,
            End::Closed => Fate::Closed(rare.map(|rare| rare.reason.clone()).unwrap_or_default()),
            End::PeerGone => Fate::PeerGone,
        };
        let hits = rare.map(|rare| rare.hits.clone()).unwrap_or_default();
        Record { connection, arrived, decided, request, fate, hits }
    }

    fn rare(&self) -> Option<&Rare> {
        self.ring.rare.get(&self.number)
    }

    fn copied(&self, span: Span) -> Option<&[u8]> {
        (span.chunk != ELSEWHERE.chunk).then(|| self.ring.copies.get(span))
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
