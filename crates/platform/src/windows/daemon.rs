//! A Windows service (learn.microsoft.com "Service Programs").
//!
//! The service manager starts this program, calls it on a thread of its own, and tells it to stop on another. The work
//! runs on the first of these threads; what comes of it is handed back to [`run`].
//!
//! Neighbours: `linux::daemon` is the twin, with the same names; `service_manager` does the same for the driver.

use super::console;
use crate::daemon::{ARGUMENTS, Change, DaemonError, Kind, RESTART_AFTER, SERVICE_NAME, State, Status};
use crate::{dirs, driver_service};
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{env, fmt, io, thread};
use windows_service::service as sc;
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{Error, service_dispatcher};
use windows_sys::Win32::Foundation as win;

const DISPLAY_NAME: &str = "Tollgate Service";
const DESCRIPTION: &str = "Decides by rules which network connections are permitted. While it does not run, the \
    fallback of the Tollgate driver decides.";

/// How long the work may take to be ready, to end, and to end while Windows does.
const START_HINT: Duration = Duration::from_secs(60);
const STOP_HINT: Duration = Duration::from_secs(20);
/// How long the managing functions wait for the service, and how often they ask.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(50);
/// When failures are forgotten.
const FAILURES_COUNT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The work's connection to whoever runs it. Clones are the same.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    kind: Kind,
    /// Set by the time that the work runs as a service.
    reports: OnceLock<ServiceStatusHandle>,
    is_stopping: AtomicBool,
    stop: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.0.kind).finish()
    }
}

/// What the service manager's thread calls: runs the work, and says whether it ended well.
type Work = Box<dyn FnOnce(&Host) -> bool + Send>;
static WORK: Mutex<Option<Work>> = Mutex::new(None);

/// Runs `work`. Once per process.
///
/// # Errors
/// [`DaemonError::NotAService`] when `kind` says that the service manager started this program, and it did not.
pub fn run<T, E, W>(kind: Kind, work: W) -> Result<Result<T, E>, DaemonError>
where
    T: Send + 'static,
    E: Send + 'static,
    W: FnOnce(&Host) -> Result<T, E> + Send + 'static,
{
    if kind == Kind::Foreground {
        return Ok(work(&Host::new(kind)));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    *lock(&WORK) = Some(Box::new(move |host| {
        let ended = work(host);
        let is_well = ended.is_ok();
        // Nobody waits for it only when the dispatcher failed.
        let _sent = sender.send(ended);
        is_well
    }));
    service_dispatcher::start(SERVICE_NAME, service_main)
        .map_err(|error| refused("StartServiceCtrlDispatcher", error))?;
    let never_ran = || DaemonError::Failed { wanted: "run", why: "the service manager did not call it".to_owned() };
    receiver.recv().map_err(|_| never_ran())
}

/// The entry that the service manager calls. It takes nothing: arguments are those of the process.
extern "system" fn service_main(_count: u32, _arguments: *mut *mut u16) {
    let Some(work) = lock(&WORK).take() else { return };
    let host = Host::new(Kind::Service);
    let listener = host.clone();
    let registered = service_control_handler::register(SERVICE_NAME, move |control| match control {
        sc::ServiceControl::Stop | sc::ServiceControl::Shutdown | sc::ServiceControl::Preshutdown => {
            listener.ask_to_stop();
            ServiceControlHandlerResult::NoError
        }
        sc::ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    });
    let Ok(reports) = registered else { return };
    let _set_once = host.0.reports.set(reports);
    host.report(sc::ServiceState::StartPending, sc::ServiceExitCode::NO_ERROR);
    let is_well = work(&host);
    // Anything but 0 is a failure, after which the service is started again.
    let code = if is_well { sc::ServiceExitCode::NO_ERROR } else { sc::ServiceExitCode::ServiceSpecific(1) };
    host.report(sc::ServiceState::Stopped, code);
}

impl Host {
    fn new(kind: Kind) -> Self {
        let (reports, is_stopping, stop) = (OnceLock::new(), AtomicBool::new(false), Mutex::new(None));
        Self(Arc::new(Inner { kind, reports, is_stopping, stop }))
    }

    /// Who runs this program.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Says that the work can be relied on from now on.
    pub fn ready(&self) -> io::Result<()> {
        self.report(sc::ServiceState::Running, sc::ServiceExitCode::NO_ERROR);
        Ok(())
    }

    /// Says how the work does, in a line for people. The Windows service manager has no place for it.
    pub fn status(&self, _line: &str) {}

    /// Calls `stop`, from another thread, when this program is asked to end, perhaps more than once. To be called once.
    pub fn on_stop(&self, stop: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
        if self.0.kind == Kind::Foreground {
            return console::on_stop(stop);
        }
        *lock(&self.0.stop) = Some(Arc::new(stop));
        if self.0.is_stopping.load(Ordering::SeqCst) {
            self.ask_to_stop();
        }
        Ok(())
    }

    fn ask_to_stop(&self) {
        self.0.is_stopping.store(true, Ordering::SeqCst);
        self.report(sc::ServiceState::StopPending, sc::ServiceExitCode::NO_ERROR);
        let stop = lock(&self.0.stop).clone();
        if let Some(stop) = stop {
            stop();
        }
    }

    fn report(&self, state: sc::ServiceState, exit_code: sc::ServiceExitCode) {
        let Some(reports) = self.0.reports.get() else { return };
        let is_running = state == sc::ServiceState::Running;
        let controls =
            sc::ServiceControlAccept::STOP | sc::ServiceControlAccept::SHUTDOWN | sc::ServiceControlAccept::PRESHUTDOWN;
        let status = sc::ServiceStatus {
            service_type: sc::ServiceType::OWN_PROCESS,
            current_state: state,
            controls_accepted: if is_running { controls } else { sc::ServiceControlAccept::empty() },
            exit_code,
            checkpoint: 0,
            wait_hint: match state {
                sc::ServiceState::StartPending => START_HINT,
                sc::ServiceState::StopPending => STOP_HINT,
                _ => Duration::ZERO,
            },
            process_id: None,
        };
        // Who cannot be told will see the process end.
        let _told = reports.set_service_status(status);
    }
}

/// Installs this program as the service, which starts with the system; or brings the installed one up to date.
pub fn install() -> Result<Change, DaemonError> {
    let program = env::current_exe().map_err(|source| DaemonError::Os { call: "finding this program", source })?;
    if !program.is_absolute() || program.to_str().is_none_or(|text| text.contains('"')) {
        return Err(DaemonError::BadPath(program));
    }
    dirs::create_all().map_err(|source| DaemonError::Os { call: "creating folders", source })?;
    // With the driver, and after it; where it is not installed yet, installing again adds that.
    let driver = driver_service::status().is_ok().then(|| sc::ServiceDependency::Service(wire::SERVICE_NAME.into()));
    let info = sc::ServiceInfo {
        name: SERVICE_NAME.into(),
        display_name: DISPLAY_NAME.into(),
        service_type: sc::ServiceType::OWN_PROCESS,
        start_type: sc::ServiceStartType::AutoStart,
        error_control: sc::ServiceErrorControl::Normal,
        executable_path: program,
        launch_arguments: ARGUMENTS.map(OsString::from).to_vec(),
        dependencies: driver.into_iter().collect(),
        account_name: None,
        account_password: None,
    };
    // The right to start it is what actions that start it again need.
    let access = sc::ServiceAccess::CHANGE_CONFIG | sc::ServiceAccess::START;
    let manager = manager(ServiceManagerAccess::CREATE_SERVICE)?;
    let (service, change) = match manager.create_service(&info, access) {
        Err(Error::Winapi(error)) if is(&error, win::ERROR_SERVICE_EXISTS) => {
            let service = manager.open_service(SERVICE_NAME, access).map_err(|error| refused("OpenService", error))?;
            service.change_config(&info).map_err(|error| refused("ChangeServiceConfig", error))?;
            (service, Change::Already)
        }
        created => (created.map_err(|error| refused("CreateService", error))?, Change::Done),
    };
    let actions = RESTART_AFTER.map(|delay| sc::ServiceAction { action_type: sc::ServiceActionType::Restart, delay });
    let failures = sc::ServiceFailureActions {
        reset_period: sc::ServiceFailureResetPeriod::After(FAILURES_COUNT_FOR),
        reboot_msg: None,
        command: None,
        actions: Some(actions.to_vec()),
    };
    set(service.set_description(DESCRIPTION))?;
    set(service.update_failure_actions(failures))?;
    set(service.set_failure_actions_on_non_crash_failures(true))?;
    set(service.set_config_service_sid_info(sc::ServiceSidType::Unrestricted))?;
    set(service.set_preshutdown_timeout(STOP_HINT))?;
    Ok(change)
}

/// Stops the service, and deletes it.
pub fn uninstall() -> Result<Change, DaemonError> {
    let service = match open(sc::ServiceAccess::DELETE) {
        Err(DaemonError::NotInstalled) => return Ok(Change::Already),
        opened => opened?,
    };
    stop()?;
    service.delete().map_err(|error| refused("DeleteService", error))?;
    Ok(Change::Done)
}

/// Deletes the service, be it stopped or not: while it runs it is marked for deletion, and goes when it has ended.
pub fn delete() -> Result<Change, DaemonError> {
    match open(sc::ServiceAccess::DELETE) {
        Err(DaemonError::NotInstalled) => Ok(Change::Already),
        opened => opened?.delete().map(|()| Change::Done).map_err(|error| refused("DeleteService", error)),
    }
}

/// Starts the service, and waits until it is ready.
pub fn start() -> Result<Change, DaemonError> {
    let service = open(sc::ServiceAccess::START | sc::ServiceAccess::QUERY_STATUS)?;
    match service.start::<OsString>(&[]) {
        Ok(()) => wait_for(&service, sc::ServiceState::Running, "start").map(|()| Change::Done),
        Err(Error::Winapi(error)) if is(&error, win::ERROR_SERVICE_ALREADY_RUNNING) => {
            wait_for(&service, sc::ServiceState::Running, "start").map(|()| Change::Already)
        }
        Err(error) => Err(refused("StartService", error)),
    }
}

/// Stops the service, and waits until it has ended.
pub fn stop() -> Result<Change, DaemonError> {
    let service = open(sc::ServiceAccess::STOP | sc::ServiceAccess::QUERY_STATUS)?;
    match service.stop() {
        Err(Error::Winapi(error)) if is(&error, win::ERROR_SERVICE_NOT_ACTIVE) => return Ok(Change::Already),
        // It was asked before, and has not ended.
        Err(Error::Winapi(error)) if is(&error, win::ERROR_SERVICE_CANNOT_ACCEPT_CTRL) => {}
        asked => {
            asked.map_err(|error| refused("ControlService", error))?;
        }
    }
    wait_for(&service, sc::ServiceState::Stopped, "stop").map(|()| Change::Done)
}

/// Asks for the service's state.
pub fn status() -> Result<Status, DaemonError> {
    let service = open(sc::ServiceAccess::QUERY_STATUS | sc::ServiceAccess::QUERY_CONFIG)?;
    let status = service.query_status().map_err(|error| refused("QueryServiceStatus", error))?;
    let config = service.query_config().map_err(|error| refused("QueryServiceConfig", error))?;
    Ok(Status {
        state: match status.current_state {
            sc::ServiceState::Stopped => State::Stopped,
            sc::ServiceState::StartPending => State::Starting,
            sc::ServiceState::StopPending => State::Stopping,
            // The states left are of pausing, which this service does not.
            _ => State::Running,
        },
        starts_with_system: config.start_type == sc::ServiceStartType::AutoStart,
        pid: status.process_id.filter(|pid| *pid != 0),
        command: config.executable_path.to_string_lossy().into_owned(),
    })
}

fn wait_for(service: &sc::Service, wanted: sc::ServiceState, what: &'static str) -> Result<(), DaemonError> {
    let asked = Instant::now();
    loop {
        let status = service.query_status().map_err(|error| refused("QueryServiceStatus", error))?;
        if status.current_state == wanted {
            return Ok(());
        }
        if status.current_state == sc::ServiceState::Stopped {
            let why = format!("it ended with {:?}", status.exit_code);
            return Err(DaemonError::Failed { wanted: what, why });
        }
        if asked.elapsed() > PATIENCE {
            let why = format!("it is {:?} after {} s", status.current_state, PATIENCE.as_secs());
            return Err(DaemonError::Failed { wanted: what, why });
        }
        thread::sleep(ASK_EVERY);
    }
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, DaemonError> {
    ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT | access)
        .map_err(|error| refused("OpenSCManager", error))
}

fn open(access: sc::ServiceAccess) -> Result<sc::Service, DaemonError> {
    manager(ServiceManagerAccess::empty())?
        .open_service(SERVICE_NAME, access)
        .map_err(|error| refused("OpenService", error))
}

/// Settings that a system does not know are of no use to it.
fn set(done: windows_service::Result<()>) -> Result<(), DaemonError> {
    match done {
        Err(Error::Winapi(error)) if is(&error, win::ERROR_INVALID_LEVEL) => Ok(()),
        done => done.map_err(|error| refused("ChangeServiceConfig2", error)),
    }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

fn refused(call: &'static str, error: Error) -> DaemonError {
    let Error::Winapi(source) = error else { return DaemonError::Os { call, source: io::Error::other(error) } };
    match source.raw_os_error().map(i32::cast_unsigned) {
        Some(win::ERROR_ACCESS_DENIED) => DaemonError::AccessDenied,
        Some(win::ERROR_SERVICE_DOES_NOT_EXIST) => DaemonError::NotInstalled,
        Some(win::ERROR_SERVICE_MARKED_FOR_DELETE) => DaemonError::MarkedForDeletion,
        Some(win::ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) => DaemonError::NotAService,
        Some(win::ERROR_SERVICE_DEPENDENCY_FAIL | win::ERROR_SERVICE_DEPENDENCY_DELETED) => {
            DaemonError::Failed { wanted: "start", why: "the driver did not start".to_owned() }
        }
        _ => DaemonError::Os { call, source },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
