//! Screens that are kept as text.

use super::desk::{ASCII, COLOUR, Desk, MONO, entries, noon, prompts, status, text};
use crate::tui::message::{Effect, Message};
use crate::tui::trace::{Part, Trace, TraceLine};
use control::prompt::Closed;
use control::status::{Gate, Snooze};
use jiff::SignedDuration;
use ratatui::style::Color;
use std::fs;
use std::path::Path;

const WRITE: &str = "TOLLGATE_WRITE_SCREENS";

/// Compares with a file, or writes it.
fn compare(path: &Path, seen: &str) {
    if std::env::var_os(WRITE).is_some() {
        return fs::write(path, seen).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    assert!(kept == seen, "{} differs; {WRITE}=1 writes it again. Now:\n{seen}\nKept:\n{kept}", path.display());
}

fn keep(name: &str, desk: &Desk) {
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/tui/screens/{name}.txt")), &desk.screen());
}

fn with_connections(columns: u16, rows: u16) -> Desk {
    let mut desk = Desk::at_work(columns, rows);
    for entry in entries() {
        desk.tell(Message::Entry(Box::new(entry)));
    }
    desk
}

fn with_prompts(columns: u16, rows: u16) -> Desk {
    let mut desk = Desk::at_work(columns, rows);
    for prompt in prompts() {
        desk.tell(Message::Prompt(Box::new(prompt)));
    }
    desk
}

fn overview(columns: u16, rows: u16) -> Desk {
    let mut desk = Desk::at_work(columns, rows);
    desk.keys("4");
    for step in 0_u64..60 {
        desk.pass(2);
        let mut status = status();
        status.counters.permitted += step * step / 4;
        status.counters.blocked += step.saturating_sub(40) * 3;
        desk.tell(Message::Status(Box::new(status)));
    }
    desk
}

fn detached() -> Gate {
    Gate::Detached {
        since: noon() - SignedDuration::from_secs(61),
        why: "the driver is not running".to_owned(),
        retry: noon() + SignedDuration::from_secs(9),
    }
}

#[test]
fn the_beginning_says_what_is_waited_for() {
    keep("connecting", &Desk::new(80, 24));
    keep("no-connections", &Desk::at_work(80, 24));
    let mut desk = Desk::new(80, 24);
    let retry = noon() + SignedDuration::from_secs(3);
    let help = Some("start it with `tollgate service start`, or `tollgate run`".to_owned());
    desk.tell(Message::Disconnected { why: "nothing listens at /run/tollgate/control.sock".to_owned(), help, retry });
    keep("no-service", &desk);
}

#[test]
fn connections_are_listed_filtered_and_paused() {
    let mut desk = with_connections(80, 24);
    keep("connections", &desk);
    desk.keys("/example.com");
    keep("connections-filtering", &desk);
    desk.keys("<Enter> ");
    desk.tell(Message::Entry(Box::new(super::desk::entry(
        108,
        30,
        "/usr/bin/git",
        "192.0.2.80:443",
        None,
        entries()[0].reason.clone(),
    ))));
    desk.tell(Message::Missed(17));
    keep("connections-paused", &desk);
}

#[test]
fn a_connection_is_shown_whole_and_explained() {
    let mut desk = with_connections(80, 24);
    desk.keys("<Up><Up><Up><Enter>");
    keep("connection", &desk);
    desk.keys("e");
    let entry = entries().remove(3);
    assert_eq!(desk.wanted(), [Effect::Explain(entry.into())]);
    let line = |part, text: &str| TraceLine { part, text: text.to_owned() };
    let lines = vec![
        line(Part::Heading, "Rules of revision 4be1a0c95d27, in their order"),
        line(Part::Plain, "2 for other programs, or not enabled"),
        line(Part::Plain, "mandatory/no-trackers (mandatory/company.toml:4): not by its remote"),
        line(Part::Decisive, "default/ask-rest (default/rest.toml:1) matches: ask"),
        line(Part::Plain, ""),
        line(Part::Heading, "The rules say ask, by default/ask-rest."),
        line(Part::Decisive, "Then alice answered prompt 7: permit."),
    ];
    desk.tell(Message::Explained { entry: 104, trace: Trace::Ready(lines) });
    keep("explained", &desk);
}

#[test]
fn wide_windows_show_the_pane_beside_the_list() {
    let mut desk = with_connections(120, 40);
    desk.keys("<Up><Up><Up><Enter>");
    keep("connection-wide", &desk);
}

#[test]
fn prompts_wait_with_a_countdown() {
    let mut desk = with_prompts(80, 24);
    keep("connections-while-prompts-wait", &desk);
    desk.keys("2");
    keep("prompts", &desk);
    desk.keys("<Down>");
    desk.pass(5);
    keep("prompt-without-a-name", &desk);
    desk.tell(Message::PromptClosed { id: 12, closed: Closed::Expired });
    keep("prompt-gone", &desk);
    let mut desk = Desk::at_work(80, 24);
    desk.keys("2");
    keep("no-prompts", &desk);
}

#[test]
fn an_answer_is_made_in_a_form() {
    let mut desk = with_prompts(80, 24);
    desk.keys("2p");
    keep("answer", &desk);
    desk.keys("d2");
    keep("answer-for-a-duration", &desk);
    desk.keys("fdnbuild needs it");
    keep("answer-with-a-note", &desk);
    desk.keys("<Enter>");
    desk.tell(Message::PromptClosed {
        id: 11,
        closed: Closed::Answered { user: "bob".into(), verdict: control::entry::Verdict::Block },
    });
    keep("answer-too-late", &desk);
}

#[test]
fn rules_are_listed_and_shown_as_written() {
    let mut desk = with_connections(80, 24);
    desk.keys("3");
    keep("rules", &desk);
    desk.keys("<Down><Down><Enter>");
    keep("rule", &desk);
}

#[test]
fn the_overview_tells_the_truth() {
    keep("overview", &overview(80, 24));
    keep("overview-wide", &overview(120, 40));
    let mut desk = Desk::at_work(80, 24);
    let mut status = status();
    status.gate = detached();
    status.snoozed_until = Some(noon() + SignedDuration::from_secs(700));
    status.rules.refused = vec![rules::source::Problem {
        file: "user/tools.toml".into(),
        line: 7,
        column: 10,
        message: "`permitt` is no action".to_owned(),
        help: Some("permit, block or ask".to_owned()),
    }];
    status.names = control::status::Source::Fails { why: "systemd-resolved does not run".into() };
    status.counters.lost_reports = 3;
    status.counters.shed = 12;
    desk.tell(Message::Status(Box::new(status)));
    desk.keys("4");
    keep("overview-of-trouble", &desk);
}

#[test]
fn dialogs_lie_over_the_tab() {
    let mut desk = with_connections(80, 24);
    desk.keys("?");
    keep("help", &desk);
    desk.keys("<Esc>s3b");
    keep("snooze", &desk);
    desk.keys("<Enter>");
    let verdict = Some(control::entry::Verdict::Block);
    assert_eq!(desk.wanted(), [Effect::Snooze(Snooze { seconds: 3_600, verdict })]);
}

#[test]
fn a_small_window_stays_sane() {
    keep("small-connections", &with_connections(40, 10));
    let mut desk = with_prompts(40, 10);
    desk.keys("2");
    keep("small-prompts", &desk);
    desk.keys("p");
    keep("small-answer", &desk);
    let mut desk = with_connections(40, 10);
    desk.keys("3");
    keep("small-rules", &desk);
    desk.keys("4");
    keep("small-overview", &desk);
    desk.model.size = (20, 5);
    assert!(desk.screen().contains("larger"));
}

#[test]
fn without_colours_the_screens_say_the_same() {
    for mut desk in [with_connections(80, 24), with_prompts(80, 24), overview(80, 24)] {
        for keys in ["1", "2", "p", "<Esc>", "3", "4", "?"] {
            desk.keys(keys);
            desk.model.theme = COLOUR;
            let coloured = desk.screen();
            desk.model.theme = MONO;
            let buffer = desk.buffer();
            assert_eq!(text(&buffer), coloured);
            let colours = buffer.content.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
            assert_eq!(colours.count(), 0);
        }
    }
}

#[test]
fn a_terminal_of_ascii_gets_ascii() {
    let mut desk = with_prompts(80, 24);
    desk.model.theme = ASCII;
    desk.keys("2");
    keep("prompts-ascii", &desk);
    desk.keys("b");
    assert!(desk.screen().is_ascii());
}

#[test]
fn the_page_of_the_manual_shows_these_screens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../docs/tui.md");
    let page = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let mut lines = page.lines();
    let mut fresh = String::new();
    let mut shown = 0;
    while let Some(line) = lines.next() {
        fresh.push_str(line);
        fresh.push('\n');
        let Some(name) = line.strip_prefix("<!-- screen: ").and_then(|line| line.strip_suffix(" -->")) else {
            continue;
        };
        assert_eq!(lines.next(), Some("```text"), "after {line}");
        assert!(lines.any(|line| line == "```"), "{line} ends");
        let screen = fs::read_to_string(root.join(format!("src/tui/screens/{name}.txt"))).unwrap();
        fresh.push_str(&format!("```text\n{}```\n", screen.replace("\r\n", "\n")));
        shown += 1;
    }
    assert!(shown >= 5);
    compare(&path, &fresh);
}
