//! `tollgate service`: install, start, stop, uninstall, status.
//!
//! Neighbours: `platform::daemon` does it; `run` is what the service runs.

use crate::failure::{Exit, Failure};
use crate::output::printer::print;
use platform::daemon::{self, Change, DaemonError, State, Status};
use serde_json::json;

/// What to do with the service.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make this program the service, which starts with the system; again to update it
    ///
    /// The service runs `tollgate run --service` from where this program is now: put it first where only administrators
    /// can change it. It is started again when it fails.
    Install,
    /// Start the service, and wait until it is ready
    Start,
    /// Stop the service; what it holds is released by the fallback
    Stop,
    /// Stop the service, and remove it; configuration, rules and log stay
    Uninstall,
    /// Show whether the service is installed and running
    Status {
        /// Print one JSON object instead of a line
        #[arg(long)]
        json: bool,
    },
}

/// Carries it out.
pub fn run(command: Command) -> Result<(), Failure> {
    let said = match command {
        Command::Install => match daemon::install()? {
            Change::Done => "the service is installed\nnext: `tollgate service start`".to_owned(),
            Change::Already => "the service was installed already".to_owned(),
        },
        Command::Start => match daemon::start()? {
            Change::Done => "the service is running".to_owned(),
            Change::Already => "the service was running already".to_owned(),
        },
        Command::Stop => match daemon::stop()? {
            Change::Done => "the service has stopped".to_owned(),
            Change::Already => "the service was not running".to_owned(),
        },
        Command::Uninstall => match daemon::uninstall()? {
            Change::Done => "the service is uninstalled".to_owned(),
            Change::Already => "the service was not installed".to_owned(),
        },
        Command::Status { json } => status(&daemon::status()?, json),
    };
    Ok(print(&said)?)
}

fn status(status: &Status, json: bool) -> String {
    let state = match status.state {
        State::Stopped => "stopped",
        State::Starting => "starting",
        State::Running => "running",
        State::Stopping => "stopping",
    };
    let Status { starts_with_system, pid, command, .. } = status;
    if json {
        let fields =
            json!({ "state": state, "starts_with_system": starts_with_system, "pid": pid, "command": command });
        return fields.to_string();
    }
    let process = pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
    let start = if *starts_with_system { "starts with the system" } else { "does not start with the system" };
    format!("{state}{process}, {start}: {command}")
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        let (exit, help) = match &error {
            DaemonError::NoManager => (
                Exit::Unsupported,
                Some("start `tollgate run` by what starts programs here, and again whenever it ends"),
            ),
            DaemonError::NotInstalled => (Exit::NotInstalled, Some("`tollgate service install`")),
            DaemonError::AccessDenied if cfg!(windows) => {
                (Exit::AccessDenied, Some("run this in a window opened with \"Run as administrator\""))
            }
            DaemonError::AccessDenied => (Exit::AccessDenied, Some("run this as root")),
            DaemonError::NotAService => (Exit::Failed, Some("`tollgate run` runs in the foreground")),
            DaemonError::BadPath(_) => (Exit::Failed, Some("move this program, then install again")),
            DaemonError::MarkedForDeletion => {
                (Exit::InUse, Some("close the programs that look at services, or restart Windows"))
            }
            DaemonError::Failed { .. } if cfg!(windows) => {
                (Exit::Failed, Some("look into the Windows event log, and try `tollgate run` in the foreground"))
            }
            DaemonError::Failed { .. } => (Exit::Failed, Some("`journalctl -u tollgate` says why")),
            DaemonError::Os { .. } => (Exit::Failed, None),
        };
        Self::new(exit, error, help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_the_state_the_process_and_the_command() {
        let running = Status {
            state: State::Running,
            starts_with_system: true,
            pid: Some(7),
            command: "/usr/bin/tollgate run --service".to_owned(),
        };
        let line = status(&running, false);
        assert_eq!(line, "running as process 7, starts with the system: /usr/bin/tollgate run --service");
        let stopped = Status { state: State::Stopped, pid: None, ..running };
        let json: serde_json::Value = serde_json::from_str(&status(&stopped, true)).unwrap();
        assert_eq!(json["state"], "stopped");
        assert_eq!(json["pid"], serde_json::Value::Null);
    }
}
