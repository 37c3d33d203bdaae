//! A broken rule reaches the test, from wherever it was broken.
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use nt_sim::{Violation, bugcheck_of, rules};
use nt_sys::ke::{KeBugCheckEx, KeFlushQueuedDpcs};
use nt_sys::ps::{PsCreateSystemThread, THREAD_ALL_ACCESS};
use nt_sys::zw::ZwClose;
use sample::*;

/// Set by its destructor: proof that a frame of the driver was unwound.
struct Unwound<'a>(&'a std::cell::Cell<bool>);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn violation_unwinds_through_the_driver_to_the_test() {
    thread_local!(static UNWOUND: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    let machine = Machine::with_control(|irp| {
        UNWOUND.with(|unwound| {
            let _frame = Unwound(unwound);
            succeed(irp);
            succeed(irp)
        })
    });
    let violation = bugcheck_of(|| machine.file().ioctl(CONTROL, &[], 0));
    assert!(violation.is(rules::IRP_COMPLETED_TWICE));
    assert_eq!(violation.code, 0x44);
    assert!(UNWOUND.with(std::cell::Cell::get));
}

#[test]
fn violation_on_a_system_thread_fails_the_test_that_did_not_expect_it() {
    unsafe extern "system-unwind" fn raise_and_flush(_context: *mut c_void) {
        nt_sim::raise_irql(2);
        // SAFETY: breaks the rule that this test is about.
        unsafe { KeFlushQueuedDpcs() };
    }
    let kernel = boot();
    let mut handle = null_mut();
    // SAFETY: valid arguments; the routine ignores its context.
    unsafe {
        PsCreateSystemThread(
            &mut handle,
            THREAD_ALL_ACCESS,
            null_mut(),
            null_mut(),
            null_mut(),
            raise_and_flush,
            null_mut(),
        )
    };
    kernel.settle();
    // SAFETY: the handle was just made.
    unsafe { ZwClose(handle) };
    let payload = catch_unwind(AssertUnwindSafe(|| kernel.shutdown())).expect_err("shutdown reports it");
    let violation = payload.downcast::<Violation>().expect("a violation");
    assert!(violation.is(rules::IRQL));
    assert_eq!((violation.code, violation.parameter), (0xC4, 0xE5));
}

#[test]
fn bug_check_that_the_driver_asks_for_keeps_its_code() {
    let _kernel = boot();
    // SAFETY: stops the machine, as intended.
    let violation = bugcheck_of(|| unsafe { KeBugCheckEx(0xE2, 7, 0, 0, 0) });
    assert_eq!((violation.code, violation.parameter), (0xE2, 7));
    assert!(violation.to_string().starts_with("bug check 0xE2 (0x7)"), "{violation}");
}

#[test]
fn machine_boots_again_after_a_violation() {
    let machine = Machine::with_control(|irp| {
        succeed(irp);
        succeed(irp)
    });
    bugcheck_of(|| machine.file().ioctl(CONTROL, &[], 0));
    drop(machine);
    Machine::new(PLAIN).finish();
}

#[test]
#[should_panic(expected = "expected a bug check, and there was none")]
fn expecting_a_violation_that_does_not_come_is_a_failure() {
    bugcheck_of(|| ());
}
