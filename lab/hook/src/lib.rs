//! `wfphook.dll`: loaded into a program under Wine, it takes every connect and every addressed send of that program, and
//! of the children it starts, to the emulated filter engine, and lets the call through or fails it with `WSAEACCES`.
//!
//! Invariants: a call the engine cannot answer goes through and is written to the journal, so a test can see it; the
//! calling thread's last error survives; nothing here panics.
//! Neighbours: `lab/launch` loads this image first; `lab/fwpkclnt` answers; `lab/sockets` is their language.

#![cfg(windows)]
#![expect(unsafe_code, reason = "replaces two functions of ntdll and reads the buffers given to them")]

mod children;
mod engine;
mod journal;
mod sockets;
mod thunk;

use core::ffi::c_void;

use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::SystemServices::DLL_PROCESS_ATTACH;

/// Called by the loader. `FALSE` when the functions to replace do not look as Wine's do: the program then runs without
/// the hook, and whoever loaded it reports that.
#[unsafe(no_mangle)]
extern "system" fn DllMain(module: HMODULE, reason: u32, _reserved: *mut c_void) -> i32 {
    if reason != DLL_PROCESS_ATTACH {
        return 1;
    }
    let installed =
        children::remember_own_path(module).and_then(|()| sockets::install()).and_then(|()| children::install());
    match installed {
        Ok(()) => journal::hooked(),
        Err(reason) => journal::not_hooked(std::process::id(), reason),
    }
    i32::from(installed.is_ok())
}
