//! Every rule the verifier knows, with the bug check that Windows or Driver Verifier raises for it.
//!
//! Codes and parameters are those of the pages "Bug Check 0xC4: DRIVER_VERIFIER_DETECTED_VIOLATION", "Bug Check 0xC9:
//! DRIVER_VERIFIER_IOMANAGER_VIOLATION", "Bug Check 0xC2: BAD_POOL_CALLER" and of the page of the code otherwise. Where Windows
//! has no check, the closest code stands with the reason.

/// A rule: its name, and the bug check that reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Short name, used by tests and messages.
    pub name: &'static str,
    /// Bug check code.
    pub code: u32,
    /// First parameter of the bug check, which tells the violations of one code apart.
    pub parameter: u32,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $parameter:literal;)*) => {
        $($(#[$doc])* pub const $name: Rule = Rule { name: stringify!($name), code: $code, parameter: $parameter };)*
    };
}

rules! {
    /// A kernel function was called at the wrong IRQL.
    IRQL = 0xC4, 0xE5;
    /// IRQL raised to a lower level.
    RAISE_TO_LOWER = 0xC4, 0x30;
    /// IRQL lowered to a higher level.
    LOWER_TO_HIGHER = 0xC4, 0x31;
    /// A DPC, thread or callback returned at another IRQL, or still holding a spin lock (IRQL_UNEXPECTED_VALUE).
    IRQL_NOT_RESTORED = 0xC8, 0;

    /// `KeAcquireSpinLock` above `DISPATCH_LEVEL`.
    LOCK_ACQUIRED_TOO_HIGH = 0xC4, 0x42;
    /// `KeAcquireSpinLockAtDpcLevel` below `DISPATCH_LEVEL`.
    LOCK_ACQUIRED_TOO_LOW = 0xC4, 0x40;
    /// `KeReleaseSpinLock` at another level than `DISPATCH_LEVEL`.
    LOCK_RELEASED_AT_WRONG_IRQL = 0xC4, 0x32;
    /// `KeReleaseSpinLockFromDpcLevel` below `DISPATCH_LEVEL`.
    LOCK_RELEASED_TOO_LOW = 0xC4, 0x41;
    /// The level given to a release is not the one that the acquire returned (IRQL_UNEXPECTED_VALUE).
    LOCK_RESTORES_WRONG_IRQL = 0xC8, 1;
    /// The thread acquires a lock it owns.
    LOCK_RECURSION = 0xC4, 0x1000;
    /// The word is neither free nor a held lock.
    LOCK_UNINITIALIZED = 0xC4, 0x1002;
    /// Another thread than the owner releases.
    LOCK_RELEASED_BY_OTHER = 0xC4, 0x1004;
    /// Release of a lock that nobody owns.
    LOCK_NOT_OWNED = 0xC4, 0x1007;
    /// Acquired by one family of functions and released by the other.
    LOCK_MISMATCHED_RELEASE = 0xC4, 0x1009;
    /// The memory of a held lock is freed.
    LOCK_FREED_WHILE_HELD = 0xC4, 0x100B;
    /// A thread spins for seconds (DPC_WATCHDOG_VIOLATION).
    LOCK_HANG = 0x133, 0;

    /// Pool request of no bytes.
    POOL_ZERO_SIZE = 0xC4, 0x00;
    /// Paged pool asked for above `APC_LEVEL`.
    POOL_PAGED_TOO_HIGH = 0xC4, 0x01;
    /// Nonpaged pool asked for above `DISPATCH_LEVEL`.
    POOL_TOO_HIGH = 0xC4, 0x02;
    /// Pool request with tag 0.
    POOL_ZERO_TAG = 0xC2, 0x9B;
    /// Pool request whose tag has no letter or digit.
    POOL_BAD_TAG = 0xC2, 0x9D;
    /// Pool request whose flags name no pool, or several.
    POOL_BAD_FLAGS = 0xC2, 0x9A;
    /// Free of an address that no allocation returned.
    POOL_BAD_POINTER = 0xC4, 0x10;
    /// Paged pool freed above `APC_LEVEL`.
    POOL_PAGED_FREED_TOO_HIGH = 0xC4, 0x11;
    /// Nonpaged pool freed above `DISPATCH_LEVEL`.
    POOL_FREED_TOO_HIGH = 0xC4, 0x12;
    /// Free of memory that is free.
    POOL_DOUBLE_FREE = 0xC4, 0x13;
    /// Free of memory that holds a running timer or a queued DPC.
    POOL_FREED_WITH_TIMER = 0xC4, 0x15;
    /// Free of memory that a memory descriptor list still describes; no documented code.
    POOL_FREED_WITH_MDL = 0xC4, 0x200;
    /// Free with another tag than the allocation's.
    POOL_WRONG_TAG = 0xC2, 0x0A;
    /// Bytes after the block were written.
    POOL_OVERRUN = 0xC4, 0x51;
    /// Bytes before the block were written (BAD_POOL_HEADER).
    POOL_UNDERRUN = 0x19, 0x20;
    /// Freed memory was written (DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL).
    USE_AFTER_FREE = 0xD5, 1;
    /// Pool not freed at unload.
    POOL_LEAK = 0xC4, 0x62;

    /// Memory descriptor list that no [`IoAllocateMdl`](nt_sys::mdl::IoAllocateMdl) made, or that was freed (BAD_POOL_CALLER).
    MDL_UNKNOWN = 0xC2, 0x07;
    /// A list is built over memory that is no (single) allocation of nonpaged pool (MEMORY_MANAGEMENT).
    MDL_NOT_NONPAGED_POOL = 0x1A, 0;
    /// A list that belongs to a request, which this kernel does not model.
    MDL_NOT_MODELLED = 0x1A, 1;

    /// Request completed twice, or after it was given back (MULTIPLE_IRP_COMPLETE_REQUESTS).
    IRP_COMPLETED_TWICE = 0x44, 0;
    /// Request completed with `STATUS_PENDING`.
    IRP_COMPLETED_PENDING = 0xC9, 0x06;
    /// Request completed while its cancel routine is set.
    IRP_COMPLETED_CANCELABLE = 0xC9, 0x07;
    /// Request completed above `DISPATCH_LEVEL`.
    IRP_COMPLETED_TOO_HIGH = 0xC9, 0x0E;
    /// Request completed with a spin lock held, which the page of `IoCompleteRequest` forbids; no documented code.
    IRP_COMPLETED_UNDER_LOCK = 0xC9, 0x200;
    /// `Information` is more than the caller's output buffer holds; no documented code.
    IRP_OUTPUT_OVERFLOW = 0xC9, 0x201;
    /// Bytes that the driver never wrote go back to user mode; no documented code.
    IRP_OUTPUT_UNINITIALIZED = 0xC9, 0x202;
    /// A request with direct or neither I/O succeeded with output, which this kernel does not model.
    IRP_METHOD_NOT_MODELLED = 0xC9, 0x203;
    /// IRQL or held spin locks changed over a dispatch routine.
    IRP_DISPATCH_CHANGED_IRQL = 0xC9, 0x05;
    /// Status returned differs from `IoStatus.Status`.
    IRP_STATUS_INCONSISTENT = 0xC9, 0x224;
    /// Neither completed nor pended.
    IRP_FORGOTTEN = 0xC9, 0x226;
    /// `STATUS_PENDING` returned without `IoMarkIrpPending`.
    IRP_NOT_MARKED = 0xC9, 0x23D;
    /// `IoMarkIrpPending` without `STATUS_PENDING` returned.
    IRP_MARKED_NOT_PENDING = 0xC9, 0x23E;
    /// A cleanup or close request failed.
    IRP_CANNOT_FAIL = 0xC9, 0x247;
    /// A cancelled request was not completed.
    IRP_CANCEL_IGNORED = 0xC4, 0x135;
    /// A cancel routine kept the cancel spin lock, or left another IRQL than `CancelIrql`.
    IRP_CANCEL_LOCK_KEPT = 0xC8, 2;

    /// Device deleted that does not exist (any more).
    DEVICE_DELETED_TWICE = 0xC9, 0x240;
    /// Device deleted while a handle to it is open; the static rule "DeleteDevice", no documented code.
    DEVICE_DELETED_IN_USE = 0xC9, 0x204;
    /// A device the driver no longer owns was passed to the kernel.
    DEVICE_UNKNOWN = 0xC9, 0x04;

    /// Work item queued twice, freed while queued, or unknown (INVALID_WORK_QUEUE_ITEM).
    WORK_ITEM_INVALID = 0x96, 0;
    /// A work item returned at another IRQL (WORKER_THREAD_RETURNED_AT_BAD_IRQL).
    WORK_ITEM_CHANGED_IRQL = 0xE1, 0;
    /// Timer or DPC used before it was initialized, or initialized while in use (TIMER_OR_DPC_INVALID).
    TIMER_INVALID = 0xC7, 0;

    /// Wait for ever at or above `DISPATCH_LEVEL`.
    WAIT_FOREVER_AT_DISPATCH = 0xC4, 0x121;
    /// Wait with a timeout at or above `DISPATCH_LEVEL`.
    WAIT_AT_DISPATCH = 0xC4, 0x122;
    /// The object is no dispatcher object.
    WAIT_BAD_OBJECT = 0xC4, 0xE1;
    /// Nothing can ever satisfy the wait. Windows would hang until somebody crashes it by hand (MANUALLY_INITIATED_CRASH).
    HANG = 0xE2, 0;

    /// An object is dead, or its reference count would be (REFERENCE_BY_POINTER covers leaks).
    REFERENCE_DEAD = 0xC4, 0x3F;
    /// References were not given back at unload (REFERENCE_BY_POINTER).
    REFERENCE_LEAK = 0x18, 0;
    /// Run-down protection released more often than acquired, or used before it was initialized (REFERENCE_BY_POINTER).
    RUNDOWN_UNBALANCED = 0x18, 1;
    /// Cache-aware run-down protection freed while somebody uses it (REFERENCE_BY_POINTER).
    RUNDOWN_FREED_IN_USE = 0x18, 2;
    /// A handle that is not open (INVALID_KERNEL_HANDLE).
    HANDLE_INVALID = 0x93, 0;

    /// Something of the driver outlives it (DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS).
    UNLOADED_WITH_PENDING = 0xCE, 0;
    /// The machine shuts down with a driver loaded; no documented code.
    STILL_LOADED = 0xCE, 1;
    /// An event's description does not fit its data; no documented code.
    TRACE_EVENT_MALFORMED = 0xC4, 0x201;
    /// The driver panicked on a thread of its own (KMODE_EXCEPTION_NOT_HANDLED).
    PANIC = 0x1E, 0;
    /// The driver asked for the bug check.
    REQUESTED = 0, 0;
}
