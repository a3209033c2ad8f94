//! Length-prefixed frames: `[length: i32][payload: length bytes]`, in both directions.
//!
//! A frame to be sent is a list of byte strings, so that a record batch is written from where it lies. A frame that is read
//! is one byte string; its length is believed only as far as bytes arrive.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

use crate::error::CloseReason;

/// A frame to be sent, length prefix included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// The parts, in order. None is empty.
    pub(crate) parts: Vec<Bytes>,
    /// Their lengths together.
    pub(crate) length: usize,
}

impl Frame {
    pub(crate) fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.length += part.len();
            self.parts.push(part);
        }
    }
}

/// The frames that wait to be written, as one [`Buf`]: tokio gathers its parts into vectored writes.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Outgoing {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.length += frame.length;
        self.parts.extend(frame.parts);
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = slices.len().min(self.parts.len());
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "advanced by {count} of {} bytes", self.length);
        self.length -= count;
        while count > 0 {
            let front = self.parts.front_mut().expect("the parts' lengths sum to `length`");
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.parts.pop_front();
        }
    }
}

/// Cuts what a socket delivers into frames.
#[derive(Debug)]
pub(crate) struct FrameReader {
    /// What was read and is not yet a whole frame.
    pub(crate) buffer: BytesMut,
    limit_bytes: usize,
}

impl FrameReader {
    /// What is reserved for a read when no frame is under way.
    const READ_BYTES: usize = 16 << 10;
    /// A frame up to this long gets its memory at once; a longer one as its bytes arrive.
    const TRUSTED_BYTES: usize = 1 << 20;
    const PREFIX_BYTES: usize = 4;

    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), limit_bytes }
    }

    /// The next whole frame without its length, or `None` after making room for more bytes in `buffer`.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, CloseReason> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else {
            self.buffer.reserve(Self::READ_BYTES);
            return Ok(None);
        };
        let announced = i32::from_be_bytes(*prefix);
        let length = match usize::try_from(announced) {
            Ok(length) if length <= self.limit_bytes => length,
            _ => {
                let announced_bytes = i64::from(announced);
                return Err(CloseReason::FrameTooLarge { announced_bytes, limit_bytes: self.limit_bytes });
            }
        };
        let whole = Self::PREFIX_BYTES + length;
        let have = self.buffer.len();
        if have < whole {
            let missing = whole - have;
            self.buffer.reserve(missing.min(have.max(Self::TRUSTED_BYTES)).max(Self::READ_BYTES));
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(whole);
        frame.advance(Self::PREFIX_BYTES);
        Ok(Some(frame.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let stream = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01z";
        for cut in 0..stream.len() {
            let mut reader = FrameReader::new(1024);
            let mut frames = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                reader.buffer.extend_from_slice(part);
                while let Some(frame) = reader.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"abc"[..], b"", b"z"], "cut at {cut}");
        }
    }

    #[test]
    fn an_announced_length_reserves_no_more_than_a_mebibyte() {
        let mut reader = FrameReader::new(100 << 20);
        reader.buffer.extend_from_slice(&(90_i32 << 20).to_be_bytes());
        assert!(reader.next_frame().unwrap().is_none());
        assert!(reader.buffer.capacity() <= 2 << 20, "{}", reader.buffer.capacity());
    }

    #[test]
    fn a_negative_or_excessive_length_ends_the_connection() {
        for length in [-1_i32, i32::MIN, 1025, i32::MAX] {
            let mut reader = FrameReader::new(1024);
            reader.buffer.extend_from_slice(&length.to_be_bytes());
            assert!(matches!(reader.next_frame(), Err(CloseReason::FrameTooLarge { .. })), "{length}");
        }
    }

    #[test]
    fn outgoing_parts_are_gathered_and_advanced_across() {
        let mut outgoing = Outgoing::default();
        let mut frame = Frame::default();
        for part in [&b"ab"[..], b"", b"cde", b"f"] {
            frame.push(Bytes::from_static(part));
        }
        outgoing.push(frame);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(outgoing.chunks_vectored(&mut slices), 3);
        outgoing.advance(3);
        assert_eq!((outgoing.remaining(), outgoing.chunk()), (3, &b"de"[..]));
        outgoing.advance(3);
        assert!(!outgoing.has_remaining());
    }
}
