//! Debug messages through `DbgPrintEx`, at the component id for independent drivers.
//!
//! See them with `ed nt!Kd_IHVDRIVER_Mask 0xf` in a debugger, or with the registry value `IHVDRIVER` below
//! `Session Manager\Debug Print Filter` (learn.microsoft.com "Reading and Filtering Debugging Messages").

use core::ffi::c_char;
use core::fmt::{self, Write};
use nt_sys::dbg::{
    DPFLTR_ERROR_LEVEL, DPFLTR_IHVDRIVER_ID, DPFLTR_INFO_LEVEL, DPFLTR_TRACE_LEVEL, DPFLTR_WARNING_LEVEL, DbgPrintEx,
};

/// How important a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Something failed; shown by default.
    Error,
    /// Something unusual was handled.
    Warning,
    /// A step of the driver's life.
    Trace,
    /// One connection, one filter.
    Info,
}

/// Prints one line, cut at 255 bytes. Allocates nothing.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`; the text may only borrow nonpaged memory.
#[doc(alias = "DbgPrintEx")]
pub fn print(level: Level, text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; 256], used: 0 };
    // A line that is full stays cut.
    let _ = line.write_fmt(text);
    let level = match level {
        Level::Error => DPFLTR_ERROR_LEVEL,
        Level::Warning => DPFLTR_WARNING_LEVEL,
        Level::Trace => DPFLTR_TRACE_LEVEL,
        Level::Info => DPFLTR_INFO_LEVEL,
    };
    let format: *const c_char = c"%s\n".as_ptr();
    // SAFETY: the format takes one string, and `bytes` ends with a zero because `Line` never writes its last byte.
    unsafe { DbgPrintEx(DPFLTR_IHVDRIVER_ID, level, format, line.bytes.as_ptr().cast::<c_char>()) };
}

struct Line {
    bytes: [u8; 256],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let last = self.bytes.len() - 1;
        let room = self.bytes.get_mut(self.used..last).ok_or(fmt::Error)?;
        let n = room.len().min(text.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), text.as_bytes().get(..n)) {
            to.copy_from_slice(from);
        }
        self.used += n;
        if n == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
