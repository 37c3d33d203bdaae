//! `tollgate driver doctor`: everything of ours in the system, one by one, and what to do about it; with `--purge`, all of it
//! removed.
//!
//! Invariants: looking changes nothing; each thing is looked at by itself, so that one that fails hides no other; nothing is
//! removed without a yes. Neighbours: `platform` looks and removes.

use crate::failure::{Exit, Failure};
use crate::output::printer::print;
use platform::daemon::{self, DaemonError};
use platform::driver_service::{self, Change, DriverError, Starts, State};
use platform::enforcer::EnforcerError;
use platform::filter_engine::{self, FilterEngineError, Ours};
use platform::purge::{self, Step};
use serde_json::json;
use std::io::{self, IsTerminal, Write};

pub const EXAMPLES: &str = "\
Examples:
  tollgate driver doctor                 what there is of us, and what is wrong with it; changes nothing
  tollgate driver doctor --json
  tollgate driver doctor --purge         remove all of it, after asking; as administrator
  tollgate driver doctor --purge --yes   remove all of it

Exit codes: 0 nothing is wrong, or with --purge nothing is left; 15 something is.
Configuration, rules, log and answers are yours: they are never removed.";

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove every trace of Tollgate from Windows: services, driver, and what the filter engine has of it
    ///
    /// Each step is taken whatever became of the others, and waits for a minute at most. Configuration, rules, log and
    /// answers stay.
    #[arg(long)]
    purge: bool,

    /// With --purge: do not ask first
    #[arg(long, requires = "purge")]
    yes: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How a thing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// As it should be.
    Good,
    /// Not there.
    Absent,
    /// Wrong.
    Wrong,
    /// It cannot be told.
    Unknown,
}

/// What was found about one thing.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    health: Health,
    said: String,
    help: Option<&'static str>,
}

/// Carries it out.
pub fn run(args: &Args) -> Result<(), Failure> {
    let steps = purge::steps();
    if steps.is_empty() {
        return Err(DriverError::Unsupported.into());
    }
    if !args.purge {
        let findings = examine();
        print(&if args.json { as_json(&findings, &[]) } else { as_table(&findings) })?;
        return verdict(&findings, |health| health == Health::Wrong, "something is wrong with what is installed");
    }
    if !args.yes && !agreed()? {
        return Err(failed(Exit::Refused, "nothing was removed"));
    }
    let taken = take(&steps);
    let findings = examine();
    print(&if args.json { as_json(&findings, &taken) } else { as_report(&findings, &taken) })?;
    if taken.iter().any(|(_, error)| error.as_ref().is_err_and(purge::needs_administrator)) {
        return Err(failed(Exit::AccessDenied, "only an administrator can remove everything")
            .with_help("run this in a window opened with \"Run as administrator\"".to_owned()));
    }
    if taken.iter().any(|(_, result)| result.is_err()) {
        return Err(failed(Exit::Found, "not every step could be taken").with_help(LEFT.to_owned()));
    }
    verdict(&findings, |health| health != Health::Absent, "something is left")
}

const LEFT: &str = "restart Windows, then run this again: what is in use now is free then";

fn failed(exit: Exit, why: &str) -> Failure {
    Failure::new(exit, io::Error::other(why.to_owned()), None)
}

fn verdict(findings: &[Finding], is_bad: impl Fn(Health) -> bool, why: &str) -> Result<(), Failure> {
    let bad = findings.iter().any(|finding| is_bad(finding.health));
    if bad { Err(failed(Exit::Found, why)) } else { Ok(()) }
}

/// Asks the person at the terminal.
fn agreed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let nobody = failed(Exit::Refused, "nobody is here to ask whether everything shall be removed");
        return Err(nobody.with_help("say --yes".to_owned()));
    }
    let mut out = io::stderr();
    write!(out, "Stop and remove the service, the driver and all of their filters? Rules and log stay. [y/N] ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

type Taken = (&'static str, Result<Change, purge::StepError>);

fn take(steps: &[Step]) -> Vec<Taken> {
    steps.iter().map(|step| (step.what, (step.take)())).collect()
}

/// Looks at everything.
fn examine() -> Vec<Finding> {
    let driver = driver_service::status();
    let runs = driver.as_ref().is_ok_and(|status| status.state == State::Running);
    let mut findings = of_driver(&driver);
    findings.push(of_device(platform::open().and_then(|enforcer| enforcer.stats()).map(|stats| stats.version), runs));
    findings.push(of_filters(filter_engine::look(), runs));
    findings.push(of_service(daemon::status()));
    findings
}

fn finding(what: &'static str, health: Health, said: impl Into<String>, help: Option<&'static str>) -> Finding {
    Finding { what, health, said: said.into(), help }
}

fn of_driver(driver: &Result<driver_service::Status, DriverError>) -> Vec<Finding> {
    const SERVICE: &str = "driver's service";
    const FILE: &str = "driver's file";
    let status = match driver {
        Ok(status) => status,
        Err(error @ DriverError::NotInstalled) => {
            let help = "`tollgate driver install`, when connections shall be held";
            return vec![finding(SERVICE, Health::Absent, error.to_string(), Some(help))];
        }
        Err(error) => return vec![finding(SERVICE, Health::Unknown, text(error), None)],
    };
    let starts = match status.starts {
        Starts::OnDemand => "starts on demand",
        Starts::WithSystem => "starts with Windows",
        Starts::Disabled => "disabled",
    };
    let (health, state, help) = match (status.state, status.starts) {
        (State::Running, _) => (Health::Good, "running", None),
        (_, Starts::Disabled) => (Health::Wrong, "not running", Some("`tollgate driver install` enables it again")),
        (State::Stopped, _) => (Health::Good, "stopped", Some("`tollgate driver start`")),
        (State::Starting, _) => (Health::Wrong, "starting", Some("it should not take that long: restart Windows")),
        (State::Stopping, _) => {
            (Health::Wrong, "stopping", Some("end the program that is attached; the driver then unloads"))
        }
    };
    let file = match status.image_exists {
        true => finding(FILE, Health::Good, status.image.display().to_string(), None),
        false => {
            let said = format!("{} is missing", status.image.display());
            finding(FILE, Health::Wrong, said, Some("`tollgate driver install`"))
        }
    };
    vec![finding(SERVICE, health, format!("{state}, {starts}"), help), file]
}

fn of_device(version: Result<u16, EnforcerError>, runs: bool) -> Finding {
    const WHAT: &str = "device";
    match version {
        Ok(version) => finding(WHAT, Health::Good, format!("answers, version {version}"), None),
        Err(EnforcerError::NotInstalled | EnforcerError::NotRunning) if !runs => {
            finding(WHAT, Health::Absent, "the driver is not running", None)
        }
        Err(error @ EnforcerError::AccessDenied) => {
            finding(WHAT, Health::Unknown, text(&error), Some("run this as administrator"))
        }
        Err(error @ EnforcerError::VersionMismatch { .. }) => {
            finding(WHAT, Health::Wrong, text(&error), Some("`tollgate driver stop`, `install`, `start`"))
        }
        Err(error) => finding(WHAT, Health::Wrong, text(&error), Some("`tollgate driver stop`, then `start`")),
    }
}

fn of_filters(ours: Result<Ours, FilterEngineError>, runs: bool) -> Finding {
    const WHAT: &str = "filter engine";
    let ours = match ours {
        Ok(ours) => ours,
        Err(error @ FilterEngineError::NotRunning) => {
            let help =
                "start the Windows service BFE; without it nothing is filtered, by Windows' own firewall neither";
            return finding(WHAT, Health::Unknown, text(&error), Some(help));
        }
        Err(error @ FilterEngineError::AccessDenied) => {
            return finding(WHAT, Health::Unknown, text(&error), Some("run this as administrator"));
        }
        Err(error) => return finding(WHAT, Health::Unknown, text(&error), None),
    };
    let yes_no = |is_there| if is_there { "its" } else { "no" };
    let said = format!(
        "{} filters, {} callouts, {} sublayer, {} provider",
        ours.filters,
        ours.callouts,
        yes_no(ours.sublayer),
        yes_no(ours.provider)
    );
    match (runs, ours.is_empty()) {
        (false, true) => finding(WHAT, Health::Absent, "nothing of ours", None),
        (false, false) => {
            let help = "left by a driver that is gone: `tollgate driver doctor --purge` removes it";
            finding(WHAT, Health::Wrong, said, Some(help))
        }
        (true, _) if ours.filters == 0 || ours.callouts == 0 => {
            let help = "the driver runs and nothing is held: `tollgate driver stop`, then `start`";
            finding(WHAT, Health::Wrong, said, Some(help))
        }
        (true, _) => finding(WHAT, Health::Good, said, None),
    }
}

fn of_service(service: Result<daemon::Status, DaemonError>) -> Finding {
    const WHAT: &str = "service";
    let status = match service {
        Ok(status) => status,
        Err(error @ DaemonError::NotInstalled) => {
            let help = "`tollgate service install`, when rules shall decide";
            return finding(WHAT, Health::Absent, error.to_string(), Some(help));
        }
        Err(error) => return finding(WHAT, Health::Unknown, text(&error), None),
    };
    let (health, state, help) = match status.state {
        State::Running => (Health::Good, "running", None),
        State::Starting => (Health::Good, "starting", None),
        State::Stopped => (Health::Good, "stopped", Some("`tollgate service start`; meanwhile the fallback decides")),
        State::Stopping => (Health::Wrong, "stopping", Some("it should not take that long: end its process")),
    };
    finding(WHAT, health, format!("{state}: {}", status.command), help)
}

/// An error with its causes.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "good",
        Health::Absent => "absent",
        Health::Wrong => "WRONG",
        Health::Unknown => "unknown",
    }
}

fn as_table(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let help = finding.help.map(|help| format!("\n{:26}-> {help}", "")).unwrap_or_default();
        format!("{:<7}  {:<16} {}{help}", word(finding.health), finding.what, finding.said)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn as_report(findings: &[Finding], taken: &[Taken]) -> String {
    let line = |(what, result): &Taken| match result {
        Ok(Change::Done) => format!("done     {what}"),
        Ok(Change::Already) => format!("nothing  {what}"),
        Err(error) => format!("FAILED   {what}: {}", text(&**error)),
    };
    let lines = taken.iter().map(line).collect::<Vec<_>>().join("\n");
    let tail = "Configuration, rules, log and answers stay; docs/operations.md says where they are.";
    format!("{lines}\n\nNow there is:\n{}\n\n{tail}", as_table(findings))
}

fn as_json(findings: &[Finding], taken: &[Taken]) -> String {
    let found = findings.iter().map(|finding| {
        let health = word(finding.health).to_ascii_lowercase();
        json!({ "what": finding.what, "health": health, "said": finding.said, "help": finding.help })
    });
    let step = |(what, result): &Taken| match result {
        Ok(change) => json!({ "step": what, "done": *change == Change::Done }),
        Err(error) => json!({ "step": what, "error": text(&**error) }),
    };
    json!({ "found": found.collect::<Vec<_>>(), "purged": taken.iter().map(step).collect::<Vec<_>>() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> driver_service::Status {
        driver_service::Status {
            state: State::Running,
            image: r"C:\d\tollgate.sys".into(),
            image_exists: true,
            starts: Starts::OnDemand,
        }
    }

    const ALL: Ours = Ours { filters: 6, callouts: 6, sublayer: true, provider: true };

    #[test]
    fn what_runs_is_good() {
        let findings = of_driver(&Ok(running()));
        assert!(findings.iter().all(|finding| finding.health == Health::Good), "{findings:?}");
        assert_eq!(of_device(Ok(2), true).health, Health::Good);
        assert_eq!(of_filters(Ok(ALL), true).health, Health::Good);
        assert!(verdict(&findings, |health| health == Health::Wrong, "").is_ok());
    }

    #[test]
    fn what_is_broken_says_what_to_do() {
        let broken = [
            of_driver(&Ok(driver_service::Status { image_exists: false, ..running() })).pop().unwrap(),
            of_driver(&Ok(driver_service::Status { starts: Starts::Disabled, state: State::Stopped, ..running() }))
                .remove(0),
            of_device(Err(EnforcerError::Gone), true),
            of_filters(Ok(Ours::default()), true),
            of_filters(Ok(ALL), false),
        ];
        for finding in &broken {
            assert!(finding.health == Health::Wrong && finding.help.is_some(), "{finding:?}");
        }
        let failure = verdict(&broken, |health| health == Health::Wrong, "").unwrap_err();
        assert_eq!(failure.exit(), Exit::Found);
    }

    #[test]
    fn where_nothing_can_be_seen_nothing_is_claimed() {
        let blind = of_filters(Err(FilterEngineError::NotRunning), false);
        assert_eq!(blind.health, Health::Unknown);
        assert!(blind.help.unwrap().contains("BFE"), "{blind:?}");
        let left = verdict(&[blind], |health| health != Health::Absent, "something is left");
        assert_eq!(left.unwrap_err().exit(), Exit::Found, "what cannot be seen may be left");
    }

    #[test]
    fn every_step_is_taken_whatever_became_of_the_others_and_reported() {
        fn fails() -> Result<Change, purge::StepError> {
            Err(FilterEngineError::Os { call: "FwpmFilterDeleteById", code: 0x8032_000a }.into())
        }
        let step = |what, take| Step { what, take };
        let taken = take(&[
            step("first", || Ok(Change::Done)),
            step("second", fails),
            step("third", || Ok(Change::Already)),
            step("last", || Err(DriverError::AccessDenied.into())),
        ]);
        let report = as_report(&[of_filters(Ok(Ours::default()), false)], &taken);
        let expected = "done     first\n\
                        FAILED   second: FwpmFilterDeleteById failed with 0x8032000a\n\
                        nothing  third\n\
                        FAILED   last: access to the service manager is denied\n";
        assert!(report.starts_with(expected), "{report}");
        assert!(report.contains("\nabsent   filter engine    nothing of ours\n"), "{report}");
        let needs = |taken: &Taken| taken.1.as_ref().is_err_and(purge::needs_administrator);
        assert_eq!(taken.iter().map(needs).collect::<Vec<_>>(), [false, false, false, true]);
        let json: serde_json::Value = serde_json::from_str(&as_json(&[], &taken)).unwrap();
        assert_eq!(json["purged"][0], json!({ "step": "first", "done": true }));
    }
}
