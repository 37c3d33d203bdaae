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
        if self.lost_lines > 0 && self.printer.print(self.lost("line", self.lost_lines)) {
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
            self.say(self.lost("report", count.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::paper::{Reader, Stuck};
    use crate::output::printer::WAITING;
    use service::decide::Because;
    use std::sync::mpsc::{Receiver, channel};
    use wire::batch::RequestView;
    use wire::request::{self, Request};
    use wire::verdict::{Scope, Verdict};

    const LINES: Style = Style { json: false, quiet: false, reports: true };

    fn narrator(style: Style) -> (Narrator, Receiver<String>) {
        let (visible, seen) = channel();
        let printer = Printer::start(Reader::new(visible), || ()).unwrap();
        (Narrator::new(printer, style, Volumes::default()), seen)
    }

    fn connection() -> Connection {
        Connection::read(&RequestView { request: Request::default(), path: &[], sid: &[] })
    }

    fn tell_one_of_each(narrator: &mut Narrator) {
        let decision =
            Decision { verdict: Verdict::BLOCK, scope: Scope::OPERATION, because: Because::Mode(Mode::Block) };
        narrator.decided(&connection(), &decision, Fate::Accepted);
        let because = request::Because::FALLBACK;
        narrator.reported(&Report { connection: connection(), verdict: Verdict::PERMIT, because });
        narrator.lost_reports(3);
    }

    fn told(style: Style) -> Vec<String> {
        let (mut narrator, seen) = narrator(style);
        tell_one_of_each(&mut narrator);
        narrator.detached(&Summary::default()).unwrap();
        seen.iter().flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn everything_is_told_in_order() {
        let told = told(LINES);
        let ends = ["mode block", "reported: fallback", "3 reports lost", "0 reported"];
        assert_eq!(told.len(), ends.len(), "{told:?}");
        assert!(told.iter().zip(ends).all(|(line, end)| line.ends_with(end)), "{told:?}");
    }

    #[test]
    fn reports_are_left_out_when_they_are_not_wanted() {
        let told = told(Style { reports: false, ..LINES });
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].ends_with("mode block"), "{told:?}");
    }

    #[test]
    fn quiet_leaves_only_the_summary() {
        let told = told(Style { quiet: true, ..LINES });
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("detached"), "{told:?}");
    }

    #[test]
    fn every_line_of_json_is_an_object_with_an_event() {
        let events: Vec<String> = told(Style { json: true, ..LINES })
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(events, ["decision", "report", "lost", "detached"]);
    }

    #[test]
    fn lines_that_had_no_room_are_counted_once_there_is() {
        let (release, stuck) = channel();
        let (visible, seen) = channel();
        let printer = Printer::start(Stuck::new(stuck, Reader::new(visible)), || ()).unwrap();
        let mut narrator = Narrator::new(printer, LINES, Volumes::default());
        let told = WAITING as u64 * 3;
        for _ in 0..told {
            narrator.lost_reports(1);
        }
        drop(release);
        let mut shown = 0;
        while shown + narrator.lost_lines < told {
            shown += accounted_for(&seen.recv().unwrap());
        }
        let lost = narrator.lost_lines;
        assert!(lost > 0);
        // Everything that had room is printed, so now there is room.
        narrator.detached(&Summary::default()).unwrap();
        let rest: String = seen.iter().collect();
        assert!(rest.starts_with(&format!("{lost} lines lost\ndetached: ")), "{rest}");
    }

    /// How many lines of reports a text shows, or says were lost.
    fn accounted_for(text: &str) -> u64 {
        text.lines()
            .map(|line| match line.split_once(" lines lost") {
                Some((count, _)) => count.parse().unwrap(),
                None => 1,
            })
            .sum()
    }
}
