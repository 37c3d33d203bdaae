//! Questions about connections that live already, and reports that are no news: the whole service, and an enforcement point
//! that follows a script.

#[expect(dead_code, reason = "sessions need more of it")]
mod fake;

use control::entry::{Entry, Reason, Verdict};
use fake::{Fake, Step};
use rules::ruleset::Environment;
use service::clock::SystemClock;
use service::config::Config;
use service::daemon::{self, Daemon};
use service::identity::{Description, Key, Processes};
use service::sink::{Made, Sink};
use std::fs::{self, File};
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use wire::batch::{BatchWriter, MIN_BATCH_BYTES};
use wire::request::{Address, Because, Direction, FAMILY_V4, Request, RequestFlags};
use wire::verdict::{Answer, RequestId, Verdict as WireVerdict};
use zerocopy::FromZeros;

const RULES: &str = r#"
[rule.web]
action = "permit"
remote = ":443"

[rule.telnet]
action = "block"
remote = ":23"

[rule.shell]
action = "block"
parent = "/usr/bin/shell"
remote = ":22"
"#;

/// Writes down every decision.
#[derive(Default)]
struct Notes(Mutex<Vec<Arc<Entry>>>);

impl Sink for Notes {
    fn take(&self, made: &[Made]) {
        self.0.lock().unwrap().extend(made.iter().map(|made| made.entry.clone()));
    }
}

/// Every process was started by the shell.
struct Shell;

impl Processes for Shell {
    fn describe(&self, _: Key) -> Option<Description> {
        Some(Description { parent: Some("/usr/bin/shell".into()), ..Description::default() })
    }
    fn open(&self, _: &str) -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn publisher(&self, _: &str) -> Option<Arc<str>> {
        None
    }
}

fn live(id: u64, port: u16) -> Request {
    let mut request = Request::new_zeroed();
    request.flags = RequestFlags::LIVE.bits();
    request.id = RequestId(id);
    request.process_id = 7;
    request.process_start_key = 77;
    request.direction = Direction::OUTBOUND;
    request.protocol = 6;
    request.family = FAMILY_V4;
    request.remote = Address::v4([203, 0, 113, 7]);
    request.remote_port = port;
    request
}

fn loopback(verdict: WireVerdict) -> Request {
    Request {
        flags: RequestFlags::LOOPBACK.bits(),
        id: RequestId(0),
        direction: Direction::INBOUND,
        verdict,
        because: Because::LOOPBACK,
        ..live(0, 50_000)
    }
}

fn batch(requests: &[Request]) -> Step {
    let path: Vec<u8> = r"\device\harddiskvolume1\node.exe".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bytes = vec![0; MIN_BATCH_BYTES * (requests.len() + 1)];
    let mut writer = BatchWriter::new(&mut bytes).unwrap();
    for request in requests {
        assert!(writer.push(*request, &path, &[]));
    }
    let len = writer.finish(0);
    bytes.truncate(len);
    Step::Batch(bytes)
}

/// What the service does with these requests: the entries, the answers, and how many connections it counts as ended and
/// as reported. `answers`: how many it will give.
fn told(requests: &[Request], answers: usize) -> (Vec<Arc<Entry>>, Vec<Answer>, u64, u64) {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    fs::create_dir_all(rules.join("user")).unwrap();
    fs::write(rules.join("user/rules.toml"), RULES).unwrap();
    let fake = Fake::new([batch(requests)]);
    let notes = Arc::new(Notes::default());
    let enforcer = fake.clone();
    let daemon = Daemon::start(daemon::Options {
        config: Config::default(),
        config_file: None,
        rules,
        state: directory.path().join("state"),
        environment: Environment::default(),
        volumes: Default::default(),
        open: Box::new(move || Ok(enforcer.enforcer())),
        processes: Arc::new(Shell),
        interfaces: Arc::new(|_, _| None),
        names: None,
        clock: Arc::new(SystemClock::default()),
        boot: "test".into(),
        control: None,
        journal: Arc::new(|_, _| ()),
        sinks: vec![notes.clone()],
    })
    .unwrap();
    let mut given = Vec::new();
    fake.until_waiting();
    while given.len() < answers {
        given.extend(fake.told().submitted.into_iter().flatten());
        thread::yield_now();
    }
    let counters = daemon.core().status().counters;
    daemon.stop();
    daemon.wait();
    given.extend(fake.told().submitted.into_iter().flatten());
    assert_eq!((given.len(), counters.permitted + counters.blocked + counters.stale), (answers, 0));
    let entries = notes.0.lock().unwrap().clone();
    (entries, given, counters.ended, counters.reported)
}

#[test]
fn a_live_connection_that_rules_permit_lives_on_without_an_entry() {
    let (entries, answers, ended, _) = told(&[live(1, 443)], 1);
    assert_eq!((answers[0].request, answers[0].verdict), (RequestId(1), WireVerdict::PERMIT));
    assert_eq!((entries, ended), (vec![], 0));
}

#[test]
fn a_live_connection_that_rules_block_is_ended_and_the_entry_says_so() {
    let (entries, answers, ended, _) = told(&[live(1, 23)], 1);
    assert_eq!((answers[0].request, answers[0].verdict), (RequestId(1), WireVerdict::BLOCK));
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert!(matches!(&entry.reason, Reason::Rule { rule } if rule.to_string() == "user/telnet"), "{entry:?}");
    assert_eq!((entry.verdict, entry.live, entry.in_force, ended), (Verdict::Block, true, true, 1));
}

#[test]
fn a_live_connection_that_would_be_asked_about_lives_on() {
    let (entries, answers, ended, _) = told(&[live(1, 8_080)], 1);
    assert_eq!(answers[0].verdict, WireVerdict::PERMIT);
    assert_eq!((entries, ended), (vec![], 0));
}

#[test]
fn a_live_connection_waits_for_facts_that_rules_turn_on() {
    let (entries, answers, ended, _) = told(&[live(1, 22)], 1);
    assert_eq!(answers[0].verdict, WireVerdict::BLOCK);
    assert_eq!((entries.len(), ended), (1, 1));
}

#[test]
fn the_inbound_half_of_loopback_is_counted_and_has_no_entry() {
    let (entries, _, _, reported) = told(&[loopback(WireVerdict::PERMIT), loopback(WireVerdict::BLOCK)], 0);
    assert_eq!(reported, 2);
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(entry.verdict, Verdict::Block, "what was blocked is told");
}
