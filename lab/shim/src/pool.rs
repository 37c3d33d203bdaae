//! Pool memory, accounted by driver and tag.
//!
//! Each driver has allocation functions of its own ([`SLOT`](crate::drivers::SLOTS) parameter), so a leak has an owner.
//! Invariant: a block is in the account from its allocation to its one free; memory that Wine handed out is passed back
//! to Wine untouched.

use core::ffi::c_void;
use std::collections::BTreeMap;
use std::sync::Mutex;

use nt_sys::ex::{ExAllocatePoolWithTag, ExFreePoolWithTag, NonPagedPoolNx, POOL_FLAG_UNINITIALIZED};
use nt_sys::types::DISPATCH_LEVEL;
use serde_json::{Value, json};

use crate::drivers;
use crate::irql;
use crate::kernel::ExFreePool;
use crate::violations::{self, lock};

#[derive(Clone, Copy)]
struct Block {
    slot: usize,
    tag: u32,
    bytes: usize,
}

/// Blocks by address.
static BLOCKS: Mutex<BTreeMap<usize, Block>> = Mutex::new(BTreeMap::new());

/// What a driver has allocated, by tag.
pub fn report(slot: usize) -> Value {
    let tags = by_tag(slot).into_iter();
    let tags = tags.map(|(tag, (blocks, bytes))| json!({ "tag": tag_text(tag), "blocks": blocks, "bytes": bytes }));
    Value::Array(tags.collect())
}

/// Ends the account of a driver and says what it leaves behind.
pub fn forget(slot: usize) -> Vec<String> {
    let left = by_tag(slot);
    lock(&BLOCKS).retain(|_, block| block.slot != slot);
    let left = left.into_iter();
    left.map(|(tag, (blocks, bytes))| format!("tag '{}', {blocks} blocks, {bytes} bytes", tag_text(tag))).collect()
}

fn by_tag(slot: usize) -> BTreeMap<u32, (usize, usize)> {
    let mut tags = BTreeMap::new();
    for block in lock(&BLOCKS).values().filter(|block| block.slot == slot) {
        let (blocks, bytes) = tags.entry(block.tag).or_insert((0, 0));
        *blocks += 1;
        *bytes += block.bytes;
    }
    tags
}

/// A tag as tools print it: its bytes in memory order.
fn tag_text(tag: u32) -> String {
    tag.to_le_bytes().map(|byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).iter().collect()
}

/// In place of `ExAllocatePool2`: zeroed unless asked otherwise.
pub unsafe extern "system" fn allocate2<const SLOT: usize>(flags: u64, bytes: usize, tag: u32) -> *mut c_void {
    allocate(SLOT, bytes, tag, flags & POOL_FLAG_UNINITIALIZED == 0)
}

/// In place of `ExAllocatePoolWithTag`.
pub unsafe extern "system" fn allocate_with_tag<const SLOT: usize>(_pool: i32, bytes: usize, tag: u32) -> *mut c_void {
    allocate(SLOT, bytes, tag, false)
}

fn allocate(slot: usize, bytes: usize, tag: u32, zero: bool) -> *mut c_void {
    irql::require_at_most(DISPATCH_LEVEL, "pool allocation");
    // SAFETY: no condition on the arguments.
    let block = unsafe { ExAllocatePoolWithTag(NonPagedPoolNx, bytes, tag) };
    if block.is_null() {
        return block;
    }
    // Memory that happens to be zero hides a driver that forgets to initialise it.
    let fill = if zero { 0 } else { 0xCD };
    // SAFETY: `bytes` bytes just allocated.
    unsafe { block.cast::<u8>().write_bytes(fill, bytes) };
    lock(&BLOCKS).insert(block.addr(), Block { slot, tag, bytes });
    block
}

/// In place of `ExFreePoolWithTag`.
pub unsafe extern "system" fn free_with_tag<const SLOT: usize>(block: *mut c_void, tag: u32) {
    irql::require_at_most(DISPATCH_LEVEL, "ExFreePoolWithTag");
    let Some(found) = lock(&BLOCKS).remove(&block.addr()) else {
        violations::record(format!(
            "{}: ExFreePoolWithTag of a block that is not allocated (freed twice?), tag '{}'",
            drivers::name(SLOT),
            tag_text(tag)
        ));
        return;
    };
    if tag != 0 && tag != found.tag {
        violations::record(format!(
            "{}: a block with tag '{}' was freed with tag '{}'",
            drivers::name(SLOT),
            tag_text(found.tag),
            tag_text(tag)
        ));
    }
    // A use after the free meets this instead of what was there.
    // SAFETY: the block is still allocated, with this length.
    unsafe { block.cast::<u8>().write_bytes(0xDD, found.bytes) };
    // SAFETY: allocated by `allocate`, taken out of the account, so freed once.
    unsafe { ExFreePoolWithTag(block, found.tag) };
}

/// In place of `ExFreePool`, which also frees what other kernel functions allocated.
pub unsafe extern "system" fn free<const SLOT: usize>(block: *mut c_void) {
    let known = lock(&BLOCKS).get(&block.addr()).copied();
    match known {
        // SAFETY: the caller's block and the tag it was allocated with.
        Some(found) => unsafe { free_with_tag::<SLOT>(block, found.tag) },
        // SAFETY: not in the account, so it is Wine's: the caller's promise to `ExFreePool` holds as it stands.
        None => unsafe { ExFreePool(block) },
    }
}
