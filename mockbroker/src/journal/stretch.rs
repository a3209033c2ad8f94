//! The memory that the ring writes on: pieces one behind the other, in chunks that go as a whole.
//!
//! Room is made once for a chunk and never given back while the broker lives, so that to write a piece is a look whether it
//! fits, a head, and two copies.

use std::collections::VecDeque;

use super::head::{HEAD_BYTES, Head, pieces};

/// The size of a chunk: several of the largest pieces.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// What has been written and is not forgotten.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// What is being written on. Its memory is missing before the first piece.
    last: Chunk,
    /// What was written before, the oldest first.
    full: VecDeque<Chunk>,
    /// Memory that nobody needs any longer.
    spare: Option<Box<[u8]>>,
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Box<[u8]>,
    used: usize,
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
        self.last.bytes.len() - self.last.used >= HEAD_BYTES + request + answer
    }

    /// Adds a piece.
    ///
    /// # Panics
    ///
    /// If there is no room.
    #[inline]
    pub(super) fn write(&mut self, head: Head, request: &[u8], answer: &[u8]) {
        let Chunk { bytes, used, .. } = &mut self.last;
        let (place, rest) = bytes[*used..].split_first_chunk_mut().expect("there is room");
        *place = head.bytes();
        let (place, rest) = rest.split_at_mut(request.len());
        place.copy_from_slice(request);
        rest[..answer.len()].copy_from_slice(answer);
        *used += HEAD_BYTES + request.len() + answer.len();
    }

    /// Begins another chunk, in which `begins` is the number of the first request.
    #[cold]
    pub(super) fn turn(&mut self, begins: u64) {
        let bytes = self.spare.take().unwrap_or_else(|| vec![0; CHUNK_BYTES].into());
        let next = Chunk { bytes, used: 0, begins, at: self.written() };
        let last = std::mem::replace(&mut self.last, next);
        if last.used > 0 {
            self.full.push_back(last);
        }
    }

    /// How much has been written, since the first piece of all: where the next piece will be.
    pub(super) fn written(&self) -> u64 {
        self.last.at + self.last.used as u64
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
            self.spare = self.full.pop_front().map(|chunk| chunk.bytes);
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
        let chunks = self.chunks().skip_while(move |chunk| chunk.at + chunk.used as u64 <= written);
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
    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let (mut at, mut next) = (self.at, self.begins);
        pieces(&self.bytes[..self.used]).map(move |(head, request, answer)| {
            let piece = Piece { at, number: next, head, request, answer };
            at += (HEAD_BYTES + request.len() + answer.len()) as u64;
            next += u64::from(head.has_request());
            piece
        })
    }
}
