//! `cargo xtask lab`: the Wine laboratory.

use anyhow::{Result, bail};

/// Arguments of `cargo xtask lab`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs one lab command.
pub fn run(_args: Args) -> Result<()> {
    bail!("the lab has no commands yet")
}

/// Runs the tests of the lab; `test` adds its tally to the others.
pub fn test() -> Result<crate::tally::Tally> {
    bail!("the lab has no tests yet")
}
