//! The image `tollgate.sys`: what a kernel image needs beside the driver itself.
//!
//! Invariants: no C run-time library is linked, so the few functions that the compiler calls on
//! its own come from `ntoskrnl.exe` or stand here; `__chkstk` is left out on purpose, so that a
//! function with more than a page of locals does not link (a kernel stack has six pages).
//! Neighbours: the library of this crate is the driver; `cargo xtask build` links this file.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "an image is symbols with fixed names, an allocator and imports")]

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::panic::PanicInfo;
use nt::driver::DRIVER_OBJECT;

/// Tag of every pool block that Rust's collections allocate ("Toll" in a debugger).
const POOL_TAG: u32 = u32::from_le_bytes(*b"Toll");
/// `POOL_FLAG_NON_PAGED`: never executable, and zeroed because nothing says otherwise.
const POOL_FLAG_NON_PAGED: u64 = 0x40;
/// Pool blocks are aligned to this on x64 (`MEMORY_ALLOCATION_ALIGNMENT`).
const POOL_ALIGNMENT: usize = 16;

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
    fn ExFreePoolWithTag(block: *mut c_void, tag: u32);
}

#[expect(dead_code, reason = "the compiler calls these by name, and nobody else does")]
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    fn memmove(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    fn memset(to: *mut c_void, byte: i32, bytes: usize) -> *mut c_void;
    fn memcmp(a: *const c_void, b: *const c_void, bytes: usize) -> i32;
}

struct Pool;

#[global_allocator]
static POOL: Pool = Pool;

// SAFETY: `GlobalAlloc` wants blocks that fit the layout and stay until freed: nonpaged pool is
// aligned to 16 bytes, more is refused, and only `dealloc` frees.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > POOL_ALIGNMENT {
            return core::ptr::null_mut();
        }
        // SAFETY: any size and tag are allowed up to DISPATCH_LEVEL, where this driver stays.
        unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, layout.size(), POOL_TAG) }.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller promises that `alloc` made the block, so the tag is ours.
        unsafe { ExFreePoolWithTag(block.cast(), POOL_TAG) }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    nt::bugcheck::panic(info)
}

/// Says to the linker that floating point is used, which core's formatting mentions.
#[unsafe(no_mangle)]
static _fltused: i32 = 0;

/// The handler named in the unwind tables of the prebuilt `core` and `alloc`, which know
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
