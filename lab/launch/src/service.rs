//! Installing, starting and stopping drivers through the service manager.
//!
//! Wine's own `sc` does these too, but tells nothing when one fails.

use std::io;
use std::process::ExitCode;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{ERROR_SERVICE_DATABASE_LOCKED, ERROR_SERVICE_EXISTS};
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ControlService, CreateServiceW, OpenSCManagerW, OpenServiceW, QueryServiceStatus, SC_HANDLE,
    SC_MANAGER_ALL_ACCESS, SERVICE_ALL_ACCESS, SERVICE_CONTROL_STOP, SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL,
    SERVICE_KERNEL_DRIVER, SERVICE_STATUS, SERVICE_STOPPED, StartServiceW,
};

use crate::run::Outcome;

/// Drivers of one load order group share a driver host, and with it the filter engine.
const GROUP: &str = "NDIS";
const TIMEOUT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// Installs the driver in `path` as the service `name` if there is no such service, and starts it.
pub fn start(name: &str, path: &str) -> Outcome {
    let manager = manager()?;
    let service = open_or_create(&manager, name, path)?;
    // The manager is locked while it starts services by itself, as it does in a fresh prefix.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        // SAFETY: an open service; a driver takes no arguments.
        if unsafe { StartServiceW(service.0, 0, ptr::null()) } != 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let error = io::Error::last_os_error();
        if !is(&error, ERROR_SERVICE_DATABASE_LOCKED) || Instant::now() > deadline {
            return Err(format!("cannot start {name}: {error}").into());
        }
        thread::sleep(LOOK);
    }
}

/// Stops the driver, and waits until it is unloaded.
pub fn stop(name: &str) -> Outcome {
    let manager = manager()?;
    let service = open(&manager, name).map_err(|error| format!("no service {name}: {error}"))?;
    let mut status = SERVICE_STATUS::default();
    // SAFETY: an open service and a local for the result.
    if unsafe { ControlService(service.0, SERVICE_CONTROL_STOP, &raw mut status) } == 0 {
        return Err(format!("cannot stop {name}: {}", io::Error::last_os_error()).into());
    }
    let deadline = Instant::now() + TIMEOUT;
    while status.dwCurrentState != SERVICE_STOPPED {
        if Instant::now() > deadline {
            return Err(format!("{name} did not stop in {} s", TIMEOUT.as_secs()).into());
        }
        thread::sleep(LOOK);
        // SAFETY: an open service and a local for the result.
        if unsafe { QueryServiceStatus(service.0, &raw mut status) } == 0 {
            return Err(io::Error::last_os_error().into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A handle of the service manager that is closed when it goes.
struct Handle(SC_HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: opened by this module, closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

fn manager() -> io::Result<Handle> {
    // SAFETY: null names mean this machine and its active database.
    opened(unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_ALL_ACCESS) })
}

fn open(manager: &Handle, name: &str) -> io::Result<Handle> {
    // SAFETY: an open manager and a NUL-terminated name.
    opened(unsafe { OpenServiceW(manager.0, wide(name).as_ptr(), SERVICE_ALL_ACCESS) })
}

fn open_or_create(manager: &Handle, name: &str, path: &str) -> Result<Handle, String> {
    // SAFETY: an open manager, NUL-terminated strings, null for what a driver has none of.
    let created = opened(unsafe {
        CreateServiceW(
            manager.0,
            wide(name).as_ptr(),
            ptr::null(),
            SERVICE_ALL_ACCESS,
            SERVICE_KERNEL_DRIVER,
            SERVICE_DEMAND_START,
            SERVICE_ERROR_NORMAL,
            wide(path).as_ptr(),
            wide(GROUP).as_ptr(),
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
        )
    });
    match created {
        Err(error) if is(&error, ERROR_SERVICE_EXISTS) => open(manager, name),
        other => other,
    }
    .map_err(|error| format!("cannot install {name}: {error}"))
}

fn opened(handle: SC_HANDLE) -> io::Result<Handle> {
    if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Handle(handle)) }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
