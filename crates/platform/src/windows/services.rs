//! Which service a process runs.
//!
//! Neighbours: `process` asks; `service_manager` and `daemon` manage services of ours.

use super::security::text_at;
use std::ptr;
use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, FALSE};
use windows_sys::Win32::System::Services as sc;

/// Room for the running services, in words of eight bytes: at most 256 KiB (learn.microsoft.com EnumServicesStatusExW).
const WORDS: usize = 32 * 1024;

/// The name of the service that the process runs. `None` when it runs none, or several: then nobody can tell which of
/// them connects.
pub(super) fn only_service_of(pid: u32) -> Option<String> {
    let mut names = running()?.into_iter().filter(|(process, _)| *process == pid).map(|(_, name)| name);
    let name = names.next()?;
    names.next().is_none().then_some(name)
}

/// The services that run, with their processes.
fn running() -> Option<Vec<(u32, String)>> {
    // SAFETY: `OpenSCManagerW` takes null for this machine and for the active database.
    let manager = unsafe { sc::OpenSCManagerW(ptr::null(), ptr::null(), sc::SC_MANAGER_ENUMERATE_SERVICE) };
    if manager.is_null() {
        return None;
    }
    let manager = Manager(manager);
    let mut room = vec![0_u64; WORDS];
    let (mut found, mut resume) = (Vec::new(), 0);
    loop {
        let (mut needed, mut count) = (0, 0);
        // SAFETY: `EnumServicesStatusExW` needs
        // 1. a manager handle that allows it: opened so above;
        // 2. room of the size it is told, aligned for its structures;
        // 3. room for three numbers, and null for any group.
        let ok = unsafe {
            sc::EnumServicesStatusExW(
                manager.0,
                sc::SC_ENUM_PROCESS_INFO,
                sc::SERVICE_WIN32,
                sc::SERVICE_ACTIVE,
                room.as_mut_ptr().cast(),
                (WORDS * size_of::<u64>()) as u32,
                &raw mut needed,
                &raw mut count,
                &raw mut resume,
                ptr::null(),
            )
        };
        let has_more = ok == FALSE;
        if has_more && super::last_error() != ERROR_MORE_DATA {
            return None;
        }
        for index in 0..count as usize {
            let first = room.as_ptr().cast::<sc::ENUM_SERVICE_STATUS_PROCESSW>();
            // SAFETY: the call wrote `count` structures at the start of `room`, and `index` is less.
            let entry = unsafe { first.add(index) };
            // SAFETY: as above.
            let entry = unsafe { entry.read() };
            // SAFETY: its name is within `room`, and ends with NUL.
            let name = unsafe { text_at(entry.lpServiceName) };
            found.push((entry.ServiceStatusProcess.dwProcessId, name));
        }
        if !has_more || count == 0 {
            return Some(found);
        }
    }
}

struct Manager(sc::SC_HANDLE);

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: `CloseServiceHandle` needs an open handle that nobody uses afterwards: `self` owns it.
        unsafe { sc::CloseServiceHandle(self.0) };
    }
}
