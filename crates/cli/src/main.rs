//! The `tollgate` program: what a person types becomes calls of `service` and `platform`.
//!
//! Invariants: decides nothing itself; standard output carries what was asked for and standard error everything else;
//! the exit code says what happened ([`failure::EXIT_CODES`]). Neighbours: `args` is the language, `commands` the
//! meaning, `output` the lines.

#![forbid(unsafe_code)]

mod args;
mod client;
mod commands;
mod failure;
mod output;
mod tui;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::run(args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.explain();
            failure.exit_code()
        }
    }
}
