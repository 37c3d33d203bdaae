//! `Dbg*`: messages to the kernel debugger.

use core::ffi::c_char;

/// Component of drivers by independent hardware vendors.
pub const DPFLTR_IHVDRIVER_ID: u32 = 77;

pub const DPFLTR_ERROR_LEVEL: u32 = 0;
pub const DPFLTR_WARNING_LEVEL: u32 = 1;
pub const DPFLTR_TRACE_LEVEL: u32 = 2;
pub const DPFLTR_INFO_LEVEL: u32 = 3;

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "C-unwind" {
    /// Sends a formatted message when the component's filter mask lets `Level` through.
    ///
    /// # IRQL
    /// `<= DIRQL`; `PASSIVE_LEVEL` for the Unicode formats.
    pub fn DbgPrintEx(ComponentId: u32, Level: u32, Format: *const c_char, ...) -> u32;
}
