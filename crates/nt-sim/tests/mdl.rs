//! Memory descriptor lists. Cites learn.microsoft.com "Using MDLs", "IoAllocateMdl", "MmBuildMdlForNonPagedPool".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ffi::c_void;
use std::ptr::null_mut;

use nt_sim::{bugcheck_of, on_dispatch, raise_irql, rules};
use nt_sys::ex::*;
use nt_sys::mdl::*;
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

fn list(memory: *mut c_void, length: u32) -> *mut MDL {
    // SAFETY: no precondition.
    unsafe { IoAllocateMdl(memory, length, FALSE, FALSE, null_mut()) }
}

fn build(list: *mut MDL) {
    // SAFETY: at worst breaks the rule that a test is about, which the kernel reports.
    unsafe { MmBuildMdlForNonPagedPool(list) };
}

fn free_list(list: *mut MDL) {
    // SAFETY: at worst breaks the rule that a test is about, which the kernel reports.
    unsafe { IoFreeMdl(list) };
}

#[test]
fn a_list_names_its_buffer_and_maps_nonpaged_pool_where_it_is() {
    let kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 6000);
    let inside = memory.wrapping_byte_add(100);
    let list = on_dispatch(|| {
        let list = list(inside, 5000);
        build(list);
        list
    });
    // SAFETY: the list was just made.
    let head = unsafe { list.read() };
    assert_eq!((head.ByteOffset, head.ByteCount, head.StartVa), (100, 5000, memory));
    assert_eq!((head.MappedSystemVa, head.Size), (inside, 48 + 2 * 8));
    assert_eq!(head.MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL, MDL_SOURCE_IS_NONPAGED_POOL);
    on_dispatch(|| free_list(list));
    free(memory);
    kernel.shutdown();
}

#[test]
fn allocation_of_a_list_can_be_made_to_fail() {
    let kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 64);
    kernel.fail_nth_call(1);
    assert!(list(memory, 64).is_null());
    assert_eq!(kernel.fault_hit(), Some("IoAllocateMdl"));
    free(memory);
    kernel.shutdown();
}

#[test]
fn a_list_freed_twice_is_reported() {
    let _kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 64);
    let list = list(memory, 64);
    free_list(list);
    assert!(bugcheck_of(|| free_list(list)).is(rules::MDL_UNKNOWN));
}

#[test]
fn a_list_over_freed_or_paged_or_too_little_memory_is_reported() {
    for (flags, size, freed) in
        [(POOL_FLAG_NON_PAGED, 64, true), (POOL_FLAG_PAGED, 64, false), (POOL_FLAG_NON_PAGED, 63, false)]
    {
        let _kernel = boot();
        let memory = allocate(flags, size);
        if freed {
            free(memory);
        }
        let list = list(memory, 64);
        assert!(bugcheck_of(|| build(list)).is(rules::MDL_NOT_NONPAGED_POOL), "{flags:#x} {size} {freed}");
    }
}

#[test]
fn pool_freed_under_a_list_is_reported() {
    let _kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 64);
    build(list(memory, 64));
    assert!(bugcheck_of(|| free(memory)).is(rules::POOL_FREED_WITH_MDL));
}

#[test]
fn a_list_that_is_left_is_reported_at_shutdown() {
    let kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 64);
    let list = list(memory, 64);
    assert!(!list.is_null());
    let violation = bugcheck_of(|| kernel.shutdown());
    assert!(violation.is(rules::POOL_LEAK));
    assert!(violation.message.contains("1 memory descriptor lists"), "{violation}");
}

#[test]
fn a_list_above_dispatch_level_is_reported() {
    let _kernel = boot();
    let memory = allocate(POOL_FLAG_NON_PAGED, 64);
    raise_irql(DISPATCH_LEVEL + 1);
    assert!(bugcheck_of(|| list(memory, 64)).is(rules::IRQL));
}
