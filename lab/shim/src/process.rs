//! Processes: the facts drivers ask about them, which Wine keeps but does not export.

use core::ffi::c_void;
use core::ptr;
use std::collections::BTreeMap;
use std::sync::Mutex;

use nt_sys::ex::{ExAllocatePoolWithTag, NonPagedPoolNx};
use nt_sys::ps::{EPROCESS, PsGetProcessId};
use nt_sys::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS};
use nt_sys::types::{HANDLE, NTSTATUS, UNICODE_STRING};
use nt_sys::zw::ZwClose;

use crate::kernel::{
    KERNEL_HANDLE, ObOpenObjectByPointer, PROCESS_IMAGE_FILE_NAME, PROCESS_TIMES, ProcessTimes, QUERY_LIMITED,
    ZwQueryInformationProcess,
};
use crate::violations::lock;

/// The boot number in the upper 16 bits of a start key; a lab boots once.
const BOOT: u64 = 1 << 48;
const POOL_TAG: u32 = u32::from_le_bytes(*b"LabP");
const LONGEST_PATH: usize = 2048;

/// Start keys by process id and time of creation: neither alone is unique.
static START_KEYS: Mutex<BTreeMap<(usize, i64), u64>> = Mutex::new(BTreeMap::new());

/// In place of `PsGetProcessCreateTimeQuadPart`.
pub unsafe extern "system" fn create_time(process: *mut EPROCESS) -> i64 {
    let mut times = ProcessTimes::default();
    // SAFETY: the caller's process; the buffer is the record that belongs to the class.
    let queried = unsafe { query(process, PROCESS_TIMES, ptr::from_mut(&mut times).cast(), size_of::<ProcessTimes>()) };
    if queried.is_ok() { times.create } else { 0 }
}

/// In place of `PsGetProcessStartKey`: a number no other process of this lab has or will have.
pub unsafe extern "system" fn start_key(process: *mut EPROCESS) -> u64 {
    // SAFETY: the caller's process.
    let id = unsafe { PsGetProcessId(process) };
    // SAFETY: the caller's process.
    let created = unsafe { create_time(process) };
    let mut keys = lock(&START_KEYS);
    let next = BOOT | (keys.len() as u64 + 1);
    *keys.entry((id.addr(), created)).or_insert(next)
}

/// In place of `SeLocateProcessImageName`; the caller frees the string with `ExFreePool`.
pub unsafe extern "system" fn locate_image_name(process: *mut EPROCESS, name: *mut *mut UNICODE_STRING) -> NTSTATUS {
    // SAFETY: no condition on the arguments.
    let buffer = unsafe { ExAllocatePoolWithTag(NonPagedPoolNx, LONGEST_PATH, POOL_TAG) };
    if buffer.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: the caller's process; the class fills in a counted string with its text behind it.
    match unsafe { query(process, PROCESS_IMAGE_FILE_NAME, buffer, LONGEST_PATH) } {
        Ok(()) => {
            // SAFETY: the caller's place for the result.
            unsafe { name.write(buffer.cast()) };
            STATUS_SUCCESS
        }
        Err(status) => {
            // SAFETY: allocated above, not given out.
            unsafe { crate::kernel::ExFreePool(buffer) };
            status
        }
    }
}

/// # Safety
/// `process` is a process object; `buffer` is writable for `length` bytes and aligned as the class wants.
unsafe fn query(process: *mut EPROCESS, class: u32, buffer: *mut c_void, length: usize) -> Result<(), NTSTATUS> {
    let mut handle: HANDLE = ptr::null_mut();
    // SAFETY: a process object (the caller's promise), any type accepted, kernel mode.
    let status = unsafe {
        ObOpenObjectByPointer(
            process,
            KERNEL_HANDLE,
            ptr::null_mut(),
            QUERY_LIMITED,
            ptr::null_mut(),
            0,
            &raw mut handle,
        )
    };
    if status < 0 {
        return Err(status);
    }
    let mut returned = 0;
    // SAFETY: the handle just opened and the caller's buffer.
    let status = unsafe { ZwQueryInformationProcess(handle, class, buffer, length as u32, &raw mut returned) };
    // SAFETY: opened above, not used again.
    unsafe { ZwClose(handle) };
    if status < 0 { Err(status) } else { Ok(()) }
}
