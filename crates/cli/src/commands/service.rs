//! `tollgate service`.

use crate::failure::Failure;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {}

/// Carries it out.
pub fn run(command: Command) -> Result<(), Failure> {
    todo!("{command:?}")
}
