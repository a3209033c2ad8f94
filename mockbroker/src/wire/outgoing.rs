//! Bytes on their way to a client: small pieces are copied together, large ones are kept by reference.
//!
//! A response below a few kilobytes is one contiguous run. Record batches of a fetch are large and already in memory;
//! they are passed to the socket as they lie in the log, with vectored writes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Pieces shorter than this are copied: a copy of this many bytes costs less than one more element in a vectored write.
const COPY_BELOW_BYTES: usize = 8 * 1024;

/// Bytes that wait to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    parts: VecDeque<Part>,
    tail: BytesMut,
    len: usize,
}

#[derive(Debug)]
enum Part {
    /// Written here, and still open to a patch of its length field.
    Own(BytesMut),
    /// Lies in the log.
    Shared(Bytes),
}

/// Where a frame began, so that its length can be filled in when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameStart {
    part: usize,
    position: usize,
    len: usize,
}

/// A frame that waits to be written, piece by piece: each as it lies here, and the bytes that it shares if it does.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    outgoing: &'a Outgoing,
    part: usize,
    /// Where it begins in its first piece.
    first: usize,
}

impl<'a> Pieces<'a> {
    /// The frame, if it is in one piece.
    #[inline]
    pub(crate) fn whole(&self) -> Option<&'a [u8]> {
        (self.part == self.outgoing.parts.len()).then(|| &self.outgoing.tail[self.first..])
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (&'a [u8], Option<&'a Bytes>);

    fn next(&mut self) -> Option<Self::Item> {
        let first = std::mem::take(&mut self.first);
        let part = self.outgoing.parts.get(self.part);
        let piece = match part {
            Some(Part::Own(bytes)) => (&bytes[first..], None),
            Some(Part::Shared(bytes)) => (&bytes[..], Some(bytes)),
            None if self.part == self.outgoing.parts.len() => (&self.outgoing.tail[first..], None),
            None => return None,
        };
        self.part += 1;
        Some(piece)
    }
}

impl Outgoing {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Begins a frame: its length field is filled in by [`Outgoing::end_frame`]. Nothing may be written to the socket between
    /// the two.
    pub(crate) fn begin_frame(&mut self) -> FrameStart {
        let start = FrameStart { part: self.parts.len(), position: self.tail.len(), len: self.len };
        self.put(|tail| tail.put_i32(0));
        start
    }

    /// Ends the frame that `start` began. `Err` with the size if it is longer than a frame can be.
    pub(crate) fn end_frame(&mut self, start: FrameStart) -> Result<(), usize> {
        let size_bytes = self.len - start.len - size_of::<i32>();
        let field = i32::try_from(size_bytes).map_err(|_| size_bytes)?.to_be_bytes();
        let owner = match self.parts.get_mut(start.part) {
            None => &mut self.tail,
            Some(Part::Own(bytes)) => bytes,
            Some(Part::Shared(_)) => unreachable!("a frame begins in bytes of our own"),
        };
        owner[start.position..start.position + size_of::<i32>()].copy_from_slice(&field);
        Ok(())
    }

    /// Where the next frame will begin.
    pub(crate) fn mark(&self) -> FrameStart {
        FrameStart { part: self.parts.len(), position: self.tail.len(), len: self.len }
    }

    /// What was put since `start`, but for the length field of the frame there; `None` if nothing was. Nothing may have been
    /// written to the socket since.
    pub(crate) fn frame_since(&self, start: FrameStart) -> Option<Pieces<'_>> {
        let first = start.position + size_of::<i32>();
        (self.len > start.len).then_some(Pieces { outgoing: self, part: start.part, first })
    }

    /// Takes back the frame that was put since `start`, and gives it out in one piece without its length field.
    pub(crate) fn take_frame(&mut self, start: FrameStart) -> Option<BytesMut> {
        let mut frame = BytesMut::new();
        self.frame_since(start)?.for_each(|(bytes, _)| frame.extend_from_slice(bytes));
        self.abandon_frame(start);
        Some(frame)
    }

    /// Leaves `bytes` bytes, with those of the length field, of the frame that was put since `start`.
    pub(crate) fn cut_frame(&mut self, start: FrameStart, bytes: usize) {
        let Some(frame) = self.take_frame(start) else { return };
        let length = u32::try_from(frame.len()).expect("a frame that was ended").to_be_bytes();
        let whole = [&length[..], &frame].concat();
        self.put(|tail| tail.extend_from_slice(&whole[..bytes.min(whole.len())]));
    }

    /// Takes back all that was put since `start`.
    pub(crate) fn abandon_frame(&mut self, start: FrameStart) {
        if let Some(Part::Own(bytes)) = self.parts.drain(start.part..).next() {
            self.tail = bytes;
        }
        self.tail.truncate(start.position);
        self.len = start.len;
    }

    /// Appends what `write` writes.
    pub(crate) fn put<R>(&mut self, write: impl FnOnce(&mut BytesMut) -> R) -> R {
        let before = self.tail.len();
        let result = write(&mut self.tail);
        self.len += self.tail.len() - before;
        result
    }

    /// Appends `bytes`, by reference if they are many.
    pub(crate) fn put_shared(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BELOW_BYTES {
            self.put(|tail| tail.extend_from_slice(&bytes));
            return;
        }
        if !self.tail.is_empty() {
            self.parts.push_back(Part::Own(self.tail.split()));
        }
        self.len += bytes.len();
        self.parts.push_back(Part::Shared(bytes));
    }
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&self.tail, Part::bytes)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let all = self.parts.iter().map(Part::bytes).chain(std::iter::once(&*self.tail));
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all.filter(|bytes| !bytes.is_empty())) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "advanced by {count} of {} bytes", self.len);
        self.len -= count;
        while let Some(front) = self.parts.front_mut() {
            let have = front.bytes().len();
            if count < have {
                match front {
                    Part::Own(bytes) => bytes.advance(count),
                    Part::Shared(bytes) => bytes.advance(count),
                }
                return;
            }
            count -= have;
            self.parts.pop_front();
        }
        if count == self.tail.len() {
            self.tail.clear();
        } else {
            self.tail.advance(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(mut outgoing: Outgoing, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while outgoing.has_remaining() {
            let take = step.min(outgoing.chunk().len());
            all.extend_from_slice(&outgoing.chunk()[..take]);
            outgoing.advance(take);
        }
        all
    }

    fn framed(payload: &Bytes) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for _ in 0..2 {
            let start = outgoing.begin_frame();
            outgoing.put(|tail| tail.put_u8(7));
            outgoing.put_shared(payload.clone());
            outgoing.put(|tail| tail.put_u8(9));
            outgoing.end_frame(start).expect("short enough");
        }
        outgoing
    }

    #[test]
    fn a_frame_has_its_length_whether_its_payload_is_copied_or_shared() {
        for size in [0, 1, COPY_BELOW_BYTES - 1, COPY_BELOW_BYTES, 3 * COPY_BELOW_BYTES] {
            let payload = Bytes::from(vec![1; size]);
            let one = [&(size as i32 + 2).to_be_bytes()[..], &[7], &payload, &[9]].concat();
            for step in [1, 5, usize::MAX] {
                assert_eq!(drained(framed(&payload), step), one.repeat(2), "payload of {size}, steps of {step}");
            }
        }
    }

    #[test]
    fn a_frame_can_be_seen_before_it_is_written_without_its_length() {
        for size in [0, 1, COPY_BELOW_BYTES] {
            let payload = Bytes::from(vec![1; size]);
            let mut outgoing = framed(&payload);
            let start = outgoing.mark();
            assert!(outgoing.frame_since(start).is_none());
            outgoing.begin_frame();
            outgoing.put(|tail| tail.put_u8(7));
            outgoing.put_shared(payload.clone());
            let pieces = outgoing.frame_since(start).expect("a frame");
            assert_eq!(pieces.whole().is_some(), size < COPY_BELOW_BYTES);
            let pieces: Vec<_> = pieces.collect();
            assert_eq!(pieces.iter().flat_map(|(bytes, _)| bytes.to_vec()).count(), size + 1);
            assert_eq!(pieces.iter().filter(|(_, shared)| shared.is_some()).count(), usize::from(size > 1));
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let payload = Bytes::from(vec![1; COPY_BELOW_BYTES]);
        let outgoing = framed(&payload);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(outgoing.chunks_vectored(&mut slices), 5);
        assert_eq!(slices[1].as_ptr(), payload.as_ptr());
    }

    #[test]
    fn an_abandoned_frame_leaves_no_byte() {
        let payload = Bytes::from(vec![1; COPY_BELOW_BYTES]);
        let mut outgoing = framed(&payload);
        let before = drained(framed(&payload), usize::MAX);
        let start = outgoing.begin_frame();
        outgoing.put_shared(payload);
        outgoing.put(|tail| tail.put_u8(3));
        outgoing.abandon_frame(start);
        assert_eq!(drained(outgoing, usize::MAX), before);
    }
}
