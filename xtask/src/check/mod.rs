//! `cargo xtask check`: what can be said about the source without running it.
//!
//! Invariants: each check names every offender, not the first alone; a check that cannot run is a
//! failure, not a pass.
//! Neighbours: `imports`, `files`, `wire`, `words` and `lessons` look at the tree themselves; the rest is
//! cargo's own.

use anyhow::{Result, bail};

use crate::progress::step;
use crate::run::Run;
use crate::tally::Tally;
use crate::toolchain::{Target, Toolchain};

mod files;
mod imports;
mod lessons;
mod wire;
mod words;

/// Crates that exist on Windows alone or differ there, by the target they are checked for.
const WINDOWS: [(Target, &[&str]); 2] =
    [(Target::Kernel, &["wire", "gate", "nt-sys", "nt", "driver"]), (Target::User, &["platform", "service", "cli"])];

/// Arguments of `cargo xtask check`.
#[derive(clap::Args)]
pub struct Args {
    /// Write down the present kernel <-> service messages as those of the present version
    #[arg(long)]
    accept_wire: bool,
}

/// One check: what it is called, and how it is done.
type Check = (&'static str, fn() -> Result<()>);

/// Checks that only need the source.
const SOURCE: [Check; 8] = [
    ("imports between crates", imports::check),
    ("files: length, orphans", files::check),
    ("wire version", wire::check),
    ("words that must not appear", words::check),
    ("lessons and what keeps them", lessons::check),
    ("cargo fmt", format),
    ("clippy, host", clippy_host),
    ("rustdoc, host", rustdoc_host),
];

/// Checks that need the Windows standard libraries of the pinned toolchain.
const ON_WINDOWS: [Check; 3] = [
    ("clippy, Windows", clippy_windows),
    ("clippy, driver image", clippy_image),
    ("rustdoc, Windows", rustdoc_windows),
];

/// Runs every check.
pub fn run(args: &Args) -> Result<()> {
    if args.accept_wire {
        return wire::accept();
    }
    let tally = all()?;
    if tally.failed == 0 { Ok(()) } else { bail!("{tally}") }
}

/// Runs every check and prints each failure.
pub fn all() -> Result<Tally> {
    let mut tally = Tally::default();
    for (name, check) in SOURCE {
        tally += one(name, check);
    }
    let can_check_windows = Toolchain::Rustup.is_installed()?;
    for (name, check) in ON_WINDOWS {
        if can_check_windows {
            tally += one(name, check);
        } else {
            println!("  {name}: skipped: `rustup target add` was not possible, and Debian has no matching clippy");
            tally.skipped += 1;
        }
    }
    Ok(tally)
}

fn one(name: &str, check: fn() -> Result<()>) -> Tally {
    let result = step(name, check);
    if let Err(error) = &result {
        eprintln!("{error:#}\n");
    }
    Tally::of(result.is_ok())
}

fn format() -> Result<()> {
    Run::new("cargo").args(["fmt", "--all", "--check"]).log("fmt").run()
}

fn clippy_host() -> Result<()> {
    Run::new("cargo")
        .args(["clippy", "--workspace", "--all-targets", "--locked"])
        .args(["--", "-D", "warnings"])
        .log("clippy-host")
        .run()
}

fn clippy_windows() -> Result<()> {
    for (target, packages) in WINDOWS {
        clippy(target, packages, &[])?;
    }
    clippy(Target::User, &["lab-*"], &[])
}

fn clippy_image() -> Result<()> {
    clippy(Target::Kernel, &["driver"], &["--bin", "tollgate", "--features", "image"])
}

fn clippy(target: Target, packages: &[&str], part: &[&str]) -> Result<()> {
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    Toolchain::Rustup
        .cargo("clippy", target)?
        .args(packages)
        .args(part)
        .args(["--profile", "image", "--", "-D", "warnings"])
        .log(format!("clippy-{}", target.triple()))
        .run()
}

fn rustdoc_host() -> Result<()> {
    let run = Run::new("cargo").args(["doc", "--workspace", "--exclude", "lab-*"]);
    rustdoc(run.log("rustdoc-host"))
}

/// What is empty elsewhere: the lab, and half of `platform`.
fn rustdoc_windows() -> Result<()> {
    let run = Toolchain::Rustup.cargo("doc", Target::User)?.args(["--package", "lab-*", "--package", "platform"]);
    rustdoc(run.log("rustdoc-windows"))
}

fn rustdoc(cargo_doc: Run) -> Result<()> {
    cargo_doc
        // The documentation is for those who work here, so it has the private items too.
        .args(["--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links")
        .run()
}
