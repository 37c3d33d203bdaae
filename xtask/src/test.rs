//! `cargo xtask test`: every test there is, and what continuous integration runs.
//!
//! Invariants: a stage that fails does not keep the others from running, unless they need what it
//! makes; a stage is skipped only with its reason printed; the last line is `N passed, N failed`
//! (and `, N skipped`), alone; the exit code says the same.
//! Neighbours: each stage is a task of its own; `tally` counts.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

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

/// A stage that needs nothing of another.
type Stage = (&'static str, fn() -> Result<Outcome>);

const SOURCE_STAGES: [Stage; 3] = [("check", check_source), ("host", host_tests), ("miri", miri)];

struct Summary {
    lines: Vec<String>,
    total: Tally,
}

/// Runs every stage and prints the summary.
pub fn run() -> Result<()> {
    let mut summary = Summary { lines: Vec::new(), total: Tally::default() };
    summary.stage("setup", || setup::run().map(|()| passed()))?;
    for (name, work) in SOURCE_STAGES {
        // A failed stage is in the summary, and the others still tell something.
        summary.stage(name, work).ok();
    }
    if summary.stage("package", || package::run().map(|()| passed())).is_ok() {
        summary.stage("inf under wine", || inf::test().map(|()| passed())).ok();
        summary.stage("wine", || lab::test().map(Outcome::Ran)).ok();
    }
    summary.print();
    if summary.total.failed > 0 { bail!("not every test passed") } else { Ok(()) }
}

impl Summary {
    /// Does one stage, and notes how it ended.
    fn stage(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        println!("== {name}");
        let start = Instant::now();
        let (text, tally, result) = match work() {
            Ok(Outcome::Ran(tally)) => (tally.to_string(), tally, Ok(())),
            Ok(Outcome::Skipped(why)) => (format!("skipped: {why}"), Tally { skipped: 1, ..Tally::default() }, Ok(())),
            Err(error) => {
                eprintln!("error: {error:#}");
                ("FAILED".to_owned(), Tally::of(false), Err(error))
            }
        };
        println!("   {text}");
        self.lines.push(format!("{name:<16} {:>8}  {text}", seconds(start.elapsed())));
        self.total += tally;
        result
    }

    fn print(&self) {
        println!("\n{}\n", self.lines.join("\n"));
        println!("{}", self.total);
        // What follows on the error stream must not overtake the closing line.
        io::stdout().flush().ok();
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
    let run = Run::new("cargo")
        .args(["test", "--workspace", "--exclude", "lab-*", "--no-fail-fast", "--locked"])
        .log("test-host");
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
