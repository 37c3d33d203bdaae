//! The decision logic of the service, on its own thread, against the real driver.

use e2e::{Connect, Machine, Options, Outcome, Program, WSAEACCES, every_system};
use platform::enforcer::EnforcerError;
use platform::paths::Volumes;
use service::connection::Connection;
use service::decide::{Decision, Mode, Policy};
use service::exempt::Exemptions;
use service::session::{Fate, Observer, Report, Session, SessionError, Summary};
use std::thread;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Scope, Verdict};

const WEB: &str = "192.0.2.1:443";
const BLOCKED: Outcome = Outcome::Refused(WSAEACCES);

/// What a session said: program, remote, verdict and reason of each decision, and what was reported.
#[derive(Default)]
struct Notes {
    decided: Vec<(String, String, Verdict, String)>,
    reported: Vec<(String, Verdict)>,
}

impl Observer for Notes {
    fn decided(&mut self, connection: &Connection, decision: &Decision, fate: Fate) {
        assert_eq!(fate, Fate::Accepted);
        let program = connection.program.rsplit('\\').next().unwrap_or_default().to_owned();
        self.decided.push((program, connection.remote.to_string(), decision.verdict, decision.because.to_string()));
    }

    fn reported(&mut self, report: &Report) {
        self.reported.push((report.connection.remote.to_string(), report.verdict));
    }

    fn lost_reports(&mut self, count: u32) {
        panic!("{count} reports were lost");
    }
}

fn policy(mode: Mode, remember: Scope) -> Policy {
    let volumes = Volumes::new([('C', r"\Device\HarddiskVolume3")]);
    let mut exemptions = Exemptions::new(volumes, Some(r"C:\Program Files"));
    exemptions.add("curl.exe").unwrap();
    Policy { mode, remember, exemptions }
}

/// Runs a session beside `story`, and gives what it did.
fn beside(
    machine: &Machine,
    settings: Settings,
    policy: Policy,
    story: impl FnOnce(),
) -> (Notes, Summary, Result<(), SessionError>) {
    let session = Session::attach(Box::new(machine.device()), settings, policy).expect("attached");
    let stopper = session.stopper();
    thread::scope(|scope| {
        let running = scope.spawn(move || {
            let mut notes = Notes::default();
            let (summary, ended) = session.run(&mut notes);
            (notes, summary, ended)
        });
        story();
        stopper.stop();
        running.join().expect("the session ends")
    })
}

/// Connects and waits for what the session says.
fn outcome(machine: &Machine, program: &Program, remote: &str) -> (Connect, Outcome) {
    let connect = machine.connect(program, remote);
    while connect.outcome() == Outcome::Pending {
        machine.settle();
        thread::yield_now();
    }
    let outcome = connect.outcome();
    (connect, outcome)
}

#[test]
fn a_session_permits_everything() {
    every_system(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("node.exe");
        let (notes, summary, ended) =
            beside(&machine, Settings::INITIAL, policy(Mode::Permit, Scope::OPERATION), || {
                for remote in [WEB, "[2001:db8::1]:443", WEB] {
                    assert_eq!(outcome(&machine, &program, remote).1, Outcome::Connected);
                }
            });
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!((summary.permitted, summary.stale), (3, 0));
        let first = ("node.exe".to_owned(), WEB.to_owned(), Verdict::PERMIT, "mode permit".to_owned());
        assert_eq!(notes.decided[0], first);
    });
}

#[test]
fn a_session_blocks_everything_but_what_is_exempt() {
    every_system(|options| {
        let machine = Machine::with_driver(options);
        let settings = Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL };
        let (node, curl) = (machine.program("node.exe"), machine.program("curl.exe"));
        let resolver = machine.program("svchost.exe");
        let (notes, summary, ended) = beside(&machine, settings, policy(Mode::Block, Scope::OPERATION), || {
            assert_eq!(outcome(&machine, &node, WEB).1, BLOCKED);
            assert_eq!(outcome(&machine, &curl, WEB).1, Outcome::Connected);
            assert_eq!(outcome(&machine, &resolver, "9.9.9.9:53").1, Outcome::Connected);
            assert_eq!(outcome(&machine, &resolver, WEB).1, BLOCKED);
        });
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!((summary.permitted, summary.blocked, summary.exempt), (0, 2, 2));
        let reasons: Vec<&str> = notes.decided.iter().map(|decided| decided.3.as_str()).collect();
        assert_eq!(reasons, ["mode block", "exempt curl.exe", "exempt name resolution", "mode block"]);
    });
}

#[test]
fn what_a_session_let_be_remembered_ends_with_it() {
    every_system(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("node.exe");
        let (_, summary, ended) = beside(&machine, Settings::INITIAL, policy(Mode::Block, Scope::PROGRAM), || {
            for _ in 0..3 {
                assert_eq!(outcome(&machine, &program, WEB).1, BLOCKED);
            }
        });
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(summary.blocked, 1, "the driver remembered it");
        machine.settle();
        let stats = machine.client().stats();
        assert_eq!((stats.attached, stats.cached, stats.cache_blocked), (0, 0, 2));
        assert_eq!(outcome(&machine, &program, WEB).1, Outcome::Connected, "the fallback permits");
    });
}

#[test]
fn a_session_hears_of_what_was_not_held() {
    every_system(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("node.exe");
        let settings = Settings { hold: Holds::CONNECT_TCP.bits(), ..Settings::INITIAL };
        let (notes, summary, ended) = beside(&machine, settings, policy(Mode::Block, Scope::OPERATION), || {
            let udp = program.udp(machine.engine(), false);
            assert_eq!(udp.send("9.9.9.9:53".parse().unwrap()), e2e::Sent::Sent);
            // Requests go before reports: when the connection is decided, the report has been taken too, or is next.
            assert_eq!(outcome(&machine, &program, WEB).1, BLOCKED);
            while machine.client().stats().queued > 0 {
                machine.settle();
                thread::yield_now();
            }
        });
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(summary.reported, 1);
        assert_eq!(notes.reported, [("9.9.9.9:53".to_owned(), Verdict::PERMIT)]);
    });
}

#[test]
fn a_second_session_is_refused() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    let second = Session::attach(Box::new(machine.device()), Settings::INITIAL, policy(Mode::Block, Scope::OPERATION));
    assert!(matches!(second.err(), Some(EnforcerError::Busy { process_id }) if process_id == service.pid()));
}

/// D19, D20: the unload waits for the session's handle; until then the session goes on.
#[test]
fn a_session_outlives_a_deferred_unload_and_takes_the_driver_with_it() {
    every_system(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("node.exe");
        let (_, summary, ended) = beside(&machine, Settings::INITIAL, policy(Mode::Block, Scope::OPERATION), || {
            assert_eq!(outcome(&machine, &program, WEB).1, BLOCKED);
            assert!(!machine.unload());
            assert_eq!(outcome(&machine, &program, WEB).1, BLOCKED);
        });
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(summary.blocked, 2);
        machine.settle();
        assert_eq!(machine.engine().snapshot().callouts.len(), 0);
        assert_eq!(outcome(&machine, &program, WEB).1, Outcome::Connected);
    });
}
