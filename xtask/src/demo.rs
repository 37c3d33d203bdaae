//! `cargo xtask demo`: the permit, block and exempt scenes on real connections, and their table.

use anyhow::{Result, bail};

/// Builds, runs every scene and prints the table.
pub fn run() -> Result<()> {
    bail!("the demo has no scenes yet")
}
