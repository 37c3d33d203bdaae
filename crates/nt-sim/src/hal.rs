//! The performance counter.

use nt_sys::types::LARGE_INTEGER;

use crate::clock;

/// Reads the counter.
///
/// # Safety
/// `frequency` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeQueryPerformanceCounter(frequency: *mut LARGE_INTEGER) -> LARGE_INTEGER {
    // SAFETY: the caller's promise.
    if let Some(frequency) = unsafe { frequency.as_mut() } {
        *frequency = clock::SECOND as i64;
    }
    clock::counter() as i64
}
