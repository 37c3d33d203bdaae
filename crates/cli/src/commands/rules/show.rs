//! `tollgate rules show`: the rules in the order in which they are walked.

use super::source::Source;
use crate::client::Where;
use crate::failure::{Exit, Failure};
use crate::output::line::printable;
use crate::output::printer::print;
use rules::diff::fields;
use rules::model::Rule;
use serde_json::{Map, Value, json};
use std::io;

pub const EXAMPLES: &str = "\
Examples:
  tollgate rules show                       every rule, the built-in floor first
  tollgate rules show user/git floor/dhcp   these
  tollgate rules show --in-force            those that the service decides by";

/// Which rules.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Rules as LAYER/ID; default: all
    #[arg(value_name = "RULE")]
    names: Vec<String>,

    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Keys and what they say when they are not given.
const USUAL: [(&str, &str); 3] = [("priority", "0"), ("enabled", "true"), ("log", "true")];

/// Shows rules.
pub fn run(args: &Args, server: &Where) -> Result<(), Failure> {
    let ruleset = args.source.ruleset(args.json, server)?;
    for name in &args.names {
        if !ruleset.rules().iter().any(|rule| rule.name.to_string() == *name) {
            let error = io::Error::new(io::ErrorKind::NotFound, format!("there is no rule {}", printable(name)));
            return Err(Failure::new(Exit::Failed, error, Some("`tollgate rules show` shows all")));
        }
    }
    let shown = ruleset.rules().iter().filter(|rule| {
        let name = rule.name.to_string();
        args.names.is_empty() || args.names.contains(&name)
    });
    if args.json {
        let rules: Vec<Value> = shown.map(|rule| as_json(rule)).collect();
        return Ok(print(&Value::Array(rules).to_string())?);
    }
    let texts: Vec<String> = shown.map(|rule| as_text(rule)).collect();
    Ok(print(&texts.join("\n"))?)
}

fn as_text(rule: &Rule) -> String {
    let off = if rule.enabled { "" } else { ", not enabled" };
    let mut text = format!("{} {} ({}:{}{off})", rule.action, rule.name, rule.origin.file, rule.origin.line);
    for (key, values) in fields(rule) {
        let is_said = key == "action" || USUAL.iter().any(|(usual, value)| *usual == key && values == [*value]);
        if !is_said && !values.is_empty() {
            text.push_str(&format!("\n  {key} = {}", printable(&values.join(", "))));
        }
    }
    text
}

fn as_json(rule: &Rule) -> Value {
    let fields: Map<String, Value> =
        fields(rule).into_iter().map(|(key, values)| (key.to_owned(), json!(values))).collect();
    json!({ "rule": rule.name.to_string(), "at": rule.origin, "fields": fields })
}
