//! The image `tollgate.sys`: what a kernel image needs beside the driver itself.
//!
//! Invariants: no C run-time library is linked, so the few functions that the compiler calls on
//! its own come from `ntoskrnl.exe` or stand here; `__chkstk` is left out on purpose, so that a
//! function with more than a page of locals does not link (a kernel stack has six pages).
//! Neighbours: the library of this crate is the driver; `cargo xtask build` links this file.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "an image is symbols with fixed names, and imports")]

use core::ffi::c_void;
use core::panic::PanicInfo;
use nt::driver::DRIVER_OBJECT;

#[expect(dead_code, reason = "the compiler calls these by name, and nobody else does")]
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    fn memmove(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    fn memset(to: *mut c_void, byte: i32, bytes: usize) -> *mut c_void;
    fn memcmp(a: *const c_void, b: *const c_void, bytes: usize) -> i32;
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    nt::bugcheck::panic(info)
}

/// Says to the linker that floating point is used, which core's formatting mentions.
#[unsafe(no_mangle)]
static _fltused: i32 = 0;

/// The handler named in the unwind tables of the prebuilt `core`, which knows
/// unwinding although this image aborts. An exception that passes such a frame is a crash already:
/// `ExceptionContinueSearch` lets the kernel report it.
#[unsafe(no_mangle)]
extern "system" fn __CxxFrameHandler3(
    _record: *const c_void,
    _frame: *const c_void,
    _context: *const c_void,
    _dispatcher: *const c_void,
) -> i32 {
    const EXCEPTION_CONTINUE_SEARCH: i32 = 1;
    EXCEPTION_CONTINUE_SEARCH
}

/// Called by the I/O manager to start the driver, at `PASSIVE_LEVEL`.
#[unsafe(no_mangle)]
extern "system" fn DriverEntry(driver: *mut DRIVER_OBJECT, _registry_path: *const c_void) -> i32 {
    // SAFETY: this is the entry point of the image, which only the I/O manager calls.
    unsafe { nt::driver::entry::<driver::Tollgate>(driver) }
}
