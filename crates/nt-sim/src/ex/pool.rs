//! Pool memory, by tag.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};

use nt_sys::ex::{
    NonPagedPool, NonPagedPoolNx, POOL_FLAG_NON_PAGED, POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED,
    POOL_FLAG_UNINITIALIZED, PagedPool,
};
use nt_sys::types::{APC_LEVEL, DISPATCH_LEVEL};

use crate::global::Global;
use crate::memory::{self, Block, Damage, FRESH};
use crate::rules::{self, Rule};
use crate::{fault, ke, mdl, thread, verifier};

static POOL: Global<BTreeMap<usize, Allocation>> = Global::new(BTreeMap::new());
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Allocation {
    block: Block,
    tag: u32,
    paged: bool,
}

/// Allocates pool.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn ExAllocatePool2(flags: u64, size: usize, tag: u32) -> *mut c_void {
    let pools = [POOL_FLAG_NON_PAGED, POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED];
    let known = pools.iter().fold(POOL_FLAG_UNINITIALIZED, |all, pool| all | pool);
    if flags & !known != 0 || pools.iter().filter(|pool| flags & **pool != 0).count() != 1 {
        verifier::report(rules::POOL_BAD_FLAGS, format!("ExAllocatePool2 with flags {flags:#x}"));
    }
    let fill = if flags & POOL_FLAG_UNINITIALIZED == 0 { 0 } else { FRESH };
    allocate("ExAllocatePool2", flags & POOL_FLAG_PAGED != 0, fill, size, tag)
}

/// Allocates pool that is not zeroed.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn ExAllocatePoolWithTag(kind: i32, size: usize, tag: u32) -> *mut c_void {
    if ![NonPagedPool, NonPagedPoolNx, PagedPool].contains(&kind) {
        verifier::report(rules::POOL_BAD_FLAGS, format!("ExAllocatePoolWithTag of type {kind}"));
    }
    allocate("ExAllocatePoolWithTag", kind == PagedPool, FRESH, size, tag)
}

pub(super) fn allocate(function: &'static str, paged: bool, fill: u8, size: usize, tag: u32) -> *mut c_void {
    let irql = thread::irql();
    let bytes = tag.to_le_bytes();
    let broken = if size == 0 {
        Some(rules::POOL_ZERO_SIZE)
    } else if tag == 0 {
        Some(rules::POOL_ZERO_TAG)
    } else if !bytes.iter().any(u8::is_ascii_alphanumeric) {
        Some(rules::POOL_BAD_TAG)
    } else if paged && irql > APC_LEVEL {
        Some(rules::POOL_PAGED_TOO_HIGH)
    } else {
        (irql > DISPATCH_LEVEL).then_some(rules::POOL_TOO_HIGH)
    };
    if let Some(rule) = broken {
        verifier::report(rule, format!("{function} of {size} bytes with tag {} at IRQL {irql}", name(tag)));
    }
    if fault::should_fail(function) {
        return null_mut();
    }
    let Some(block) = Block::allocate(size, fill) else { return null_mut() };
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    let start = block.start();
    POOL.lock().insert(start.addr(), Allocation { block, tag, paged });
    start.cast()
}

/// Frees pool.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn ExFreePoolWithTag(memory: *mut c_void, tag: u32) {
    let Some(allocation) = POOL.lock().remove(&memory.addr()) else {
        let freed = memory::is_retired(memory.addr());
        let rule = if freed { rules::POOL_DOUBLE_FREE } else { rules::POOL_BAD_POINTER };
        return verifier::report(rule, format!("ExFreePoolWithTag of {memory:p}"));
    };
    if let Some(rule) = broken_by_free(&allocation, tag) {
        let (size, own, irql) = (allocation.block.size(), name(allocation.tag), thread::irql());
        let message = format!("{size} bytes at {memory:p} with tag {own} freed with tag {} at IRQL {irql}", name(tag));
        verifier::report(rule, message);
    }
    memory::retire(allocation.block);
}

fn broken_by_free(allocation: &Allocation, tag: u32) -> Option<Rule> {
    let block = &allocation.block;
    let inside = |address| block.contains(address);
    match block.damage() {
        Some(Damage::Before) => return Some(rules::POOL_UNDERRUN),
        Some(Damage::After) => return Some(rules::POOL_OVERRUN),
        None => {}
    }
    // learn.microsoft.com "ExFreePoolWithTag": a tag of zero is not compared.
    if tag != 0 && tag != allocation.tag {
        Some(rules::POOL_WRONG_TAG)
    } else if allocation.paged && thread::irql() > APC_LEVEL {
        Some(rules::POOL_PAGED_FREED_TOO_HIGH)
    } else if thread::irql() > DISPATCH_LEVEL {
        Some(rules::POOL_FREED_TOO_HIGH)
    } else if ke::timer::set_timers(inside) + ke::dpc::queued_dpcs(inside) != 0 {
        Some(rules::POOL_FREED_WITH_TIMER)
    } else if mdl::lists_over(inside) != 0 {
        Some(rules::POOL_FREED_WITH_MDL)
    } else {
        block
            .words()
            .any(|(address, word)| ke::spin_lock::is_held(address, word))
            .then_some(rules::LOCK_FREED_WHILE_HELD)
    }
}

/// Whether these bytes lie in one allocation of nonpaged pool.
pub(crate) fn is_nonpaged(address: usize, bytes: usize) -> bool {
    let pool = POOL.lock();
    let before = pool.range(..=address).next_back();
    before.is_some_and(|(start, held)| !held.paged && address - start + bytes <= held.block.size())
}

/// Pool allocations since boot.
pub fn allocation_count() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Bytes allocated and not freed, with one tag or all.
pub(crate) fn bytes(tag: Option<u32>) -> usize {
    let pool = POOL.lock();
    pool.values().filter(|held| tag.is_none_or(|tag| held.tag == tag)).map(|held| held.block.size()).sum()
}

/// What is allocated, by tag: one line each.
pub(crate) fn leaks() -> Vec<String> {
    let mut by_tag: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for held in POOL.lock().values() {
        let (blocks, bytes) = by_tag.entry(held.tag).or_default();
        *blocks += 1;
        *bytes += held.block.size();
    }
    let line = |(tag, (blocks, bytes)): (u32, (usize, usize))| format!("{}: {blocks} blocks, {bytes} bytes", name(tag));
    by_tag.into_iter().map(line).collect()
}

pub(crate) fn reset() {
    ALLOCATIONS.store(0, Ordering::Relaxed);
    memory::keep(POOL.take());
}

/// A tag as tools print it.
fn name(tag: u32) -> String {
    tag.to_le_bytes().escape_ascii().to_string()
}
