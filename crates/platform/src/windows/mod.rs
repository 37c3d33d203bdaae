//! Windows: the driver's device, pipes, processes, folders, the service manager, the console, drive letters.
//!
//! Invariants: every `unsafe` block is one call, discharged item by item; every handle closes itself. Neighbours:
//! `crate::linux` is the twin, with the same names.
#![expect(unsafe_code, reason = "this is where user mode calls the operating system")]

pub mod console;
pub mod daemon;
mod device;
pub mod dirs;
pub mod filter_engine;
pub mod interfaces;
pub mod ipc;
pub mod names;
mod overlapped;
pub mod process;
mod security;
pub mod service_manager;
mod services;
pub mod signature;
mod volumes;

pub use device::open;
pub use volumes::{system_directory, volumes};

/// UTF-16 with a terminating NUL, as Windows calls take text.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The error of the Windows call that this thread made last, as a number.
fn last_error() -> u32 {
    // SAFETY: `GetLastError` has no preconditions; it reads a value of the calling thread.
    unsafe { windows_sys::Win32::Foundation::GetLastError() }
}

/// A Windows error number as an `io::Error`.
fn os_error(code: u32) -> std::io::Error {
    std::io::Error::from_raw_os_error(code.cast_signed())
}
