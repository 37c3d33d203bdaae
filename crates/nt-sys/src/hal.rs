//! Exports of the hardware abstraction layer.

use crate::types::LARGE_INTEGER;

#[cfg_attr(windows, link(name = "hal.dll", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Reads the monotonic performance counter and, when asked, its frequency in counts per second.
    ///
    /// # IRQL
    /// Any.
    pub fn KeQueryPerformanceCounter(PerformanceFrequency: *mut LARGE_INTEGER) -> LARGE_INTEGER;
}
