//! `cargo xtask test`: every test there is, and what continuous integration runs.
//!
//! Invariants: a stage that fails does not keep the others from running, unless they need what it
//! makes; a stage is skipped only with its reason printed; the last line is `N passed, N failed`
//! (and `, N skipped`), alone; the exit code says the same.
//! Neighbours: each stage is a task of its own; `tally` counts.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::check;
use crate::fuzz;
use crate::inf;
use crate::lab;
use crate::package;
use crate::progress::seconds;
use crate::run::{Run, exists};
use crate::setup;
use crate::tally::Tally;

/// The crates whose own tests Miri runs.
const MIRI_PACKAGES: [&str; 2] = ["wire", "gate"];
/// The stories of `e2e/tests/soundness.rs` that it runs here: packets kept and injected, calls cancelled, buffers of every method.
/// A story takes it a minute and more, so the others are for whoever changes the unsafe code.
const MIRI_STORIES: [&str; 3] = [
    "first_packets_out_and_in_are_kept_and_injected_or_dropped",
    "a_service_that_dies_leaves_nothing_held_and_its_calls_end",
    "a_call_of_another_transfer_method_is_refused_and_nothing_is_written",
];
const MIRI_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How long each fuzz target runs here; `cargo xtask fuzz` takes an hour.
const FUZZ_SECONDS: u64 = 30;

/// How many connections the soak makes here, and its seed; `cargo xtask lab soak` takes a new seed each time.
const SOAK_CONNECTIONS: usize = 10_000;
const SOAK_SEED: u64 = 4;

/// How a stage ended.
enum Outcome {
    Ran(Tally),
    Skipped(String),
}

/// A stage is a line of one of these tables and a function.
type Stage = (&'static str, fn() -> Result<Outcome>);

/// Stages that need nothing of another.
const SOURCE_STAGES: [Stage; 3] =
    [("check", check_source), ("host", host_tests), ("platform, wine", platform_under_wine)];

/// Stages that need `dist/`. Wine leaves the processors idle for most of the time.
const PACKAGE_STAGES: [Stage; 3] = [("inf under wine", inf_under_wine), ("wine", wine), ("soak", soak)];

/// Stages that run beside those, one after the other. They print nothing while they run.
const SIDE_STAGES: [Stage; 4] =
    [("miri", miri), ("miri, driver", miri_driver), ("orderings", orderings), ("fuzz", fuzz_targets)];

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
        let beside = thread::spawn(|| SIDE_STAGES.map(|(name, work)| Done::of(name, work)));
        for (name, work) in PACKAGE_STAGES {
            let no_package = || Ok(Outcome::Skipped("there is no package to test".into()));
            summary.stage(name, if is_packaged { work } else { no_package });
        }
        match beside.join() {
            Ok(done) => done.into_iter().for_each(|done| summary.note(done)),
            Err(_) => summary.note(Done::of("side stages", || bail!("they panicked"))),
        }
    }
    summary.print();
    if summary.total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A stage that has ended.
struct Done {
    name: &'static str,
    took: Duration,
    outcome: Result<Outcome>,
}

impl Done {
    fn of(name: &'static str, work: impl FnOnce() -> Result<Outcome>) -> Self {
        let start = Instant::now();
        let outcome = work();
        Self { name, took: start.elapsed(), outcome }
    }
}

impl Summary {
    /// Does one stage, notes how it ended, and says whether it could be done.
    fn stage(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) -> bool {
        println!("== {name}");
        let done = Done::of(name, work);
        let is_done = done.outcome.is_ok();
        self.note(done);
        is_done
    }

    fn note(&mut self, Done { name, took, outcome }: Done) {
        let (text, tally) = match outcome {
            Ok(Outcome::Ran(tally)) => (tally.to_string(), tally),
            Ok(Outcome::Skipped(why)) => (format!("skipped: {why}"), Tally { skipped: 1, ..Tally::default() }),
            Err(error) => {
                eprintln!("error: {name}: {error:#}");
                ("FAILED".to_owned(), Tally::of(false))
            }
        };
        println!("   {name}: {text}");
        self.lines.push(format!("{name:<16} {:>8}  {text}", seconds(took)));
        self.total += tally;
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
    let packages = MIRI_PACKAGES.iter().flat_map(|package| ["--package", package]);
    under_miri(|run| run.arg("--lib").args(packages).log("test-miri"))
}

/// The same in the driver, its kernel half included, on the emulators: `e2e/tests/soundness.rs` says which stories and why.
fn miri_driver() -> Result<Outcome> {
    under_miri(|run| {
        run.args(["--package", "e2e", "--no-default-features", "--test", "soundness", "--"])
            .args(MIRI_STORIES)
            // The emulators hand out handles as numbers.
            .env("MIRIFLAGS", "-Zmiri-permissive-provenance")
            .log("test-miri-driver")
    })
}

fn under_miri(what: impl FnOnce(Run) -> Run) -> Result<Outcome> {
    if !exists("rustup") {
        return Ok(Outcome::Skipped("rustup is not installed".into()));
    }
    let nightly = || {
        Run::new("rustup")
            .args(["run", "nightly", "cargo", "miri"])
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .timeout(MIRI_TIMEOUT)
    };
    if !nightly().arg("--version").log("miri-version").output()?.success {
        return Ok(Outcome::Skipped("no nightly toolchain with miri and rust-src".into()));
    }
    counted(what(nightly().arg("test")))
}

/// Threads through the driver in every order that chance finds.
fn orderings() -> Result<Outcome> {
    let run = Run::new("cargo").args(["test", "--package", "e2e", "--no-default-features", "--features", "shuttle"]);
    counted(run.args(["--test", "orderings", "--locked"]).log("test-orderings"))
}

/// Each target for a short while.
fn fuzz_targets() -> Result<Outcome> {
    fuzz::build()?;
    let mut tally = Tally::default();
    for target in fuzz::TARGETS {
        let result = fuzz::fuzz(target, FUZZ_SECONDS);
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        tally += Tally::of(result.is_ok());
    }
    Ok(Outcome::Ran(tally))
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

/// Very many connections through driver and service, while the service is killed.
fn soak() -> Result<Outcome> {
    let report = lab::soak::soak(SOAK_SEED, SOAK_CONNECTIONS)?;
    println!("  {report}");
    report.verdict().map(|()| passed())
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
