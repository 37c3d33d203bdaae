//! The entry point, which Wine calls twice: as a library's, then as a driver's.
//!
//! Wine's loader maps the image like any library and calls the entry point with a reason of 0 to 3, which the C run-time
//! needs to see. The driver host then calls the same address as `DriverEntry`. The second argument tells them apart:
//! the registry path is a pointer and no pointer is that small.

use core::ffi::c_void;

use nt_sys::io::DRIVER_OBJECT;
use nt_sys::types::NTSTATUS;

use crate::{device, engine, exports};

/// `DLL_PROCESS_DETACH` to `DLL_THREAD_DETACH`.
const LAST_LOADER_REASON: usize = 3;

unsafe extern "system" {
    /// The entry point of a library in MinGW's C run-time.
    fn DllMainCRTStartup(module: *mut c_void, reason: u32, reserved: *mut c_void) -> i32;
}

/// The image's entry point (`build.rs`).
#[unsafe(no_mangle)]
unsafe extern "system" fn ImageEntry(first: *mut c_void, second: *const c_void, third: *mut c_void) -> i32 {
    if second.addr() <= LAST_LOADER_REASON {
        // SAFETY: the loader's own arguments.
        return unsafe { DllMainCRTStartup(first, second.addr() as u32, third) };
    }
    // SAFETY: not the loader, so the driver host, with a driver object first.
    unsafe { driver_entry(first.cast()) }
}

/// # Safety
/// `driver` is the object of the driver being started.
unsafe fn driver_entry(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    engine::engine();
    if let Err(status) = lab_shim::install(exports::find) {
        return status;
    }
    // SAFETY: the caller's promise.
    match unsafe { device::create(driver) } {
        Ok(()) => nt_sys::status::STATUS_SUCCESS,
        Err(status) => status,
    }
}
