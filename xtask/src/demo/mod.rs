//! `cargo xtask demo`: the main job on real connections, ending in a table.
//!
//! Unmodified Windows programs connect under Wine; the shipped driver holds each connection, the shipped program decides.
//! Invariants: a row is right only if the program, its server and `tollgate` agree; the task fails when a row differs or
//! a connection went past the driver.
//! Neighbours: `scenes` runs them, `table` prints them, `lab::tollgate` is what they stand on.

use std::io::{self, IsTerminal as _};

use anyhow::{Result, bail};

use crate::lab::tollgate::{Counters, Stand};
use crate::lab::{self, Lab, Status};
use crate::package;
use crate::progress::step;
use crate::setup;

mod scenes;
mod table;

use scenes::SCENES;
use table::Table;

/// Builds, runs every scene and prints the table.
pub fn run() -> Result<()> {
    setup::run()?;
    package::run()?;
    lab::prepare()?;
    Lab::clear_abandoned()?;
    let name = lab::name_of_run("demo");
    let stand = step("start Wine, the filter engine and tollgate.sys", || Stand::up(&name))?;
    let mut table = Table::default();
    for scene in &SCENES {
        println!("\n  {}", scene.command());
        for row in scene.play(&stand)? {
            table.add(row);
        }
    }
    let counters = stand.counters()?;
    println!();
    let status = step("stop tollgate.sys and Wine", || stand.lab.down())?;
    let is_colored = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    println!("\n{TITLE}\n\n{}\n\n{}", table.text(is_colored), summary(&counters, &status));
    judge(&table, &counters, &status)?;
    println!("\n{NEXT}");
    Ok(())
}

const TITLE: &str = "Unmodified Windows programs connect; tollgate.sys holds each connection; tollgate.exe decides.";

const NEXT: &str = "\
next: cargo xtask test                                         runs every test there is
      cargo xtask lab up --driver dist/tollgate.sys:Tollgate   brings up a lab to play in (docs/lab.md)
      dist/ is the package for Windows; README.md says how to install it";

fn summary(counters: &Counters, status: &Status) -> String {
    format!(
        "{} connections held: {} decided by tollgate.exe, {} by the fallback; {} past the driver, {} rules broken",
        counters.held,
        counters.doors.verdict,
        counters.held - counters.doors.verdict,
        status.let_through(),
        status.violations().len()
    )
}

fn judge(table: &Table, counters: &Counters, status: &Status) -> Result<()> {
    let (right, all) = (table.right(), table.len());
    if right < all {
        bail!("{} of {all} connections differ from what was expected", all - right);
    }
    if !counters.balance() || counters.doors.verdict != counters.held {
        bail!("the driver's counters do not add up: {counters:?}");
    }
    if status.let_through() > 0 || !status.violations().is_empty() {
        bail!("{status}");
    }
    println!("{right} of {all} rows as expected");
    Ok(())
}
