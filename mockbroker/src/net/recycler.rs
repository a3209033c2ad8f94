//! Memory for large requests, used again.
//!
//! A megabyte fresh from the kernel costs more than receiving it: every page is cleared and mapped at its first touch. The
//! log keeps the record batches of a large request where they arrived; when the last batch of it is gone, the memory comes
//! back here and takes another request.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Free memory beyond this many bytes goes back to the allocator.
const KEEP_AT_MOST_BYTES: usize = 32 * 1024 * 1024;

/// The free memory of one broker.
#[derive(Debug, Default)]
pub(crate) struct Recycler {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    blocks: Vec<Vec<u8>>,
    size_bytes: usize,
}

impl Recycler {
    /// An empty block that holds at least `size_bytes` and at most about a sixteenth more: the log accounts for what is in a
    /// block, not for the block.
    pub(crate) fn take(&self, size_bytes: usize) -> Vec<u8> {
        let rounded = round_up(size_bytes);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |block: &Vec<u8>| (size_bytes..=rounded + rounded / 16).contains(&block.capacity());
        let Some(found) = free.blocks.iter().rposition(fits) else {
            drop(free);
            return Vec::with_capacity(rounded);
        };
        let block = free.blocks.swap_remove(found);
        free.size_bytes -= block.capacity();
        block
    }

    /// `block` as shared bytes that bring it back here when the last of them is gone.
    pub(crate) fn share(self: &Arc<Self>, block: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { block, home: Arc::clone(self) })
    }

    fn give(&self, mut block: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.size_bytes + block.capacity() <= KEEP_AT_MOST_BYTES {
            block.clear();
            free.size_bytes += block.capacity();
            free.blocks.push(block);
        }
    }
}

/// Sixteen sizes between one power of two and the next.
fn round_up(size_bytes: usize) -> usize {
    let step = (size_bytes.max(1).next_power_of_two() / 32).max(64);
    size_bytes.next_multiple_of(step)
}

/// A block on loan.
#[derive(Debug)]
struct Lent {
    block: Vec<u8>,
    home: Arc<Recycler>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_when_its_last_slice_is_gone() {
        let recycler = Arc::new(Recycler::default());
        let mut block = recycler.take(1_000_000);
        block.extend_from_slice(b"abc");
        let place = block.as_ptr();
        let all = recycler.share(block);
        let slice = all.slice(1..);
        drop(all);
        let other = recycler.take(1_000_000);
        assert_ne!(other.as_ptr(), place);
        drop(slice);
        let again = recycler.take(990_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn a_block_is_hardly_larger_than_asked_for() {
        let recycler = Arc::new(Recycler::default());
        for size in [1, 65_537, 100_000, 1_000_000, 1_048_576, 5_000_001] {
            let capacity = recycler.take(size).capacity();
            assert!(capacity >= size && capacity <= size + size / 15 + 64, "{size} in {capacity}");
            drop(recycler.share(Vec::with_capacity(2 * size + 200)));
            assert!(
                recycler.take(size).capacity() <= size + size / 7 + 64,
                "a block of twice {size} is not used for it"
            );
        }
    }

    #[test]
    fn free_memory_is_capped() {
        let recycler = Arc::new(Recycler::default());
        for _ in 0..3 {
            recycler.give(Vec::with_capacity(KEEP_AT_MOST_BYTES / 2));
        }
        assert_eq!(recycler.free.lock().expect("not poisoned").blocks.len(), 2);
    }
}
