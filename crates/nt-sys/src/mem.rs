//! The memory functions that compiled code calls by itself.
//!
//! An image without a C run-time takes them from the kernel, which exports them. Nobody calls these declarations: they
//! make the linker find the symbols.

use core::ffi::c_void;

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    pub fn memcpy(Destination: *mut c_void, Source: *const c_void, Length: usize) -> *mut c_void;
    pub fn memmove(Destination: *mut c_void, Source: *const c_void, Length: usize) -> *mut c_void;
    pub fn memset(Destination: *mut c_void, Fill: i32, Length: usize) -> *mut c_void;
    pub fn memcmp(First: *const c_void, Second: *const c_void, Length: usize) -> i32;
}
