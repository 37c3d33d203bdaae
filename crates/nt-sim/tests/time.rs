//! Timers, deferred procedure calls, events and waiting, on the virtual clock. Cites learn.microsoft.com "KeSetTimerEx",
//! "KeFlushQueuedDpcs", "KeWaitForSingleObject", "KeDelayExecutionThread", "KeInitializeEvent" and "Bug Check 0xC4".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use nt_sim::{Kernel, bugcheck_of, irql, on_dispatch, rules};
use nt_sys::ex::{ExAllocatePool2, ExFreePoolWithTag, POOL_FLAG_NON_PAGED};
use nt_sys::hal::KeQueryPerformanceCounter;
use nt_sys::ke::*;
use nt_sys::status::{STATUS_SUCCESS, STATUS_TIMEOUT};
use nt_sys::types::*;
use sample::*;

/// Kernel objects of a test, at one address for its whole life.
struct Objects {
    timer: UnsafeCell<MaybeUninit<KTIMER>>,
    dpc: UnsafeCell<MaybeUninit<KDPC>>,
    event: UnsafeCell<MaybeUninit<KEVENT>>,
    fired: AtomicU32,
}

// SAFETY: the kernel synchronizes its own objects.
unsafe impl Sync for Objects {}

impl Objects {
    /// A timer, a DPC that counts, and an event of this type, which live for ever.
    fn new(event: i32) -> &'static Self {
        static ALL: Mutex<Vec<&Objects>> = Mutex::new(Vec::new());
        let objects: &Self = Box::leak(Box::new(Self {
            timer: UnsafeCell::new(MaybeUninit::uninit()),
            dpc: UnsafeCell::new(MaybeUninit::uninit()),
            event: UnsafeCell::new(MaybeUninit::uninit()),
            fired: AtomicU32::new(0),
        }));
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(objects);
        // SAFETY: valid for writing.
        unsafe { KeInitializeTimerEx(objects.timer(), NotificationTimer) };
        // SAFETY: valid for writing; the routine takes the counter.
        unsafe { KeInitializeDpc(objects.dpc(), count, (&raw const objects.fired).cast_mut().cast()) };
        // SAFETY: valid for writing.
        unsafe { KeInitializeEvent(objects.event(), event, FALSE) };
        objects
    }

    fn timer(&self) -> *mut KTIMER {
        self.timer.get().cast()
    }

    fn dpc(&self) -> *mut KDPC {
        self.dpc.get().cast()
    }

    fn event(&self) -> *mut KEVENT {
        self.event.get().cast()
    }

    fn fired(&self) -> u32 {
        self.fired.load(Ordering::SeqCst)
    }

    fn set_timer(&self, ms: i64, period: i32) -> BOOLEAN {
        // SAFETY: both objects are initialized and outlive the machine's use of them.
        unsafe { KeSetTimerEx(self.timer(), relative(ms), period, self.dpc()) }
    }

    fn cancel_timer(&self) -> BOOLEAN {
        // SAFETY: the timer is initialized.
        unsafe { KeCancelTimer(self.timer()) }
    }

    fn set_event(&self) -> i32 {
        // SAFETY: the event is initialized.
        unsafe { KeSetEvent(self.event(), 0, FALSE) }
    }
}

unsafe extern "system-unwind" fn count(_dpc: *mut KDPC, counter: *mut c_void, _a: *mut c_void, _b: *mut c_void) {
    assert_eq!(irql(), DISPATCH_LEVEL);
    // SAFETY: the context that `Objects::new` gave.
    unsafe { &*counter.cast::<AtomicU32>() }.fetch_add(1, Ordering::SeqCst);
}

fn wait<T>(object: *mut T, timeout: Option<i64>) -> NTSTATUS {
    let timeout = timeout.map(relative);
    let place = timeout.as_ref().map_or(forever(), std::ptr::from_ref);
    // SAFETY: tests pass live objects.
    unsafe { KeWaitForSingleObject(object.cast(), Executive, KernelMode, FALSE, place) }
}

fn counter() -> i64 {
    // SAFETY: null is allowed.
    unsafe { KeQueryPerformanceCounter(null_mut()) }
}

#[test]
fn timer_fires_once_at_its_time() {
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    assert_eq!(objects.set_timer(100, 0), FALSE);
    kernel.advance(99);
    assert_eq!(objects.fired(), 0);
    kernel.advance(1);
    assert_eq!(objects.fired(), 1);
    kernel.advance(1000);
    assert_eq!(objects.fired(), 1);
    kernel.shutdown();
}

#[test]
fn periodic_timer_fires_until_cancelled() {
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    objects.set_timer(100, 250);
    kernel.advance(1100);
    assert_eq!(objects.fired(), 5);
    assert_eq!((objects.cancel_timer(), objects.cancel_timer()), (TRUE, FALSE));
    kernel.advance(1000);
    assert_eq!(objects.fired(), 5);
    kernel.shutdown();
}

#[test]
fn setting_a_set_timer_moves_it() {
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    objects.set_timer(100, 0);
    assert_eq!(objects.set_timer(500, 0), TRUE);
    kernel.advance(499);
    assert_eq!(objects.fired(), 0);
    kernel.advance(1);
    assert_eq!(objects.fired(), 1);
    kernel.shutdown();
}

#[test]
fn flushing_runs_a_dpc_whose_timer_is_cancelled_too_late() {
    // "KeCancelTimer": the DPC of an expired timer may still be queued; KeFlushQueuedDpcs waits for it.
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    objects.set_timer(0, 0);
    assert_eq!((objects.fired(), objects.cancel_timer()), (0, FALSE));
    // SAFETY: no precondition.
    unsafe { KeFlushQueuedDpcs() };
    assert_eq!(objects.fired(), 1);
    kernel.shutdown();
}

#[test]
fn counter_follows_virtual_time() {
    let kernel = boot();
    let mut frequency = 0;
    // SAFETY: a valid place.
    let before = unsafe { KeQueryPerformanceCounter(&mut frequency) };
    kernel.advance(250);
    assert_eq!((frequency, counter() - before, kernel.now_ms()), (10_000_000, 2_500_000, 250));
    kernel.shutdown();
}

#[test]
fn real_counter_moves_by_itself() {
    let kernel = Kernel::boot(nt_sim::Config { real_counter: true });
    let start = counter();
    while counter() == start {}
    assert_eq!(kernel.now_ms(), 0);
    kernel.shutdown();
}

#[test]
fn timer_set_at_unload_is_reported() {
    let mut machine = Machine::new(Behaviour {
        start: |_| {
            Objects::new(NotificationEvent).set_timer(1000, 1000);
            STATUS_SUCCESS
        },
        ..PLAIN
    });
    machine.close();
    let violation = bugcheck_of(|| machine.driver.unload());
    assert!(violation.is(rules::UNLOADED_WITH_PENDING));
    assert!(violation.message.contains("1 set timers"), "{violation}");
}

#[test]
fn freeing_a_set_timer_is_reported() {
    // "Bug Check 0xC4", parameter 0x15.
    let _kernel = boot();
    // SAFETY: no precondition.
    let memory = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 256, TAG) };
    let timer = memory.cast::<KTIMER>().wrapping_add(1);
    // SAFETY: the block is large enough.
    unsafe { KeInitializeTimerEx(timer, NotificationTimer) };
    // SAFETY: the timer is initialized.
    unsafe { KeSetTimerEx(timer, relative(10), 0, null_mut()) };
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { ExFreePoolWithTag(memory, TAG) });
    assert_eq!((violation.code, violation.parameter), (0xC4, 0x15));
}

#[test]
fn timer_that_was_never_initialized_is_reported() {
    let _kernel = boot();
    let mut timer = MaybeUninit::<KTIMER>::zeroed();
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { KeSetTimerEx(timer.as_mut_ptr(), relative(1), 0, null_mut()) });
    assert_eq!(violation.code, 0xC7);
}

#[test]
fn notification_event_stays_signaled_and_synchronization_event_does_not() {
    let kernel = boot();
    let (stays, resets) = (Objects::new(NotificationEvent), Objects::new(SynchronizationEvent));
    for (objects, second) in [(stays, STATUS_SUCCESS), (resets, STATUS_TIMEOUT)] {
        assert_eq!(wait(objects.event(), Some(0)), STATUS_TIMEOUT);
        assert_eq!((objects.set_event(), objects.set_event()), (0, 1));
        assert_eq!(wait(objects.event(), Some(0)), STATUS_SUCCESS);
        assert_eq!(wait(objects.event(), Some(0)), second);
        // SAFETY: the event is initialized.
        unsafe { KeClearEvent(objects.event()) };
        // SAFETY: the event is initialized.
        assert_eq!(unsafe { KeReadStateEvent(objects.event()) }, 0);
        // SAFETY: the event is initialized.
        assert_eq!(unsafe { KeResetEvent(objects.event()) }, 0);
    }
    kernel.shutdown();
}

#[test]
fn wait_times_out_in_virtual_time() {
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    assert_eq!(wait(objects.event(), Some(30_000)), STATUS_TIMEOUT);
    assert_eq!(kernel.now_ms(), 30_000);
    kernel.shutdown();
}

#[test]
fn waiting_runs_the_timer_that_ends_the_wait() {
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    objects.set_timer(700, 0);
    assert_eq!(wait(objects.timer(), None), STATUS_SUCCESS);
    assert_eq!((kernel.now_ms(), objects.fired()), (700, 1));
    kernel.shutdown();
}

#[test]
fn sleeping_moves_virtual_time() {
    let kernel = boot();
    let interval = relative(45);
    // SAFETY: a valid place.
    unsafe { KeDelayExecutionThread(KernelMode, FALSE, &interval) };
    assert_eq!(kernel.now_ms(), 45);
    kernel.shutdown();
}

#[test]
fn wait_that_nothing_can_end_is_reported() {
    let _kernel = boot();
    let objects = Objects::new(NotificationEvent);
    assert!(bugcheck_of(|| wait(objects.event(), None)).is(rules::HANG));
}

#[test]
fn another_thread_of_the_test_may_end_the_wait() {
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    let (attached, attaching) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nt_sim::host::attach_thread();
            attached.send(()).expect("the test listens");
            objects.set_event()
        });
        attaching.recv().expect("the thread attaches");
        assert_eq!(wait(objects.event(), Some(60_000)), STATUS_SUCCESS);
    });
    assert_eq!(kernel.now_ms(), 0);
    kernel.shutdown();
}

#[test]
fn waiting_at_dispatch_is_reported_unless_it_is_a_poll() {
    // "Bug Check 0xC4", parameters 0x121 and 0x122.
    let kernel = boot();
    let objects = Objects::new(NotificationEvent);
    assert_eq!(on_dispatch(|| wait(objects.event(), Some(0))), STATUS_TIMEOUT);
    let violation = bugcheck_of(|| on_dispatch(|| wait(objects.event(), None)));
    assert_eq!((violation.code, violation.parameter), (0xC4, 0x121));
    drop(kernel);
    let _kernel = boot();
    let violation = bugcheck_of(|| on_dispatch(|| wait(objects.event(), Some(1))));
    assert_eq!((violation.code, violation.parameter), (0xC4, 0x122));
}

#[test]
fn waiting_for_what_is_no_object_is_reported() {
    let _kernel = boot();
    let mut nothing = MaybeUninit::<KEVENT>::zeroed();
    let violation = bugcheck_of(|| wait(nothing.as_mut_ptr(), Some(0)));
    assert!(violation.is(rules::WAIT_BAD_OBJECT));
}
