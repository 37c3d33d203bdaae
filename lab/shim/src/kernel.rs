//! Kernel functions the shim itself needs and no product may import.

use core::ffi::c_void;

use nt_sys::ps::EPROCESS;
use nt_sys::types::{HANDLE, NTSTATUS, UNICODE_STRING};

/// `IMAGE_INFO`, the part in use.
#[repr(C)]
pub struct ImageInfo {
    properties: u32,
    /// Where the image is mapped.
    pub base: *mut u8,
    selector: u32,
    size: usize,
    section: u32,
}

/// `PLOAD_IMAGE_NOTIFY_ROUTINE`.
pub type LoadImageNotify = unsafe extern "system" fn(*const UNICODE_STRING, HANDLE, *const ImageInfo);

/// `KERNEL_USER_TIMES`, which starts with the time of creation.
#[repr(C)]
#[derive(Default)]
pub struct ProcessTimes {
    /// 100 ns since 1601.
    pub create: i64,
    exit: i64,
    kernel: i64,
    user: i64,
}

/// `ProcessTimes` of `PROCESSINFOCLASS`.
pub const PROCESS_TIMES: u32 = 4;
/// `ProcessImageFileName` of `PROCESSINFOCLASS`.
pub const PROCESS_IMAGE_FILE_NAME: u32 = 27;
/// `PROCESS_QUERY_LIMITED_INFORMATION`.
pub const QUERY_LIMITED: u32 = 0x1000;
/// `OBJ_KERNEL_HANDLE`.
pub const KERNEL_HANDLE: u32 = 0x200;
/// `PAGE_READWRITE`.
pub const READ_WRITE: u32 = 0x04;
/// `PAGE_EXECUTE_READWRITE`.
pub const EXECUTE_READ_WRITE: u32 = 0x40;

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub fn PsSetLoadImageNotifyRoutine(routine: LoadImageNotify) -> NTSTATUS;
    pub fn ZwProtectVirtualMemory(
        process: HANDLE,
        address: *mut *mut c_void,
        size: *mut usize,
        protection: u32,
        old: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwQueryInformationProcess(
        process: HANDLE,
        class: u32,
        buffer: *mut c_void,
        length: u32,
        returned: *mut u32,
    ) -> NTSTATUS;
    pub fn ObOpenObjectByPointer(
        object: *mut EPROCESS,
        attributes: u32,
        access_state: *mut c_void,
        access: u32,
        kind: *mut c_void,
        mode: i8,
        handle: *mut HANDLE,
    ) -> NTSTATUS;
    pub fn KeQuerySystemTime(time: *mut i64);
    pub fn KeAcquireInStackQueuedSpinLock(lock: *mut usize, handle: *mut c_void);
    pub fn KeReleaseInStackQueuedSpinLock(handle: *mut c_void);
    pub fn KeWaitForMultipleObjects(
        count: u32,
        objects: *mut *mut c_void,
        kind: i32,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *const i64,
        blocks: *mut c_void,
    ) -> NTSTATUS;
    pub fn MmGetSystemRoutineAddress(name: *const UNICODE_STRING) -> *mut c_void;
    pub fn ExFreePool(block: *mut c_void);
}
