//! Memory of its own, aligned for every record of NDIS, and poisoned before it goes.

#![expect(unsafe_code, reason = "allocates by layout and writes C records")]

use crate::classify::POISON_BYTE;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr;

/// What [`super::lists`] frees with a list. It is the only allocation of its bytes, so a reader past its end is found.
pub(super) struct Block {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: the block owns its memory, and nothing in it is tied to a thread.
unsafe impl Send for Block {}

impl Block {
    /// `len` bytes of poison, aligned to 16.
    pub fn poisoned(len: usize) -> Self {
        let layout = Layout::from_size_align(len.max(1), 16).expect("a small size");
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let block = Self { start, layout };
        block.poison();
        block
    }

    /// A block that begins with `record` and has `extra` more bytes.
    pub fn of<T: Copy>(record: T, extra: usize) -> Self {
        const { assert!(align_of::<T>() <= 16) };
        let block = Self::poisoned(size_of::<T>() + extra);
        // SAFETY: the block is large enough and aligned (asserted above), and new.
        unsafe { block.start.cast::<T>().write(record) };
        block
    }

    /// A block that holds `bytes`.
    pub fn holding(bytes: &[u8]) -> Self {
        let block = Self::poisoned(bytes.len());
        // SAFETY: the block is new and has room for `bytes`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), block.start, bytes.len()) };
        block
    }

    pub fn start<T>(&self) -> *mut T {
        self.start.cast()
    }

    /// What it holds; every byte was written when it was made.
    pub fn bytes(&self) -> Vec<u8> {
        // SAFETY: the block is there, as large as its layout says, and initialised.
        unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) }.to_vec()
    }

    pub fn poison(&self) {
        // SAFETY: the block is there and as large as its layout says.
        unsafe { ptr::write_bytes(self.start, POISON_BYTE, self.layout.size()) };
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed only here.
        unsafe { dealloc(self.start, self.layout) };
    }
}
