//! `tollgate rules test`: tables of cases.

use super::source::{Source, bad_rules, now};
use super::{about, count, found};
use crate::client::Where;
use crate::failure::Failure;
use crate::output::line::printable;
use crate::output::printer::print;
use rules::cases::{self, Case, Outcome};
use rules::source::SourceFile;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub const EXAMPLES: &str = "\
Examples:
  tollgate rules test cases.toml
  tollgate rules test --rules ./rules cases/*.toml

A case:
  [[case]]
  title = \"git fetches\"
  program = \"/usr/bin/git\"
  remote = \"github.com:22\"
  expect = \"permit\"          # permit, block or ask
  rule = \"user/git\"          # may be left out; \"none\": no rule matches

A case may also have name, user, parent, command_line, direction, protocol, local_port, interface and time. What it does
not say is unknown. Failures end with exit code 15.";

/// Which cases, and which rules.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Tables of cases, in TOML
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs cases.
pub fn run(args: &Args, server: &Where) -> Result<(), Failure> {
    let ruleset = args.source.ruleset(args.json, server)?;
    let mut outcomes = Vec::new();
    for file in &args.files {
        outcomes.extend(cases::run(&ruleset, &read(file, args.json)?, now()));
    }
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
    if args.json {
        print(&json!({ "revision": ruleset.revision(), "outcomes": outcomes }).to_string())?;
    } else {
        failed.iter().try_for_each(|outcome| print(&printable(&outcome.to_string())))?;
    }
    if failed.is_empty() {
        return if args.json { Ok(()) } else { Ok(print(&format!("{} as expected", count(outcomes.len(), "case")))?) };
    }
    let help = "`tollgate rules explain` tells how a connection is decided";
    Err(found(format!("{} of {} failed", failed.len(), count(outcomes.len(), "case")), help))
}

/// Reads a table of cases.
pub fn read(path: &Path, json: bool) -> Result<Vec<Case>, Failure> {
    let mut text = String::new();
    let most = u64::try_from(cases::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    read.map_err(|error| about(path, &error))?;
    let file = SourceFile { path: path.display().to_string().into(), text: text.into() };
    cases::parse(&file).map_err(|problems| bad_rules(&problems, path, json))
}
