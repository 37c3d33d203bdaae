//! The tasks of this repository: `cargo xtask TASK`.
//!
//! Invariants: a task that fails says what it ran and where its output is; no task needs anything
//! installed but Rust, because `setup` brings the rest.
//! Neighbours: `.ci/run` calls `cargo xtask test`; `lab` and `demo` are tools for people.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build;
mod catalog;
mod check;
mod demo;
mod der;
mod fuzz;
mod image;
mod inf;
mod lab;
mod package;
mod pe;
mod progress;
mod run;
mod setup;
mod sign;
mod tally;
mod test;
mod toolchain;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test, package, demo and lab")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other tasks need
    Setup,
    /// Check the source: imports, files, wire version, format, lints, documentation
    Check(check::Args),
    /// Build tollgate.sys and tollgate.exe
    Build,
    /// Build, sign and verify dist/
    Package,
    /// Check that Windows would load a driver
    Image(image::Args),
    /// Run every test
    Test,
    /// Measure, and print the numbers beside their baselines
    Bench {
        /// What to measure: classify, contention, matching, handoff, memory, packets, paths, release, rules, service; everything
        /// when not said
        names: Vec<String>,
    },
    /// Look for bytes that make the wire, the driver or the gate fail
    Fuzz(fuzz::Args),
    /// The main job on real connections under Wine, ending in a table
    Demo,
    /// A Wine laboratory for any callout driver
    Lab(lab::Args),
    /// Build experiments.exe, which asks a real Windows what no documentation says
    Experiments,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::run()?,
        Task::Check(args) => check::run(&args)?,
        Task::Build => {
            setup::run()?;
            build::run()?;
        }
        Task::Package => {
            setup::run()?;
            package::run()?;
        }
        Task::Image(args) => image::run(&args)?,
        Task::Test => return Ok(test::run()),
        Task::Bench { names } => bench::run(&names)?,
        Task::Fuzz(args) => {
            setup::run()?;
            fuzz::run(&args)?;
        }
        Task::Demo => demo::run()?,
        Task::Lab(args) => lab::run(args)?,
        Task::Experiments => {
            setup::run()?;
            package::experiments()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
