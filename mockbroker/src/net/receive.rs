//! Frames off a stream. Memory grows with what arrives, not with what a length field claims.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::recycler::Recycler;
use crate::error::Close;
use crate::wire::frame;

/// The buffer of a connection that has said little. Most idle connections never need more.
const FIRST_BUFFER_BYTES: usize = 1024;
/// The buffer of a connection that talks. Longer frames get memory of their own.
const BUFFER_BYTES: usize = 64 * 1024;
/// Memory for a long frame is reserved at once up to this size, which is that of a full batch; beyond it, as bytes arrive.
const RESERVE_AT_MOST_BYTES: usize = 1024 * 1024 + 64 * 1024;

/// Why no further frame comes.
#[derive(Debug)]
pub(super) enum End {
    /// The peer closed the connection, between two frames or within one.
    Peer,
    /// The connection broke.
    Broken(std::io::Error),
    /// We close it.
    Ours(Close),
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Ours(close)
    }
}

/// A whole frame without its length field.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    /// Whether the frame has its memory for itself, so that a part of it may be kept.
    pub(super) owns_memory: bool,
}

/// What has arrived and is not yet used.
#[derive(Debug)]
pub(super) struct Receiver {
    buffer: BytesMut,
    max_frame_bytes: usize,
    recycler: Arc<Recycler>,
}

impl Receiver {
    pub(super) fn new(max_frame_bytes: usize, recycler: Arc<Recycler>) -> Self {
        Self { buffer: BytesMut::new(), max_frame_bytes, recycler }
    }

    /// A frame that has arrived whole, without waiting.
    pub(super) fn buffered(&mut self) -> Result<Option<Frame>, Close> {
        let Some(length) = frame::length(&self.buffer, self.max_frame_bytes)? else { return Ok(None) };
        if self.buffer.len() < frame::LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(frame::LENGTH_BYTES);
        Ok(Some(Frame { bytes: self.buffer.split_to(length).freeze(), owns_memory: false }))
    }

    /// Waits for the next frame. Not to be called again after it was dropped half-way: a long frame would lose its beginning.
    pub(super) async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            match frame::length(&self.buffer, self.max_frame_bytes)? {
                Some(length) if length > BUFFER_BYTES => return self.long_frame(stream, length).await,
                _ => self.more(stream).await?,
            }
        }
    }

    /// Waits for bytes, whatever they are. Dropping it loses nothing.
    pub(super) async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<(), End> {
        if self.buffer.capacity() == self.buffer.len() {
            let size = if self.buffer.is_empty() { FIRST_BUFFER_BYTES } else { BUFFER_BYTES };
            self.buffer.reserve(size);
        }
        match stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(End::Peer),
            Ok(_) => Ok(()),
            Err(error) => Err(End::Broken(error)),
        }
    }

    /// Whether [`Receiver::more`] may still read ahead of the request that is being handled.
    pub(super) fn has_room(&self) -> bool {
        self.buffer.len() < BUFFER_BYTES
    }

    /// Gathers a long frame by way of the buffer, in steps of its size.
    ///
    /// To receive straight into the frame's own memory would save a copy, and yet costs the broker a third more CPU: the
    /// kernel's copy into that memory is so much slower than into this buffer (`just bench`, produce).
    async fn long_frame<S: AsyncRead + Unpin>(&mut self, stream: &mut S, length: usize) -> Result<Frame, End> {
        self.buffer.advance(frame::LENGTH_BYTES);
        let mut block = self.recycler.take(length.min(RESERVE_AT_MOST_BYTES));
        loop {
            let step = self.buffer.len().min(length - block.len());
            if step > block.capacity() - block.len() {
                block.reserve_exact(step.max(block.len().min(length - block.len())));
            }
            block.extend_from_slice(&self.buffer[..step]);
            self.buffer.advance(step);
            if block.len() == length {
                break;
            }
            self.buffer.reserve(BUFFER_BYTES);
            self.more(stream).await?;
        }
        Ok(Frame { bytes: self.recycler.share(block), owns_memory: true })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn receiver(max_frame_bytes: usize) -> Receiver {
        Receiver::new(max_frame_bytes, Arc::default())
    }

    #[tokio::test]
    async fn frames_of_every_length_arrive_whole_and_in_order() {
        let lengths = [0, 1, 900, 1024, 5000, BUFFER_BYTES, BUFFER_BYTES + 1, 3, RESERVE_AT_MOST_BYTES * 2 + 7, 2];
        let (mut near, mut far) = tokio::io::duplex(10_000);
        let writer = tokio::spawn(async move {
            for (number, length) in lengths.iter().enumerate() {
                near.write_all(&(*length as u32).to_be_bytes()).await.expect("room");
                near.write_all(&vec![number as u8; *length]).await.expect("room");
            }
        });
        let mut receiver = receiver(10_000_000);
        for (number, length) in lengths.iter().enumerate() {
            let frame = receiver.next(&mut far).await.expect("a frame");
            assert_eq!(frame.bytes.len(), *length);
            assert!(frame.bytes.iter().all(|byte| *byte == number as u8));
            assert_eq!(frame.owns_memory, *length > BUFFER_BYTES);
        }
        writer.await.expect("written");
        assert!(matches!(receiver.next(&mut far).await, Err(End::Peer)));
    }

    #[tokio::test]
    async fn a_length_that_is_only_claimed_takes_no_memory() {
        let (mut near, mut far) = tokio::io::duplex(10_000);
        near.write_all(&100_000_000u32.to_be_bytes()).await.expect("room");
        near.write_all(&[0; 5000]).await.expect("room");
        drop(near);
        let recycler = Arc::<Recycler>::default();
        let mut receiver = Receiver::new(104_857_600, Arc::clone(&recycler));
        assert!(matches!(receiver.next(&mut far).await, Err(End::Peer)));
        assert!(receiver.buffer.capacity() <= 2 * BUFFER_BYTES);
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
        let (mut near, mut far) = tokio::io::duplex(100);
        near.write_all(&101u32.to_be_bytes()).await.expect("room");
        assert!(matches!(receiver(100).next(&mut far).await, Err(End::Ours(_))));
    }
}
