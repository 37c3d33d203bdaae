//! `Ps*`: processes and system threads.

use core::ffi::c_void;

use crate::types::{ACCESS_MASK, CLIENT_ID, HANDLE, NTSTATUS};

/// A process object; its inside belongs to the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct EPROCESS {
    _opaque: [u8; 0],
}

/// A thread object; its inside belongs to the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct ETHREAD {
    _opaque: [u8; 0],
}

pub const THREAD_ALL_ACCESS: ACCESS_MASK = 0x001F_FFFF;

/// Body of a system thread, called at `PASSIVE_LEVEL`.
pub type KSTART_ROUTINE = unsafe extern "system-unwind" fn(StartContext: *mut c_void);

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Process id.
    ///
    /// # IRQL
    /// Any.
    pub fn PsGetProcessId(Process: *mut EPROCESS) -> HANDLE;

    /// Finds a process by id and references it; the caller ends that with `ObfDereferenceObject`.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn PsLookupProcessByProcessId(ProcessId: HANDLE, Process: *mut *mut EPROCESS) -> NTSTATUS;

    /// Number of the process since boot: unlike its id, never reused.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn PsGetProcessStartKey(Process: *mut EPROCESS) -> u64;

    /// Time of creation, in units of 100 ns since 1601.
    ///
    /// # IRQL
    /// Any.
    pub fn PsGetProcessCreateTimeQuadPart(Process: *mut EPROCESS) -> i64;

    /// Starts a thread that belongs to the driver; `ProcessHandle` null means the system process.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn PsCreateSystemThread(
        ThreadHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: *mut c_void,
        ProcessHandle: HANDLE,
        ClientId: *mut CLIENT_ID,
        StartRoutine: KSTART_ROUTINE,
        StartContext: *mut c_void,
    ) -> NTSTATUS;

    /// Ends the calling system thread; returns only on failure.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn PsTerminateSystemThread(ExitStatus: NTSTATUS) -> NTSTATUS;
}
