//! `tollgate driver`: install, start, stop, uninstall, status.
//!
//! * [`doctor`]: everything of ours in the system, looked at and removed.
//!
//! Neighbours: `platform::driver_service` does it.

pub mod doctor;

use crate::args::Driver;
use crate::failure::{Exit, Failure};
use crate::output::printer::print;
use platform::driver_service::{self, Change, DriverError, FILE_NAME, State, Status};
use serde_json::json;
use std::io;
use std::path::PathBuf;

/// Carries out one command about the driver.
pub fn run(command: Driver) -> Result<(), Failure> {
    let said = match command {
        Driver::Install { file } => install(file)?,
        Driver::Start => match driver_service::start()? {
            Change::Done => "the driver is running".to_owned(),
            Change::Already => "the driver was running already".to_owned(),
        },
        Driver::Stop => match named_holder(driver_service::stop)? {
            Change::Done => "the driver has stopped".to_owned(),
            Change::Already => "the driver was not running".to_owned(),
        },
        Driver::Uninstall => match named_holder(driver_service::uninstall)? {
            Change::Done => "the driver is uninstalled".to_owned(),
            Change::Already => "the driver was not installed".to_owned(),
        },
        Driver::Status { json } => status(&driver_service::status()?, json),
        Driver::Doctor(args) => return doctor::run(&args),
    };
    Ok(print(&said)?)
}

fn install(file: Option<PathBuf>) -> Result<String, Failure> {
    let file = match file {
        Some(file) => file,
        None => beside_this_program()?,
    };
    let installed = driver_service::install(&file)?;
    let what = match (installed.service, installed.file) {
        (Change::Done, _) => "the driver is installed",
        (Change::Already, Change::Done) => "the driver's file is replaced",
        (Change::Already, Change::Already) => "the driver was installed already",
    };
    Ok(format!("{what}: {}\nnext: `tollgate driver start`", installed.image.display()))
}

fn beside_this_program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(FILE_NAME))
}

/// Carries out what stops the driver. If something keeps it from stopping, says which process that is.
fn named_holder(act: fn() -> Result<Change, DriverError>) -> Result<Change, Failure> {
    // Asked first: a driver that is stopping lets nobody in.
    let holder = platform::open().and_then(|enforcer| enforcer.stats()).map(|stats| stats.attached_process_id);
    act().map_err(Failure::from).map_err(|failure| match holder {
        Ok(process) if process != 0 && failure.exit() == Exit::InUse => {
            failure.with_help(format!("end process {process}, which is attached; the driver then unloads"))
        }
        _ => failure,
    })
}

fn status(status: &Status, json: bool) -> String {
    let state = match status.state {
        State::Stopped => "stopped",
        State::Starting => "starting",
        State::Running => "running",
        State::Stopping => "stopping",
    };
    let image = status.image.display();
    if json {
        let file = image.to_string();
        return json!({ "state": state, "file": file, "file_exists": status.image_exists }).to_string();
    }
    let missing = if status.image_exists { "" } else { " (missing: `tollgate driver install`)" };
    format!("{state}, {image}{missing}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_the_state_and_whether_the_file_is_there() {
        let image = r"C:\d\tollgate.sys".into();
        let starts = driver_service::Starts::OnDemand;
        let running = Status { state: State::Running, image, image_exists: true, starts };
        assert_eq!(status(&running, false), r"running, C:\d\tollgate.sys");
        let broken = Status { state: State::Stopped, image_exists: false, ..running };
        assert!(status(&broken, false).contains("missing"));
        let json: serde_json::Value = serde_json::from_str(&status(&broken, true)).unwrap();
        assert_eq!(json, json!({ "state": "stopped", "file": r"C:\d\tollgate.sys", "file_exists": false }));
    }
}
