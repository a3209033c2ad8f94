//! The ring: the last requests and the connections they came on.
//!
//! It is a stretch of memory that is only written on: of each request a head of a fixed size, the request and its answer; of
//! one that was answered later, or never, a head that says so. What it all means is found out when somebody asks, of all of it or
//! of what has been written since. On the way of a request that is two copies: no allocation, no reference to anybody's
//! buffer, nothing looked up. Large frames are shared with whoever else has them; they, faults and reasons are beside the stretch.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;

use super::head::{CLOSED, Head, NO_ANSWER, NONE, PEER_GONE, SHARED, WAITS, length};
use super::stretch::{Piece, Stretch};
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId};
use crate::wire::outgoing::Pieces;

/// How many requests are kept.
const MOST_RECORDS: u64 = 10_000;
/// How many bytes of frames are kept.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Connections that have ended are remembered up to this number, besides those that a kept request came on.
const MOST_PEERS: usize = 1000;
/// Frames are copied up to this size.
pub(super) const COPY_UP_TO_BYTES: usize = 8 * 1024;

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
    stretch: Stretch,
    /// The number of the next request.
    next: u64,
    /// No earlier request is kept, however few there are.
    least: u64,
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

/// What few requests have.
#[derive(Debug, Default)]
struct Rare {
    request: Option<Bytes>,
    answer: Option<Frame>,
    reason: String,
    hits: Vec<String>,
}

/// A request in the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    number: u64,
    connection: ConnectionId,
    arrived: Timestamp,
    decided: Timestamp,
    request: &'a [u8],
    /// As in [`Head`].
    end: u32,
    answer: &'a [u8],
    rare: Option<&'a Rare>,
}

impl Ring {
    /// Adds a request, and its answer if it has been answered; its number if it waits.
    #[inline]
    pub(crate) fn push(
        &mut self,
        connection: ConnectionId,
        now: Timestamp,
        request: &Bytes,
        answer: Option<Pieces<'_>>,
    ) -> Option<u64> {
        let whole = answer.as_ref().and_then(Pieces::whole).unwrap_or_default();
        let is_small = request.len() <= COPY_UP_TO_BYTES && whole.len() <= COPY_UP_TO_BYTES;
        let is_plain = is_small && !whole.is_empty() && self.hits.is_empty();
        if is_plain && self.stretch.has_room(request.len(), whole.len()) {
            let head = Head { whose: connection.0, at: now, request: length(request), answer: length(whole) };
            self.next += 1;
            self.stretch.write(head, request, whole);
            return None;
        }
        self.push_rare(connection, now, request, answer)
    }

    /// As [`Ring::push`], for a request that waits, has a large frame, has met a fault, or begins a chunk.
    #[cold]
    fn push_rare(
        &mut self,
        connection: ConnectionId,
        now: Timestamp,
        request: &Bytes,
        answer: Option<Pieces<'_>>,
    ) -> Option<u64> {
        let number = self.next;
        self.next = number + 1;
        self.take_hits(number, connection);
        let mut head = Head { whose: connection.0, at: now, request: length(request), answer: WAITS };
        let mut copied: &[u8] = request;
        if request.len() > COPY_UP_TO_BYTES {
            self.shared_bytes += request.len();
            self.rare_of(number).request = Some(request.clone());
            (head.request, copied) = (SHARED, &[]);
        }
        let waits = answer.is_none();
        let whole = answer.and_then(|answer| self.share_if_large(number, answer, &mut head));
        self.write(head, copied, whole.unwrap_or_default());
        self.forget_what_is_too_much();
        waits.then_some(number)
    }

    /// Notes that a request has been answered.
    pub(crate) fn answered(&mut self, number: u64, now: Timestamp, answer: Pieces<'_>) {
        if self.has(number) {
            let mut head = Head { whose: number, at: now, request: NONE, answer: WAITS };
            let whole = self.share_if_large(number, answer, &mut head);
            self.write(head, &[], whole.unwrap_or_default());
            self.end(number);
        }
    }

    /// Notes what else has become of a request.
    pub(crate) fn decide(&mut self, number: u64, now: Timestamp, fate: Fate) {
        if !self.has(number) {
            return;
        }
        let answer = match fate {
            Fate::Waits => WAITS,
            Fate::NoAnswer => NO_ANSWER,
            Fate::PeerGone => PEER_GONE,
            Fate::Answered(_) => unreachable!("an answer is told with its bytes"),
            Fate::Closed(reason) => {
                self.rare_of(number).reason = reason;
                CLOSED
            }
        };
        self.write(Head { whose: number, at: now, request: NONE, answer }, &[], &[]);
        self.end(number);
    }

    /// A request that waited does not any longer: what it has met meanwhile is its own.
    fn end(&mut self, number: u64) {
        if !self.hits.is_empty()
            && let Some(connection) = self.arrival_of(number).map(|kept| kept.connection)
        {
            self.take_hits(number, connection);
        }
        self.forget_what_is_too_much();
    }

    fn has(&self, number: u64) -> bool {
        (self.forgotten()..self.next).contains(&number)
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
        self.least.max(self.next.saturating_sub(MOST_RECORDS))
    }

    /// How much has been written: what happens from here on is what [`Ring::changed`] finds behind it.
    pub(crate) fn written(&self) -> u64 {
        self.stretch.written()
    }

    /// The requests from `number` on.
    pub(crate) fn since(&self, number: u64) -> impl Iterator<Item = Kept<'_>> {
        let from = number.max(self.forgotten());
        let mut kept: Vec<Kept<'_>> = Vec::new();
        for piece in self.stretch.since(from) {
            if piece.head.has_request() {
                if piece.number >= from {
                    kept.push(self.kept(piece));
                }
            } else if let Some(place) = piece.head.whose.checked_sub(from)
                && let Some(late) = kept.get_mut(usize::try_from(place).unwrap_or(usize::MAX))
            {
                late.ends(piece);
            }
        }
        kept.into_iter()
    }

    /// The requests that came, or of which it was decided what becomes of them, since so much was written.
    pub(crate) fn changed(&self, written: u64) -> impl Iterator<Item = Kept<'_>> {
        let forgotten = self.forgotten();
        let mut changed: BTreeMap<u64, Kept<'_>> = BTreeMap::new();
        for piece in self.stretch.behind(written) {
            let number = if piece.head.has_request() { piece.number } else { piece.head.whose };
            if number < forgotten {
                continue;
            }
            if piece.head.has_request() {
                changed.insert(number, self.kept(piece));
            } else if let Some(late) = changed.get_mut(&number) {
                late.ends(piece);
            } else if let Some(mut late) = self.arrival_of(number) {
                late.ends(piece);
                changed.insert(number, late);
            }
        }
        changed.into_values()
    }

    /// A request as it arrived.
    fn arrival_of(&self, number: u64) -> Option<Kept<'_>> {
        let mut pieces = self.stretch.since(number).filter(|piece| piece.head.has_request());
        pieces.find(|piece| piece.number >= number).map(|piece| self.kept(piece))
    }

    fn kept<'a>(&'a self, piece: Piece<'a>) -> Kept<'a> {
        let Piece { number, head, request, answer, .. } = piece;
        let (connection, rare) = (ConnectionId(head.whose), self.rare.get(&number));
        Kept { number, connection, arrived: head.at, decided: head.at, request, end: head.answer, answer, rare }
    }

    /// Every connection that is known.
    pub(crate) fn peers(&self) -> &BTreeMap<ConnectionId, Peer> {
        &self.peers
    }

    /// What `connection` has met is what this request has met.
    fn take_hits(&mut self, number: u64, connection: ConnectionId) {
        if let Some(hits) = self.hits.remove(&connection) {
            self.rare_of(number).hits.extend(hits);
        }
    }

    fn write(&mut self, head: Head, request: &[u8], answer: &[u8]) {
        if !self.stretch.has_room(request.len(), answer.len()) {
            // A request has its number before it is written.
            self.stretch.turn(if head.has_request() { self.next - 1 } else { self.next });
        }
        self.stretch.write(head, request, answer);
    }

    /// What goes into the head of an answer, and what is copied of it.
    fn share_if_large<'a>(&mut self, number: u64, pieces: Pieces<'a>, head: &mut Head) -> Option<&'a [u8]> {
        let whole = pieces.whole().filter(|whole| whole.len() <= COPY_UP_TO_BYTES);
        head.answer = whole.map_or(SHARED, length);
        if whole.is_none() {
            let own =
                |own: &[u8], shared: Option<&Bytes>| shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(own));
            let pieces: Vec<_> = pieces.map(|(bytes, shared)| own(bytes, shared)).collect();
            self.shared_bytes += pieces.iter().map(Bytes::len).sum::<usize>();
            self.rare_of(number).answer = Some(Frame::Pieces(pieces));
        }
        whole
    }

    fn rare_of(&mut self, number: u64) -> &mut Rare {
        let forgotten = self.forgotten();
        while let Some(oldest) = self.rare.first_entry().filter(|oldest| *oldest.key() < forgotten) {
            self.shared_bytes -= oldest.remove().shared_bytes();
        }
        self.rare.entry(number).or_default()
    }

    /// Forgets the oldest requests until what is kept fits, but never the last one.
    fn forget_what_is_too_much(&mut self) {
        let newest = self.next.saturating_sub(1);
        while self.stretch.kept_bytes() + self.shared_bytes > MOST_BYTES {
            let of_shared = self.rare.first_key_value().map(|(number, _)| number + 1);
            let of_chunks = self.stretch.oldest_ends();
            let Some(least) = of_shared.into_iter().chain(of_chunks).min().filter(|least| *least <= newest) else {
                break;
            };
            self.least = self.least.max(least);
            while let Some(oldest) = self.rare.first_entry().filter(|oldest| *oldest.key() < least) {
                self.shared_bytes -= oldest.remove().shared_bytes();
            }
            self.stretch.forget_before(self.forgotten());
        }
        self.stretch.forget_before(self.forgotten());
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

impl<'a> Kept<'a> {
    /// `piece` says what became of it.
    fn ends(&mut self, piece: Piece<'a>) {
        (self.decided, self.end, self.answer) = (piece.head.at, piece.head.answer, piece.answer);
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The connection that it came on.
    pub(crate) fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The API that it claims to be of; -1 if it is too short to claim one.
    pub(crate) fn api_key(&self) -> i16 {
        let shared = self.rare.and_then(|rare| rare.request.as_deref());
        shared.unwrap_or(self.request).first_chunk().map_or(-1, |key| i16::from_be_bytes(*key))
    }

    /// The request itself, in memory of its own.
    pub(crate) fn record(&self) -> Record {
        let Self { connection, arrived, decided, .. } = *self;
        let shared = self.rare.and_then(|rare| rare.request.clone());
        let fate = match self.end {
            WAITS => Fate::Waits,
            NO_ANSWER => Fate::NoAnswer,
            PEER_GONE => Fate::PeerGone,
            CLOSED => Fate::Closed(self.rare.map(|rare| rare.reason.clone()).unwrap_or_default()),
            SHARED => {
                let frame = self.rare.and_then(|rare| rare.answer.clone());
                Fate::Answered(frame.expect("what is not copied is shared"))
            }
            _ => Fate::Answered(Frame::Whole(Bytes::copy_from_slice(self.answer))),
        };
        Record {
            connection,
            arrived,
            decided,
            request: shared.unwrap_or_else(|| Bytes::copy_from_slice(self.request)),
            fate,
            hits: self.rare.map(|rare| rare.hits.clone()).unwrap_or_default(),
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
