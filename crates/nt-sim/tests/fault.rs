//! Failing the n-th fallible call; debug messages. Cites learn.microsoft.com "Systematic Low Resources Simulation", "DbgPrintEx".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use nt_sim::DebugLine;
use nt_sys::dbg::{DPFLTR_ERROR_LEVEL, DPFLTR_IHVDRIVER_ID, DbgPrintEx};
use nt_sys::ex::{ExAllocatePool2, ExFreePoolWithTag, POOL_FLAG_NON_PAGED};
use nt_sys::io::*;
use nt_sys::status::*;
use sample::*;

/// A start routine with two more fallible calls.
const HUNGRY: Behaviour = Behaviour {
    start: |device| {
        // SAFETY: no precondition.
        let memory = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
        if memory.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        // SAFETY: the device exists.
        let item = unsafe { IoAllocateWorkItem(device) };
        // SAFETY: the block was just allocated.
        unsafe { ExFreePoolWithTag(memory, TAG) };
        if item.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        // SAFETY: the item was just allocated.
        unsafe { IoFreeWorkItem(item) };
        STATUS_SUCCESS
    },
    ..PLAIN
};

#[test]
fn every_fallible_call_fails_once_and_is_named() {
    let mut hit = Vec::new();
    for n in 1.. {
        let kernel = boot();
        kernel.fail_nth_call(n);
        let loaded = load(&kernel, HUNGRY);
        let Some(call) = kernel.fault_hit() else {
            assert!(loaded.expect("nothing failed").unload());
            kernel.shutdown();
            break;
        };
        assert_eq!(loaded.map(|_| ()), Err(STATUS_INSUFFICIENT_RESOURCES), "{call}");
        hit.push(call);
        kernel.shutdown();
    }
    assert_eq!(hit, ["IoCreateDevice", "IoCreateSymbolicLink", "ExAllocatePool2", "IoAllocateWorkItem"]);
}

#[test]
fn other_emulations_share_the_counter() {
    let kernel = boot();
    kernel.fail_nth_call(2);
    assert_eq!([(); 3].map(|()| nt_sim::fault::should_fail("elsewhere")), [false, true, false]);
    assert_eq!((kernel.fault_hit(), nt_sim::fault::calls()), (Some("elsewhere"), 3));
    kernel.shutdown();
}

#[test]
fn debug_messages_are_kept_with_component_and_level() {
    let kernel = boot();
    let (format, text) = (c"tag: %s %s\n".as_ptr(), c"42 held".as_ptr());
    // SAFETY: the format and its arguments agree.
    unsafe { DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL, format, text, c"so far".as_ptr()) };
    let expected = DebugLine {
        component: DPFLTR_IHVDRIVER_ID,
        level: DPFLTR_ERROR_LEVEL,
        text: "tag: 42 held so far\n".to_owned(),
    };
    assert_eq!(kernel.debug_lines(), [expected]);
    kernel.shutdown();
}

#[test]
#[cfg(not(miri))]
fn debug_messages_take_numbers_beyond_the_argument_registers() {
    let kernel = boot();
    let format = c"%d %u %llu %x %c %p".as_ptr();
    // SAFETY: the format and its arguments agree.
    unsafe { DbgPrintEx(0, 3, format, -1i32, 7u32, 1u64 << 33, 0xABCu32, u32::from(b'z'), 16usize) };
    assert_eq!(kernel.debug_lines()[0].text, "-1 7 8589934592 abc z 0000000000000010");
    kernel.shutdown();
}
