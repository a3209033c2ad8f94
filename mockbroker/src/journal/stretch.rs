//! The memory that the ring writes on: pieces one behind the other, in chunks that go as a whole.
//!
//! Room is made for a whole chunk, and the room of one that is forgotten is that of the next one, so that to write a piece is
//! a look whether it fits, a head, and two copies. It is not zeroed: nobody reads what is not written.

use std::collections::VecDeque;

use super::head::{HEAD_BYTES, Head, pieces};

/// The size of a chunk: several of the largest pieces.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// What has been written and is not forgotten.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// What is being written on. It has no room before the first piece.
    last: Chunk,
    /// What was written before, the oldest first.
    full: VecDeque<Chunk>,
    /// The room of a chunk that is forgotten.
    spare: Vec<u8>,
}

#[derive(Debug, Default)]
struct Chunk {
    /// As long as what was written. It never grows: what does not fit goes into the next chunk.
    bytes: Vec<u8>,
    /// The number of the first request in it, or of the next.
    begins: u64,
    /// How much was written before it, since the first piece of all.
    at: u64,
}

/// A piece as it lies there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// How much was written before it.
    pub(super) at: u64,
    /// The number of the request if the piece has one, or of the next.
    pub(super) number: u64,
    pub(super) head: Head,
    pub(super) request: &'a [u8],
    pub(super) answer: &'a [u8],
}

impl Stretch {
    /// Whether a piece with frames of this length fits where the last one ends; if not, [`Stretch::turn`] makes room.
    #[inline]
    pub(super) fn has_room(&self, request: usize, answer: usize) -> bool {
        self.last.bytes.capacity() - self.last.bytes.len() >= HEAD_BYTES + request + answer
    }

    /// Adds a piece, for which there is room.
    #[inline]
    pub(super) fn write(&mut self, head: Head, request: &[u8], answer: &[u8]) {
        debug_assert!(self.has_room(request.len(), answer.len()), "or what was written would move");
        let bytes = &mut self.last.bytes;
        bytes.extend_from_slice(&head.bytes());
        bytes.extend_from_slice(request);
        bytes.extend_from_slice(answer);
    }

    /// Begins another chunk, in which `begins` is the number of the first request.
    #[cold]
    pub(super) fn turn(&mut self, begins: u64) {
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.reserve_exact(CHUNK_BYTES);
        let next = Chunk { bytes, begins, at: self.written() };
        let last = std::mem::replace(&mut self.last, next);
        if !last.bytes.is_empty() {
            self.full.push_back(last);
        }
    }

    /// How much has been written, since the first piece of all: where the next piece will be.
    pub(super) fn written(&self) -> u64 {
        self.last.ends_at()
    }

    /// How many bytes are kept, but for the chunk that is being written on.
    pub(super) fn kept_bytes(&self) -> usize {
        self.full.len() * CHUNK_BYTES
    }

    /// The number that the oldest requests would have to be forgotten up to for a chunk to go; `None` if there is only one.
    pub(super) fn oldest_ends(&self) -> Option<u64> {
        (!self.full.is_empty()).then(|| self.begins_after(0))
    }

    /// Lets go of the chunks that have nothing from `number` on.
    pub(super) fn forget_before(&mut self, number: u64) {
        while self.oldest_ends().is_some_and(|ends| ends <= number) {
            self.spare = self.full.pop_front().map(|chunk| chunk.bytes).unwrap_or_default();
            self.spare.clear();
        }
    }

    /// The pieces from request `number` on, and what was written about earlier ones since.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = Piece<'_>> {
        // What became of a request is nowhere before the request.
        let skipped = (0..self.full.len()).take_while(|place| self.begins_after(*place) <= number).count();
        self.chunks().skip(skipped).flat_map(Chunk::pieces)
    }

    /// The pieces that were written when so much was, or later.
    pub(super) fn behind(&self, written: u64) -> impl Iterator<Item = Piece<'_>> {
        let chunks = self.chunks().skip_while(move |chunk| chunk.ends_at() <= written);
        chunks.flat_map(Chunk::pieces).skip_while(move |piece| piece.at < written)
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.full.iter().chain([&self.last])
    }

    /// The number that the chunk behind the one at `place` begins with.
    fn begins_after(&self, place: usize) -> u64 {
        self.full.get(place + 1).map_or(self.last.begins, |chunk| chunk.begins)
    }
}

impl Chunk {
    /// How much had been written when it was full.
    fn ends_at(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let (mut at, mut next) = (self.at, self.begins);
        pieces(&self.bytes).map(move |(head, request, answer)| {
            let piece = Piece { at, number: next, head, request, answer };
            at += (HEAD_BYTES + request.len() + answer.len()) as u64;
            next += u64::from(head.has_request());
            piece
        })
    }
}
