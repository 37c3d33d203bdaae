//! `Ke*`: the kernel core: IRQL, spin locks, events, timers, deferred procedure calls, waiting.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

use crate::types::{BOOLEAN, KIRQL, KPRIORITY, KPROCESSOR_MODE, LARGE_INTEGER, LIST_ENTRY, NTSTATUS};

/// A spin lock; zero is free, and zeroing is what `KeInitializeSpinLock` does on x64.
pub type KSPIN_LOCK = usize;

/// `EVENT_TYPE`: stays signaled until reset.
pub const NotificationEvent: i32 = 0;
/// `EVENT_TYPE`: releases one waiter and resets itself.
pub const SynchronizationEvent: i32 = 1;

/// `TIMER_TYPE`: stays signaled until set again.
pub const NotificationTimer: i32 = 0;
/// `TIMER_TYPE`: releases one waiter and resets itself.
pub const SynchronizationTimer: i32 = 1;

/// `KWAIT_REASON` of a driver.
pub const Executive: i32 = 0;

/// Head of every object a thread can wait for.
#[repr(C)]
#[derive(Debug)]
pub struct DISPATCHER_HEADER {
    pub Type: u8,
    pub Signalling: u8,
    pub Size: u8,
    pub Reserved1: u8,
    pub SignalState: i32,
    pub WaitListHead: LIST_ENTRY,
}

#[repr(C)]
#[derive(Debug)]
pub struct KEVENT {
    pub Header: DISPATCHER_HEADER,
}

#[repr(C)]
#[derive(Debug)]
pub struct KTIMER {
    pub Header: DISPATCHER_HEADER,
    pub DueTime: u64,
    pub TimerListEntry: LIST_ENTRY,
    pub Dpc: *mut KDPC,
    pub Processor: u16,
    pub TimerType: u16,
    pub Period: u32,
}

/// Runs at `DISPATCH_LEVEL` on an arbitrary thread.
pub type KDEFERRED_ROUTINE = unsafe extern "system-unwind" fn(
    Dpc: *mut KDPC,
    DeferredContext: *mut c_void,
    SystemArgument1: *mut c_void,
    SystemArgument2: *mut c_void,
);

#[repr(C)]
#[derive(Debug)]
pub struct KDPC {
    pub Type: u8,
    pub Importance: u8,
    pub Number: u16,
    pub DpcListEntry: *mut c_void,
    pub ProcessorHistory: usize,
    pub DeferredRoutine: Option<KDEFERRED_ROUTINE>,
    pub DeferredContext: *mut c_void,
    pub SystemArgument1: *mut c_void,
    pub SystemArgument2: *mut c_void,
    pub DpcData: *mut c_void,
}

/// A processor, as a place in its group.
#[repr(C)]
#[derive(Debug)]
pub struct PROCESSOR_NUMBER {
    pub Group: u16,
    pub Number: u8,
    pub Reserved: u8,
}

const _: () = {
    assert!(size_of::<PROCESSOR_NUMBER>() == 4);
    assert!(size_of::<DISPATCHER_HEADER>() == 24);
    assert!(offset_of!(DISPATCHER_HEADER, SignalState) == 4);
    assert!(offset_of!(DISPATCHER_HEADER, WaitListHead) == 8);
    assert!(size_of::<KEVENT>() == 24 && align_of::<KEVENT>() == 8);
    assert!(size_of::<KTIMER>() == 64 && align_of::<KTIMER>() == 8);
    assert!(offset_of!(KTIMER, DueTime) == 24);
    assert!(offset_of!(KTIMER, TimerListEntry) == 32);
    assert!(offset_of!(KTIMER, Dpc) == 48);
    assert!(offset_of!(KTIMER, Processor) == 56);
    assert!(offset_of!(KTIMER, TimerType) == 58);
    assert!(offset_of!(KTIMER, Period) == 60);
    assert!(size_of::<KDPC>() == 64 && align_of::<KDPC>() == 8);
    assert!(offset_of!(KDPC, Importance) == 1);
    assert!(offset_of!(KDPC, Number) == 2);
    assert!(offset_of!(KDPC, DpcListEntry) == 8);
    assert!(offset_of!(KDPC, ProcessorHistory) == 16);
    assert!(offset_of!(KDPC, DeferredRoutine) == 24);
    assert!(offset_of!(KDPC, DeferredContext) == 32);
    assert!(offset_of!(KDPC, SystemArgument1) == 40);
    assert!(offset_of!(KDPC, SystemArgument2) == 48);
    assert!(offset_of!(KDPC, DpcData) == 56);
};

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Level the current processor runs at.
    ///
    /// # IRQL
    /// Any.
    pub fn KeGetCurrentIrql() -> KIRQL;

    /// Raises the level and returns the old one; what `KeRaiseIrql` expands to.
    ///
    /// # IRQL
    /// `<= NewIrql`.
    pub fn KfRaiseIrql(NewIrql: KIRQL) -> KIRQL;

    /// Restores the level that raising returned.
    ///
    /// # IRQL
    /// `>= NewIrql`.
    pub fn KeLowerIrql(NewIrql: KIRQL);

    /// Raises to `DISPATCH_LEVEL`, takes the lock, returns the old level.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn KeAcquireSpinLockRaiseToDpc(SpinLock: *mut KSPIN_LOCK) -> KIRQL;

    /// Gives the lock back and restores the level that acquiring returned.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`.
    pub fn KeReleaseSpinLock(SpinLock: *mut KSPIN_LOCK, NewIrql: KIRQL);

    /// Takes the lock without touching the level.
    ///
    /// # IRQL
    /// `>= DISPATCH_LEVEL`.
    pub fn KeAcquireSpinLockAtDpcLevel(SpinLock: *mut KSPIN_LOCK);

    /// Gives back a lock taken by [`KeAcquireSpinLockAtDpcLevel`].
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`.
    pub fn KeReleaseSpinLockFromDpcLevel(SpinLock: *mut KSPIN_LOCK);

    /// Makes an event, signaled when `State` is nonzero.
    ///
    /// # IRQL
    /// Any.
    pub fn KeInitializeEvent(Event: *mut KEVENT, Type: i32, State: BOOLEAN);

    /// Signals the event and returns the state it had.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`; `<= APC_LEVEL` when `Wait` is nonzero.
    pub fn KeSetEvent(Event: *mut KEVENT, Increment: KPRIORITY, Wait: BOOLEAN) -> i32;

    /// Ends the signal.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn KeClearEvent(Event: *mut KEVENT);

    /// Ends the signal and returns the state the event had.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn KeResetEvent(Event: *mut KEVENT) -> i32;

    /// Nonzero when signaled.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn KeReadStateEvent(Event: *mut KEVENT) -> i32;

    /// Waits for an event, a timer, a thread or a process. A null timeout waits for ever.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`; `<= DISPATCH_LEVEL` when the timeout is zero.
    pub fn KeWaitForSingleObject(
        Object: *mut c_void,
        WaitReason: i32,
        WaitMode: KPROCESSOR_MODE,
        Alertable: BOOLEAN,
        Timeout: *const LARGE_INTEGER,
    ) -> NTSTATUS;

    /// Sleeps; a negative interval is relative, in units of 100 ns.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn KeDelayExecutionThread(
        WaitMode: KPROCESSOR_MODE,
        Alertable: BOOLEAN,
        Interval: *const LARGE_INTEGER,
    ) -> NTSTATUS;

    /// Makes a timer.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn KeInitializeTimerEx(Timer: *mut KTIMER, Type: i32);

    /// Sets the timer, once or every `Period` milliseconds; true when it was set already.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn KeSetTimerEx(Timer: *mut KTIMER, DueTime: LARGE_INTEGER, Period: i32, Dpc: *mut KDPC) -> BOOLEAN;

    /// Takes the timer back; true when it was set. Its DPC may already be queued or running.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn KeCancelTimer(Timer: *mut KTIMER) -> BOOLEAN;

    /// Makes a deferred procedure call.
    ///
    /// # IRQL
    /// Any.
    pub fn KeInitializeDpc(Dpc: *mut KDPC, DeferredRoutine: KDEFERRED_ROUTINE, DeferredContext: *mut c_void);

    /// Returns when every DPC queued before has run.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn KeFlushQueuedDpcs();

    /// Number of the current processor among all of the machine; its place in its group too, unless null.
    ///
    /// # IRQL
    /// Any. Below `DISPATCH_LEVEL` the thread may go on on another processor at once.
    pub fn KeGetCurrentProcessorNumberEx(ProcNumber: *mut PROCESSOR_NUMBER) -> u32;

    /// Stops the machine.
    ///
    /// # IRQL
    /// Any.
    pub fn KeBugCheckEx(
        BugCheckCode: u32,
        BugCheckParameter1: usize,
        BugCheckParameter2: usize,
        BugCheckParameter3: usize,
        BugCheckParameter4: usize,
    ) -> !;
}
