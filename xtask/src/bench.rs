//! `cargo xtask bench`: the numbers to hold, each beside its baseline, from one run.
//!
//! Neighbours: `e2e` measures and prints.

use anyhow::Result;

use crate::progress::step;
use crate::run::Run;

/// Builds the benchmark, runs it and prints its table.
pub fn run() -> Result<()> {
    let cargo = |subcommand, log: &str| {
        Run::new("cargo").args([subcommand, "--release", "--quiet", "--package", "e2e", "--bin", "bench"]).log(log)
    };
    step("build the benchmark", || cargo("build", "bench-build").run())?;
    let table = step("measure", || cargo("run", "bench").stdout())?;
    println!("\n{table}");
    Ok(())
}
