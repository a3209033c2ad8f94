//! The heads in the journal's stretch of memory: what says whose a piece is, and how much of it follows.

use super::ring::COPY_UP_TO_BYTES;
use crate::time::Timestamp;

/// What begins each piece of the stretch:
///
/// ```text
/// 8 connection, or the number of a request that came before
/// 8 when it arrived, or was decided
/// 4 length of the request that follows, [`SHARED`], or [`NONE`] for a request that came before
/// 4 length of the answer that follows the request, [`SHARED`], or one of the ends without an answer
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) whose: u64,
    pub(super) at: Timestamp,
    pub(super) request: u32,
    pub(super) answer: u32,
}

pub(super) const HEAD_BYTES: usize = 24;

/// No bytes follow: the frame is with the [`Rare`].
pub(super) const SHARED: u32 = u32::MAX;
/// No request follows.
pub(super) const NONE: u32 = u32::MAX - 1;
/// It waits.
pub(super) const WAITS: u32 = u32::MAX - 2;
/// It has no answer.
pub(super) const NO_ANSWER: u32 = u32::MAX - 3;
/// Its connection was closed; why is with the [`Rare`].
pub(super) const CLOSED: u32 = u32::MAX - 4;
/// Its client is gone.
pub(super) const PEER_GONE: u32 = u32::MAX - 5;

impl Head {
    /// Whether a request begins here; if not, it is about one that came before.
    pub(super) fn has_request(self) -> bool {
        self.request != NONE
    }

    #[inline]
    pub(super) fn bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.whose.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.at.as_millis().to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.request.to_ne_bytes());
        bytes[20..].copy_from_slice(&self.answer.to_ne_bytes());
        bytes
    }

    fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [w0, w1, w2, w3, w4, w5, w6, w7, t0, t1, t2, t3, t4, t5, t6, t7, r0, r1, r2, r3, a0, a1, a2, a3] = *bytes;
        Self {
            whose: u64::from_ne_bytes([w0, w1, w2, w3, w4, w5, w6, w7]),
            at: Timestamp::from_millis(i64::from_ne_bytes([t0, t1, t2, t3, t4, t5, t6, t7])),
            request: u32::from_ne_bytes([r0, r1, r2, r3]),
            answer: u32::from_ne_bytes([a0, a1, a2, a3]),
        }
    }
}

/// The pieces that were written: each with its request and its answer, as far as they are there.
pub(super) fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = (Head, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk()?;
        let head = Head::read(head);
        let copied = |length: u32| if length <= COPY_UP_TO_BYTES as u32 { length as usize } else { 0 };
        let (request, rest) = rest.split_at(copied(head.request));
        let (answer, rest) = rest.split_at(copied(head.answer));
        bytes = rest;
        Some((head, request, answer))
    })
}

/// How long a frame is.
pub(super) fn length(frame: impl AsRef<[u8]>) -> u32 {
    // What is longer than a frame can be is shared, and its length never looked at.
    frame.as_ref().len() as u32
}
