//! A systemd service (man 5 systemd.service, man 3 sd_notify).
//!
//! Neighbours: `windows::daemon` is the twin, with the same names; `packaging/tollgate.service` is the unit.

use super::console;
use crate::daemon::{Change, DaemonError, Kind, SERVICE_NAME, State, Status};
use crate::{dirs, files};
use sd_notify::NotifyState;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, io, thread};

/// Where an administrator's units are (man 5 systemd.unit).
const UNIT_PATH: &str = "/etc/systemd/system/tollgate.service";
/// The unit, but for the path of the program.
const UNIT: &str = include_str!("../../../../packaging/tollgate.service");
/// What stands for that path in it.
const PROGRAM: &str = "/usr/bin/tollgate";
/// There when systemd runs (man 3 sd_booted).
const BOOTED: &str = "/run/systemd/system";

/// The work's connection to whoever runs it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    /// Set when the work is over; the watchdog thread waits on it.
    over: Mutex<bool>,
    changed: Condvar,
}

/// Runs `work`. Once per process.
///
/// What `work` may be is what it must be on Windows, where it runs on a thread of the service manager's.
pub fn run<T, E, W>(kind: Kind, work: W) -> Result<Result<T, E>, DaemonError>
where
    T: Send + 'static,
    E: Send + 'static,
    W: FnOnce(&Host) -> Result<T, E> + Send + 'static,
{
    let host = Host(Arc::new(Inner { kind, over: Mutex::new(false), changed: Condvar::new() }));
    let ended = work(&host);
    *host.0.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
    host.0.changed.notify_all();
    host.tell(&[NotifyState::Stopping]);
    Ok(ended)
}

impl Host {
    /// Who runs this program.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Says that the work can be relied on from now on. Keeps telling the watchdog, if there is one, that this process
    /// runs.
    pub fn ready(&self) -> io::Result<()> {
        self.tell(&[NotifyState::Ready]);
        let Some(period) = self.watchdog() else { return Ok(()) };
        let inner = self.clone();
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || inner.keep_alive(period / 2))?;
        Ok(())
    }

    /// Says how the work does, in a line for people.
    pub fn status(&self, line: &str) {
        // A second line would be read as another message.
        let line = line.replace('\n', " ");
        self.tell(&[NotifyState::Status(&line)]);
    }

    /// Calls `stop`, from another thread, when this program is asked to end, perhaps more than once. To be called once.
    pub fn on_stop(&self, stop: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
        let host = self.clone();
        console::on_stop(move || {
            host.tell(&[NotifyState::Stopping]);
            stop();
        })
    }

    fn watchdog(&self) -> Option<Duration> {
        if self.0.kind == Kind::Foreground { None } else { sd_notify::watchdog_enabled() }
    }

    fn keep_alive(&self, every: Duration) {
        let mut over = self.0.over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*over {
            self.tell(&[NotifyState::Watchdog]);
            (over, _) = self.0.changed.wait_timeout(over, every).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell(&self, what: &[NotifyState<'_>]) {
        if self.0.kind == Kind::Service {
            // Who runs us without systemd hears nothing; there is nobody else to tell.
            let _sent = sd_notify::notify(what);
        }
    }
}

/// Installs this program as the service, and enables it; or brings the installed one up to date.
pub fn install() -> Result<Change, DaemonError> {
    let unit = unit_for(&this_program()?)?;
    if !Path::new(BOOTED).exists() {
        return Err(DaemonError::NoManager);
    }
    dirs::create_all().map_err(|source| refused("creating folders", source))?;
    let change =
        if fs::read_to_string(UNIT_PATH).is_ok_and(|old| old == unit) { Change::Already } else { Change::Done };
    files::replace(Path::new(UNIT_PATH), unit.as_bytes()).map_err(|source| refused("writing the unit", source))?;
    readable(Path::new(UNIT_PATH))?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", SERVICE_NAME])?;
    Ok(change)
}

/// Stops the service, and removes it.
pub fn uninstall() -> Result<Change, DaemonError> {
    match status() {
        Err(DaemonError::NotInstalled) => return Ok(Change::Already),
        known => known?,
    };
    systemctl(&["disable", "--now", SERVICE_NAME])?;
    match fs::remove_file(UNIT_PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(|source| refused("removing the unit", source))?,
    }
    systemctl(&["daemon-reload"])?;
    Ok(Change::Done)
}

/// Starts the service, and waits until it is ready.
pub fn start() -> Result<Change, DaemonError> {
    if status()?.state == State::Running {
        return Ok(Change::Already);
    }
    systemctl(&["start", SERVICE_NAME])?;
    Ok(Change::Done)
}

/// Stops the service, and waits until it has ended.
pub fn stop() -> Result<Change, DaemonError> {
    if status()?.state == State::Stopped {
        return Ok(Change::Already);
    }
    systemctl(&["stop", SERVICE_NAME])?;
    Ok(Change::Done)
}

/// Asks for the service's state.
pub fn status() -> Result<Status, DaemonError> {
    if !Path::new(BOOTED).exists() {
        return Err(DaemonError::NoManager);
    }
    let shown = systemctl(&["show", "--property=LoadState,ActiveState,UnitFileState,MainPID,ExecStart", SERVICE_NAME])?;
    read_status(&shown)
}

/// What `systemctl show` says, a `NAME=VALUE` a line.
fn read_status(shown: &str) -> Result<Status, DaemonError> {
    let value =
        |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    if value("LoadState") != "loaded" {
        return Err(DaemonError::NotInstalled);
    }
    let state = match value("ActiveState") {
        "active" | "reloading" => State::Running,
        "activating" => State::Starting,
        "deactivating" => State::Stopping,
        _ => State::Stopped,
    };
    let command = value("ExecStart").split_once("argv[]=").map_or("", |(_, rest)| rest);
    Ok(Status {
        state,
        starts_with_system: value("UnitFileState") == "enabled",
        pid: value("MainPID").parse().ok().filter(|pid| *pid != 0),
        command: command.split(" ;").next().unwrap_or_default().trim().to_owned(),
    })
}

/// The unit, for a program at `path`.
fn unit_for(path: &Path) -> Result<String, DaemonError> {
    let text = path.to_str().filter(|text| path.is_absolute() && !text.contains(['\n', '\r', '\0']));
    let text = text.ok_or_else(|| DaemonError::BadPath(path.to_owned()))?;
    Ok(UNIT.replace(PROGRAM, &quoted(text)))
}

/// A word of a command line in a unit: quoted when it must be, with nothing in it that systemd replaces (man 5
/// systemd.service, "Command lines"; man 5 systemd.unit, "Specifiers").
fn quoted(word: &str) -> String {
    let mut text = String::new();
    for c in word.chars() {
        match c {
            '%' => text.push_str("%%"),
            '$' => text.push_str("$$"),
            '"' | '\\' => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
    if word.contains([' ', '\t', '\'', '"', '\\', ';']) { format!("\"{text}\"") } else { text }
}

fn this_program() -> Result<std::path::PathBuf, DaemonError> {
    env::current_exe().map_err(|source| refused("finding this program", source))
}

/// Units hold no secrets, and systemd warns of those that only root may read.
fn readable(unit: &Path) -> Result<(), DaemonError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(unit, mode).map_err(|source| refused("setting the mode of the unit", source))
}

/// Runs `systemctl`, and gives what it printed.
fn systemctl(arguments: &[&str]) -> Result<String, DaemonError> {
    let output = Command::new("systemctl").arg("--no-ask-password").args(arguments).output();
    let output = output.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DaemonError::NoManager,
        _ => DaemonError::Os { call: "systemctl", source },
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if why.contains("Access denied") || why.contains("authentication required") {
        return Err(DaemonError::AccessDenied);
    }
    match arguments.first() {
        Some(&"start") => Err(DaemonError::Failed { wanted: "start", why }),
        Some(&"stop" | &"disable") => Err(DaemonError::Failed { wanted: "stop", why }),
        _ => Err(DaemonError::Os { call: "systemctl", source: io::Error::other(why) }),
    }
}

fn refused(call: &'static str, source: io::Error) -> DaemonError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => DaemonError::AccessDenied,
        _ => DaemonError::Os { call, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command_of(program: &str) -> String {
        let unit = unit_for(Path::new(program)).unwrap();
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap().to_owned()
    }

    #[test]
    fn the_unit_starts_this_program_wherever_it_is() {
        assert_eq!(command_of("/opt/tollgate"), "/opt/tollgate run --service");
        assert_eq!(command_of("/opt/my tools/tollgate"), "\"/opt/my tools/tollgate\" run --service");
        assert_eq!(command_of("/opt/50%/$x/a\"b"), "\"/opt/50%%/$$x/a\\\"b\" run --service");
        for bad in ["tollgate", "/opt/a\nExecStartPre=/bin/evil"] {
            assert!(matches!(unit_for(Path::new(bad)), Err(DaemonError::BadPath(_))), "{bad}");
        }
    }

    #[test]
    fn systemd_finds_nothing_wrong_with_the_unit() {
        let folder = tempfile::tempdir().unwrap();
        let unit = folder.path().join(SERVICE_NAME);
        fs::write(&unit, unit_for(&this_program().unwrap()).unwrap()).unwrap();
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
        let Ok(verified) = verified else {
            println!("not run: there is no systemd-analyze here");
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        let objections: Vec<&str> = said.lines().filter(|line| line.contains("tollgate.service")).collect();
        assert_eq!(objections, [""; 0]);
    }

    #[test]
    fn a_status_is_read_from_what_systemd_shows() {
        let shown = "MainPID=77\nExecStart={ path=/opt/t ; argv[]=/opt/t run --service ; ignore_errors=no ; }\n\
            LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";
        let expected = Status {
            state: State::Running,
            starts_with_system: true,
            pid: Some(77),
            command: "/opt/t run --service".to_owned(),
        };
        assert_eq!(read_status(shown).unwrap(), expected);
        let failed = shown.replace("=active", "=failed").replace("MainPID=77", "MainPID=0");
        assert_eq!(read_status(&failed).unwrap(), Status { state: State::Stopped, pid: None, ..expected });
        assert!(matches!(read_status("LoadState=not-found\n"), Err(DaemonError::NotInstalled)));
    }
}
