//! Tells what a session does, as it was asked to.
//!
//! Invariants: never makes the session wait; what could not be shown is counted and told when there is room again.
//! Neighbours: `service::session` speaks to it, `line` has the words, `printer` the paper.

use super::line::{self, Seen};
use super::printer::Printer;
use jiff::Zoned;
use platform::enforcer::Attached;
use platform::paths::Volumes;
use service::connection::Connection;
use service::decide::{Decision, Mode};
use service::session::{Fate, Observer, Report, Summary};
use std::io;

/// How much to tell, and in which language.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// JSON, not lines for a person.
    pub json: bool,
    /// No connections.
    pub quiet: bool,
    /// Reports, too.
    pub reports: bool,
}

/// Tells what a session does.
pub struct Narrator {
    printer: Printer,
    style: Style,
    volumes: Volumes,
    lost_lines: u64,
}

impl Narrator {
    /// Tells it through `printer`.
    pub fn new(printer: Printer, style: Style, volumes: Volumes) -> Self {
        Self { printer, style, volumes, lost_lines: 0 }
    }

    /// The first line.
    pub fn attached(&mut self, attached: &Attached, mode: Mode, exemptions: usize) {
        let version = attached.version;
        self.say(match self.style.json {
            true => line::attached_json(version, mode, exemptions),
            false => line::attached(version, mode, exemptions),
        });
    }

    /// The last line. Waits until everything is printed.
    pub fn detached(mut self, summary: &Summary) -> io::Result<()> {
        self.say(match self.style.json {
            true => line::detached_json(summary),
            false => line::detached(summary),
        });
        self.printer.finish()
    }

    fn show(&mut self, seen: &Seen<'_>) {
        if !self.style.quiet {
            self.say(if self.style.json { seen.to_json(&self.volumes) } else { seen.to_line() });
        }
    }

    fn say(&mut self, line: String) {
        if self.lost_lines > 0 && self.printer.print(self.lost("lines", self.lost_lines)) {
            self.lost_lines = 0;
        }
        if !self.printer.print(line) {
            self.lost_lines += 1;
        }
    }

    fn lost(&self, what: &str, count: u64) -> String {
        if self.style.json { line::lost_json(what, count) } else { line::lost(what, count) }
    }
}

impl Observer for Narrator {
    fn decided(&mut self, connection: &Connection, decision: &Decision, fate: Fate) {
        self.show(&Seen::decided(&Zoned::now(), connection, decision, fate));
    }

    fn reported(&mut self, report: &Report) {
        if self.style.reports {
            self.show(&Seen::reported(&Zoned::now(), report));
        }
    }

    fn lost_reports(&mut self, count: u32) {
        if self.style.reports && !self.style.quiet {
            self.say(self.lost("reports", count.into()));
        }
    }
}
