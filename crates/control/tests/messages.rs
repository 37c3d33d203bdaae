//! The messages, byte for byte as `docs/control.md` shows them to somebody who writes another client.
//!
//! A block marked `json client` has lines of a client, one marked `json service` lines of the service. Each must read
//! and write again as the same bytes, and together they show every message there is.

use control::protocol::{Call, Event, Greeting, Hello, REQUESTS, Reply, Request, ServerLine};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../docs/control.md");

/// The lines of all blocks with this mark.
fn examples(mark: &str) -> Vec<&'static str> {
    let mut lines = Vec::new();
    let mut is_inside = false;
    for line in DOCUMENT.lines() {
        match line.strip_prefix("```") {
            Some(found) => is_inside = found == mark,
            None if is_inside => lines.push(line),
            None => {}
        }
    }
    assert!(!lines.is_empty(), "{mark}");
    lines
}

fn read<T: DeserializeOwned + Serialize>(line: &str) -> Option<T> {
    let message = serde_json::from_str(line).ok()?;
    assert_eq!(serde_json::to_string(&message).unwrap(), line);
    Some(message)
}

fn request_name(request: &Request) -> String {
    let value = serde_json::to_value(request).unwrap();
    value["do"].as_str().unwrap().to_owned()
}

/// The name of each of these messages: what they are tagged with.
fn reply_name(reply: &Reply) -> &'static str {
    match reply {
        Reply::Done => "done",
        Reply::Status(_) => "status",
        Reply::Entries(_) => "entries",
        Reply::Prompts(_) => "prompts",
        Reply::Ruleset { .. } => "ruleset",
        Reply::Proposals(_) => "proposals",
    }
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Entry(_) => "entry",
        Event::Missed(_) => "missed",
        Event::Prompt(_) => "prompt",
        Event::PromptClosed { .. } => "prompt_closed",
    }
}

#[test]
fn each_request_is_shown_as_it_is_sent() {
    let mut shown = BTreeSet::new();
    let mut greetings = 0;
    for line in examples("json client") {
        match read::<Call>(line) {
            Some(call) => drop(shown.insert(request_name(&call.request))),
            None => {
                read::<Hello>(line).unwrap_or_else(|| panic!("{line}"));
                greetings += 1;
            }
        }
    }
    assert!(greetings > 0);
    let expected: BTreeSet<String> = REQUESTS.map(str::to_owned).into();
    assert_eq!(shown, expected);
}

#[test]
fn each_line_of_the_service_is_shown_as_it_is_sent() {
    let (mut replies, mut events) = (BTreeSet::new(), BTreeSet::new());
    let (mut welcomes, mut refusals, mut errors) = (0, 0, 0);
    for line in examples("json service") {
        match (read::<ServerLine>(line), read::<Greeting>(line)) {
            (Some(ServerLine::Reply { reply, .. }), _) => drop(replies.insert(reply_name(&reply))),
            (Some(ServerLine::Event { event }), _) => drop(events.insert(event_name(&event))),
            (Some(ServerLine::Error { .. }), _) => errors += 1,
            (None, Some(Greeting::Welcome(_))) => welcomes += 1,
            (None, Some(Greeting::Refusal { .. })) => refusals += 1,
            (None, None) => panic!("{line}"),
        }
    }
    assert_eq!(replies, BTreeSet::from(["done", "status", "entries", "prompts", "ruleset", "proposals"]));
    assert_eq!(events, BTreeSet::from(["entry", "missed", "prompt", "prompt_closed"]));
    assert!(welcomes > 0 && refusals > 0 && errors > 0);
}

#[test]
fn the_bounds_that_are_told_are_the_ones_that_hold() {
    for bound in [
        control::protocol::MAX_LINE.to_string(),
        control::protocol::MAX_ENTRIES.to_string(),
        control::protocol::MAX_REVIEWED.to_string(),
        control::prompt::MAX_NOTE.to_string(),
        control::prompt::MAX_SECONDS.to_string(),
        control::status::MAX_SNOOZE.to_string(),
    ] {
        assert!(DOCUMENT.contains(&format!("`{bound}`")), "{bound}");
    }
}
