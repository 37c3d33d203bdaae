//! Memory descriptor lists over nonpaged pool.
//!
//! Invariant: a list is allocated, built, used and freed while the pool it describes lives; the system's address of a buffer in
//! nonpaged pool is the address it has.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::null_mut;

use nt_sys::io::IRP;
use nt_sys::mdl::{MDL, MDL_SOURCE_IS_NONPAGED_POOL};
use nt_sys::types::{BOOLEAN, DISPATCH_LEVEL, FALSE};

use crate::ex::pool;
use crate::global::{Global, Ptr};
use crate::memory::{self, Block};
use crate::{fault, rules, thread, verifier};

const PAGE: usize = 4096;

static LISTS: Global<BTreeMap<Ptr<MDL>, Block>> = Global::new(BTreeMap::new());

/// Allocates a list.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoAllocateMdl(
    address: *mut c_void,
    length: u32,
    secondary: BOOLEAN,
    charge_quota: BOOLEAN,
    irp: *mut IRP,
) -> *mut MDL {
    thread::require_irql("IoAllocateMdl", DISPATCH_LEVEL);
    if secondary != FALSE || charge_quota != FALSE || !irp.is_null() {
        verifier::report(rules::MDL_NOT_MODELLED, format!("IoAllocateMdl for a request, {irp:p}"));
    }
    if fault::should_fail("IoAllocateMdl") {
        return null_mut();
    }
    let offset = address.addr() % PAGE;
    let pages = (offset + length as usize).div_ceil(PAGE);
    let size = size_of::<MDL>() + pages * size_of::<usize>();
    // The head says its size in 16 bits, which bounds what one list can describe.
    let Ok(head_size) = i16::try_from(size) else { return null_mut() };
    let Some(block) = Block::allocate(size, 0) else { return null_mut() };
    let list = Ptr(block.start().cast::<MDL>());
    let head = MDL {
        Next: null_mut(),
        Size: head_size,
        MdlFlags: 0,
        Process: null_mut(),
        MappedSystemVa: null_mut(),
        StartVa: address.wrapping_byte_sub(offset),
        ByteCount: length,
        ByteOffset: offset as u32,
    };
    // SAFETY: the block is fresh, large enough and aligned.
    unsafe { list.0.write(head) };
    LISTS.lock().insert(list, block);
    list.0
}

/// Fills in the pages.
///
/// # Safety
/// `list` came from [`IoAllocateMdl`] and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn MmBuildMdlForNonPagedPool(list: *mut MDL) {
    thread::require_irql("MmBuildMdlForNonPagedPool", DISPATCH_LEVEL);
    if !LISTS.lock().contains_key(&Ptr(list)) {
        return verifier::report(rules::MDL_UNKNOWN, format!("MmBuildMdlForNonPagedPool of {list:p}"));
    }
    // SAFETY: the list lives: it is in the table.
    let head = unsafe { &mut *list };
    let address = head.StartVa.wrapping_byte_add(head.ByteOffset as usize);
    if !pool::is_nonpaged(address.addr(), head.ByteCount as usize) {
        let message = format!("MmBuildMdlForNonPagedPool of {} bytes at {address:p}", head.ByteCount);
        return verifier::report(rules::MDL_NOT_NONPAGED_POOL, message);
    }
    head.MappedSystemVa = address;
    head.MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

/// Frees a list.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoFreeMdl(list: *mut MDL) {
    thread::require_irql("IoFreeMdl", DISPATCH_LEVEL);
    let removed = LISTS.lock().remove(&Ptr(list));
    match removed {
        Some(block) => memory::retire(block),
        None => verifier::report(rules::MDL_UNKNOWN, format!("IoFreeMdl of {list:p}")),
    }
}

/// How many lists describe memory of which `inside` is true.
pub(crate) fn lists_over(inside: impl Fn(usize) -> bool) -> usize {
    let describes = |list: &&Ptr<MDL>| {
        // SAFETY: the list lives: it is in the table, which is locked.
        let head = unsafe { list.0.read() };
        inside(head.StartVa.addr() + head.ByteOffset as usize)
    };
    LISTS.lock().keys().filter(describes).count()
}

/// Lists that were not freed.
pub(crate) fn leaks() -> Option<String> {
    let count = LISTS.lock().len();
    (count != 0).then(|| format!("{count} memory descriptor lists"))
}

pub(crate) fn reset() {
    memory::keep(LISTS.take());
}
