//! Large blocks of memory in large pages: an allocator that a program may choose.
//!
//! A large fleet touches some fifteen cache lines a call, all over a hundred megabytes, and where pages are small
//! the processor then spends a quarter of its time looking up where they are (`docs/performance.md` has the figures).
//! Linux backs memory with pages of 2 MiB where it is asked to, and asking is what this does; everything else is the
//! system's allocator. It changes no result.

#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; measured, see docs/performance.md")]

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, with advice for blocks of 4 MiB and more. For programs:
/// `#[global_allocator] static MEMORY: LargePages = LargePages;`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LargePages;

/// Smaller blocks would lose more to rounding than they gain.
const LARGE: usize = 4 << 20;

// SAFETY: every call is handed to `System` unchanged, and its answer is handed out unchanged.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        let block = unsafe { System.alloc(layout) };
        advise(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        let block = unsafe { System.alloc_zeroed(layout) };
        advise(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the block is from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`, and the block is from `System`.
        let block = unsafe { System.realloc(block, layout, size) };
        advise(block, size);
        block
    }
}

/// Asks for large pages within a block. Whether there are any is the system's business, so nobody looks at its answer.
#[inline]
fn advise(block: *mut u8, size: usize) {
    if size >= LARGE && !block.is_null() {
        advise_large(block, size);
    }
}

#[cfg(target_os = "linux")]
#[cold]
fn advise_large(block: *mut u8, size: usize) {
    const PAGE: usize = 4096;
    let before = block.align_offset(PAGE);
    let whole = (size - before) / PAGE * PAGE;
    // SAFETY: the range is whole pages inside a block that is the caller's, and advice about large pages changes
    // neither what is in them nor who may use them.
    unsafe { libc::madvise(block.add(before).cast(), whole, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_large(_block: *mut u8, _size: usize) {}
