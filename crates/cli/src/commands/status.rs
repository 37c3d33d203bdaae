//! `tollgate status`: how the service and the driver do.
//!
//! * `service`: what the service says about itself.
//! * [`driver`]: the driver's counters.
//!
//! Invariants: what can be asked is shown, and of the other it is said why not; only when neither can be asked does the
//! command fail. Neighbours: `control::status` and `wire::stats` say what each means.

mod driver;
mod service;

use crate::client::Where;
use crate::failure::{Exit, Failure};
use crate::output::printer::print;
use control::protocol::{Reply, Request};
use control::status::Status;
use serde_json::{Value, json};
use wire::stats::Stats;

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tollgate status
  tollgate status --json | jq .service.gate     whether connections are held, now

What cannot be asked is said in one line; in JSON it is {\"error\": \"...\"}.")]
pub struct Args {
    /// Print one JSON object, {"service": ..., "driver": ...}, instead of a table
    #[arg(long)]
    json: bool,
}

/// Carries it out.
pub fn run(args: &Args, server: &Where) -> Result<(), Failure> {
    let service = ask_service(server);
    let driver = platform::open().and_then(|enforcer| enforcer.stats()).map_err(Failure::from);
    let (service, driver) = at_least_one(service, driver)?;
    let said = if args.json { as_json(&service, &driver).to_string() } else { as_table(&service, &driver) };
    Ok(print(&said)?)
}

fn ask_service(server: &Where) -> Result<Status, Failure> {
    match server.connect()?.client.call(Request::Status)? {
        Reply::Status(status) => Ok(*status),
        other => Err(crate::client::unexpected(&other)),
    }
}

type Asked<T> = Result<T, Failure>;

/// Both, or why there is neither: what the driver says when there is no service, except that there is no driver here.
fn at_least_one(service: Asked<Status>, driver: Asked<Stats>) -> Result<(Asked<Status>, Asked<Stats>), Failure> {
    match (service, driver) {
        (Err(service), Err(driver)) if service.exit() == Exit::NoService && driver.exit() != Exit::Unsupported => {
            Err(driver)
        }
        (Err(service), Err(_)) => Err(service),
        asked => Ok(asked),
    }
}

fn as_table(service: &Asked<Status>, driver: &Asked<Stats>) -> String {
    let mut rows = match service {
        Ok(status) => service::rows(status, jiff::Timestamp::now()),
        Err(failure) => vec![row("service", failure.message())],
    };
    rows.push(row("", String::new()));
    match driver {
        Ok(stats) => rows.extend(driver::rows(stats)),
        Err(failure) => rows.push(row("driver", failure.message())),
    }
    table(&rows)
}

fn as_json(service: &Asked<Status>, driver: &Asked<Stats>) -> Value {
    let or_error =
        |asked: Result<Value, &Failure>| asked.unwrap_or_else(|failure| json!({ "error": failure.message() }));
    json!({
        "service": or_error(service.as_ref().map(|status| json!(status))),
        "driver": or_error(driver.as_ref().map(driver::object)),
    })
}

/// A line of the table: what, and how.
type Row = (&'static str, String);

fn row(name: &'static str, value: String) -> Row {
    (name, value)
}

fn table(rows: &[Row]) -> String {
    let lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("{name:<14} {value}").trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::enforcer::EnforcerError;

    /// Fails unless docs/operations.md shows rows called like these, in this order.
    pub fn is_in_the_manual(rows: &[Row]) {
        let manual = include_str!("../../../../docs/operations.md");
        let mut shown = manual.lines().skip_while(|line| *line != "### The status");
        for (name, _) in rows {
            let start = format!("{name:<14} ");
            assert!(shown.any(|line| line.starts_with(&start)), "the manual does not show {name:?} in its place");
        }
    }

    fn no_service() -> Failure {
        let folder = tempfile::tempdir().unwrap();
        let server = Where { control: Some(folder.path().join("none").display().to_string()) };
        server.connect().err().unwrap()
    }

    #[test]
    fn without_a_service_the_driver_is_shown_and_that_no_service_runs() {
        let (service, driver) = at_least_one(Err(no_service()), Ok(Stats::default())).unwrap();
        let table = as_table(&service, &driver);
        assert!(table.starts_with("service        no service runs: "), "{table}");
        assert!(table.contains("\ndriver         version 0"), "{table}");
        let json = as_json(&service, &driver);
        assert!(json["service"]["error"].as_str().unwrap().starts_with("no service runs"), "{json}");
        assert_eq!(json["driver"]["pended"], 0);
    }

    #[test]
    fn with_neither_the_more_useful_reason_is_given() {
        let exit = |driver: EnforcerError| at_least_one(Err(no_service()), Err(driver.into())).err().unwrap().exit();
        assert_eq!(exit(EnforcerError::NotInstalled), Exit::NotInstalled);
        assert_eq!(exit(EnforcerError::Unsupported), Exit::NoService);
    }
}
