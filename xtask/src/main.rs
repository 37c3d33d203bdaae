//! The tasks of this repository: `cargo xtask TASK`.
//!
//! Invariants: a task that fails says what it ran and where its output is; no task needs anything
//! installed but Rust, because `setup` brings the rest.
//! Neighbours: `.ci/run` calls `cargo xtask test`; `lab` and `demo` are tools for people.

use anyhow::Result;
use clap::{Parser, Subcommand};

mod demo;
mod lab;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test, package, demo and lab")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The main job on real connections under Wine, ending in a table
    Demo,
    /// A Wine laboratory for any callout driver
    Lab(lab::Args),
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Demo => demo::run(),
        Task::Lab(args) => lab::run(args),
    }
}
