//! Much more than anybody can read.

use super::desk::{Desk, entries, entry, prompt};
use crate::tui::connections::{MAX_BYTES, MAX_ENTRIES};
use crate::tui::message::Message;
use crate::tui::prompts::MAX_PROMPTS;
use std::sync::Arc;

#[test]
fn a_storm_keeps_the_newest_and_drawing_looks_at_one_screen() {
    let mut desk = Desk::at_work(80, 24);
    desk.keys("/bin/git<Enter>");
    let reason = entries()[0].reason.clone();
    for id in 0..100_000 {
        let path = if id % 3 == 0 { "/usr/bin/git" } else { "/usr/bin/curl" };
        desk.tell(Message::Entry(Box::new(entry(id, 1, path, "192.0.2.80:443", None, reason.clone()))));
        if id % 10_000 == 0 {
            desk.screen();
        }
    }
    assert_eq!(desk.model.connections.len(), MAX_ENTRIES);
    let shown = desk.model.connections.shown();
    assert_eq!((shown.len(), shown.back().unwrap().id), (3_334, 99_999));
    assert!(desk.screen().contains("3,334 of 10,000 connections"));
}

#[test]
fn long_texts_take_the_place_of_many_entries() {
    let mut desk = Desk::at_work(80, 24);
    let long: Arc<str> = "x".repeat(900_000).into();
    for id in 0..200 {
        let mut entry = entry(id, 1, "/usr/bin/git", "192.0.2.80:443", None, entries()[0].reason.clone());
        Arc::make_mut(&mut entry.identity).command_line = Some(Arc::from(&*long));
        desk.tell(Message::Entry(Box::new(entry)));
    }
    let kept = desk.model.connections.len();
    assert!(kept * 900_000 <= MAX_BYTES && kept > 50, "{kept}");
    desk.keys("<Enter>");
    assert!(desk.screen().contains("git --verbose") || desk.screen().contains("xxx"));
}

#[test]
fn prompts_are_bounded() {
    let mut desk = Desk::at_work(80, 24);
    for id in 0..5_000 {
        desk.tell(Message::Prompt(Box::new(prompt(id, "/usr/bin/curl", "alice", "203.0.113.7:443", None, 9))));
    }
    assert_eq!(desk.model.prompts.len(), MAX_PROMPTS);
    desk.keys("2<End>");
    desk.screen();
}
