//! `tollgate rules`: check, explain, test, format, compare, import, show and review rules.
//!
//! * `source`: the rules that a command is about.
//! * A module for each command; `review` has those that ask the service to change something.
//!
//! Invariants: nothing here decides; a command that finds something says so by its exit code, and prints it in any case.
//! Neighbours: the crate `rules` has what they do.

mod check;
mod diff;
mod explain;
mod fmt;
mod import;
mod review;
mod show;
pub mod source;
mod test;

use crate::client::Where;
use crate::failure::{Exit, Failure};
use crate::output::printer::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Find errors, rules that never decide, and rules whose order is an accident
    #[command(after_help = check::EXAMPLES)]
    Check(check::Args),
    /// Tell, rule by rule, how a connection is decided
    #[command(after_help = explain::EXAMPLES)]
    Explain(Box<explain::Args>),
    /// Run tables of cases against rules
    #[command(after_help = test::EXAMPLES)]
    Test(test::Args),
    /// Put files of rules into canonical form
    #[command(after_help = fmt::EXAMPLES)]
    Fmt(fmt::Args),
    /// Show what is different between two directories of rules
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::Args),
    /// Turn rules of other programs, and lists of hosts, into rules
    #[command(after_help = import::EXAMPLES)]
    Import(import::Args),
    /// Print the JSON Schema of rule files, for editors
    Schema {
        /// Nothing changes: the schema is JSON
        #[arg(long, hide = true)]
        json: bool,
    },
    /// Show the rules in the order in which they are walked
    #[command(after_help = show::EXAMPLES)]
    Show(show::Args),
    /// Show the rules that were learnt and wait for review
    Proposals {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Make proposed rules real (administrators)
    Adopt(review::Ids),
    /// Drop proposed rules (administrators)
    Drop(review::Ids),
    /// Have the service read its rules again, now (administrators)
    Reload {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Carries it out.
pub fn run(command: Command, server: &Where) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check::run(&args, server),
        Command::Explain(args) => explain::run(&args, server),
        Command::Test(args) => test::run(&args, server),
        Command::Fmt(args) => fmt::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Schema { .. } => Ok(print(&format!("{:#}", rules::schema::schema()))?),
        Command::Show(args) => show::run(&args, server),
        Command::Proposals { json } => review::proposals(json, server),
        Command::Adopt(ids) => review::review(ids, true, server),
        Command::Drop(ids) => review::review(ids, false, server),
        Command::Reload { json } => review::reload(json, server),
    }
}

/// Something was found, or failed, and is printed already.
fn found(message: String, help: &str) -> Failure {
    Failure::new(Exit::Found, std::io::Error::other(message), Some(help))
}

/// `1 rule`, `2 rules`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// An error that names its file.
fn about(path: &std::path::Path, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
