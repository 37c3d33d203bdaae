//! Device control requests: buffers, status, pending, completion. Cites "Bug Check 0xC9", "Bug Check 0x44",
//! learn.microsoft.com "Using Buffered I/O", "IoMarkIrpPending", "IoCompleteRequest", "Defining I/O Control Codes".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use nt_sim::{Violation, bugcheck_of, on_dispatch, rules};
use nt_sys::io::*;
use nt_sys::ke::KeAcquireSpinLockRaiseToDpc;
use nt_sys::status::*;
use nt_sys::types::NTSTATUS;
use sample::*;

/// The violation of a driver that handles device control like this.
fn violation_of(control: Handler, input: &[u8], output: usize) -> Violation {
    let machine = Machine::with_control(control);
    bugcheck_of(|| machine.file().ioctl(CONTROL, input, output))
}

fn code(violation: &Violation) -> (u32, usize) {
    (violation.code, violation.parameter)
}

/// Doubles each byte of input.
fn double(irp: *mut IRP) -> NTSTATUS {
    let (input, output) = lengths(irp);
    let length = input.min(output);
    for at in 0..length {
        // SAFETY: the system buffer holds the longer of the two lengths.
        unsafe { *buffer(irp).wrapping_add(at) *= 2 };
    }
    complete(irp, STATUS_SUCCESS, length)
}

#[test]
fn buffered_request_carries_input_in_and_output_out() {
    let machine = Machine::with_control(double);
    let io = machine.file().ioctl(CONTROL, &[1, 2, 3], 8);
    assert_eq!(io.result(), Some((STATUS_SUCCESS, vec![2, 4, 6])));
    assert_eq!(io.information(), Some(3));
    machine.finish();
}

#[test]
fn system_buffer_is_null_when_both_lengths_are_zero() {
    let machine = Machine::with_control(|irp| {
        assert_eq!(buffer(irp), null_mut());
        succeed(irp)
    });
    assert_eq!(machine.file().ioctl(CONTROL, &[], 0).result(), Some((STATUS_SUCCESS, vec![])));
    machine.finish();
}

#[test]
fn error_copies_nothing_back_and_warning_does() {
    let machine = Machine::with_control(|irp| complete(irp, STATUS_INVALID_PARAMETER, 2));
    assert_eq!(machine.file().ioctl(CONTROL, &[7, 7], 2).result(), Some((STATUS_INVALID_PARAMETER, vec![])));
    machine.finish();
    let machine = Machine::with_control(|irp| complete(irp, STATUS_BUFFER_OVERFLOW, 2));
    assert_eq!(machine.file().ioctl(CONTROL, &[7, 7], 2).result(), Some((STATUS_BUFFER_OVERFLOW, vec![7, 7])));
    machine.finish();
}

#[test]
fn more_information_than_output_is_reported() {
    let violation = violation_of(|irp| complete(irp, STATUS_SUCCESS, 9), &[0; 16], 8);
    assert!(violation.is(rules::IRP_OUTPUT_OVERFLOW));
}

#[test]
fn output_that_was_never_written_is_reported() {
    let violation = violation_of(|irp| complete(irp, STATUS_SUCCESS, 32), &[0; 4], 32);
    assert!(violation.is(rules::IRP_OUTPUT_UNINITIALIZED));
}

#[test]
fn padding_of_four_bytes_that_was_never_written_is_reported() {
    fn with_padding(irp: *mut IRP) -> NTSTATUS {
        for at in (0..8).chain(12..24) {
            // SAFETY: the test's output is 24 bytes long.
            unsafe { *buffer(irp).wrapping_add(at) = 0xAA };
        }
        complete(irp, STATUS_SUCCESS, 24)
    }
    assert!(violation_of(with_padding, &[], 24).is(rules::IRP_OUTPUT_UNINITIALIZED));
}

#[test]
fn writing_past_the_system_buffer_is_reported() {
    fn overrun(irp: *mut IRP) -> NTSTATUS {
        // SAFETY: the guard behind the buffer makes the place valid.
        unsafe { *buffer(irp).wrapping_add(4) = 1 };
        succeed(irp)
    }
    assert!(violation_of(overrun, &[0; 4], 0).is(rules::POOL_OVERRUN));
}

#[test]
fn access_of_the_code_is_checked_against_the_handle() {
    let mut machine = Machine::with_control(double);
    machine.file = Some(machine.kernel.open(&machine.process, r"\\.\Sample", FILE_READ_DATA).expect("opens"));
    let io = machine.file().ioctl(CONTROL, &[1], 1);
    assert_eq!(io.result(), Some((STATUS_ACCESS_DENIED, vec![])));
    let read_only = CTL_CODE(FILE_DEVICE_NETWORK, 0x800, METHOD_BUFFERED, FILE_READ_DATA);
    assert_eq!(machine.file().ioctl(read_only, &[1], 1).result(), Some((STATUS_SUCCESS, vec![2])));
    machine.finish();
}

#[test]
fn unknown_methods_reach_the_driver_with_their_buffers() {
    let machine = Machine::with_control(|irp| {
        // SAFETY: the request is live.
        let parameters = unsafe { &(*stack(irp)).Parameters };
        // SAFETY: it is a device control request.
        let input = unsafe { parameters.DeviceIoControl.Type3InputBuffer };
        // SAFETY: as above.
        let output = unsafe { (*irp).UserBuffer };
        assert!(!input.is_null() && !output.is_null() && buffer(irp).is_null());
        complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0)
    });
    let neither = CTL_CODE(FILE_DEVICE_NETWORK, 0x900, METHOD_NEITHER, FILE_ANY_ACCESS);
    let io = machine.file().ioctl(neither, &[1], 1);
    assert_eq!(io.result(), Some((STATUS_INVALID_DEVICE_REQUEST, vec![])));
    machine.finish();
}

#[test]
fn pended_request_is_completed_later_from_dispatch_level() {
    let machine = Machine::with_control(keep);
    let io = machine.file().ioctl(CONTROL, &[5], 1);
    assert!(io.is_pending());
    on_dispatch(|| complete(take(), STATUS_SUCCESS, 1));
    assert_eq!(io.result(), Some((STATUS_SUCCESS, vec![5])));
    machine.finish();
}

#[test]
fn pended_request_may_be_completed_before_dispatch_returns() {
    let machine = Machine::with_control(|irp| {
        mark_pending(irp);
        succeed(irp);
        STATUS_PENDING
    });
    assert_eq!(machine.file().ioctl(CONTROL, &[], 0).result(), Some((STATUS_SUCCESS, vec![])));
    machine.finish();
}

#[test]
fn pending_without_the_mark_is_reported() {
    fn unmarked(irp: *mut IRP) -> NTSTATUS {
        KEPT.store(irp, Ordering::SeqCst);
        STATUS_PENDING
    }
    assert_eq!(code(&violation_of(unmarked, &[], 0)), (0xC9, 0x23D));
}

#[test]
fn mark_without_pending_is_reported() {
    fn marked(irp: *mut IRP) -> NTSTATUS {
        mark_pending(irp);
        succeed(irp)
    }
    assert_eq!(code(&violation_of(marked, &[], 0)), (0xC9, 0x23E));
}

#[test]
fn returning_without_completing_or_pending_is_reported() {
    assert_eq!(code(&violation_of(|_| STATUS_SUCCESS, &[], 0)), (0xC9, 0x226));
}

#[test]
fn returning_another_status_than_completed_is_reported() {
    fn inconsistent(irp: *mut IRP) -> NTSTATUS {
        complete(irp, STATUS_INVALID_PARAMETER, 0);
        STATUS_SUCCESS
    }
    assert_eq!(code(&violation_of(inconsistent, &[], 0)), (0xC9, 0x224));
}

#[test]
fn completing_with_pending_is_reported() {
    assert_eq!(code(&violation_of(|irp| complete(irp, STATUS_PENDING, 0), &[], 0)), (0xC9, 0x06));
}

#[test]
fn completing_twice_is_reported() {
    fn twice(irp: *mut IRP) -> NTSTATUS {
        succeed(irp);
        succeed(irp)
    }
    assert_eq!(code(&violation_of(twice, &[], 0)), (0x44, 0));
}

#[test]
fn completing_with_the_cancel_routine_set_is_reported() {
    fn cancelable(irp: *mut IRP) -> NTSTATUS {
        set_cancel_routine(irp, cancel);
        succeed(irp)
    }
    assert_eq!(code(&violation_of(cancelable, &[], 0)), (0xC9, 0x07));
}

#[test]
fn completing_above_dispatch_is_reported() {
    fn too_high(irp: *mut IRP) -> NTSTATUS {
        nt_sim::raise_irql(3);
        succeed(irp)
    }
    assert_eq!(code(&violation_of(too_high, &[], 0)), (0xC9, 0x0E));
}

#[test]
fn completing_under_a_spin_lock_is_reported() {
    // "IoCompleteRequest": never call it while holding a spin lock.
    fn locked(irp: *mut IRP) -> NTSTATUS {
        static LOCK: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: the lock is static.
        unsafe { KeAcquireSpinLockRaiseToDpc(LOCK.as_ptr()) };
        succeed(irp)
    }
    assert!(violation_of(locked, &[], 0).is(rules::IRP_COMPLETED_UNDER_LOCK));
}

#[test]
fn touching_a_completed_request_is_reported() {
    let mut machine = Machine::with_control(keep);
    let _io = machine.file().ioctl(CONTROL, &[], 0);
    let irp = take();
    succeed(irp);
    // SAFETY: completed requests stay mapped for a while; breaks the rule that this test is about.
    unsafe { (*irp).IoStatus.Information = 1 };
    machine.close();
    assert!(machine.driver.unload());
    let Machine { kernel, process, .. } = machine;
    drop(process);
    assert!(bugcheck_of(|| kernel.shutdown()).is(rules::USE_AFTER_FREE));
}

#[test]
fn major_function_that_the_driver_does_not_set_is_an_invalid_request() {
    // "DriverEntry's Required Responsibilities": unset entries complete with STATUS_INVALID_DEVICE_REQUEST.
    let machine = Machine::new(PLAIN);
    // SAFETY: the driver's object is valid while it is loaded.
    unsafe { (*machine.driver.object()).MajorFunction[IRP_MJ_DEVICE_CONTROL] = None };
    let io = machine.file().ioctl(CONTROL, &[], 0);
    assert_eq!(io.result(), Some((STATUS_INVALID_DEVICE_REQUEST, vec![])));
    machine.finish();
}
