//! Cancelling, closing and dying with requests pending. Cites learn.microsoft.com "Implementing a Cancel Routine",
//! "Synchronizing IRP Cancellation", "DispatchCleanup Routines" and "Bug Check 0xC4", parameter 0x135.
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use nt_sim::{bugcheck_of, irql, rules};
use nt_sys::io::*;
use nt_sys::status::*;
use nt_sys::types::*;
use sample::*;

static EVENTS: Mutex<Vec<&str>> = Mutex::new(Vec::new());

fn log(event: &'static str) {
    EVENTS.lock().expect("no test panics with it").push(event);
}

fn events() -> Vec<&'static str> {
    std::mem::take(&mut EVENTS.lock().expect("no test panics with it"))
}

/// Pends requests and completes them when their file is cleaned up, noting the order.
const ORDERLY: Behaviour = Behaviour {
    control: keep_cancelable,
    cleanup: |irp| {
        log("cleanup");
        if !KEPT.load(Ordering::SeqCst).is_null() {
            complete(take(), STATUS_CANCELLED, 0);
            log("completed");
        }
        succeed(irp)
    },
    close: |irp| {
        log("close");
        succeed(irp)
    },
    ..PLAIN
};

#[test]
fn cancel_runs_the_routine_at_dispatch_and_comes_back() {
    let machine = Machine::with_control(|irp| {
        unsafe extern "system-unwind" fn checked(device: *mut DEVICE_OBJECT, irp: *mut IRP) {
            assert_eq!(irql(), DISPATCH_LEVEL);
            assert_eq!(nt_sim::held_spin_locks(), 1);
            // SAFETY: the kernel calls with a live request.
            assert_eq!(unsafe { (*irp).Cancel.load(Ordering::SeqCst) }, TRUE);
            // SAFETY: called as the kernel calls it.
            unsafe { cancel(device, irp) };
            assert_eq!(irql(), PASSIVE_LEVEL);
        }
        set_cancel_routine(irp, checked);
        keep(irp)
    });
    let io = machine.file().ioctl(CONTROL, &[], 0);
    assert!(io.cancel());
    assert_eq!(io.result(), Some((STATUS_CANCELLED, vec![])));
    assert!(!io.cancel(), "there is nothing left to cancel");
    machine.finish();
}

#[test]
fn cancel_without_a_routine_only_marks_the_request() {
    let machine = Machine::with_control(keep);
    let io = machine.file().ioctl(CONTROL, &[], 0);
    assert!(!io.cancel());
    let irp = take();
    // SAFETY: the request is live.
    assert_eq!(unsafe { (*irp).Cancel.load(Ordering::SeqCst) }, TRUE);
    complete(irp, STATUS_CANCELLED, 0);
    machine.finish();
}

#[test]
fn routine_that_keeps_the_cancel_lock_is_reported() {
    unsafe extern "system-unwind" fn keeps(_device: *mut DEVICE_OBJECT, _irp: *mut IRP) {}
    let machine = Machine::with_control(|irp| {
        set_cancel_routine(irp, keeps);
        keep(irp)
    });
    let io = machine.file().ioctl(CONTROL, &[], 0);
    assert!(bugcheck_of(|| io.cancel()).is(rules::IRP_CANCEL_LOCK_KEPT));
}

#[test]
fn routine_that_releases_to_another_level_is_reported() {
    unsafe extern "system-unwind" fn wrong(_device: *mut DEVICE_OBJECT, _irp: *mut IRP) {
        // SAFETY: breaks the rule that this test is about.
        unsafe { IoReleaseCancelSpinLock(APC_LEVEL) };
    }
    let machine = Machine::with_control(|irp| {
        set_cancel_routine(irp, wrong);
        keep(irp)
    });
    let io = machine.file().ioctl(CONTROL, &[], 0);
    assert!(bugcheck_of(|| io.cancel()).is(rules::LOCK_RESTORES_WRONG_IRQL));
}

#[test]
fn routine_that_completes_under_the_cancel_lock_is_reported() {
    unsafe extern "system-unwind" fn locked(_device: *mut DEVICE_OBJECT, irp: *mut IRP) {
        complete(irp, STATUS_CANCELLED, 0);
    }
    let machine = Machine::with_control(|irp| {
        set_cancel_routine(irp, locked);
        keep(irp)
    });
    let io = machine.file().ioctl(CONTROL, &[], 0);
    assert!(bugcheck_of(|| io.cancel()).is(rules::IRP_COMPLETED_UNDER_LOCK));
}

#[test]
fn closing_a_handle_sends_cleanup_then_close_after_the_last_request() {
    let mut machine = Machine::new(ORDERLY);
    let io = machine.file().ioctl(CONTROL, &[], 0);
    machine.close();
    machine.kernel.settle();
    assert_eq!(events(), ["cleanup", "completed", "close"]);
    assert_eq!(io.result(), Some((STATUS_CANCELLED, vec![])));
    machine.finish();
}

#[test]
fn close_waits_for_a_request_that_outlives_cleanup() {
    let mut machine = Machine::new(Behaviour { cleanup: PLAIN.cleanup, ..ORDERLY });
    let _io = machine.file().ioctl(CONTROL, &[], 0);
    machine.close();
    machine.kernel.settle();
    assert!(events().is_empty());
    complete(take(), STATUS_CANCELLED, 0);
    machine.kernel.settle();
    assert_eq!(events(), ["close"]);
    machine.finish();
}

#[test]
fn dying_process_cancels_then_cleans_up_then_closes() {
    let mut machine = Machine::new(Behaviour { control: keep_and_log_cancel, ..ORDERLY });
    fn keep_and_log_cancel(irp: *mut IRP) -> NTSTATUS {
        unsafe extern "system-unwind" fn logged(device: *mut DEVICE_OBJECT, irp: *mut IRP) {
            log("cancel");
            // SAFETY: called as the kernel calls it.
            unsafe { cancel(device, irp) };
        }
        set_cancel_routine(irp, logged);
        keep(irp)
    }
    let io = machine.file().ioctl(CONTROL, &[], 0);
    machine.process.kill();
    assert_eq!(events(), ["cancel", "cleanup", "close"]);
    assert_eq!(io.result(), Some((STATUS_CANCELLED, vec![])));
    machine.close();
    assert!(events().is_empty(), "the handle was closed by the process's death");
    machine.finish();
}

#[test]
fn request_that_ignores_its_cancel_is_reported_when_the_process_dies() {
    let machine = Machine::with_control(keep);
    let _io = machine.file().ioctl(CONTROL, &[], 0);
    let violation = bugcheck_of(|| machine.process.kill());
    assert_eq!((violation.code, violation.parameter), (0xC4, 0x135));
}

#[test]
fn request_that_outlives_its_handle_is_named_at_shutdown() {
    let mut machine = Machine::with_control(keep);
    let _io = machine.file().ioctl(CONTROL, &[], 0);
    machine.close();
    assert!(!machine.driver.unload());
    let Machine { kernel, .. } = machine;
    let violation = bugcheck_of(|| kernel.shutdown());
    assert!(violation.is(rules::STILL_LOADED));
    assert!(violation.message.contains("pending request 0xe"), "{violation}");
}

/// Guards the one-request queue of the racing driver.
static QUEUE: Mutex<()> = Mutex::new(());

/// Takes the request out of the queue unless its cancel routine has been called: whoever takes the routine owns the request.
fn dequeue() -> Option<*mut IRP> {
    let _queue = QUEUE.lock().expect("no test panics with it");
    let irp = KEPT.load(Ordering::SeqCst);
    // SAFETY: a queued request is live, because both ways out go through the queue's lock.
    let routine = unsafe { &irp.as_ref()?.CancelRoutine };
    let taken = routine.swap(std::ptr::null_mut(), Ordering::SeqCst);
    (!taken.is_null()).then(|| KEPT.swap(std::ptr::null_mut(), Ordering::SeqCst))
}

unsafe extern "system-unwind" fn cancel_queued(device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    let queue = QUEUE.lock().expect("no test panics with it");
    KEPT.store(std::ptr::null_mut(), Ordering::SeqCst);
    drop(queue);
    // SAFETY: called as the kernel calls it.
    unsafe { cancel(device, irp) };
}

#[test]
fn cancel_races_with_completion_and_exactly_one_side_wins() {
    // "Synchronizing IRP Cancellation".
    let machine = Machine::with_control(|irp| {
        set_cancel_routine(irp, cancel_queued);
        keep(irp)
    });
    for round in 0..if cfg!(miri) { 4 } else { 500 } {
        let io = machine.file().ioctl(CONTROL, &[], 0);
        let start = std::sync::Barrier::new(2);
        let completed = std::thread::scope(|scope| {
            let cancelling = scope.spawn(|| {
                start.wait();
                io.cancel()
            });
            start.wait();
            let completed = dequeue().map(succeed).is_some();
            let cancelled = cancelling.join().expect("no panic");
            assert_ne!(completed, cancelled, "round {round}");
            completed
        });
        let expected = if completed { STATUS_SUCCESS } else { STATUS_CANCELLED };
        assert_eq!(io.result(), Some((expected, vec![])));
    }
    machine.finish();
}

#[test]
fn failing_cleanup_is_reported() {
    // "Errors in Handling Cleanup and Close Operations"; "Bug Check 0xC9", 0x247.
    let mut machine = Machine::new(Behaviour { cleanup: |irp| complete(irp, STATUS_UNSUCCESSFUL, 0), ..PLAIN });
    let file = machine.file.take().expect("open");
    let violation = bugcheck_of(|| file.close());
    assert_eq!((violation.code, violation.parameter), (0xC9, 0x247));
}

#[test]
fn cancel_lock_can_be_taken_by_hand() {
    let kernel = boot();
    let mut saved = 9;
    // SAFETY: a valid place.
    unsafe { IoAcquireCancelSpinLock(&mut saved) };
    assert_eq!((saved, irql(), nt_sim::held_spin_locks()), (PASSIVE_LEVEL, DISPATCH_LEVEL, 1));
    // SAFETY: the lock is held.
    unsafe { IoReleaseCancelSpinLock(saved) };
    assert_eq!(irql(), PASSIVE_LEVEL);
    kernel.shutdown();
}

#[test]
fn cancelling_what_is_no_request_is_reported() {
    let _kernel = boot();
    // SAFETY: breaks the rule that this test is about; the kernel only looks the address up.
    let violation = bugcheck_of(|| unsafe { IoCancelIrp(std::ptr::without_provenance_mut(16)) });
    assert!(violation.is(rules::REFERENCE_DEAD));
}
