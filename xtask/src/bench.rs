//! `cargo xtask bench`: the numbers to hold, each beside its baseline, from one run.
//!
//! Neighbours: `e2e/benches/numbers` measures and prints.

use anyhow::Result;

use crate::progress::step;
use crate::run::Run;

/// Builds the benchmarks, runs those with `names`, or all when there are none, and prints their table.
pub fn run(names: &[String]) -> Result<()> {
    let cargo = || Run::new("cargo").args(["bench", "--quiet", "--package", "e2e", "--bench", "numbers"]);
    step("build the benchmarks", || cargo().arg("--no-run").log("bench-build").run())?;
    let table = step("measure", || cargo().arg("--").args(names).log("bench").stdout())?;
    println!("\n{table}");
    Ok(())
}
