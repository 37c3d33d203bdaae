//! A process, as Windows tells: without reading its memory, which it could change or hide.
//!
//! Its start key is the one the kernel gives drivers (learn.microsoft.com PsGetProcessStartKey). User mode reads the same
//! number in the answer to `ProcessTelemetryIdInformation` (ntdoc.m417z.com PROCESS_TELEMETRY_ID_INFORMATION). Where that
//! is not told, as under Wine, the number of the process has to do.
//!
//! Neighbours: `linux::process` is the twin, with the same names; `services` knows who runs as a service.

use super::security::{token_of, user_of};
use super::{last_error, os_error, services};
use crate::process::{Description, MAX_COMMAND_LINE, ProcessError};
use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Wdk::System::Threading as nt;
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Storage::Packaging::Appx::GetPackageFamilyName;
use windows_sys::Win32::System::Threading as thread;

/// The longest path of a program, in characters.
const PATH_CHARS: u32 = 32_768;
/// Room for what a query about a process answers, in words of eight bytes: first and at most.
const QUERY_WORDS: usize = 512;
const MAX_QUERY_WORDS: usize = 64 * 1024;
/// The longest package family name, NUL included (`PACKAGE_FAMILY_NAME_MAX_LENGTH` is 64).
const PACKAGE_CHARS: u32 = 65;

/// Names the process that has the id `pid` now.
pub fn start_key(pid: u32) -> Result<u64, ProcessError> {
    let process = Process::open(pid)?;
    process.start_key().map_err(|source| ProcessError::Os { call: "asking for a start key", pid, source })
}

/// Whether that process still runs. What cannot be found out counts as yes.
pub fn is_running(pid: u32, start_key: u64) -> bool {
    match Process::open(pid) {
        Ok(process) => process.is(start_key) && !process.has_ended(),
        Err(ProcessError::Gone { .. }) => false,
        Err(_) => true,
    }
}

/// Describes a process.
pub fn describe(pid: u32, start_key: u64) -> Result<Description, ProcessError> {
    let process = Process::open(pid)?;
    // One that has ended can be opened while somebody holds a handle to it.
    if !process.is(start_key) || process.has_ended() {
        return Err(ProcessError::Gone { pid });
    }
    // The handle keeps the number from being given to another, so all that follows is about one process.
    let user = process.token().and_then(|token| user_of(&token)).ok();
    Ok(Description {
        path: process.path(),
        parent: process.parent(),
        command_line: process.command_line(),
        user_id: user.as_ref().and_then(|user| user.text().ok()),
        user_name: user.and_then(|user| user.name()),
        package: process.package(),
        service: services::only_service_of(pid),
    })
}

/// A process, open for questions that everybody may ask.
struct Process(OwnedHandle);

impl Process {
    fn open(pid: u32) -> Result<Self, ProcessError> {
        // SAFETY: `OpenProcess` takes any number.
        let handle = unsafe { thread::OpenProcess(thread::PROCESS_QUERY_LIMITED_INFORMATION, win::FALSE, pid) };
        if handle.is_null() {
            return Err(match last_error() {
                // What a number that no process has gives (learn.microsoft.com OpenProcess).
                win::ERROR_INVALID_PARAMETER => ProcessError::Gone { pid },
                win::ERROR_ACCESS_DENIED => ProcessError::AccessDenied { pid },
                code => ProcessError::Os { call: "OpenProcess", pid, source: os_error(code) },
            });
        }
        // SAFETY: `handle` is new, and nobody else owns it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// Whether it is the one of that start key, as far as Windows tells.
    fn is(&self, start_key: u64) -> bool {
        start_key == 0 || self.start_key().map_or(true, |found| found == start_key)
    }

    fn start_key(&self) -> io::Result<u64> {
        // Two words of 32 bits come before it: the length of the fixed part, and the process id.
        let answer = self.query(nt::ProcessTelemetryIdInformation)?;
        answer.get(1).copied().filter(|key| *key != 0).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn has_ended(&self) -> bool {
        let mut code = 0;
        // SAFETY: `GetExitCodeProcess` needs a process handle that allows queries, and room for a number.
        let ok = unsafe { thread::GetExitCodeProcess(self.0.as_raw_handle(), &raw mut code) };
        ok != win::FALSE && code != win::STILL_ACTIVE.cast_unsigned()
    }

    fn path(&self) -> Option<String> {
        let mut path = vec![0_u16; PATH_CHARS as usize];
        let mut chars = PATH_CHARS;
        // SAFETY: `QueryFullProcessImageNameW` needs a process handle that allows queries, and room for as many
        // characters as it is told.
        let ok = unsafe {
            thread::QueryFullProcessImageNameW(
                self.0.as_raw_handle(),
                thread::PROCESS_NAME_WIN32,
                path.as_mut_ptr(),
                &raw mut chars,
            )
        };
        let path = path.get(..chars as usize).filter(|_| ok != win::FALSE)?;
        Some(String::from_utf16_lossy(path))
    }

    /// The program of the process that started this one. A process that started later has only its number.
    fn parent(&self) -> Option<String> {
        let answer = self.query(nt::ProcessBasicInformation).ok()?;
        // PROCESS_BASIC_INFORMATION is six words; the last is the id of the process that started it
        // (learn.microsoft.com NtQueryInformationProcess).
        let parent = Self::open(u32::try_from(*answer.get(5)?).ok()?).ok()?;
        if parent.created()? <= self.created()? { parent.path() } else { None }
    }

    /// When it was created, in units of 100 ns.
    fn created(&self) -> Option<u64> {
        let mut times = [win::FILETIME::default(); 4];
        let [created, exited, kernel, user] = &mut times;
        // SAFETY: `GetProcessTimes` needs a process handle that allows queries, and room for four times.
        let ok = unsafe { thread::GetProcessTimes(self.0.as_raw_handle(), created, exited, kernel, user) };
        let time = (u64::from(created.dwHighDateTime) << 32) | u64::from(created.dwLowDateTime);
        (ok != win::FALSE).then_some(time)
    }

    fn command_line(&self) -> Option<String> {
        let answer = self.query(nt::ProcessCommandLineInformation).ok()?;
        // A UNICODE_STRING: the length in bytes, and a pointer to the text, which follows it.
        let start = size_of::<win::UNICODE_STRING>();
        let bytes = usize::from(answer.first()?.to_le_bytes()[0]) | usize::from(answer.first()?.to_le_bytes()[1]) << 8;
        let text: Vec<u8> = answer.iter().flat_map(|word| word.to_le_bytes()).skip(start).take(bytes).collect();
        let units: Vec<u16> = text.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        let mut line = String::from_utf16_lossy(&units);
        let end = line.floor_char_boundary(MAX_COMMAND_LINE);
        line.truncate(end);
        (!line.is_empty()).then_some(line)
    }

    fn token(&self) -> io::Result<OwnedHandle> {
        // SAFETY: `self.0` is an open process handle.
        unsafe { token_of(self.0.as_raw_handle()) }
    }

    fn package(&self) -> Option<String> {
        let mut name = [0_u16; PACKAGE_CHARS as usize];
        let mut chars = PACKAGE_CHARS;
        // SAFETY: `GetPackageFamilyName` needs a process handle that allows queries, and room for as many characters as
        // it is told.
        let code = unsafe { GetPackageFamilyName(self.0.as_raw_handle(), &raw mut chars, name.as_mut_ptr()) };
        let length = (chars as usize).checked_sub(1)?;
        let name = name.get(..length).filter(|_| code == win::NO_ERROR)?;
        Some(String::from_utf16_lossy(name))
    }

    /// What `NtQueryInformationProcess` answers, as words of eight bytes.
    fn query(&self, class: nt::PROCESSINFOCLASS) -> io::Result<Vec<u64>> {
        let mut words = QUERY_WORDS;
        loop {
            let mut answer = vec![0_u64; if class == nt::ProcessBasicInformation { 6 } else { words }];
            let mut needed = 0;
            let bytes = u32::try_from(size_of_val(answer.as_slice())).map_err(io::Error::other)?;
            // SAFETY: `NtQueryInformationProcess` needs a process handle that allows queries, and room of the size it is
            // told, aligned for any structure.
            let status = unsafe {
                nt::NtQueryInformationProcess(
                    self.0.as_raw_handle(),
                    class,
                    answer.as_mut_ptr().cast::<c_void>(),
                    bytes,
                    &raw mut needed,
                )
            };
            match status {
                win::STATUS_SUCCESS => return Ok(answer),
                win::STATUS_INFO_LENGTH_MISMATCH | win::STATUS_BUFFER_TOO_SMALL | win::STATUS_BUFFER_OVERFLOW
                    if words < MAX_QUERY_WORDS =>
                {
                    words = MAX_QUERY_WORDS;
                }
                _ => return Err(io::Error::other(format!("status {status:#x}"))),
            }
        }
    }
}
