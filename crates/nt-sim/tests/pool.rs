//! Pool. Cites learn.microsoft.com "ExAllocatePool2", "ExFreePoolWithTag", "Bug Check 0xC2" and "Bug Check 0xC4".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ffi::c_void;

use nt_sim::{Violation, bugcheck_of, on_dispatch, rules};
use nt_sys::ex::*;
use nt_sys::types::*;
use sample::{TAG, boot};

fn allocate(flags: u64, size: usize) -> *mut c_void {
    // SAFETY: no precondition.
    unsafe { ExAllocatePool2(flags, size, TAG) }
}

fn free(memory: *mut c_void) {
    // SAFETY: at worst breaks the rule that a test is about, which the kernel reports.
    unsafe { ExFreePoolWithTag(memory, TAG) };
}

fn write(memory: *mut c_void, at: isize) {
    // SAFETY: the guards of a block make every offset that the tests pass valid.
    unsafe { memory.cast::<u8>().wrapping_offset(at).write(1) };
}

fn code(violation: &Violation) -> (u32, usize) {
    (violation.code, violation.parameter)
}

#[test]
fn memory_is_zeroed_and_aligned_and_counted_by_tag() {
    let kernel = boot();
    let (small, large) = (allocate(POOL_FLAG_NON_PAGED, 40), allocate(POOL_FLAG_NON_PAGED, 5000));
    // SAFETY: both blocks are that long.
    let zeroed = unsafe { std::slice::from_raw_parts(large.cast::<u8>(), 5000) }.iter().all(|byte| *byte == 0);
    assert!(zeroed);
    assert_eq!((small.addr() % 16, large.addr() % 4096), (0, 0));
    assert_eq!((kernel.pool_bytes(*b"Smpl"), kernel.pool_bytes(*b"Othr"), kernel.all_pool_bytes()), (5040, 0, 5040));
    assert_eq!(nt_sim::allocation_count(), 2);
    free(small);
    free(large);
    kernel.shutdown();
}

#[test]
fn uninitialized_memory_is_not_zero() {
    let kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, 1);
    // SAFETY: the block is one byte long, and the kernel filled it.
    assert_ne!(unsafe { memory.cast::<u8>().read() }, 0);
    free(memory);
    kernel.shutdown();
}

#[test]
fn zero_size_zero_tag_and_two_pools_are_reported() {
    let kernel = boot();
    assert_eq!(code(&bugcheck_of(|| allocate(POOL_FLAG_NON_PAGED, 0))), (0xC4, 0x00));
    drop(kernel);
    let kernel = boot();
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 8, 0) });
    assert_eq!(code(&violation), (0xC2, 0x9B));
    drop(kernel);
    let _kernel = boot();
    assert!(bugcheck_of(|| allocate(POOL_FLAG_NON_PAGED | POOL_FLAG_PAGED, 8)).is(rules::POOL_BAD_FLAGS));
}

#[test]
fn paged_pool_at_dispatch_is_reported() {
    let kernel = boot();
    free(allocate(POOL_FLAG_PAGED, 8));
    let violation = bugcheck_of(|| on_dispatch(|| allocate(POOL_FLAG_PAGED, 8)));
    assert_eq!(code(&violation), (0xC4, 0x01));
    drop(kernel);
}

#[test]
fn nonpaged_pool_is_allowed_at_dispatch_and_reported_above() {
    let _kernel = boot();
    on_dispatch(|| free(allocate(POOL_FLAG_NON_PAGED, 8)));
    nt_sim::raise_irql(DISPATCH_LEVEL + 1);
    assert_eq!(code(&bugcheck_of(|| allocate(POOL_FLAG_NON_PAGED, 8))), (0xC4, 0x02));
}

#[test]
fn double_free_is_reported() {
    let _kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 8);
    free(memory);
    assert_eq!(code(&bugcheck_of(|| free(memory))), (0xC4, 0x13));
}

#[test]
fn free_of_a_stranger_is_reported() {
    let _kernel = boot();
    let mut local = 0u64;
    assert_eq!(code(&bugcheck_of(|| free((&raw mut local).cast()))), (0xC4, 0x10));
}

#[test]
fn free_with_another_tag_is_reported() {
    let _kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 8);
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { ExFreePoolWithTag(memory, u32::from_le_bytes(*b"Othr")) });
    assert_eq!(code(&violation), (0xC2, 0x0A));
}

#[test]
fn writing_past_either_end_is_reported_at_free() {
    let kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 9);
    write(memory, 9);
    assert_eq!(code(&bugcheck_of(|| free(memory))), (0xC4, 0x51));
    drop(kernel);
    let _kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 9);
    write(memory, -1);
    assert!(bugcheck_of(|| free(memory)).is(rules::POOL_UNDERRUN));
}

#[test]
fn writing_to_freed_memory_is_reported_at_shutdown() {
    let kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 16);
    free(memory);
    write(memory, 5);
    let violation = bugcheck_of(|| kernel.shutdown());
    assert!(violation.is(rules::USE_AFTER_FREE));
    assert!(violation.message.contains("byte 5 of 16"), "{violation}");
}

#[test]
fn leak_is_reported_by_tag_at_shutdown() {
    let kernel = boot();
    allocate(POOL_FLAG_NON_PAGED, 24);
    let violation = bugcheck_of(|| kernel.shutdown());
    assert_eq!(code(&violation), (0xC4, 0x62));
    assert!(violation.message.contains("Smpl: 1 blocks, 24 bytes"), "{violation}");
}
