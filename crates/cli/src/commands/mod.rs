//! A module for each command.
//!
//! Neighbours: `crate::args` is what they are told, `crate::output` is how they speak.

pub mod ask;
pub mod completions;
pub mod driver;
mod gate;
pub mod log;
pub mod man;
pub mod rules;
pub mod run;
pub mod service;
pub mod snooze;
pub mod status;
pub mod tui;

use crate::args::{Args, Command};
use crate::failure::Failure;
use ::service::decide::Mode;

/// Carries out one command.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args { service: server, command } = args;
    match command {
        Command::Permit(options) => gate::run(Mode::Permit, options),
        Command::Block(options) => gate::run(Mode::Block, options),
        Command::Status(args) => status::run(&args, &server),
        Command::Driver(command) => driver::run(command),
        Command::Run(args) => run::run(args),
        Command::Service(command) => service::run(command),
        Command::Rules(command) => rules::run(command, &server),
        Command::Log(args) => log::run(args, &server),
        Command::Ask(args) => ask::run(args, &server),
        Command::Snooze(args) => snooze::run(&args, &server),
        Command::Tui(args) => tui::run(&args, &server),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
