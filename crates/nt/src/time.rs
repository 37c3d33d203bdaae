//! Monotonic time from the performance counter.
//!
//! `KeQueryInterruptTime` would be the obvious clock, but x64 kernels do not export it; the performance counter is
//! exported everywhere and is monotonic (learn.microsoft.com "KeQueryPerformanceCounter").

use nt_sys::hal::KeQueryPerformanceCounter;

/// A clock that counts milliseconds from its making.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: u64,
    /// Counts in a millisecond. Frequencies are megahertz (ten on Windows 10 and later), so what rounding loses is a few
    /// ten-thousandths at most; one division is what every classify pays for its time.
    per_ms: u64,
}

impl Clock {
    /// Starts a clock.
    ///
    /// # IRQL
    /// Any.
    pub fn start() -> Self {
        let mut per_second = 0;
        // SAFETY: the frequency pointer is valid for a write.
        let start = unsafe { KeQueryPerformanceCounter(&raw mut per_second) };
        Self { start: start.cast_unsigned(), per_ms: (per_second.cast_unsigned() / 1000).max(1) }
    }

    /// Milliseconds since the start.
    ///
    /// # IRQL
    /// Any.
    #[doc(alias = "KeQueryPerformanceCounter")]
    pub fn now_ms(&self) -> u64 {
        // SAFETY: the frequency pointer may be null.
        let now = unsafe { KeQueryPerformanceCounter(core::ptr::null_mut()) };
        now.cast_unsigned().wrapping_sub(self.start) / self.per_ms
    }

    /// A number that differs from start to start: the raw counter. Not secret; for seeding only together with other
    /// sources.
    pub fn raw(&self) -> u64 {
        // SAFETY: the frequency pointer may be null.
        unsafe { KeQueryPerformanceCounter(core::ptr::null_mut()) }.cast_unsigned()
    }
}

/// Waits.
///
/// # IRQL
/// `<= APC_LEVEL`.
#[doc(alias = "KeDelayExecutionThread")]
pub fn sleep_ms(milliseconds: u32) {
    // Negative: relative, in units of 100 ns.
    let interval = -10_000 * i64::from(milliseconds);
    // SAFETY: the interval is valid for a read; the caller is at <= APC_LEVEL as this function asks.
    unsafe { nt_sys::ke::KeDelayExecutionThread(nt_sys::types::KernelMode, 0, &raw const interval) };
}
