//! The driver's service: created, started, stopped, deleted, asked.
//!
//! Invariants: kernel driver, demand start, in a load order group. That group is why the service manager is called
//! here directly: the crates that wrap it cannot name one. Neighbours: `crate::driver_service` has the vocabulary,
//! `device` asks whether the driver is stopping.

use super::{last_error, os_error, system_directory, wide};
use crate::driver_service::{Change, DriverError, FILE_NAME, Installed, LOAD_ORDER_GROUP, Starts, State, Status};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, ptr, thread};
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Storage::FileSystem::DELETE;
use windows_sys::Win32::System::Services as sc;
use windows_sys::core::PCWSTR;

/// How long a driver may take to start or stop, and how often it is asked meanwhile. The service manager has no call
/// that waits.
const PATIENCE: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(50);

const DISPLAY_NAME: &str = "Tollgate connection firewall";

/// Copies `file` to where drivers live and creates the service, or brings both up to date.
pub fn install(file: &Path) -> Result<Installed, DriverError> {
    let manager = Handle::manager(sc::SC_MANAGER_CONNECT | sc::SC_MANAGER_CREATE_SERVICE)?;
    let image = image_path()?;
    let file = copy(file, &image)?;
    let service = match manager.create_service() {
        Err(DriverError::Os { source, .. }) if is(&source, win::ERROR_SERVICE_EXISTS) => {
            manager.service(sc::SERVICE_CHANGE_CONFIG)?.configure()?;
            Change::Already
        }
        created => created.map(|_service| Change::Done)?,
    };
    Ok(Installed { image, file, service })
}

/// Stops the driver, deletes its service and its file.
pub fn uninstall() -> Result<Change, DriverError> {
    match stop() {
        Ok(_) | Err(DriverError::NotInstalled) => {}
        Err(error) => return Err(error),
    }
    let (service, file) = (delete()?, delete_file()?);
    Ok(if service == Change::Already { file } else { service })
}

/// Deletes the driver's service. While the driver runs it is marked for deletion, and goes when the driver has stopped.
pub fn delete() -> Result<Change, DriverError> {
    match Handle::manager(sc::SC_MANAGER_CONNECT)?.service(DELETE) {
        Ok(service) => service.delete().map(|()| Change::Done),
        Err(DriverError::NotInstalled) => Ok(Change::Already),
        Err(error) => Err(error),
    }
}

/// Deletes the driver's file.
pub fn delete_file() -> Result<Change, DriverError> {
    let image = image_path()?;
    match fs::remove_file(&image) {
        Ok(()) => Ok(Change::Done),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Change::Already),
        Err(error) if is(&error, win::ERROR_SHARING_VIOLATION) || is(&error, win::ERROR_USER_MAPPED_FILE) => {
            Err(DriverError::FileInUse(image))
        }
        Err(source) => Err(DriverError::Os { call: "deleting the driver file", source }),
    }
}

/// Starts the driver and waits until it runs.
pub fn start() -> Result<Change, DriverError> {
    let service = Handle::manager(sc::SC_MANAGER_CONNECT)?.service(sc::SERVICE_START | sc::SERVICE_QUERY_STATUS)?;
    // SAFETY: `StartServiceW` needs a service handle opened with SERVICE_START, as above; no arguments, and 0.
    let ok = unsafe { sc::StartServiceW(service.0, 0, ptr::null()) };
    match if ok == 0 { last_error() } else { win::NO_ERROR } {
        win::NO_ERROR => service.wait_for(State::Running).map(|()| Change::Done),
        win::ERROR_SERVICE_ALREADY_RUNNING => Ok(Change::Already),
        win::ERROR_INVALID_IMAGE_HASH | win::ERROR_DRIVER_BLOCKED => Err(DriverError::Untrusted),
        win::ERROR_FILE_NOT_FOUND | win::ERROR_PATH_NOT_FOUND => Err(DriverError::FileMissing(image_path()?)),
        code => Err(refused("StartService", code)),
    }
}

/// Stops the driver and waits until it has unloaded.
pub fn stop() -> Result<Change, DriverError> {
    let service = Handle::manager(sc::SC_MANAGER_CONNECT)?.service(sc::SERVICE_STOP | sc::SERVICE_QUERY_STATUS)?;
    // SAFETY: a `SERVICE_STATUS` is integers; all zero is a value.
    let mut answer = unsafe { std::mem::zeroed() };
    // SAFETY: `ControlService` needs a service handle opened with SERVICE_STOP, as above, and room for a
    // `SERVICE_STATUS`, which `answer` is.
    let ok = unsafe { sc::ControlService(service.0, sc::SERVICE_CONTROL_STOP, &raw mut answer) };
    match if ok == 0 { last_error() } else { win::NO_ERROR } {
        win::ERROR_SERVICE_NOT_ACTIVE => Ok(Change::Already),
        // The other two: it was asked to stop before, and has not finished.
        win::NO_ERROR | win::ERROR_SERVICE_CANNOT_ACCEPT_CTRL | win::ERROR_INVALID_SERVICE_CONTROL => {
            service.wait_for(State::Stopped).map(|()| Change::Done)
        }
        code => Err(refused("ControlService", code)),
    }
}

/// Asks for the driver's state.
pub fn status() -> Result<Status, DriverError> {
    let access = sc::SERVICE_QUERY_STATUS | sc::SERVICE_QUERY_CONFIG;
    let service = Handle::manager(sc::SC_MANAGER_CONNECT)?.service(access)?;
    let image = image_path()?;
    Ok(Status { state: service.state()?, image_exists: image.exists(), image, starts: service.starts()? })
}

/// Whether a service of any name runs. One that is not there, or cannot be asked about, does not.
pub(super) fn is_running(name: &str) -> bool {
    let asked =
        Handle::manager(sc::SC_MANAGER_CONNECT).and_then(|manager| manager.named(name, sc::SERVICE_QUERY_STATUS));
    asked.and_then(|service| service.state()).is_ok_and(|state| state == State::Running)
}

/// A handle to the driver's service that can be asked for its state.
pub(super) fn open_for_query() -> Result<Handle, DriverError> {
    Handle::manager(sc::SC_MANAGER_CONNECT)?.service(sc::SERVICE_QUERY_STATUS)
}

/// A handle of the service manager: to itself or to the driver's service.
pub(super) struct Handle(sc::SC_HANDLE);

// SAFETY: a service manager handle is a number that belongs to the process, not to a thread.
unsafe impl Send for Handle {}
// SAFETY: as above, and the calls that take it may run at the same time.
unsafe impl Sync for Handle {}

impl Handle {
    fn manager(access: u32) -> Result<Self, DriverError> {
        // SAFETY: `OpenSCManagerW` takes null for this machine and for the active database.
        let handle = unsafe { sc::OpenSCManagerW(ptr::null(), ptr::null(), access) };
        Self::checked("OpenSCManager", handle)
    }

    /// Opens the driver's service; `self` is the manager.
    fn service(&self, access: u32) -> Result<Self, DriverError> {
        self.named(wire::SERVICE_NAME, access)
    }

    /// Opens a service; `self` is the manager.
    fn named(&self, name: &str, access: u32) -> Result<Self, DriverError> {
        let name = wide(name);
        // SAFETY: `OpenServiceW` needs an open manager handle, which `self` is, and a name that ends with NUL.
        let handle = unsafe { sc::OpenServiceW(self.0, name.as_ptr(), access) };
        Self::checked("OpenService", handle)
    }

    fn create_service(&self) -> Result<Self, DriverError> {
        let (name, display, image, group) =
            (wide(wire::SERVICE_NAME), wide(DISPLAY_NAME), wide(&image_name()), wide(LOAD_ORDER_GROUP));
        // SAFETY: `CreateServiceW` needs
        // 1. a manager handle opened with SC_MANAGER_CREATE_SERVICE, as `install` does;
        // 2. texts that end with NUL and live until it returns: all are from `wide` and bound above;
        // 3. null for what a driver has not: tag, dependencies, account and password.
        let handle = unsafe {
            sc::CreateServiceW(
                self.0,
                name.as_ptr(),
                display.as_ptr(),
                sc::SERVICE_QUERY_STATUS,
                sc::SERVICE_KERNEL_DRIVER,
                sc::SERVICE_DEMAND_START,
                sc::SERVICE_ERROR_NORMAL,
                image.as_ptr(),
                group.as_ptr(),
                ptr::null_mut(),
                NONE,
                NONE,
                NONE,
            )
        };
        Self::checked("CreateService", handle)
    }

    /// Gives the driver's service the configuration that `create_service` gives a new one.
    fn configure(&self) -> Result<(), DriverError> {
        let (display, image, group) = (wide(DISPLAY_NAME), wide(&image_name()), wide(LOAD_ORDER_GROUP));
        // SAFETY: `ChangeServiceConfigW` needs a service handle opened with SERVICE_CHANGE_CONFIG, as `install` does;
        // the texts are as for `CreateServiceW`.
        let ok = unsafe {
            sc::ChangeServiceConfigW(
                self.0,
                sc::SERVICE_KERNEL_DRIVER,
                sc::SERVICE_DEMAND_START,
                sc::SERVICE_ERROR_NORMAL,
                image.as_ptr(),
                group.as_ptr(),
                ptr::null_mut(),
                NONE,
                NONE,
                NONE,
                display.as_ptr(),
            )
        };
        if ok == 0 { Err(refused("ChangeServiceConfig", last_error())) } else { Ok(()) }
    }

    fn delete(&self) -> Result<(), DriverError> {
        // SAFETY: `DeleteService` needs a service handle opened with DELETE, as `uninstall` does.
        let ok = unsafe { sc::DeleteService(self.0) };
        if ok == 0 { Err(refused("DeleteService", last_error())) } else { Ok(()) }
    }

    /// The state of the driver's service.
    pub(super) fn state(&self) -> Result<State, DriverError> {
        // SAFETY: a `SERVICE_STATUS` is integers; all zero is a value.
        let mut status: sc::SERVICE_STATUS = unsafe { std::mem::zeroed() };
        // SAFETY: `QueryServiceStatus` needs a service handle opened with SERVICE_QUERY_STATUS, as all callers do, and
        // room for a `SERVICE_STATUS`, which `status` is.
        let ok = unsafe { sc::QueryServiceStatus(self.0, &raw mut status) };
        if ok == 0 {
            return Err(refused("QueryServiceStatus", last_error()));
        }
        Ok(match status.dwCurrentState {
            sc::SERVICE_STOPPED => State::Stopped,
            sc::SERVICE_START_PENDING => State::Starting,
            sc::SERVICE_STOP_PENDING => State::Stopping,
            // The states left are of pausing, which drivers do not.
            _ => State::Running,
        })
    }

    /// Who starts the driver.
    fn starts(&self) -> Result<Starts, DriverError> {
        // The most that the call ever writes: 8 KiB (learn.microsoft.com QueryServiceConfigW).
        let mut room = [0_u64; 1024];
        let mut needed = 0;
        // SAFETY: `QueryServiceConfigW` needs
        // 1. a service handle opened with SERVICE_QUERY_CONFIG, as `status` does;
        // 2. room of the size it is told, aligned for its structure, and room for a number.
        let ok = unsafe {
            let bytes = size_of_val(&room) as u32;
            sc::QueryServiceConfigW(self.0, room.as_mut_ptr().cast(), bytes, &raw mut needed)
        };
        if ok == 0 {
            return Err(refused("QueryServiceConfig", last_error()));
        }
        let config = room.as_ptr().cast::<sc::QUERY_SERVICE_CONFIGW>();
        // SAFETY: the call wrote this structure at the start of `room`, which is aligned for it.
        let config = unsafe { config.read() };
        Ok(match config.dwStartType {
            sc::SERVICE_DEMAND_START => Starts::OnDemand,
            sc::SERVICE_DISABLED => Starts::Disabled,
            _ => Starts::WithSystem,
        })
    }

    fn wait_for(&self, wanted: State) -> Result<(), DriverError> {
        let asked = Instant::now();
        loop {
            let state = self.state()?;
            if state == wanted {
                return Ok(());
            }
            if asked.elapsed() > PATIENCE {
                return Err(match wanted {
                    State::Stopped => DriverError::StillInUse,
                    _ => DriverError::Os { call: "starting the driver", source: io::ErrorKind::TimedOut.into() },
                });
            }
            thread::sleep(ASK_EVERY);
        }
    }

    fn checked(call: &'static str, handle: sc::SC_HANDLE) -> Result<Self, DriverError> {
        if handle.is_null() { Err(refused(call, last_error())) } else { Ok(Self(handle)) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: `CloseServiceHandle` needs an open handle that nobody uses afterwards: `checked` lets only open ones
        // in, and `self` owns it.
        unsafe { sc::CloseServiceHandle(self.0) };
    }
}

const NONE: PCWSTR = ptr::null();

/// The driver's file as the service's configuration names it: where Windows is, whatever letter its drive has.
fn image_name() -> String {
    format!(r"\SystemRoot\System32\drivers\{FILE_NAME}")
}

/// The same file as this program reaches it.
fn image_path() -> Result<PathBuf, DriverError> {
    let system = system_directory().ok_or_else(|| refused("GetSystemDirectory", last_error()))?;
    Ok(PathBuf::from(system).join("drivers").join(FILE_NAME))
}

/// Copies the driver's file unless the same bytes are there.
fn copy(from: &Path, to: &Path) -> Result<Change, DriverError> {
    let bytes = fs::read(from).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DriverError::FileMissing(from.to_owned()),
        _ => DriverError::Os { call: "reading the driver file", source },
    })?;
    if fs::read(to).is_ok_and(|installed| installed == bytes) {
        return Ok(Change::Already);
    }
    match fs::write(to, bytes) {
        Ok(()) => Ok(Change::Done),
        Err(error) if is(&error, win::ERROR_SHARING_VIOLATION) || is(&error, win::ERROR_USER_MAPPED_FILE) => {
            Err(DriverError::FileInUse(to.to_owned()))
        }
        Err(error) if is(&error, win::ERROR_ACCESS_DENIED) => Err(DriverError::AccessDenied),
        Err(source) => Err(DriverError::Os { call: "copying the driver file", source }),
    }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

fn refused(call: &'static str, code: u32) -> DriverError {
    match code {
        win::ERROR_ACCESS_DENIED => DriverError::AccessDenied,
        win::ERROR_SERVICE_DOES_NOT_EXIST => DriverError::NotInstalled,
        win::ERROR_SERVICE_MARKED_FOR_DELETE => DriverError::MarkedForDeletion,
        win::ERROR_DEPENDENT_SERVICES_RUNNING => {
            let why = "the service needs the driver: `tollgate service stop` first";
            DriverError::Os { call, source: io::Error::other(why) }
        }
        _ => DriverError::Os { call, source: os_error(code) },
    }
}
