//! A global allocator that counts: heap in use is what was asked for and not yet given back.
//!
//! Resident memory lies about heaps that recycle pages; this does not. What the allocator itself keeps is not counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator with a counter in front.
pub struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

/// Bytes in use now, in the whole process.
pub fn heap_bytes() -> isize {
    IN_USE.load(Ordering::Relaxed)
}

fn add(bytes: usize) {
    IN_USE.fetch_add(bytes.cast_signed(), Ordering::Relaxed);
}

fn remove(bytes: usize) {
    IN_USE.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory it hands out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size);
        remove(layout.size());
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
