//! An entry as a line to read.
//!
//! Invariants: on a terminal a line fits its width; what a program calls itself cannot steer the terminal.

use crate::output::line::printable;
use control::entry::{Direction, Entry, Verdict};
use jiff::tz::TimeZone;
use service::export::{because, file_name, place};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The least that a line is laid out for.
const NARROWEST: usize = 60;

/// How wide lines are laid out that nobody reads on a terminal.
const USUAL: usize = 80;

/// How wide a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    columns: usize,
    /// Whether what does not fit is cut.
    cuts: bool,
}

impl Width {
    /// Of the terminal, if a line `is_read` on one; else nothing is cut.
    pub fn of_terminal(is_read: bool) -> Self {
        let columns = crossterm::terminal::size().ok().filter(|_| is_read).map(|(columns, _)| usize::from(columns));
        Self { columns: columns.unwrap_or(USUAL).max(NARROWEST), cuts: is_read }
    }
}

/// `entry` with the time of `zone`: when, verdict, program, remote end, why.
pub fn line(entry: &Entry, width: Width, zone: &TimeZone) -> String {
    let time = entry.time.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string();
    let verdict = match entry.verdict {
        Verdict::Permit => "permit",
        Verdict::Block => "block",
    };
    let program = entry.identity.program.path.as_deref().map_or("?", file_name);
    let way = match entry.direction {
        Direction::Out => "",
        Direction::In => "< ",
    };
    let late = match (entry.in_force, entry.live) {
        (false, _) => "too late: ",
        (true, true) => "ended: ",
        (true, false) => "",
    };
    // What is left after time, verdict and the spaces: a quarter for the program, and the rest by halves, about.
    let left = width.columns - 14 - 6 - 4;
    let (program_columns, place_columns) = (left / 4, left * 5 / 12);
    let why_columns = left - program_columns - place_columns;
    let cell = |text: &str, columns| {
        let text = printable(text);
        if width.cuts { cut(&text, columns) } else { text }
    };
    let program = pad(&cell(program, program_columns), program_columns);
    let place = pad(&cell(&format!("{way}{}", place(entry)), place_columns), place_columns);
    let why = cell(&format!("{late}{}", because(entry)), why_columns);
    format!("{time} {verdict:<6} {program} {place} {why}")
}

/// `text` in at most `columns`, its middle left out when it is longer: both ends of a name or an address tell most.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let take = |characters: &mut dyn Iterator<Item = char>, columns: usize| -> Vec<char> {
        let mut left = columns;
        characters
            .take_while(|c| {
                let wide = c.width().unwrap_or(0);
                let fits = wide <= left;
                left = left.saturating_sub(wide);
                fits
            })
            .collect()
    };
    let front = take(&mut text.chars(), room / 2);
    let back = take(&mut text.chars().rev(), room - room / 2);
    front.into_iter().chain(['…']).chain(back.into_iter().rev()).collect()
}

fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::entry::{DefaultWhy, Name, Reason};
    use rules::decision::{Revision, RuleName};
    use rules::facts::{Identity, Program};
    use rules::model::Layer;
    use std::sync::Arc;

    const TERMINAL: Width = Width { columns: 80, cuts: true };

    fn entry(path: &str) -> Entry {
        let program = Program { path: Some(path.into()), ..Program::default() };
        Entry {
            id: 1,
            time: "2026-11-23T12:00:00Z".parse().unwrap(),
            verdict: Verdict::Permit,
            reason: Reason::Rule { rule: RuleName { layer: Layer::User, id: "node".into() } },
            asked_by: None,
            revision: Revision("0123456789ab".into()),
            live: false,
            in_force: true,
            direction: Direction::Out,
            protocol: 6,
            local: "192.0.2.1:50000".parse().unwrap(),
            remote: "198.51.100.4:443".parse().unwrap(),
            name: None,
            interface: None,
            pid: 1,
            start_key: 1,
            identity: Arc::new(Identity { program, ..Identity::default() }),
            held_ms: 0,
        }
    }

    #[test]
    fn a_line_tells_when_what_who_where_and_why() {
        let line = |entry: &Entry| line(entry, TERMINAL, &TimeZone::UTC);
        assert_eq!(
            line(&entry(r"C:\Tools\node.exe")),
            "11-23 12:00:00 permit node.exe       198.51.100.4:443        user/node"
        );
        let asked = Entry {
            verdict: Verdict::Block,
            reason: Reason::Default { why: DefaultWhy::TimedOut },
            direction: Direction::In,
            local: "192.0.2.1:22".parse().unwrap(),
            in_force: false,
            ..entry("/usr/sbin/sshd")
        };
        assert_eq!(line(&asked), "11-23 12:00:00 block  sshd           < :22 from 198.51.100.4 too late:…r in time");
    }

    #[test]
    fn a_line_fits_whatever_is_in_it_and_steers_no_terminal() {
        let text = "日本語-\u{1b}[31m-\u{202e}-a-very-long-name-that-goes-on.example.com";
        let name = Name { text: text.into(), confidence: control::entry::Confidence::OwnProcess };
        let hostile = Entry { name: Some(name), ..entry(text) };
        for columns in [60, 80, 132] {
            let line = line(&hostile, Width { columns, cuts: true }, &TimeZone::UTC);
            assert!(line.width() <= columns, "{} {line}", line.width());
            assert!(!line.contains(char::is_control) && !line.contains('\u{202e}'), "{line:?}");
        }
        let whole = line(&hostile, Width { columns: 80, cuts: false }, &TimeZone::UTC);
        assert!(whole.contains("that-goes-on.example.com:443"), "{whole}");
    }
}
