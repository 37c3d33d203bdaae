//! `tollgate rules check`.

use super::source::{Source, environment, now};
use super::{count, found};
use crate::client::Where;
use crate::failure::Failure;
use crate::output::printer::print;
use rules::check::{Finding, check};
use rules::model::Layer;
use serde_json::json;

pub const EXAMPLES: &str = "\
Examples:
  tollgate rules check                      the rules of this machine
  tollgate rules check --rules ./rules      before they are put in place
  tollgate rules check --json | jq .findings

Errors are printed as FILE:LINE:COLUMN: MESSAGE and end with exit code 14; nothing is then in force of such rules.
Findings are printed as FILE:LINE: KIND: MESSAGE and end with exit code 15:
  shadowed        a rule before it matches all that it matches: it never decides
  contradictory   it and another of the same priority match the same and do different things
  redundant       without it, a later rule of its layer does the same
  never matches   nothing can match it
  tie             it overlaps another of the same priority, and file names say which comes first
Rules that are not enabled or have expired are noted, and are no findings.";

/// How.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Checks rules.
pub fn run(args: &Args, server: &Where) -> Result<(), Failure> {
    let ruleset = args.source.ruleset(args.json, server)?;
    let (notes, findings): (Vec<Finding>, Vec<Finding>) =
        check(&ruleset, &environment(), now()).into_iter().partition(|finding| finding.kind.is_note());
    if args.json {
        let revision = ruleset.revision();
        print(&json!({ "revision": revision, "problems": [], "findings": findings, "notes": notes }).to_string())?;
    } else {
        for finding in notes.iter().chain(&findings) {
            print(&finding.to_string())?;
        }
    }
    if findings.is_empty() {
        if !args.json {
            let written = ruleset.rules().iter().filter(|rule| rule.name.layer != Layer::Floor).count();
            print(&format!("{}: nothing found; revision {}", count(written, "rule"), ruleset.revision()))?;
        }
        return Ok(());
    }
    Err(found(count(findings.len(), "finding"), "the rules are sound and can be used; look at each finding"))
}
