//! Which import of a driver becomes which function of the shim.

use core::ffi::c_void;

use crate::{dpc, drivers, mdl, pool, process, requests, rundown, spin, system, wait};

/// The shim's function for the driver in `slot`; `None` leaves Wine's.
pub fn replacement(slot: usize, name: &str) -> Option<*const c_void> {
    match slot {
        0 => per_driver::<0>(name),
        1 => per_driver::<1>(name),
        2 => per_driver::<2>(name),
        3 => per_driver::<3>(name),
        4 => per_driver::<4>(name),
        5 => per_driver::<5>(name),
        6 => per_driver::<6>(name),
        7 => per_driver::<7>(name),
        _ => None,
    }
    .or_else(|| shared(name))
}

/// Functions that must know who calls.
fn per_driver<const SLOT: usize>(name: &str) -> Option<*const c_void> {
    Some(match name {
        "ExAllocateCacheAwareRundownProtection" => rundown::allocate::<SLOT> as *const c_void,
        "ExAllocatePool2" => pool::allocate2::<SLOT> as *const c_void,
        "ExAllocatePoolWithTag" => pool::allocate_with_tag::<SLOT> as *const c_void,
        "ExFreeCacheAwareRundownProtection" => rundown::free::<SLOT> as *const c_void,
        "ExFreePoolWithTag" => pool::free_with_tag::<SLOT> as *const c_void,
        "ExFreePool" => pool::free::<SLOT> as *const c_void,
        "IoAllocateMdl" => mdl::allocate::<SLOT> as *const c_void,
        "IoCreateSymbolicLink" => drivers::create_symbolic_link::<SLOT> as *const c_void,
        "IoFreeMdl" => mdl::free::<SLOT> as *const c_void,
        "MmGetSystemRoutineAddress" => system::routine_address::<SLOT> as *const c_void,
        _ => return None,
    })
}

/// Functions that are the same for every driver.
fn shared(name: &str) -> Option<*const c_void> {
    Some(match name {
        "EtwEventEnabled" | "EtwProviderEnabled" => system::etw_enabled as *const c_void,
        "EtwRegister" => system::etw_register as *const c_void,
        "EtwUnregister" => system::etw_unregister as *const c_void,
        "EtwWrite" => system::etw_write as *const c_void,
        "EtwWriteTransfer" => system::etw_write_transfer as *const c_void,
        "ExAcquireRundownProtection" | "ExAcquireRundownProtectionCacheAware" => rundown::acquire as *const c_void,
        "ExAcquireSpinLockExclusive" => spin::acquire_exclusive as *const c_void,
        "ExAcquireSpinLockShared" => spin::acquire_shared as *const c_void,
        "ExInitializeRundownProtection"
        | "ExReInitializeRundownProtection"
        | "ExReInitializeRundownProtectionCacheAware" => rundown::initialize as *const c_void,
        "ExReleaseRundownProtection" | "ExReleaseRundownProtectionCacheAware" => rundown::release as *const c_void,
        "ExReleaseSpinLockExclusive" => spin::release_exclusive as *const c_void,
        "ExReleaseSpinLockShared" => spin::release_shared as *const c_void,
        "ExWaitForRundownProtectionRelease" | "ExWaitForRundownProtectionReleaseCacheAware" => {
            rundown::wait as *const c_void
        }
        "IofCompleteRequest" => requests::complete as *const c_void,
        "KeAcquireInStackQueuedSpinLock" => spin::acquire_queued as *const c_void,
        "KeAcquireSpinLockAtDpcLevel" => spin::acquire_at_dispatch as *const c_void,
        "KeAcquireSpinLockRaiseToDpc" => spin::acquire as *const c_void,
        "KeBugCheckEx" => system::bug_check as *const c_void,
        "KeDelayExecutionThread" => wait::delay as *const c_void,
        "KeFlushQueuedDpcs" => dpc::flush as *const c_void,
        "KeGetCurrentIrql" => spin::current_level as *const c_void,
        "KeInitializeDpc" => dpc::initialize as *const c_void,
        "KeInsertQueueDpc" => dpc::insert as *const c_void,
        "KeLowerIrql" => spin::lower as *const c_void,
        "KeQueryInterruptTimePrecise" => system::interrupt_time as *const c_void,
        "KeQuerySystemTimePrecise" => system::system_time as *const c_void,
        "KeQueryUnbiasedInterruptTime" => system::unbiased_interrupt_time as *const c_void,
        "KeReleaseInStackQueuedSpinLock" => spin::release_queued as *const c_void,
        "KeReleaseSpinLock" => spin::release as *const c_void,
        "KeReleaseSpinLockFromDpcLevel" => spin::release_at_dispatch as *const c_void,
        "KeRemoveQueueDpc" => dpc::remove as *const c_void,
        "KeWaitForMultipleObjects" => wait::multiple as *const c_void,
        "KeWaitForSingleObject" => wait::single as *const c_void,
        "KfRaiseIrql" => spin::raise as *const c_void,
        "MmBuildMdlForNonPagedPool" => mdl::build as *const c_void,
        "MmMapLockedPagesSpecifyCache" => mdl::map as *const c_void,
        "PsGetProcessCreateTimeQuadPart" => process::create_time as *const c_void,
        "PsGetProcessStartKey" => process::start_key as *const c_void,
        "SeLocateProcessImageName" => process::locate_image_name as *const c_void,
        _ => return None,
    })
}
