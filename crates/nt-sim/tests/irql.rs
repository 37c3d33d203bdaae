//! IRQL: what is allowed where. Cites learn.microsoft.com "Managing Hardware Priorities" and the IRQL line of each function.
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ffi::c_void;
use std::ptr::{null, null_mut, without_provenance_mut};

use nt_sim::{bugcheck_of, irql, rules};
use nt_sys::ex::*;
use nt_sys::io::*;
use nt_sys::ke::*;
use nt_sys::ob::*;
use nt_sys::ps::*;
use nt_sys::rtl::*;
use nt_sys::status::STATUS_INVALID_PARAMETER;
use nt_sys::types::*;
use nt_sys::zw::*;
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

/// A call that would fail, or do nothing, where it is allowed.
type Call = fn();

macro_rules! calls {
    ($($max:ident $function:path => ($($argument:expr),*);)*) => {
        &[$((stringify!($function), $max, || {
            // SAFETY: above its level the kernel reports the call before it looks at an argument.
            unsafe { $function($($argument),*) };
        })),*]
    };
}

/// Highest level of each function, as the IRQL line of its page says. Functions whose violation has a rule of its own (pool,
/// spin locks, waits, completion) are in the tests of that rule; functions of any level are in none.
const HIGHEST: &[(&str, KIRQL, Call)] = calls! {
    APC_LEVEL IoCreateDevice => (null_mut(), 0, null(), 0, 0, 0, null_mut());
    APC_LEVEL IoDeleteDevice => (null_mut());
    PASSIVE_LEVEL IoCreateSymbolicLink => (null(), null());
    PASSIVE_LEVEL IoDeleteSymbolicLink => (null());
    DISPATCH_LEVEL IoGetRequestorProcess => (null_mut());
    DISPATCH_LEVEL IoAcquireCancelSpinLock => (null_mut());
    DISPATCH_LEVEL IoCancelIrp => (null_mut());
    DISPATCH_LEVEL IoAllocateWorkItem => (null_mut());
    DISPATCH_LEVEL IoQueueWorkItem => (null_mut(), nothing, 0, null_mut());
    DISPATCH_LEVEL IoFreeWorkItem => (null_mut());
    APC_LEVEL ExInitializeRundownProtection => (null_mut());
    DISPATCH_LEVEL ExAcquireRundownProtection => (null_mut());
    DISPATCH_LEVEL ExReleaseRundownProtection => (null_mut());
    APC_LEVEL ExWaitForRundownProtectionRelease => (null_mut());
    APC_LEVEL ExAllocateCacheAwareRundownProtection => (NonPagedPoolNx, TAG);
    APC_LEVEL ExFreeCacheAwareRundownProtection => (null_mut());
    DISPATCH_LEVEL ExAcquireRundownProtectionCacheAware => (null_mut());
    DISPATCH_LEVEL ExReleaseRundownProtectionCacheAware => (null_mut());
    APC_LEVEL ExWaitForRundownProtectionReleaseCacheAware => (null_mut());
    DISPATCH_LEVEL KeClearEvent => (null_mut());
    DISPATCH_LEVEL KeResetEvent => (null_mut());
    DISPATCH_LEVEL KeReadStateEvent => (null_mut());
    DISPATCH_LEVEL KeSetEvent => (null_mut(), 0, FALSE);
    DISPATCH_LEVEL KeInitializeTimerEx => (null_mut(), NotificationTimer);
    DISPATCH_LEVEL KeSetTimerEx => (null_mut(), 0, 0, null_mut());
    DISPATCH_LEVEL KeCancelTimer => (null_mut());
    PASSIVE_LEVEL KeFlushQueuedDpcs => ();
    APC_LEVEL KeDelayExecutionThread => (KernelMode, FALSE, null());
    APC_LEVEL PsLookupProcessByProcessId => (null_mut(), null_mut());
    DISPATCH_LEVEL PsGetProcessStartKey => (null_mut());
    PASSIVE_LEVEL PsTerminateSystemThread => (0);
    DISPATCH_LEVEL ObfReferenceObject => (null_mut());
    DISPATCH_LEVEL ObfDereferenceObject => (null_mut());
    PASSIVE_LEVEL ObReferenceObjectByHandle => (null_mut(), 0, null_mut(), KernelMode, null_mut(), null_mut());
    APC_LEVEL ObOpenObjectByPointer => (null_mut(), 0, null_mut(), 0, null_mut(), KernelMode, null_mut());
    PASSIVE_LEVEL ZwSetSecurityObject => (null_mut(), 0, null_mut());
    PASSIVE_LEVEL ZwClose => (null_mut());
    PASSIVE_LEVEL RtlCreateSecurityDescriptor => (null_mut(), 0);
    APC_LEVEL RtlCreateAcl => (null_mut(), 0, 0);
    APC_LEVEL RtlAddAccessAllowedAce => (null_mut(), 0, 0, null_mut());
    PASSIVE_LEVEL RtlSetDaclSecurityDescriptor => (null_mut(), 0, null_mut(), 0);
    APC_LEVEL RtlLengthSid => (null_mut());
};

unsafe extern "system-unwind" fn nothing(_device: *mut DEVICE_OBJECT, _context: *mut c_void) {}

#[test]
fn function_above_its_highest_level_is_reported_with_its_name() {
    // "Bug Check 0xC4", parameter 0xE5.
    for (function, max, call) in HIGHEST {
        let kernel = boot();
        nt_sim::raise_irql(max + 1);
        let violation = bugcheck_of(call);
        assert_eq!((violation.code, violation.parameter), (0xC4, 0xE5), "{function}");
        assert!(violation.message.starts_with(&format!("{function} at IRQL {}", max + 1)), "{violation}");
        drop(kernel);
    }
}

#[test]
fn function_at_its_highest_level_is_allowed() {
    // "PsLookupProcessByProcessId": <= APC_LEVEL. There is no process 3.
    let kernel = boot();
    let mut process = null_mut();
    nt_sim::raise_irql(APC_LEVEL);
    // SAFETY: a valid place.
    let status = unsafe { PsLookupProcessByProcessId(without_provenance_mut(3), &mut process) };
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    nt_sim::lower_irql(PASSIVE_LEVEL);
    kernel.shutdown();
}

#[test]
fn thread_cannot_be_created_above_passive() {
    // "PsCreateSystemThread": PASSIVE_LEVEL.
    unsafe extern "system-unwind" fn idle(_context: *mut c_void) {}
    let _kernel = boot();
    let mut handle = null_mut();
    nt_sim::raise_irql(APC_LEVEL);
    // SAFETY: breaks the rule that this test is about; the place is valid.
    let violation = bugcheck_of(|| unsafe {
        PsCreateSystemThread(&mut handle, THREAD_ALL_ACCESS, null_mut(), null_mut(), null_mut(), idle, null_mut())
    });
    assert!(violation.is(rules::IRQL));
}

#[test]
fn work_item_must_return_at_passive() {
    // "Bug Check 0xE1: WORKER_THREAD_RETURNED_AT_BAD_IRQL".
    unsafe extern "system-unwind" fn raise(_device: *mut DEVICE_OBJECT, item: *mut c_void) {
        // SAFETY: the item is its own context, and no longer queued.
        unsafe { IoFreeWorkItem(item.cast::<IO_WORKITEM>()) };
        nt_sim::raise_irql(DISPATCH_LEVEL);
    }
    let machine = Machine::new(PLAIN);
    // SAFETY: the device exists.
    let item = unsafe { IoAllocateWorkItem(machine.device()) };
    // SAFETY: the item is new; the routine expects it as its context.
    unsafe { IoQueueWorkItem(item, raise, DelayedWorkQueue, item.cast()) };
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
