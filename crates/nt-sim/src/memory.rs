//! Guarded memory: every object that the kernel gives to a driver lives in a [`Block`].
//!
//! Invariants: guard bytes lie on both sides; a retired block is filled with poison and kept in a quarantine, and poison that
//! changed there is a use after free.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::VecDeque;
use std::ptr::NonNull;

use crate::global::Global;
use crate::{rules, verifier};

/// Content of pool memory that nobody asked to be zeroed.
pub(crate) const FRESH: u8 = 0xFA;
const GUARD: u8 = 0xFB;
const POISON: u8 = 0xFD;
const GUARD_BYTES: usize = 16;
const PAGE: usize = 4096;
const QUARANTINE_BYTES: usize = 16 << 20;

static QUARANTINE: Global<Quarantine> = Global::new(Quarantine { blocks: VecDeque::new(), bytes: 0 });

static KEPT: Global<Vec<Box<dyn Send>>> = Global::new(Vec::new());

struct Quarantine {
    blocks: VecDeque<Block>,
    bytes: usize,
}

/// Which guard was written.
pub(crate) enum Damage {
    Before,
    After,
}

/// A guarded allocation.
pub(crate) struct Block {
    base: NonNull<u8>,
    layout: Layout,
    front: usize,
    size: usize,
}

// SAFETY: a block is plain memory; who may touch it is decided by the table that owns it.
unsafe impl Send for Block {}

impl Block {
    /// Memory aligned as pool is: to 16 bytes, and to a page when it is a page or more.
    pub(crate) fn allocate(size: usize, fill: u8) -> Option<Self> {
        let align = if size >= PAGE { PAGE } else { GUARD_BYTES };
        let total = size.checked_add(align + GUARD_BYTES)?;
        let layout = Layout::from_size_align(total, align).ok()?;
        // SAFETY: the layout is not empty, because `total` counts the guards.
        let base = NonNull::new(unsafe { alloc(layout) })?;
        let block = Self { base, layout, front: align, size };
        // SAFETY: `base` is valid for `total` bytes and not shared yet.
        unsafe { base.write_bytes(GUARD, total) };
        // SAFETY: the user part lies within those bytes.
        unsafe { block.start().write_bytes(fill, size) };
        Some(block)
    }

    /// First byte for the user.
    pub(crate) fn start(&self) -> *mut u8 {
        self.base.as_ptr().wrapping_add(self.front)
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.start().addr()..self.start().addr() + self.size.max(1)).contains(&address)
    }

    /// The user part as words with their addresses, for a look at what is being freed. None under Miri, for which the padding
    /// of a driver's records has no value.
    pub(crate) fn words(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let count = if cfg!(miri) { 0 } else { self.size / size_of::<usize>() };
        (0..count).map(|index| {
            let word = self.start().cast::<usize>().wrapping_add(index);
            // SAFETY: the word lies within the user part, is aligned because the part is, and the part is initialized.
            (word.addr(), unsafe { word.read_volatile() })
        })
    }

    /// Looks at the guards.
    pub(crate) fn damage(&self) -> Option<Damage> {
        let intact = |from: usize, len: usize| (from..from + len).all(|at| self.byte(at) == GUARD);
        if !intact(self.front - GUARD_BYTES, GUARD_BYTES) {
            return Some(Damage::Before);
        }
        (!intact(self.front + self.size, GUARD_BYTES)).then_some(Damage::After)
    }

    fn byte(&self, at: usize) -> u8 {
        // SAFETY: callers pass offsets below the layout's size, all of it initialized by `allocate`.
        unsafe { self.base.as_ptr().wrapping_add(at).read_volatile() }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc` with this layout and is freed once.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

/// Ends the life of a block: poisons it and keeps it from being reused for a while.
pub(crate) fn retire(block: Block) {
    // SAFETY: the user part is `size` bytes, and its owner gave the block up.
    unsafe { block.start().write_bytes(POISON, block.size) };
    let mut evicted = Vec::new();
    let mut quarantine = QUARANTINE.lock();
    quarantine.bytes += block.size;
    quarantine.blocks.push_back(block);
    while quarantine.bytes > QUARANTINE_BYTES {
        let Some(block) = quarantine.blocks.pop_front() else { break };
        quarantine.bytes -= block.size;
        evicted.push(block);
    }
    drop(quarantine);
    evicted.iter().for_each(verify_poison);
}

/// Whether an address lies in memory that was given back not long ago.
pub(crate) fn is_retired(address: usize) -> bool {
    QUARANTINE.lock().blocks.iter().any(|block| block.contains(address))
}

/// Verifies what is in quarantine and frees it.
pub(crate) fn empty_quarantine() {
    let mut quarantine = QUARANTINE.lock();
    quarantine.bytes = 0;
    let blocks = std::mem::take(&mut quarantine.blocks);
    drop(quarantine);
    blocks.iter().for_each(verify_poison);
}

/// Forgets the quarantine.
pub(crate) fn reset() {
    let mut quarantine = QUARANTINE.lock();
    quarantine.bytes = 0;
    keep(std::mem::take(&mut quarantine.blocks));
}

/// Keeps what a stopped machine leaves: after a violation somebody may still point there, but nobody will look again.
pub(crate) fn keep(value: impl Send + 'static) {
    KEPT.lock().push(Box::new(value));
}

fn verify_poison(block: &Block) {
    // By the page, because a driver's tables are megabytes and every shutdown looks at them.
    static POISONED: [u8; PAGE] = [POISON; PAGE];
    // SAFETY: the user part is `size` initialized bytes, and its owner gave it up before it went into quarantine.
    let bytes = unsafe { std::slice::from_raw_parts(block.start(), block.size) };
    let mut pages = bytes.chunks(PAGE);
    if let Some(page) = pages.position(|page| page != &POISONED[..page.len()]) {
        let at = (page * PAGE..block.size).find(|at| block.byte(block.front + at) != POISON).unwrap_or(block.size);
        verifier::report(
            rules::USE_AFTER_FREE,
            format!("byte {at} of {} freed bytes at {:p} was written", block.size, block.start()),
        );
    }
}
