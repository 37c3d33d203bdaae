//! The tests that run under Wine.
//!
//! A scenario is one function and one line in the table of its file; its name is the sentence it proves. It gets a fresh
//! lab from [`Bench::up`] and fails by returning an error.
//! Neighbours: `example` needs nothing of Tollgate; every other file adds its table to [`TABLES`].

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use super::images;
use super::session::{self, Driver, Lab};
use super::status::Status;
use crate::progress::seconds;
use crate::tally::Tally;

/// `assert!` for scenarios: an error instead of a panic, so that the lab is taken down and the next one runs.
macro_rules! require {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            ::anyhow::bail!("{} does not hold: {}", stringify!($condition), format!($($message)+));
        }
    };
}

mod example;
mod lab;
mod shim;
mod tollgate;

/// One test.
pub struct Scenario {
    /// What it proves, as a sentence.
    pub name: &'static str,
    /// The proof.
    pub run: fn(&Bench) -> Result<()>,
}

/// Every table of scenarios.
const TABLES: [&[Scenario]; 3] = [&lab::SCENARIOS, &shim::SCENARIOS, &example::SCENARIOS];

/// All scenarios, the lab's own first.
fn all() -> impl Iterator<Item = &'static Scenario> {
    TABLES.into_iter().chain(tollgate::TABLES).flatten()
}

/// What scenarios are made of.
pub struct Bench {
    /// The example driver.
    pub example: PathBuf,
    /// The driver that tries what the lab supplies and breaks rules on demand.
    pub probe: PathBuf,
    /// The program that makes it do so.
    pub client: PathBuf,
}

impl Bench {
    /// A fresh lab with these drivers.
    pub fn up(&self, drivers: &[Driver]) -> Result<Lab> {
        Lab::up(&lab_name(), drivers)
    }

    /// A fresh lab with the example driver.
    pub fn up_with_example(&self) -> Result<Lab> {
        self.up(&[Driver { file: self.example.clone(), service: "Callout".into() }])
    }

    /// Takes a lab down and requires that nothing went wrong unseen: no violation, no call past the engine.
    pub fn finish(&self, lab: Lab) -> Result<Status> {
        let status = lab.down()?;
        if !status.violations().is_empty() {
            bail!("violations: {:#?}", status.violations());
        }
        if status.let_through() > 0 {
            bail!("{} calls or processes went past the engine", status.let_through());
        }
        Ok(status)
    }
}

/// The name of the labs of this run: two runs do not meet.
fn lab_name() -> String {
    session::name_of_run("test")
}

/// Runs every scenario; `xtask test` adds the tally to the others.
pub fn test() -> Result<Tally> {
    run(None)
}

/// Runs the scenarios whose name contains `filter`.
pub fn run(filter: Option<&str>) -> Result<Tally> {
    Lab::clear_abandoned()?;
    let bench = Bench { example: images::example()?, probe: images::probe()?, client: images::client()? };
    let wanted = |scenario: &&Scenario| filter.is_none_or(|filter| scenario.name.contains(filter));
    let mut tally = Tally::default();
    for scenario in all().filter(wanted) {
        let start = Instant::now();
        let result = (scenario.run)(&bench);
        let word = if result.is_ok() { "pass" } else { "FAIL" };
        println!("  {word} {:>7}  {}", seconds(start.elapsed()), scenario.name);
        if let Err(error) = &result {
            println!("{error:#}");
        }
        tally += Tally::of(result.is_ok());
    }
    if tally == Tally::default() {
        bail!("no test is called like that");
    }
    Ok(tally)
}
