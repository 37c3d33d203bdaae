//! Processors: each thread runs on one of its own, as far as there are.

use nt_sys::ke::PROCESSOR_NUMBER;

use crate::thread::Thread;

/// How many the machine has: one full group.
pub(crate) const PROCESSORS: usize = 64;

/// The one that the calling thread runs on.
#[inline]
pub(crate) fn current() -> usize {
    Thread::with(|thread| thread.id() as usize % PROCESSORS)
}

/// Number of the current processor.
///
/// # Safety
/// `place` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeGetCurrentProcessorNumberEx(place: *mut PROCESSOR_NUMBER) -> u32 {
    let number = current() as u32;
    if !place.is_null() {
        // SAFETY: the caller's promise.
        unsafe { place.write(PROCESSOR_NUMBER { Group: 0, Number: number as u8, Reserved: 0 }) };
    }
    number
}
