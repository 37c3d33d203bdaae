//! `cargo xtask lab`: a Wine laboratory for any callout driver.
//!
//! Invariants: each command works alone, whatever became of the process that ran the one before; `down` cleans up
//! whatever it finds; an error says what to do next.
//! Neighbours: `session` is the lab for tests and the demo; `docs/lab.md` is the manual.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;

pub mod clients;
pub mod images;
mod prefix;
mod processes;
mod programs;
mod scenarios;
pub mod server;
mod session;
pub mod soak;
mod status;
pub mod tollgate;
pub mod unit;
mod wine;

pub use programs::Program;
pub use session::{Driver, Lab, name_of_run, prepare};
pub use status::Status;
pub use wine::{Output, Wine, windows_path};

pub use scenarios::test;

use crate::run::poll;
use crate::setup;

/// The lab of the commands, `default` if the environment names no other; tests and the demo have labs of their own.
fn name() -> String {
    env::var("TOLLGATE_LAB").unwrap_or_else(|_| "default".to_owned())
}

/// How long a person may want a program to run.
const RUN_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Arguments of `cargo xtask lab`.
#[derive(clap::Args)]
#[command(after_help = "Example, with the driver of docs/lab.md:
  cargo xtask lab example
  cargo xtask lab up --driver target/xtask/images/callout.sys
  cargo xtask lab run -- node -e \"require('net').connect(4444)\"
  cargo xtask lab status
  cargo xtask lab down

TOLLGATE_LAB=NAME makes the commands act on a lab of that name, beside others.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a fresh prefix, the filter engine and drivers
    #[command(after_help = "Example:\n  cargo xtask lab up --driver build/callout.sys:Callout")]
    Up {
        /// A driver to install and start, in this order; its service is called as the file unless a name is given
        #[arg(long = "driver", value_name = "FILE.sys[:ServiceName]")]
        drivers: Vec<String>,
    },
    /// Run a Windows program with its connections going through the filter engine
    #[command(after_help = "PROGRAM is a file, `node`, `go` or `uv` (fetched when first used), or a program of Wine.
The exit code is the program's; what could not be filtered is told at the end.
Example:\n  cargo xtask lab run -- node -e \"require('net').connect(80, '127.0.0.1')\"")]
    Run {
        /// Leave the program's connections alone
        #[arg(long)]
        no_hook: bool,
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "PROGRAM.exe ARGS")]
        words: Vec<OsString>,
    },
    /// Show drivers, callouts, filters, counters and violations
    #[command(after_help = "Example:\n  cargo xtask lab status --json | jq .engine.callouts")]
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the debug output of the drivers
    #[command(after_help = "Example:\n  cargo xtask lab log")]
    Log,
    /// Stop or start the base filtering engine, or change the policy under live connections
    #[command(after_help = "Example:\n  cargo xtask lab control reauthorize")]
    Control {
        /// What the engine is to do
        #[arg(value_parser = ["stop-engine", "start-engine", "reauthorize"])]
        what: String,
    },
    /// Stop the drivers and remove the lab
    #[command(after_help = "Example:\n  cargo xtask lab down")]
    Down,
    /// Build the C driver of docs/lab.md
    Example,
    /// Connect through driver and service while the service is killed again and again
    #[command(
        after_help = "Each connection must end as its rule says, or as the fallback while no service is attached.
Needs dist/ (`cargo xtask package`). The seed is printed; the same seed kills after the same times.
Example:\n  cargo xtask lab soak --seed 7 --connections 2000"
    )]
    Soak(soak::Args),
    /// Run the lab's own tests
    #[command(after_help = "Example:\n  cargo xtask lab test ipv6")]
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
}

/// A folder with a fresh `prefix` that holds none of the lab's images, and Wine for it, not started: for what is tested
/// without an engine.
pub fn bare(name: &str) -> Result<(PathBuf, Wine)> {
    let dir = session::labs_dir().join(name);
    let prefix = dir.join("prefix");
    prefix::copy(&prefix::template(&session::labs_dir())?, &prefix)?;
    let wine = Wine::new(prefix, dir.join("logs"));
    Ok((dir, wine))
}

/// Runs one lab command.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Up { drivers } => up(&drivers),
        Command::Run { no_hook, words } => run_program(no_hook, words),
        Command::Status { json } => show_status(json),
        Command::Log => show_log(),
        Command::Control { what } => Lab::attach(&name())?.control(&what),
        Command::Down => down(),
        Command::Example => {
            setup::run()?;
            println!("{}", images::example()?.display());
            Ok(())
        }
        Command::Soak(args) => {
            setup::run()?;
            soak::run(&args)
        }
        Command::Test { filter } => {
            setup::run()?;
            let tally = scenarios::run(filter.as_deref())?;
            println!("{tally}");
            if tally.failed > 0 { bail!("not every test passed") } else { Ok(()) }
        }
    }
}

fn up(drivers: &[String]) -> Result<()> {
    let drivers: Vec<Driver> = drivers.iter().map(|text| Driver::parse(text)).collect::<Result<_>>()?;
    if let Some(driver) = drivers.iter().find(|driver| !driver.file.is_file()) {
        bail!("{} is no file", driver.file.display());
    }
    setup::run()?;
    let lab = Lab::up(&name(), &drivers)?;
    println!("{}", lab.status()?);
    lab.keep();
    println!("the lab is up; next: `cargo xtask lab run -- PROGRAM.exe ARGS`, and `cargo xtask lab down` at the end");
    Ok(())
}

fn run_program(no_hook: bool, words: Vec<OsString>) -> Result<()> {
    let lab = Lab::attach(&name())?;
    let before = lab.status()?;
    let mut words = words.into_iter();
    let Some(program) = words.next() else {
        bail!("no program given");
    };
    let exec = lab.exec(find_program(&lab, &program)?).args(words);
    let exec = if no_hook { exec.without_hook() } else { exec };
    let mut running = exec.spawn()?;
    let mut outputs = [File::open(running.stdout_file())?, File::open(running.stderr_file())?];
    // Windows programs do not get along with a pipe as their output under Wine, so they write to
    // files, which are copied here as they grow.
    poll(RUN_TIMEOUT, || {
        let ended = !running.is_running()?;
        copy(&mut outputs)?;
        Ok(ended)
    })?;
    let output = running.wait(RUN_TIMEOUT)?;
    let let_through = lab.status()?.let_through() - before.let_through();
    if let_through > 0 {
        eprintln!("lab: {let_through} calls or processes went past the engine; see `cargo xtask lab log`");
    }
    io::stdout().flush()?;
    std::process::exit(output.code)
}

/// The program as Wine is to be told.
fn find_program(lab: &Lab, name: &OsString) -> Result<OsString> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(windows_path(&fs::canonicalize(path)?).into());
    }
    match name.to_str().and_then(Program::from_name) {
        Some(program) => Ok(windows_path(&lab.program(program)?).into()),
        None if path.components().count() > 1 => bail!("{} is no file", path.display()),
        None => Ok(name.clone()),
    }
}

fn copy([stdout, stderr]: &mut [File; 2]) -> Result<()> {
    let mut bytes = Vec::new();
    stdout.read_to_end(&mut bytes)?;
    io::stdout().write_all(&bytes)?;
    bytes.clear();
    stderr.read_to_end(&mut bytes)?;
    io::stderr().write_all(&bytes)?;
    Ok(())
}

fn show_status(json: bool) -> Result<()> {
    let status = Lab::attach(&name())?.status()?;
    if json {
        println!("{:#}", status.json());
    } else {
        println!("{status}");
    }
    Ok(())
}

fn show_log() -> Result<()> {
    let lab = Lab::attach(&name())?;
    print!("{}{}", lab.log()?, lab.journal());
    Ok(())
}

fn down() -> Result<()> {
    Lab::clear_abandoned()?;
    let report = match Lab::attach(&name()) {
        Ok(lab) => lab.down(),
        Err(_) if !Lab::clear(&name())? => {
            println!("no lab is up");
            return Ok(());
        }
        Err(error) => Err(error),
    };
    match report {
        Ok(status) => {
            let violations = status.violations();
            println!("the lab is down; {} violations", violations.len());
            violations.iter().for_each(|text| println!("  {text}"));
        }
        Err(error) => println!("the lab is down; it did not stop by itself: {error:#}"),
    }
    Ok(())
}
