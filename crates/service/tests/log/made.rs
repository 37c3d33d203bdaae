//! Entries and clocks for tests.

use control::entry::{Confidence, DefaultWhy, Direction, EnforcerWhy, Entry, Name, Reason, Verdict};
use jiff::Timestamp;
use proptest::prelude::*;
use rules::decision::{Revision, RuleName};
use rules::facts::{Identity, Program, User};
use rules::model::Layer;
use service::clock::{Clock, Now};
use service::log::{Limits, Log};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a test waits for what must come; only a hang takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// 2026-11-23T12:00:00Z.
pub const NOON: i64 = 1_795_435_200;

/// A clock whose wall stands still; the steady one is real.
pub struct Wall {
    started: Instant,
    wall: Timestamp,
}

impl Wall {
    pub fn at(second: i64) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), wall: Timestamp::from_second(second).unwrap() })
    }
}

impl Clock for Wall {
    fn now(&self) -> Now {
        Now { monotonic: self.started.elapsed(), wall: self.wall }
    }
}

/// A log that keeps everything.
pub fn log(path: &Path) -> Log {
    Log::start(path.to_path_buf(), limits(), Wall::at(NOON))
}

/// Limits that keep everything, from any year.
pub fn limits() -> Limits {
    Limits { queue: 32_768, age: Duration::MAX, bytes: 1 << 40 }
}

/// Waits until `holds`, which must come to be.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An entry of its own for each number, with much in common.
pub fn entry(id: u64) -> Entry {
    Entry {
        id,
        time: Timestamp::from_second(NOON).unwrap() + Duration::from_millis(id % 1_000_000),
        verdict: if id.is_multiple_of(3) { Verdict::Block } else { Verdict::Permit },
        reason: Reason::Rule { rule: RuleName { layer: Layer::User, id: format!("rule-{}", id % 5).into() } },
        asked_by: None,
        revision: Revision("0123456789ab".into()),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: SocketAddr::from(([192, 0, 2, 7], 50_000 + (id % 10_000) as u16)),
        remote: SocketAddr::from(([198, 51, 100, (id % 250) as u8], 443)),
        name: Some(Name { text: format!("host-{}.example.com", id % 100).into(), confidence: Confidence::OwnProcess }),
        interface: Some("eth0".into()),
        pid: 4_000 + id % 50,
        start_key: 77_000 + id % 50,
        identity: identity(id % 50),
        held_ms: id % 40,
    }
}

/// One of many identities.
pub fn identity(number: u64) -> Arc<Identity> {
    Arc::new(Identity {
        program: Program { path: Some(format!("/usr/bin/program-{number}").into()), ..Program::default() },
        user: Some(User { id: "1000".into(), name: Some("ada".into()) }),
        ..Identity::default()
    })
}

/// Text as people and programs write it, and as they should not.
fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-cA-C/%_.\\\\]{0,4}", "[äÄßſKİ\u{0}'\"\n;-]{1,3}"].prop_map(Arc::from)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        prop_oneof![Just([1, 2, 3, 4]), any::<[u8; 4]>()].prop_map(IpAddr::from),
        prop_oneof![Just([0; 16]), any::<[u8; 16]>()].prop_map(IpAddr::from),
    ]
}

fn end() -> impl Strategy<Value = SocketAddr> {
    (ip(), 0..4_u16, prop_oneof![Just(0), any::<u32>()]).prop_map(|(ip, port, scope)| match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    })
}

fn rule() -> impl Strategy<Value = RuleName> {
    (prop::sample::select(&Layer::ALL[..]), "[ab/]{1,2}").prop_map(|(layer, id)| RuleName { layer, id: id.into() })
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        rule().prop_map(|rule| Reason::Rule { rule }),
        (0..3_u64, text()).prop_map(|(prompt, user)| Reason::Answer { prompt, user }),
        Just(Reason::Default { why: DefaultWhy::TimedOut }),
        Just(Reason::Enforcer { why: EnforcerWhy::Fallback }),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    (prop::option::of(text()), prop::option::of(text()), prop::option::of(text()))
        .prop_map(|(path, sha256, publisher)| Program { path, sha256, publisher, ..Program::default() })
}

fn identities() -> impl Strategy<Value = Arc<Identity>> {
    let user = (text(), prop::option::of(text())).prop_map(|(id, name)| User { id, name });
    (program(), prop::option::of(program()), prop::option::of(user), prop::option::of(text())).prop_map(
        |(program, parent, user, command_line)| {
            let parent = parent.map(Arc::new);
            Arc::new(Identity { program, parent, user, command_line, ..Identity::default() })
        },
    )
}

fn named() -> impl Strategy<Value = Name> {
    let confidence =
        prop::sample::select(&[Confidence::Ambiguous, Confidence::OtherProcess, Confidence::OwnProcess][..]);
    (text(), confidence).prop_map(|(text, confidence)| Name { text, confidence })
}

pub fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![-2..3_i64, Just(253_402_207_199), Just(-62_135_596_800)].prop_map(|second| {
        // The database keeps the years 1677 to 2262.
        Timestamp::from_second(second.clamp(-9_000_000_000, 9_000_000_000)).unwrap()
    })
}

/// Any entry at all, with number 0.
pub fn any_entry() -> impl Strategy<Value = Entry> {
    let verdict = prop::sample::select(&[Verdict::Permit, Verdict::Block][..]);
    let direction = prop::sample::select(&[Direction::Out, Direction::In][..]);
    let decided = (time(), verdict, reason(), prop::option::of(rule()), "[ab]{1}", any::<bool>());
    let flow = (direction, 0..3_u8, end(), end(), prop::option::of(named()), prop::option::of(text()));
    let process = (prop_oneof![0..3_u64, any::<u64>()], any::<u64>(), identities(), any::<u64>());
    (decided, flow, process).prop_map(|(decided, flow, process)| {
        let (time, verdict, reason, asked_by, revision, in_force) = decided;
        let (direction, protocol, local, remote, name, interface) = flow;
        let (pid, start_key, identity, held_ms) = process;
        let revision = Revision(revision.into());
        Entry {
            id: 0,
            time,
            verdict,
            reason,
            asked_by,
            revision,
            live: false,
            in_force,
            direction,
            protocol,
            local,
            remote,
            name,
            interface,
            pid,
            start_key,
            identity,
            held_ms,
        }
    })
}
