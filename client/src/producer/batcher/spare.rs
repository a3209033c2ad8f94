//! Buffers of batches that are done with, for those to come.
//!
//! A large buffer costs more to get from the system, page by page, than to fill. One comes back when nobody else holds its
//! bytes any more: the request is written and the batch is settled, so nothing that is still to be sent can change.

use bytes::{Bytes, BytesMut};

use super::Batcher;
use crate::producer::lane::Content;

#[derive(Debug, Default)]
pub(super) struct Spare {
    buffers: Vec<BytesMut>,
    bytes: usize,
}

impl Spare {
    /// Smaller ones come cheap.
    const LEAST_BYTES: usize = 64 << 10;
    /// What is kept at most.
    const MOST_BYTES: usize = 8 << 20;

    /// An empty buffer; a new one, if none has so much room.
    pub(super) fn take(&mut self, capacity: usize) -> BytesMut {
        // The one that came last is the one that the processor still knows.
        match self.buffers.pop_if(|buffer| buffer.capacity() >= capacity && capacity >= Self::LEAST_BYTES / 2) {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            None => BytesMut::with_capacity(capacity),
        }
    }

    fn keep(&mut self, bytes: Bytes) {
        if bytes.len() < Self::LEAST_BYTES {
            return;
        }
        let Ok(mut buffer) = bytes.try_into_mut() else { return };
        buffer.clear();
        if self.bytes + buffer.capacity() <= Self::MOST_BYTES {
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

impl Batcher {
    /// Takes back the memory of a batch that is settled.
    pub(crate) fn recycle(&mut self, content: Content) {
        if let Content::Bytes(bytes, _) = content {
            self.spare.keep(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_else_holds_it() {
        let mut spare = Spare::default();
        let batch = Bytes::from(vec![1; Spare::LEAST_BYTES]);
        let (sending, place) = (batch.clone(), batch.as_ptr());
        spare.keep(batch.clone());
        assert!(spare.buffers.is_empty(), "it is being sent");
        drop(sending);
        spare.keep(batch);
        let again = spare.take(Spare::LEAST_BYTES);
        assert_eq!((again.as_ptr(), again.len(), spare.bytes), (place, 0, 0));
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_nothing_small() {
        let mut spare = Spare::default();
        for _ in 0..20 {
            spare.keep(Bytes::from(vec![1; 1 << 20]));
        }
        assert_eq!((spare.buffers.len(), spare.bytes), (8, Spare::MOST_BYTES));
        spare.keep(Bytes::from(vec![1; 100]));
        assert!(spare.take(100).capacity() < 1 << 20, "a small batch does not take a large buffer");
    }
}
