//! A module for each command.
//!
//! Neighbours: `crate::args` is what they are told, `crate::output` is how they speak.

mod driver;
mod gate;
mod status;

use crate::args::{Args, Command};
use crate::failure::Failure;
use service::decide::Mode;

/// Carries out one command.
pub fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Permit(options) => gate::run(Mode::Permit, options),
        Command::Block(options) => gate::run(Mode::Block, options),
        Command::Status { json } => status::run(json),
        Command::Driver(command) => driver::run(command),
    }
}
