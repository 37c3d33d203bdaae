//! Work items and system threads. Cites learn.microsoft.com "IoAllocateWorkItem", "IoQueueWorkItem", "IoFreeWorkItem",
//! "PsCreateSystemThread", "PsTerminateSystemThread" and "Bug Check 0x96: INVALID_WORK_QUEUE_ITEM".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use nt_sim::{bugcheck_of, irql, on_dispatch, rules};
use nt_sys::io::*;
use nt_sys::ke::*;
use nt_sys::ob::{ObReferenceObjectByHandle, ObfDereferenceObject};
use nt_sys::ps::*;
use nt_sys::status::*;
use nt_sys::types::*;
use nt_sys::zw::ZwClose;
use sample::*;

unsafe extern "system-unwind" fn count(_device: *mut DEVICE_OBJECT, counter: *mut c_void) {
    assert_eq!(irql(), PASSIVE_LEVEL);
    // SAFETY: the tests' context.
    unsafe { &*counter.cast::<AtomicU32>() }.fetch_add(1, Ordering::SeqCst);
}

fn allocate(machine: &Machine) -> *mut IO_WORKITEM {
    // SAFETY: the device exists.
    unsafe { IoAllocateWorkItem(machine.device()) }
}

fn queue(item: *mut IO_WORKITEM, counter: &AtomicU32) {
    let context = std::ptr::from_ref(counter).cast_mut().cast();
    // SAFETY: the routine takes a counter.
    unsafe { IoQueueWorkItem(item, count, DelayedWorkQueue, context) };
}

fn free(item: *mut IO_WORKITEM) {
    // SAFETY: at worst breaks the rule that a test is about, which the kernel reports.
    unsafe { IoFreeWorkItem(item) };
}

#[test]
fn work_item_runs_later_at_passive_level_and_can_be_queued_again() {
    let machine = Machine::new(PLAIN);
    let (item, runs) = (allocate(&machine), AtomicU32::new(0));
    for expected in 1..3 {
        on_dispatch(|| queue(item, &runs));
        assert_eq!(runs.load(Ordering::SeqCst), expected - 1);
        machine.kernel.settle();
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
    free(item);
    machine.finish();
}

#[test]
fn queueing_a_queued_item_is_reported() {
    let machine = Machine::new(PLAIN);
    let (item, runs) = (allocate(&machine), AtomicU32::new(0));
    queue(item, &runs);
    assert_eq!(bugcheck_of(|| queue(item, &runs)).code, 0x96);
}

#[test]
fn freeing_a_queued_item_is_reported() {
    let machine = Machine::new(PLAIN);
    let (item, runs) = (allocate(&machine), AtomicU32::new(0));
    queue(item, &runs);
    assert_eq!(bugcheck_of(|| free(item)).code, 0x96);
}

#[test]
fn item_left_at_unload_is_reported() {
    let mut machine = Machine::new(PLAIN);
    allocate(&machine);
    machine.close();
    let violation = bugcheck_of(|| machine.driver.unload());
    assert_eq!(violation.code, 0xCE);
    assert!(violation.message.contains("work item"), "{violation}");
}

#[test]
fn item_for_what_is_no_device_is_reported() {
    let _kernel = boot();
    // SAFETY: breaks the rule that this test is about; the kernel only looks the address up.
    let violation = bugcheck_of(|| unsafe { IoAllocateWorkItem(without_provenance_mut(16)) });
    assert!(violation.is(rules::DEVICE_UNKNOWN));
}

#[test]
fn work_of_another_emulation_runs_with_the_machines() {
    let kernel = boot();
    static RAN: AtomicU32 = AtomicU32::new(0);
    nt_sim::host::defer(Box::new(|| {
        RAN.fetch_add(1, Ordering::SeqCst);
    }));
    nt_sim::host::wait_ms(20);
    assert_eq!((RAN.load(Ordering::SeqCst), nt_sim::host::now_ms()), (1, 20));
    kernel.shutdown();
}

/// Starts a thread and returns its handle.
fn start(routine: KSTART_ROUTINE, context: *mut c_void) -> HANDLE {
    let mut handle = null_mut();
    // SAFETY: valid places; tests pass the context that their routine expects.
    let status = unsafe {
        PsCreateSystemThread(&mut handle, THREAD_ALL_ACCESS, null_mut(), null_mut(), null_mut(), routine, context)
    };
    assert_eq!(status, STATUS_SUCCESS);
    handle
}

/// Turns a thread's handle into its object, as a driver does that will wait for it.
fn object_of(handle: HANDLE) -> *mut c_void {
    let mut thread = null_mut();
    // SAFETY: the handle is open.
    let status = unsafe {
        ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, null_mut(), KernelMode, &mut thread, null_mut())
    };
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: the handle is open.
    unsafe { ZwClose(handle) };
    thread
}

fn join(thread: *mut c_void) {
    // SAFETY: the thread is referenced.
    let status = unsafe { KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, forever()) };
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: the reference of `object_of`.
    unsafe { ObfDereferenceObject(thread) };
}

#[test]
fn system_thread_sleeps_in_virtual_time_and_can_be_waited_for() {
    unsafe extern "system-unwind" fn tick(counter: *mut c_void) {
        let interval = relative(100);
        for _ in 0..10 {
            // SAFETY: a valid place.
            unsafe { KeDelayExecutionThread(KernelMode, FALSE, &interval) };
            // SAFETY: the test's context.
            unsafe { &*counter.cast::<AtomicU32>() }.fetch_add(1, Ordering::SeqCst);
        }
        // SAFETY: this is a system thread.
        unsafe { PsTerminateSystemThread(STATUS_SUCCESS) };
    }
    let kernel = boot();
    let ticks = AtomicU32::new(0);
    let thread = object_of(start(tick, (&raw const ticks).cast_mut().cast()));
    kernel.advance(350);
    assert_eq!(ticks.load(Ordering::SeqCst), 3);
    join(thread);
    assert_eq!((ticks.load(Ordering::SeqCst), kernel.now_ms()), (10, 1000));
    kernel.shutdown();
}

#[test]
fn system_thread_sees_an_event_before_settle_returns() {
    struct Both {
        event: KEVENT,
        woken: AtomicU32,
    }
    unsafe extern "system-unwind" fn waiter(both: *mut c_void) {
        let both = both.cast::<Both>();
        // SAFETY: the test's context outlives the thread.
        let event = unsafe { &raw mut (*both).event };
        // SAFETY: the event is initialized.
        unsafe { KeWaitForSingleObject(event.cast(), Executive, KernelMode, FALSE, forever()) };
        // SAFETY: as above.
        unsafe { &(*both).woken }.store(1, Ordering::SeqCst);
    }
    let kernel = boot();
    let both = Box::into_raw(Box::new(std::mem::MaybeUninit::<Both>::zeroed())).cast::<Both>();
    // SAFETY: the box is valid for the whole test.
    let event = unsafe { &raw mut (*both).event };
    // SAFETY: valid for writing.
    unsafe { KeInitializeEvent(event, NotificationEvent, FALSE) };
    let thread = object_of(start(waiter, both.cast()));
    for _ in 0..2 {
        kernel.settle();
        // SAFETY: the box is valid.
        assert_eq!(unsafe { &(*both).woken }.load(Ordering::SeqCst), 0);
    }
    // SAFETY: the event is initialized.
    unsafe { KeSetEvent(event, 0, FALSE) };
    kernel.settle();
    // SAFETY: the box is valid.
    assert_eq!(unsafe { &(*both).woken }.load(Ordering::SeqCst), 1);
    join(thread);
    // SAFETY: the thread has ended; the box came from `Box::into_raw`.
    drop(unsafe { Box::from_raw(both) });
    kernel.shutdown();
}

#[test]
fn thread_left_running_at_unload_is_reported() {
    unsafe extern "system-unwind" fn sleeper(_context: *mut c_void) {
        let interval = relative(1 << 40);
        // SAFETY: a valid place.
        unsafe { KeDelayExecutionThread(KernelMode, FALSE, &interval) };
    }
    let mut machine = Machine::new(PLAIN);
    // SAFETY: the handle was just made.
    unsafe { ZwClose(start(sleeper, null_mut())) };
    machine.close();
    let violation = bugcheck_of(|| machine.driver.unload());
    assert_eq!(violation.code, 0xCE);
    assert!(violation.message.contains("1 running system threads"), "{violation}");
}

#[test]
fn bad_thread_handle_is_reported() {
    let _kernel = boot();
    let bad = without_provenance_mut(12);
    assert_eq!(bugcheck_of(|| object_of(bad)).code, 0x93);
}
