//! `tollgate tui`: watch and answer, full screen.

use crate::failure::Failure;

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Carries it out.
pub fn run(args: Args) -> Result<(), Failure> {
    todo!("{args:?}")
}
