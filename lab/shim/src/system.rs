//! Clocks, event tracing, looking up functions by name, and stopping.

use core::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

use nt_sys::hal::KeQueryPerformanceCounter;
use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::{NTSTATUS, UNICODE_STRING};

use crate::kernel::{KeQuerySystemTime, MmGetSystemRoutineAddress};
use crate::{table, violations};

/// What the clocks count in a second.
const TICKS_PER_SECOND: i128 = 10_000_000;
/// The exit code of a driver host after a bugcheck.
const BUGCHECK_EXIT: i32 = 0xBC;

static ETW_EVENTS: AtomicU64 = AtomicU64::new(0);

/// How many events drivers have written.
pub fn events_written() -> u64 {
    ETW_EVENTS.load(Ordering::Relaxed)
}

/// In place of `KeQuerySystemTimePrecise`.
pub unsafe extern "system" fn system_time(time: *mut i64) {
    // SAFETY: the caller's place for the result.
    unsafe { KeQuerySystemTime(time) };
}

/// In place of `KeQueryInterruptTimePrecise`.
pub unsafe extern "system" fn interrupt_time(counter: *mut u64) -> u64 {
    let mut frequency = 0;
    // SAFETY: a local for the second result.
    let ticks = unsafe { KeQueryPerformanceCounter(&raw mut frequency) };
    // SAFETY: the caller's place for the second result.
    unsafe { counter.write(ticks as u64) };
    (i128::from(ticks) * TICKS_PER_SECOND / i128::from(frequency)) as u64
}

/// In place of `KeQueryUnbiasedInterruptTime`: the lab never sleeps.
pub unsafe extern "system" fn unbiased_interrupt_time() -> u64 {
    let mut counter = 0;
    // SAFETY: a local for the second result.
    unsafe { interrupt_time(&raw mut counter) }
}

/// In place of `EtwRegister`.
pub unsafe extern "system" fn etw_register(
    _provider: *const c_void,
    _callback: *const c_void,
    _context: *const c_void,
    handle: *mut u64,
) -> NTSTATUS {
    // SAFETY: the caller's place for the result.
    unsafe { handle.write(1) };
    STATUS_SUCCESS
}

/// In place of `EtwUnregister`.
pub unsafe extern "system" fn etw_unregister(_handle: u64) -> NTSTATUS {
    STATUS_SUCCESS
}

/// In place of `EtwWrite`: every provider is enabled and its events are counted.
pub unsafe extern "system" fn etw_write(
    _handle: u64,
    _descriptor: *const c_void,
    _activity: *const c_void,
    _count: u32,
    _data: *const c_void,
) -> NTSTATUS {
    ETW_EVENTS.fetch_add(1, Ordering::Relaxed);
    STATUS_SUCCESS
}

/// In place of `EtwWriteTransfer`.
pub unsafe extern "system" fn etw_write_transfer(
    _handle: u64,
    _descriptor: *const c_void,
    _activity: *const c_void,
    _related: *const c_void,
    _count: u32,
    _data: *const c_void,
) -> NTSTATUS {
    ETW_EVENTS.fetch_add(1, Ordering::Relaxed);
    STATUS_SUCCESS
}

/// In place of `EtwEventEnabled` and `EtwProviderEnabled`.
pub unsafe extern "system" fn etw_enabled() -> u8 {
    1
}

/// In place of `KeBugCheckEx`: the driver host ends, as the machine would, and says why.
pub unsafe extern "system" fn bug_check(code: u32, first: usize, second: usize, third: usize, fourth: usize) -> ! {
    violations::record(format!(
        "bugcheck {code:#x} ({first:#x}, {second:#x}, {third:#x}, {fourth:#x}): the driver host ends"
    ));
    std::process::exit(BUGCHECK_EXIT)
}

/// In place of `MmGetSystemRoutineAddress`: a driver that looks a function up gets what its import table would.
pub unsafe extern "system" fn routine_address<const SLOT: usize>(name: *const UNICODE_STRING) -> *mut c_void {
    // SAFETY: the caller's string.
    let string = unsafe { &*name };
    // SAFETY: a counted string has `Length` bytes of UTF-16 at `Buffer`.
    let units = unsafe { core::slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) };
    match table::replacement(SLOT, &String::from_utf16_lossy(units)) {
        Some(function) => function.cast_mut(),
        // SAFETY: the caller's string.
        None => unsafe { MmGetSystemRoutineAddress(name) },
    }
}
