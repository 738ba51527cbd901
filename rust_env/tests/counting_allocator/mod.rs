//! An allocator that counts how often memory is asked for.

#![allow(dead_code, reason = "not every file of tests counts in other threads")]
#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
}

static IN_POOLS: AtomicU64 = AtomicU64::new(0);

/// How often this thread has asked for memory.
pub fn allocations() -> u64 {
    HERE.get()
}

/// How often the threads of all pools have.
pub fn allocations_in_pools() -> u64 {
    IN_POOLS.load(Ordering::SeqCst)
}

struct Counting;

fn count() {
    HERE.set(HERE.get() + 1);
    if rayon::current_thread_index().is_some() {
        IN_POOLS.fetch_add(1, Ordering::SeqCst);
    }
}

// Growing a vector asks for memory too: `realloc` comes by `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
