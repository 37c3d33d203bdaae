//! `tollgate rules diff`: what is different between two directories of rules.

use super::source::{compile, directory, now};
use super::test::read;
use crate::failure::Failure;
use crate::output::line::printable;
use crate::output::printer::print;
use rules::diff::{Change, Difference, RuleChange, decisions, diff};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

pub const EXAMPLES: &str = "\
Examples:
  tollgate rules diff ./before ./after
  tollgate rules diff /etc/tollgate/rules ./new --cases cases.toml     also what is decided differently

With one directory, the other is that of this machine, and comes first.";

/// Which.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One or two directories of rules
    #[arg(value_name = "DIR", required = true, num_args = 1..=2)]
    directories: Vec<PathBuf>,

    /// A table of cases: tells which are decided differently
    #[arg(long, value_name = "FILE")]
    cases: Vec<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Compares two directories.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (before, after) = match args.directories.as_slice() {
        [before, after] => (before.clone(), after),
        [after] => (directory(None), after),
        _ => unreachable!("the parser takes one or two"),
    };
    let (before, after) = (compile(&before, args.json)?, compile(after, args.json)?);
    let difference = diff(&before, &after);
    let mut changed = Vec::new();
    for file in &args.cases {
        changed.extend(decisions(&before, &after, &read(file, args.json)?, now()));
    }
    if args.json {
        let Difference { rules, sets } = difference;
        return Ok(print(&json!({ "rules": rules, "sets": sets, "decisions": changed }).to_string())?);
    }
    let mut text = as_text(&difference);
    for change in &changed {
        let (title, at) = (printable(&change.title), &change.origin);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}:{}: {title}: was {}, is {}", at.file, at.line, change.before, change.after);
    }
    if difference.is_empty() {
        text.push_str("no difference\n");
    } else if !args.cases.is_empty() && changed.is_empty() {
        text.push_str("every case is decided as before\n");
    }
    Ok(print(text.trim_end())?)
}

fn as_text(difference: &Difference) -> String {
    let mut text = String::new();
    for RuleChange { rule, change, before, after, fields } in &difference.rules {
        let place = |place: &rules::model::Origin| format!("{}:{}", place.file, place.line);
        let places = match (before, after) {
            (Some(before), Some(after)) if change == &Change::Moved => format!("{} -> {}", place(before), place(after)),
            (_, Some(there)) | (Some(there), None) => place(there),
            (None, None) => String::new(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{change:<8} {rule}  ({places})");
        for field in fields {
            let lines =
                field.before.iter().map(|value| ('-', value)).chain(field.after.iter().map(|value| ('+', value)));
            for (sign, value) in lines {
                let _ = writeln!(text, "  {sign} {} = {}", field.field, printable(value));
            }
        }
    }
    for change in &difference.sets {
        let _ = writeln!(text, "changed  @{}: {} added, {} removed", change.set, change.added, change.removed);
        for entry in &change.entries {
            let _ = writeln!(text, "  {}", printable(entry));
        }
        if change.added + change.removed > change.entries.len() {
            let _ = writeln!(text, "  ...");
        }
    }
    text
}
