//! Entries for tests.

use control::entry::{Confidence, DefaultWhy, Direction, Entry, Name, Reason, Verdict};
use rules::decision::{Revision, RuleName};
use rules::facts::{Identity, Program, User};
use rules::model::Layer;
use service::export::Origin;
use service::export::syslog::Facility;
use std::sync::Arc;

/// Where all come from.
pub fn origin() -> Origin {
    Origin { host: Some("desk".to_owned()), version: "0.1.0".to_owned(), pid: 412, facility: Facility::LOCAL0 }
}

/// A rule permitted it, and everything about it is known.
pub fn permitted() -> Entry {
    let identity = Identity {
        program: Program {
            path: Some(r"C:\Tools\node.exe".into()),
            sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
            publisher: Some("OpenJS Foundation".into()),
            package: None,
            service: None,
        },
        parent: Some(Arc::new(Program { path: Some(r"C:\Windows\explorer.exe".into()), ..Program::default() })),
        user: Some(User { id: "S-1-5-21-1-2-3-1001".into(), name: Some(r"DESK\ada".into()) }),
        command_line: Some("node server.js".into()),
        ..Identity::default()
    };
    Entry {
        id: 1_795_435_200_000_000,
        time: "2026-11-23T12:00:00.25Z".parse().unwrap(),
        verdict: Verdict::Permit,
        reason: Reason::Rule { rule: RuleName { layer: Layer::User, id: "node".into() } },
        asked_by: None,
        revision: Revision("0123456789ab".into()),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: "192.0.2.7:50000".parse().unwrap(),
        remote: "198.51.100.4:443".parse().unwrap(),
        name: Some(Name { text: "example.com".into(), confidence: Confidence::OwnProcess }),
        interface: Some("Ethernet".into()),
        pid: 4_242,
        start_key: 77,
        identity: Arc::new(identity),
        held_ms: 1_203,
    }
}

/// Nobody answered, and nothing about it is known.
pub fn blocked() -> Entry {
    Entry {
        id: 1_795_435_200_000_001,
        verdict: Verdict::Block,
        reason: Reason::Default { why: DefaultWhy::TimedOut },
        asked_by: Some(RuleName { layer: Layer::Default, id: "ask-all".into() }),
        direction: Direction::In,
        protocol: 17,
        local: "[2001:db8::7]:5353".parse().unwrap(),
        remote: "[fe80::1%3]:5353".parse().unwrap(),
        name: None,
        interface: None,
        start_key: 0,
        identity: Arc::default(),
        ..permitted()
    }
}
