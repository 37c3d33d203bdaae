//! `tollgate snooze`: no prompts for a while.
//!
//! Neighbours: the service does it; `tui` has a key for it.

use crate::args::{UNITS, seconds};
use crate::client::{Where, unexpected};
use crate::failure::Failure;
use crate::output::printer::print;
use control::entry::Verdict;
use control::protocol::{Reply, Request};
use control::status::{MAX_SNOOZE, Snooze};
use serde_json::json;

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tollgate snooze 30m              nobody is asked; the configured default decides
  tollgate snooze 2h --permit      what no rule decides is permitted meanwhile
  tollgate snooze off              ask again

Rules decide as ever; a snooze is for what they leave open. It takes an administrator. The log says which connections \
were decided by a snooze.")]
pub struct Args {
    /// How long: a number and s, m or h, at most 24h; or `off`
    #[arg(value_name = "TIME", value_parser = time)]
    time: u32,

    /// Permit meanwhile what no rule decides
    #[arg(long, conflicts_with = "block")]
    permit: bool,

    /// Block meanwhile what no rule decides
    #[arg(long)]
    block: bool,

    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

/// Carries it out.
pub fn run(args: &Args, server: &Where) -> Result<(), Failure> {
    let verdict = match (args.permit, args.block) {
        (true, _) => Some(Verdict::Permit),
        (_, true) => Some(Verdict::Block),
        _ => None,
    };
    let snooze = Snooze { seconds: args.time, verdict };
    match server.connect()?.client.call(Request::Snooze(snooze))? {
        Reply::Done => Ok(print(&said(snooze, args.json))?),
        other => Err(unexpected(&other)),
    }
}

fn said(snooze: Snooze, json: bool) -> String {
    let Snooze { seconds, verdict } = snooze;
    if json {
        return json!({ "snoozed_seconds": seconds, "verdict": verdict }).to_string();
    }
    if seconds == 0 {
        return "prompts are on".to_owned();
    }
    let meanwhile = match verdict {
        Some(Verdict::Permit) => "what no rule decides is permitted",
        Some(Verdict::Block) => "what no rule decides is blocked",
        None => "the configured default decides what no rule does",
    };
    let minutes = seconds.div_ceil(60);
    format!("no prompts for {minutes} min: {meanwhile}\nnext: `tollgate snooze off` ends it")
}

fn time(text: &str) -> Result<u32, String> {
    if text == "off" {
        return Ok(0);
    }
    match seconds(text) {
        Some(seconds @ 1..=MAX_SNOOZE) => Ok(seconds),
        Some(_) => Err(format!("it must be 1s to {}h", MAX_SNOOZE / 3_600)),
        None => Err(format!("give {UNITS}; or off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snooze_is_a_time_within_a_day_or_off() {
        assert_eq!(time("off"), Ok(0));
        assert_eq!(time("30m"), Ok(1_800));
        assert_eq!(time("24h"), Ok(86_400));
        for bad in ["", "0s", "25h", "2d", "30", "on"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_is_said_what_happens_meanwhile() {
        let snooze = Snooze { seconds: 1_800, verdict: Some(Verdict::Block) };
        assert!(said(snooze, false).starts_with("no prompts for 30 min: what no rule decides is blocked\n"));
        assert_eq!(said(snooze, true), r#"{"snoozed_seconds":1800,"verdict":"block"}"#);
        assert_eq!(said(Snooze { seconds: 0, verdict: None }, false), "prompts are on");
    }
}
