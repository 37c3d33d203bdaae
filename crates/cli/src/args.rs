//! The language of the command line.
//!
//! Invariants: what parses is right, so that a command fails for reasons of the machine only; help says what a person
//! needs without another page. Neighbours: `commands` carries it out.

use crate::client::Where;
use crate::commands;
use crate::failure::exit_codes;
use clap::{Parser, Subcommand, ValueEnum};
use service::exempt::{Exemptions, PatternError};
use std::path::PathBuf;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::Scope;

/// Tollgate holds every new network connection until it is decided.
///
/// The enforcement point, a driver on Windows, stops each connection at the gate; a service decides by rules, or asks a
/// person; the enforcement point enforces. Most commands talk to the service: reading and answering takes a member of the
/// operators' group, changing policy an administrator. `permit`, `block` and `driver` need no service, but an
/// administrator.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, help_template = HELP, after_help = MORE, after_long_help = first_steps())]
pub struct Args {
    /// Where the service is.
    #[command(flatten)]
    pub service: Where,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The page of help: commands by what they are for.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Day by day:
  tui          Watch and answer, full screen
  ask          Answer prompts
  snooze       Have no prompts for a while
  log          Show, follow and export what was decided
  status       Show how the service and the driver do

Rules:
  rules        Check, explain, test, format, compare, import and review rules

Service and driver:
  service      Install, start, stop or uninstall the service
  run          Decide by rules, in the foreground or as a service
  driver       Install, start, stop, examine or remove the driver (Windows)

The driver without a service (Windows):
  permit       Permit every connection, and show each
  block        Block every connection that is not exempt, and show each

This program:
  completions  Print completions for a shell
  man          Write man pages
  help         Print this message or the help of the given subcommand(s)

Options:
{options}{after-help}";

/// What the short page of help does not say.
const MORE: &str = "First steps and exit codes: `tollgate --help`. Examples of a command: `tollgate COMMAND --help`.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Permit every connection, and show each
    #[command(after_help = examples("permit"))]
    Permit(Gate),
    /// Block every connection that is not exempt, and show each
    #[command(after_help = examples("block"))]
    Block(Gate),
    /// Show how the service and the driver do
    Status(commands::status::Args),
    /// Install, start, stop, examine or remove the driver (Windows)
    #[command(subcommand)]
    Driver(Driver),
    /// Decide by rules, in the foreground or as a service
    Run(commands::run::Args),
    /// Install, start, stop or uninstall the service
    #[command(subcommand)]
    Service(commands::service::Command),
    /// Check, explain, test, format, compare, import and review rules
    #[command(subcommand)]
    Rules(commands::rules::Command),
    /// Show, follow and export what was decided
    Log(commands::log::Args),
    /// Answer prompts
    Ask(commands::ask::Args),
    /// Have no prompts for a while
    Snooze(commands::snooze::Args),
    /// Watch and answer, full screen
    Tui(commands::tui::Args),
    /// Print completions for a shell
    Completions(commands::completions::Args),
    /// Write man pages
    Man(commands::man::Args),
}

/// How to keep the gate.
#[derive(Debug, clap::Args)]
pub struct Gate {
    /// Permit this program whatever the mode; may be repeated
    ///
    /// PATH is a file name or a full path, and upper or lower case does not matter. A file name such as `node.exe`
    /// matches every program with exactly that name, in any folder. A path matches that one file, written as
    /// C:\Tools\node.exe, \\server\share\node.exe, \??\C:\Tools\node.exe or
    /// \Device\HarddiskVolume3\Tools\node.exe. There are no wildcards, links are not followed, and short (8.3) names
    /// do not match. A program whose path the driver does not know is never exempt.
    ///
    /// Name resolution is exempt without asking: svchost.exe in the system folder to remote ports 53 (DNS), 853 (DNS
    /// over TLS), 5353 (multicast DNS) and 5355 (LLMNR). Programs that resolve names themselves are not.
    #[arg(long, value_name = "PATH", value_parser = program)]
    pub exempt: Vec<String>,

    /// How long a connection may wait for its decision: 10ms to 10m
    ///
    /// After that, the fallback decides.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = deadline)]
    pub deadline: u32,

    /// What the driver holds: kinds of operations by direction and protocol, with commas between; the rest the fallback
    /// answers at once
    ///
    /// `in-loopback` is for the inbound half of connections within this machine, whose outbound half is held anyway.
    #[arg(long, value_name = "KINDS", value_enum, value_delimiter = ',', default_value = "out,in")]
    pub hold: Vec<HoldArg>,

    /// What the driver answers without us: when nobody is attached, after the deadline, over a limit
    ///
    /// It also answers what `--hold` leaves out, whether exempt or not.
    #[arg(long, value_name = "VERDICT", value_enum, default_value_t = FallbackArg::Permit)]
    pub fallback: FallbackArg,

    /// What the driver remembers of a decision, so that like connections are not held again
    ///
    /// They are not shown then either. What is remembered ends with this program, unless the fallback is `last`.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = RememberArg::None)]
    pub remember: RememberArg,

    /// Whether to show operations that the driver reports instead of holding them: what `--hold` leaves out
    #[arg(long, value_name = "YES-OR-NO", value_enum, default_value_t = YesNo::Yes)]
    pub log_reports: YesNo,

    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// Do not show connections, only that we attach and what was done in the end
    #[arg(short, long)]
    pub quiet: bool,
}

/// What to do with the driver.
#[derive(Debug, Subcommand)]
pub enum Driver {
    /// Copy the driver's file to where drivers live, and create its service; again to update both
    Install {
        /// The driver's file; default is tollgate.sys beside this program
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Start the driver
    Start,
    /// Stop the driver; what it holds is released by the fallback
    Stop,
    /// Stop the driver, and delete its service and its file
    Uninstall,
    /// Look at everything of Tollgate in Windows, and say what to do; remove all of it, when nothing else works
    #[command(after_help = commands::driver::doctor::EXAMPLES)]
    Doctor(commands::driver::doctor::Args),
    /// Show whether the driver is installed and running
    Status {
        /// Print one JSON object instead of a line
        #[arg(long)]
        json: bool,
    },
}

/// A fallback, as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FallbackArg {
    /// Fail open
    Permit,
    /// Fail closed
    Block,
    /// What is remembered of the same program and remote, even if it is too old; else block
    Last,
}

impl From<FallbackArg> for Fallback {
    fn from(word: FallbackArg) -> Self {
        match word {
            FallbackArg::Permit => Self::PERMIT,
            FallbackArg::Block => Self::BLOCK,
            FallbackArg::Last => Self::LAST,
        }
    }
}

/// Kinds of operations, as a word. The words say it; documentation of them would be printed as help.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum HoldArg {
    Out,
    In,
    OutTcp,
    OutUdp,
    OutIcmp,
    OutOther,
    InTcp,
    InUdp,
    InIcmp,
    InOther,
    InLoopback,
}

impl From<HoldArg> for Holds {
    fn from(word: HoldArg) -> Self {
        match word {
            HoldArg::Out => Self::CONNECT_TCP | Self::CONNECT_UDP | Self::CONNECT_ICMP | Self::CONNECT_OTHER,
            HoldArg::In => Self::ACCEPT_TCP | Self::ACCEPT_UDP | Self::ACCEPT_ICMP | Self::ACCEPT_OTHER,
            HoldArg::OutTcp => Self::CONNECT_TCP,
            HoldArg::OutUdp => Self::CONNECT_UDP,
            HoldArg::OutIcmp => Self::CONNECT_ICMP,
            HoldArg::OutOther => Self::CONNECT_OTHER,
            HoldArg::InTcp => Self::ACCEPT_TCP,
            HoldArg::InUdp => Self::ACCEPT_UDP,
            HoldArg::InIcmp => Self::ACCEPT_ICMP,
            HoldArg::InOther => Self::ACCEPT_OTHER,
            HoldArg::InLoopback => Self::ACCEPT_LOOPBACK,
        }
    }
}

/// A scope, as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RememberArg {
    /// Nothing: every connection is held
    None,
    /// The program together with the remote address and port
    Remote,
    /// The program, whatever it connects to
    Program,
}

impl From<RememberArg> for Scope {
    fn from(word: RememberArg) -> Self {
        match word {
            RememberArg::None => Self::OPERATION,
            RememberArg::Remote => Self::REMOTE,
            RememberArg::Program => Self::PROGRAM,
        }
    }
}

/// Yes or no. The words say it; documentation of them would be printed as help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    Yes,
    No,
}

fn program(text: &str) -> Result<String, PatternError> {
    Exemptions::default().add(text)?;
    Ok(text.to_owned())
}

/// A number and `ms`, `s` or `m`, as milliseconds.
fn deadline(text: &str) -> Result<u32, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("give a whole number and a unit: ms, s or m".to_owned()),
    };
    let range = Settings::DEADLINE_MS;
    number
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .filter(|ms| range.contains(ms))
        .ok_or_else(|| format!("it must be {} ms to {} minutes", range.start(), range.end() / 60_000))
}

fn examples(mode: &str) -> String {
    format!(
        "Examples:
  tollgate {mode}                               until Ctrl-C
  tollgate {mode} --exempt node.exe             programs of that name are permitted
  tollgate {mode} --exempt C:\\Tools\\node.exe    that program is permitted
  tollgate {mode} --hold out-tcp,in-tcp         TCP alone is held
  tollgate {mode} --json > connections.jsonl    a line for each connection, for other programs

Each line shows when, verdict, program, protocol, remote, process and why.
`reported` marks what the driver decided itself.
What is connected already is decided, too; it is shown when that ends it.
Ctrl-C detaches; what is then still held is released by the fallback."
    )
}

fn first_steps() -> String {
    format!(
        "First steps, as administrator:
  tollgate driver install        Windows, once; takes tollgate.sys from beside this program
  tollgate driver start
  tollgate service install       once; from its start on, rules decide
  tollgate service start
  tollgate status                whether connections are held, now
  tollgate tui                   watch, and answer what the rules leave open

Without a service, to try the driver:
  tollgate block --exempt curl.exe

{}",
        exit_codes()
    )
}

/// What [`seconds`] reads.
pub const UNITS: &str = "a whole number and a unit: s, m, h or d";

/// A number and `s`, `m`, `h` or `d`, as seconds.
pub fn seconds(text: &str) -> Option<u32> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_language_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_page_of_help_has_every_command() {
        let listed = |line: &&str| line.starts_with("  ") && !line.contains('{');
        let mut listed: Vec<String> = HELP.lines().filter(listed).map(str::to_owned).collect();
        let mut args = Args::command();
        args.build();
        let row = |command: &clap::Command| {
            format!("  {:<12} {}", command.get_name(), command.get_about().map(ToString::to_string).unwrap_or_default())
        };
        let mut commands: Vec<String> = args.get_subcommands().map(row).collect();
        listed.sort();
        commands.sort();
        assert_eq!(listed, commands);
    }

    #[test]
    fn a_deadline_is_a_number_and_a_unit_within_what_the_driver_takes() {
        assert_eq!(deadline("500ms"), Ok(500));
        assert_eq!(deadline("20s"), Ok(20_000));
        assert_eq!(deadline("10m"), Ok(600_000));
        for bad in ["", "20", "s", "-1s", "9ms", "11m", "99999999999s", "4294967295m", "1.5s", "2h"] {
            assert!(deadline(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("30m"), Some(1_800));
        assert_eq!(seconds("8h"), Some(28_800));
        assert_eq!(seconds("7d"), Some(604_800));
        for bad in ["", "30", "m", "1.5h", "-1s", "1w", "4294967295h"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_program_that_cannot_be_meant_is_refused() {
        assert_eq!(program("node.exe").as_deref(), Ok("node.exe"));
        assert_eq!(program(r"tools\node.exe"), Err(PatternError::Relative));
    }

    #[test]
    fn the_defaults_hold_every_connection_and_fail_open() {
        let args = Args::try_parse_from(["tollgate", "block"]).unwrap();
        let Command::Block(gate) = args.command else { panic!("{args:?}") };
        assert_eq!(gate.deadline, Settings::INITIAL.deadline_ms);
        assert_eq!(Scope::from(gate.remember), Scope::OPERATION);
        assert_eq!(Fallback::from(gate.fallback), Settings::INITIAL.fallback_outbound);
        assert_eq!(gate.hold.into_iter().map(Holds::from).fold(Holds::empty(), Holds::union), Holds::USUAL);
        assert_eq!(gate.log_reports, YesNo::Yes);
    }
}
