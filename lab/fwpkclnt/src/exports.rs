//! What this image exports, by name: the functions of `ndis.sys` that the emulated engine brings and Wine's lacks.

use core::ffi::c_void;
use std::ffi::CString;

use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::w;

/// The exported function of this name.
pub fn find(name: &str) -> Option<*const c_void> {
    let name = CString::new(name).ok()?;
    // SAFETY: a terminated name; the image is loaded while its code runs.
    let image = unsafe { GetModuleHandleW(w!("fwpkclnt.sys")) };
    // SAFETY: a loaded image, or null for the program's own, and a terminated name.
    let function = unsafe { GetProcAddress(image, name.as_ptr().cast()) }?;
    Some(function as *const c_void)
}
