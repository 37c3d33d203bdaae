//! `cargo xtask test`: every test there is, and what continuous integration runs.
//!
//! Invariants: a stage that fails does not keep the others from running, unless they need what it
//! makes; a stage is skipped only with its reason printed; the last line is `N passed, N failed`
//! (and `, N skipped`), alone; the exit code says the same.
//! Neighbours: each stage is a task of its own; `tally` counts.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::check;
use crate::inf;
use crate::lab;
use crate::package;
use crate::progress::seconds;
use crate::run::{Run, exists};
use crate::setup;
use crate::tally::Tally;

/// The crates that Miri can run in a few minutes.
const MIRI_PACKAGES: [&str; 2] = ["wire", "gate"];
const MIRI_TIMEOUT: Duration = Duration::from_secs(8 * 60);

/// How a stage ended.
enum Outcome {
    Ran(Tally),
    Skipped(String),
}

type Stage = (&'static str, fn() -> Result<Outcome>);

/// Stages that need nothing of another.
const SOURCE_STAGES: [Stage; 4] =
    [("check", check_source), ("host", host_tests), ("miri", miri), ("platform, wine", platform_under_wine)];

/// Stages that need `dist/`.
const PACKAGE_STAGES: [Stage; 2] = [("inf under wine", inf_under_wine), ("wine", wine)];

#[derive(Default)]
struct Summary {
    lines: Vec<String>,
    total: Tally,
}

/// Runs every stage and prints the summary.
pub fn run() -> ExitCode {
    let mut summary = Summary::default();
    if summary.stage("setup", || setup::run().map(|()| passed())) {
        for (name, work) in SOURCE_STAGES {
            summary.stage(name, work);
        }
        let is_packaged = summary.stage("package", || package::run().map(|()| passed()));
        for (name, work) in PACKAGE_STAGES {
            let no_package = || Ok(Outcome::Skipped("there is no package to test".into()));
            summary.stage(name, if is_packaged { work } else { no_package });
        }
    }
    summary.print();
    if summary.total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Summary {
    /// Does one stage, notes how it ended, and says whether it could be done.
    fn stage(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) -> bool {
        println!("== {name}");
        let start = Instant::now();
        let outcome = work();
        let is_done = outcome.is_ok();
        let (text, tally) = match outcome {
            Ok(Outcome::Ran(tally)) => (tally.to_string(), tally),
            Ok(Outcome::Skipped(why)) => (format!("skipped: {why}"), Tally { skipped: 1, ..Tally::default() }),
            Err(error) => {
                eprintln!("error: {error:#}");
                ("FAILED".to_owned(), Tally::of(false))
            }
        };
        println!("   {text}");
        self.lines.push(format!("{name:<16} {:>8}  {text}", seconds(start.elapsed())));
        self.total += tally;
        is_done
    }

    fn print(&self) {
        println!("\n{}\n", self.lines.join("\n"));
        println!("{}", self.total);
    }
}

fn passed() -> Outcome {
    Outcome::Ran(Tally::of(true))
}

fn check_source() -> Result<Outcome> {
    check::all().map(Outcome::Ran)
}

/// Everything that runs without Windows or Wine.
fn host_tests() -> Result<Outcome> {
    let run = Run::new("cargo").args(["test", "--workspace", "--no-fail-fast", "--locked"]).log("test-host");
    counted(run)
}

/// Looks for undefined behaviour in what any platform can run.
fn miri() -> Result<Outcome> {
    if !exists("rustup") {
        return Ok(Outcome::Skipped("rustup is not installed".into()));
    }
    let nightly = |args: &[&str]| {
        Run::new("rustup")
            .args(["run", "nightly", "cargo", "miri"])
            .args(args)
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
    };
    if !nightly(&["--version"]).log("miri-version").output()?.success {
        return Ok(Outcome::Skipped("no nightly toolchain with miri and rust-src".into()));
    }
    let packages = MIRI_PACKAGES.iter().flat_map(|package| ["--package", package]);
    counted(nightly(&["test", "--lib"]).args(packages).timeout(MIRI_TIMEOUT).log("test-miri"))
}

/// The half of `platform` that the host does not run.
fn platform_under_wine() -> Result<Outcome> {
    let ran = lab::unit::test(counted)?;
    Ok(ran.unwrap_or_else(|| Outcome::Skipped("Debian's compiler builds no tests for Windows".into())))
}

fn inf_under_wine() -> Result<Outcome> {
    inf::test().map(|()| passed())
}

/// Real programs' connections through the shipped files.
fn wine() -> Result<Outcome> {
    lab::test().map(Outcome::Ran)
}

/// Runs `cargo test` and counts; a failure that is no test's is one more failure.
fn counted(run: Run) -> Result<Outcome> {
    let output = run.output()?;
    let mut tally = Tally::of_cargo_test(&output.text);
    if !output.success {
        eprintln!("{}", failures(&output.text));
        if tally.failed == 0 {
            tally.failed = 1;
        }
    }
    Ok(Outcome::Ran(tally))
}

/// What a person wants to see of a long output: what went wrong.
fn failures(output: &str) -> String {
    let at = output.find("\nfailures:\n").or_else(|| output.find("error"));
    let text = &output[at.unwrap_or(0)..];
    text.lines().take(200).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn every_stage_has_a_line_and_a_failed_one_is_counted() {
        let mut summary = Summary::default();
        assert!(summary.stage("good", || Ok(passed())));
        assert!(!summary.stage("bad", || bail!("because")));
        assert!(summary.stage("absent", || Ok(Outcome::Skipped("no reason".into()))));
        assert_eq!(summary.total.to_string(), "1 passed, 1 failed, 1 skipped");
        let ends = ["1 passed, 0 failed", "FAILED", "skipped: no reason"];
        assert!(summary.lines.iter().zip(ends).all(|(line, end)| line.ends_with(end)), "{:?}", summary.lines);
    }

    #[test]
    fn only_the_part_that_failed_is_shown() {
        assert_eq!(failures("running 3 tests\n\nfailures:\n\n---- a stdout ----\n").lines().next(), Some(""));
        assert!(failures("Compiling x\nerror[E0425]: no y\n").starts_with("error[E0425]"));
    }
}
