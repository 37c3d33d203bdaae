//! `cargo xtask bench`: the numbers to hold, each beside its baseline, from one run.
//!
//! Neighbours: the `benches` folders of the packages named here measure and print.

use anyhow::Result;

use crate::progress::step;
use crate::run::Run;

/// Who measures: the state machine alone, and the driver in the emulators.
const PACKAGES: [&str; 2] = ["gate", "e2e"];

/// Builds the benchmarks, runs them and prints their tables.
pub fn run() -> Result<()> {
    let cargo = || {
        let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
        // Named by a pattern, or cargo would also run the unit tests, which measure nothing.
        Run::new("cargo").args(["bench", "--quiet", "--bench", "*"]).args(packages)
    };
    step("build the benchmarks", || cargo().arg("--no-run").log("bench-build").run())?;
    let tables = step("measure", || cargo().log("bench").stdout())?;
    println!("\n{tables}");
    Ok(())
}
