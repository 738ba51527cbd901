//! An allocator that counts allocations.

#![allow(dead_code, reason = "some test files count only in their own thread")]
#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static IN_THREAD: Cell<u64> = const { Cell::new(0) };
}

static IN_POOLS: AtomicU64 = AtomicU64::new(0);

/// Number of allocations of this thread.
pub fn allocations() -> u64 {
    IN_THREAD.get()
}

/// Number of allocations of the threads of all pools.
pub fn allocations_in_pools() -> u64 {
    IN_POOLS.load(Ordering::SeqCst)
}

struct Counting;

fn count() {
    IN_THREAD.set(IN_THREAD.get() + 1);
    if rayon::current_thread_index().is_some() {
        IN_POOLS.fetch_add(1, Ordering::SeqCst);
    }
}

// The default `realloc`, as of a growing vector, calls `alloc`.
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
