//! The program of `docs/windows-checklist.md`: it runs, judges, and finds nothing here that contradicts.
//!
//! Only experiments that the hooks can feel: connects and sends. Live flows and what comes in are Windows' own affair.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{finish, up};
use crate::lab::images;
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::tollgate::TIMEOUT;

pub const SCENARIOS: [Scenario; 1] = [Scenario {
    name: "the experiments for a real windows connect, kill, unload, and judge what they see",
    run: experiments,
}];

/// What each sees here.
const EXPECTED: [(&str, &str); 10] = [
    ("inline", "inline"),
    ("connect-error", "access-denied"),
    ("request", "all"),
    ("deadline", "released"),
    ("detach", "released"),
    ("kill-while-held", "closure"),
    // The hook holds the call that sends.
    ("datagram", "once-later"),
    ("datagram-block", "silent"),
    ("stop-while-held", "released"),
    ("stop-under-load", "unloads"),
];

fn experiments(bench: &Bench) -> Result<()> {
    let program = images::experiments()?;
    let stand = up()?;
    let names = EXPECTED.map(|(name, _)| name);
    let output = stand.lab.run_hooked(&program, &[&["--json"][..], &names].concat(), 2 * TIMEOUT)?;
    require!(output.code == 0, "{output:?}");
    let lines: Vec<Value> = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for (name, outcome) in EXPECTED {
        let line = lines.iter().find(|line| line["experiment"] == name).with_context(|| format!("no {name}"))?;
        require!(line["outcome"] == outcome && line["balances"] == true, "{line}");
    }
    finish(bench, stand).map(|_| ())
}
