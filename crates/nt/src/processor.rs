//! Which processor this is.

/// The number of the current processor, below the count of the machine's. Below `DISPATCH_LEVEL` the thread may already
/// be on another one: it is good for spreading things over processors, not for owning them.
///
/// # IRQL
/// Any.
#[doc(alias = "KeGetCurrentProcessorNumberEx")]
#[inline]
pub fn current() -> u32 {
    // SAFETY: the pointer may be null.
    unsafe { nt_sys::ke::KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) }
}
