//! IRQL: what is allowed where. Cites learn.microsoft.com "Managing Hardware Priorities" and the IRQL line of each function.
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ptr::null_mut;

use nt_sim::{bugcheck_of, irql, on_dispatch, rules};
use nt_sys::io::{IO_WORKITEM, IoAllocateWorkItem, IoCreateSymbolicLink, IoFreeWorkItem, IoQueueWorkItem};
use nt_sys::ke::*;
use nt_sys::ps::PsLookupProcessByProcessId;
use nt_sys::types::*;
use sample::*;

#[test]
fn raising_and_lowering_nest() {
    let kernel = boot();
    // SAFETY: raising is allowed from any lower level.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: no precondition.
    assert_eq!((old, unsafe { KeGetCurrentIrql() }), (PASSIVE_LEVEL, DISPATCH_LEVEL));
    // SAFETY: `old` is what raising returned.
    unsafe { KeLowerIrql(old) };
    assert_eq!(irql(), PASSIVE_LEVEL);
    kernel.shutdown();
}

#[test]
fn raising_to_a_lower_level_is_reported() {
    // "Bug Check 0xC4", parameter 0x30.
    let _kernel = boot();
    nt_sim::set_irql(DISPATCH_LEVEL);
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { KfRaiseIrql(APC_LEVEL) });
    assert!(violation.is(rules::RAISE_TO_LOWER));
    assert_eq!((violation.code, violation.parameter), (0xC4, 0x30));
}

#[test]
fn lowering_to_a_higher_level_is_reported() {
    // "Bug Check 0xC4", parameter 0x31.
    let _kernel = boot();
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { KeLowerIrql(APC_LEVEL) });
    assert_eq!((violation.code, violation.parameter), (0xC4, 0x31));
}

#[test]
fn passive_function_at_dispatch_is_reported_with_its_name() {
    // "IoCreateSymbolicLink": PASSIVE_LEVEL.
    let _kernel = boot();
    let (link, device) = (string(r"\DosDevices\X"), string(r"\Device\X"));
    // SAFETY: breaks the rule that this test is about; the strings are valid.
    let violation = bugcheck_of(|| on_dispatch(|| unsafe { IoCreateSymbolicLink(&link, &device) }));
    assert!(violation.is(rules::IRQL));
    assert!(violation.message.contains("IoCreateSymbolicLink"), "{violation}");
}

#[test]
fn apc_function_is_allowed_at_apc_and_reported_at_dispatch() {
    // "PsLookupProcessByProcessId": <= APC_LEVEL.
    let _kernel = boot();
    let mut process = null_mut();
    nt_sim::raise_irql(APC_LEVEL);
    // SAFETY: valid place; there is no process 3.
    let status = unsafe { PsLookupProcessByProcessId(std::ptr::without_provenance_mut(3), &mut process) };
    assert!(status < 0);
    nt_sim::raise_irql(DISPATCH_LEVEL);
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { PsLookupProcessByProcessId(null_mut(), &mut process) });
    assert!(violation.is(rules::IRQL));
}

#[test]
fn work_item_must_return_at_passive() {
    // "Bug Check 0xE1: WORKER_THREAD_RETURNED_AT_BAD_IRQL".
    unsafe extern "system-unwind" fn raise(_device: *mut nt_sys::io::DEVICE_OBJECT, item: *mut std::ffi::c_void) {
        // SAFETY: the item is its own context, and no longer queued.
        unsafe { IoFreeWorkItem(item.cast::<IO_WORKITEM>()) };
        nt_sim::raise_irql(DISPATCH_LEVEL);
    }
    let machine = Machine::new(PLAIN);
    // SAFETY: the device exists.
    let item = unsafe { IoAllocateWorkItem(machine.device()) };
    // SAFETY: the item is new; the routine expects it as its context.
    unsafe { IoQueueWorkItem(item, raise, nt_sys::io::DelayedWorkQueue, item.cast()) };
    let violation = bugcheck_of(|| machine.kernel.settle());
    assert_eq!(violation.code, 0xE1);
}

#[test]
fn dispatch_routine_must_return_at_the_level_it_was_called_at() {
    // "Bug Check 0xC9", parameter 0x05.
    let machine = Machine::with_control(|irp| {
        nt_sim::raise_irql(DISPATCH_LEVEL);
        succeed(irp)
    });
    let violation = bugcheck_of(|| machine.file().ioctl(CONTROL, &[], 0));
    assert_eq!((violation.code, violation.parameter), (0xC9, 0x05));
}
