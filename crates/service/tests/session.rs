//! Sessions with an enforcement point that follows a script.

mod fake;

use fake::{Fake, Step, Submit};
use platform::enforcer::EnforcerError;
use service::connection::Connection;
use service::decide::{Decision, Mode, Policy};
use service::exempt::Exemptions;
use service::session::{Fate, Observer, Report, Session, SessionError, Summary};
use std::thread;
use wire::batch::{BatchError, BatchWriter, MIN_BATCH_BYTES};
use wire::request::{Address, Because, Direction, FAMILY_V4, Request, RequestFlags};
use wire::settings::{Fallback, Settings};
use wire::verdict::{MAX_ANSWERS, Outcome, RequestId, Scope, Verdict};
use zerocopy::FromZeros;

/// Writes down what it hears.
#[derive(Default)]
struct Notes {
    decided: Vec<(u64, Verdict, String, Fate)>,
    reported: Vec<(String, Verdict, Because)>,
    lost: u32,
}

impl Observer for Notes {
    fn decided(&mut self, connection: &Connection, decision: &Decision, fate: Fate) {
        self.decided.push((connection.id.0, decision.verdict, decision.because.to_string(), fate));
    }
    fn reported(&mut self, report: &Report) {
        self.reported.push((report.connection.remote.to_string(), report.verdict, report.because));
    }
    fn lost_reports(&mut self, count: u32) {
        self.lost += count;
    }
}

fn held(id: u64) -> Request {
    let mut request = Request::new_zeroed();
    request.flags = RequestFlags::HELD.bits();
    request.id = RequestId(id);
    request.direction = Direction::OUTBOUND;
    request.protocol = 6;
    request.family = FAMILY_V4;
    request.remote = Address::v4([203, 0, 113, 7]);
    request.remote_port = 443;
    request.deadline_ms = 20_000;
    request
}

fn report() -> Request {
    Request {
        flags: 0,
        id: RequestId(0),
        protocol: 17,
        verdict: Verdict::PERMIT,
        because: Because::FALLBACK,
        deadline_ms: 0,
        ..held(0)
    }
}

/// A batch in which every request is of the program `path`.
fn batch_of(path: &str, requests: &[Request], dropped_reports: u32) -> Vec<u8> {
    let path: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bytes = vec![0; MIN_BATCH_BYTES * (requests.len() + 1)];
    let mut writer = BatchWriter::new(&mut bytes).unwrap();
    for request in requests {
        assert!(writer.push(*request, &path, &[]));
    }
    let len = writer.finish(dropped_reports);
    bytes.truncate(len);
    bytes
}

fn batch(requests: &[Request]) -> Step {
    Step::Batch(batch_of(r"\device\harddiskvolume1\node.exe", requests, 0))
}

fn policy(mode: Mode) -> Policy {
    let mut exemptions = Exemptions::default();
    exemptions.add("curl.exe").unwrap();
    Policy { mode, remember: Scope::OPERATION, exemptions }
}

/// Runs a session to the end of the script.
fn run(fake: &Fake, policy: Policy, settings: Settings) -> (Notes, Summary, Result<(), SessionError>) {
    let session = Session::attach(fake.enforcer(), settings, policy).unwrap();
    fake.stop_at_end(session.stopper());
    let mut notes = Notes::default();
    let (summary, ended) = session.run(&mut notes);
    (notes, summary, ended)
}

fn busy() -> EnforcerError {
    EnforcerError::Os { call: "SUBMIT_VERDICTS", source: std::io::ErrorKind::OutOfMemory.into() }
}

#[test]
fn every_held_connection_is_answered_and_told() {
    let fake = Fake::new([
        batch(&[held(1), held(2)]),
        Step::Batch(batch_of(r"\device\harddiskvolume1\curl.exe", &[held(3)], 0)),
    ]);
    let (notes, summary, ended) = run(&fake, policy(Mode::Block), Settings::INITIAL);

    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(
        notes.decided,
        [
            (1, Verdict::BLOCK, "mode block".to_owned(), Fate::Accepted),
            (2, Verdict::BLOCK, "mode block".to_owned(), Fate::Accepted),
            (3, Verdict::PERMIT, "exempt curl.exe".to_owned(), Fate::Accepted),
        ]
    );
    assert_eq!(summary, Summary { blocked: 2, exempt: 1, ..Summary::default() });
    let told = fake.told();
    let answered: Vec<Vec<(u64, Verdict)>> = told
        .submitted
        .iter()
        .map(|answers| answers.iter().map(|answer| (answer.request.0, answer.verdict)).collect())
        .collect();
    assert_eq!(answered, [vec![(1, Verdict::BLOCK), (2, Verdict::BLOCK)], vec![(3, Verdict::PERMIT)]]);
    assert!(told.detached);
}

#[test]
fn settings_are_in_force_from_the_attach_on() {
    let settings = Settings { fallback_outbound: Fallback::BLOCK, deadline_ms: 500, epoch: 9, ..Settings::INITIAL };
    let fake = Fake::new([]);
    run(&fake, policy(Mode::Permit), settings).2.unwrap();
    assert_eq!(fake.told().settings, Some(settings));
}

#[test]
fn a_decision_that_came_too_late_is_stale() {
    let fake =
        Fake::new([batch(&[held(1), held(2)])]).submits([Submit::Outcomes(vec![Outcome::STALE, Outcome::ACCEPTED])]);
    let (notes, summary, _) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
    let fates: Vec<Fate> = notes.decided.iter().map(|(.., fate)| *fate).collect();
    assert_eq!(fates, [Fate::Stale, Fate::Accepted]);
    assert_eq!(summary, Summary { permitted: 1, stale: 1, ..Summary::default() });
}

#[test]
fn reports_are_told_and_not_answered() {
    let fake = Fake::new([Step::Batch(batch_of("x", &[report()], 5))]);
    let (notes, summary, _) = run(&fake, policy(Mode::Block), Settings::INITIAL);
    assert_eq!(notes.reported, [("203.0.113.7:443".to_owned(), Verdict::PERMIT, Because::FALLBACK)]);
    assert_eq!(notes.lost, 5);
    assert_eq!(summary, Summary { reported: 1, lost_reports: 5, ..Summary::default() });
    assert_eq!(fake.told().submitted, Vec::<Vec<_>>::new());
}

#[test]
fn answers_that_could_not_be_submitted_are_submitted_again() {
    let fake = Fake::new([batch(&[held(1)])]).submits([Submit::Fail(busy()), Submit::Fail(busy())]);
    let (notes, summary, ended) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(notes.decided.len(), 1);
    assert_eq!(summary.permitted, 1);
    let told = fake.told();
    assert_eq!(told.submitted.len(), 3);
    assert!(told.submitted.iter().all(|answers| answers == &told.submitted[0]));
    // Twice it did not wait for requests as long as it does when nothing is left to submit.
    let idle = told.patience[0];
    assert_eq!(told.patience.iter().filter(|patience| **patience < idle).count(), 2);
}

#[test]
fn submitting_that_never_works_ends_the_session() {
    let fake = Fake::new([batch(&[held(1)])]).submits((0..1000).map(|_| Submit::Fail(busy())));
    let (notes, _, ended) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
    assert!(matches!(ended, Err(SessionError::Enforcer(EnforcerError::Os { .. }))), "{ended:?}");
    assert!(notes.decided.is_empty());
    assert!(fake.told().detached);
}

#[test]
fn many_answers_go_in_several_calls() {
    let count = u64::from(MAX_ANSWERS) + 1;
    let requests: Vec<Request> = (1..=count).map(held).collect();
    let fake = Fake::new([batch(&requests)]);
    let (_, summary, _) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
    assert_eq!(summary.permitted, count);
    let sizes: Vec<usize> = fake.told().submitted.iter().map(Vec::len).collect();
    assert_eq!(sizes, [MAX_ANSWERS as usize, 1]);
}

#[test]
fn a_driver_that_stops_ends_the_session_with_its_summary() {
    let fake = Fake::new([batch(&[held(1)]), Step::Fail(EnforcerError::Gone)]);
    let (_, summary, ended) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
    assert!(matches!(ended, Err(SessionError::Enforcer(EnforcerError::Gone))), "{ended:?}");
    assert_eq!(summary.permitted, 1);
}

#[test]
fn a_driver_that_stops_before_the_answer_ends_the_session() {
    let fake = Fake::new([batch(&[held(1)])]).submits([Submit::Fail(EnforcerError::Gone)]);
    let (notes, _, ended) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
    assert!(matches!(ended, Err(SessionError::Enforcer(EnforcerError::Gone))), "{ended:?}");
    assert!(notes.decided.is_empty());
}

#[test]
fn a_batch_that_cannot_be_read_blames_the_driver() {
    let mut bytes = batch_of("x", &[held(1)], 0);
    bytes.pop();
    for bad in [bytes, vec![1, 0, 0]] {
        let fake = Fake::new([Step::Batch(bad)]);
        let (_, _, ended) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
        let error = ended.unwrap_err();
        assert!(matches!(error, SessionError::BadBatch(BatchError::Truncated)), "{error:?}");
        assert!(error.to_string().starts_with("the driver"), "{error}");
    }
}

#[test]
fn an_answer_that_is_not_understood_is_our_fault() {
    for outcomes in [vec![Outcome::ACCEPTED, Outcome::MALFORMED, Outcome::ACCEPTED], vec![Outcome::ACCEPTED]] {
        let fake = Fake::new([batch(&[held(1), held(2), held(3)])]).submits([Submit::Outcomes(outcomes)]);
        let (notes, _, ended) = run(&fake, policy(Mode::Permit), Settings::INITIAL);
        assert!(matches!(ended, Err(SessionError::BadAnswer(RequestId(2)))), "{ended:?}");
        assert_eq!(notes.decided.len(), 3, "each is told about");
    }
}

#[test]
fn a_waiting_session_is_stopped_from_another_thread() {
    let fake = Fake::new([]);
    let session = Session::attach(fake.enforcer(), Settings::INITIAL, policy(Mode::Permit)).unwrap();
    let stopper = session.stopper();
    let running = thread::spawn(move || session.run(&mut Notes::default()).1);
    fake.until_waiting();
    assert!(!fake.told().detached);
    stopper.stop();
    assert!(running.join().unwrap().is_ok());
    assert!(fake.told().detached);
}

#[test]
fn remembered_verdicts_do_not_outlive_the_session() {
    let forgot = |remember, fallback_outbound| {
        let fake = Fake::new([]);
        let policy = Policy { remember, ..policy(Mode::Block) };
        run(&fake, policy, Settings { fallback_outbound, ..Settings::INITIAL }).2.unwrap();
        fake.told().forgot_all
    };
    assert_eq!(forgot(Scope::PROGRAM, Fallback::PERMIT), 1);
    assert_eq!(forgot(Scope::OPERATION, Fallback::PERMIT), 0);
    assert_eq!(forgot(Scope::PROGRAM, Fallback::LAST), 0);
}

#[test]
fn a_live_connection_is_decided_like_others_and_told_only_when_that_ends_it() {
    let live = |id| Request { flags: RequestFlags::LIVE.bits(), deadline_ms: 0, ..held(id) };
    let fake =
        Fake::new([batch(&[live(1)]), Step::Batch(batch_of(r"\device\harddiskvolume1\curl.exe", &[live(2)], 0))]);
    let (notes, summary, _) = run(&fake, policy(Mode::Block), Settings::INITIAL);
    let answers: Vec<Verdict> = fake.told().submitted.iter().flatten().map(|answer| answer.verdict).collect();
    assert_eq!(answers, [Verdict::BLOCK, Verdict::PERMIT]);
    assert_eq!(notes.decided, [(1, Verdict::BLOCK, "mode block".to_owned(), Fate::Accepted)]);
    assert_eq!(summary, Summary { ended: 1, ..Summary::default() });
}
