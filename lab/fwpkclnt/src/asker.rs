//! Who asks: the facts about a process that a filter engine knows on Windows.
//!
//! The driver host is a Win32 process under Wine, so these come from Win32.

use core::ptr;

use nt_sys::io::{IRP, IoGetRequestorProcess};
use nt_sys::ps::PsGetProcessId;
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE};
use windows_sys::Win32::Security::{GetLengthSid, GetTokenInformation, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Threading::{
    OpenProcess, OpenProcessToken, PROCESS_NAME_NATIVE, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};

/// Longer than any path of a lab.
const PATH_LEN: usize = 4096;
/// `TOKEN_USER` and the longest SID behind it.
const USER_LEN: usize = 128;

/// The asking process.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// Its process id.
    pub pid: u32,
    /// Its image as a device path; empty when it is gone.
    pub image: String,
    /// The SID of its user, in binary; empty when it is gone.
    pub user: Vec<u8>,
}

impl Asker {
    /// The process that made a request.
    ///
    /// # Safety
    /// `irp` is a request in flight.
    pub unsafe fn of(irp: *mut IRP) -> Self {
        // SAFETY: the caller's promise.
        let process = unsafe { IoGetRequestorProcess(irp) };
        // SAFETY: the process of a request in flight.
        let pid = unsafe { PsGetProcessId(process) }.addr() as u32;
        let Some(process) = Handle::process(pid) else {
            return Self { pid, ..Self::default() };
        };
        Self { pid, image: process.image().unwrap_or_default(), user: process.user().unwrap_or_default() }
    }
}

/// A handle that is closed when it goes.
struct Handle(HANDLE);

impl Handle {
    fn process(pid: u32) -> Option<Self> {
        // SAFETY: no condition; an unknown id gives null.
        let handle = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
        (!handle.is_null()).then_some(Self(handle))
    }

    fn image(&self) -> Option<String> {
        let mut path = vec![0; PATH_LEN];
        let mut length = PATH_LEN as u32;
        // SAFETY: an open process handle; the length given is the buffer's.
        let found =
            unsafe { QueryFullProcessImageNameW(self.0, PROCESS_NAME_NATIVE, path.as_mut_ptr(), &raw mut length) };
        let path = path.get(..length as usize)?;
        (found != 0).then(|| String::from_utf16_lossy(path))
    }

    fn user(&self) -> Option<Vec<u8>> {
        let mut token = ptr::null_mut();
        // SAFETY: an open process handle and a local for the result.
        if unsafe { OpenProcessToken(self.0, TOKEN_QUERY, &raw mut token) } == 0 {
            return None;
        }
        let token = Self(token);
        // Words, because `TOKEN_USER` starts with a pointer.
        let mut buffer = [0_u64; USER_LEN / 8];
        let mut length = 0;
        // SAFETY: an open token; the buffer is aligned for the record and its own length is given.
        let found = unsafe {
            GetTokenInformation(token.0, TokenUser, buffer.as_mut_ptr().cast(), USER_LEN as u32, &raw mut length)
        };
        if found == 0 {
            return None;
        }
        // SAFETY: filled in by the call above; aligned.
        let user = unsafe { buffer.as_ptr().cast::<TOKEN_USER>().read() };
        // SAFETY: a valid SID inside `buffer`.
        let sid_len = unsafe { GetLengthSid(user.User.Sid) } as usize;
        // SAFETY: a SID of that length inside `buffer`, which lives to the end of this function.
        Some(unsafe { core::slice::from_raw_parts(user.User.Sid.cast::<u8>(), sid_len) }.to_vec())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: opened by this value, closed once.
        unsafe { CloseHandle(self.0) };
    }
}
