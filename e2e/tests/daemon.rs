//! The whole service, on its own threads, against the real driver.

use control::entry::{DefaultWhy, EnforcerWhy, Entry, Reason, Verdict};
use control::prompt::{Answer, Hold, Prompt, Target};
use control::protocol::Role;
use control::status;
use e2e::{Desk, Outcome, Program, Setup, WSAEACCES};
use jiff::Timestamp;
use rules::facts::User;
use service::ask::person::Person;
use service::clock::{Clock, Now};
use service::config::Config;
use service::gate::PATIENCE;
use service::identity::{Description, Key, Processes};
use service::journal::Event;
use service::server::{Client, Desk as _};
use service::sink::{Made, Sink};
use std::fs::{self, File};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use wire::verdict::Scope;

const WEB: &str = "192.0.2.1:443";
const BLOCKED: Outcome = Outcome::Refused(WSAEACCES);

/// Writes down every decision.
#[derive(Default)]
struct Notes(Mutex<Vec<Arc<Entry>>>);

impl Sink for Notes {
    fn take(&self, made: &[Made]) {
        self.0.lock().unwrap().extend(made.iter().map(|made| made.entry.clone()));
    }
}

impl Notes {
    fn entries(&self) -> Vec<Arc<Entry>> {
        self.0.lock().unwrap().clone()
    }
}

/// A clock that a test turns.
#[derive(Default)]
struct Turned {
    monotonic_ms: AtomicU64,
    wall_ms: AtomicU64,
}

impl Turned {
    fn advance(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.monotonic_ms.fetch_add(ms, Ordering::AcqRel);
        self.wall_ms.fetch_add(ms, Ordering::AcqRel);
    }
}

impl Clock for Turned {
    fn now(&self) -> Now {
        let wall = i64::try_from(self.wall_ms.load(Ordering::Acquire)).unwrap();
        Now {
            monotonic: Duration::from_millis(self.monotonic_ms.load(Ordering::Acquire)),
            wall: Timestamp::from_millisecond(1_700_000_000_000 + wall).unwrap(),
        }
    }
}

/// A desk, what it decided, and where it keeps its files.
struct Scene {
    desk: Desk,
    notes: Arc<Notes>,
    events: Arc<Mutex<Vec<Event>>>,
    directory: TempDir,
}

impl Scene {
    fn start(rules: &str, setup: Setup) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), rules, setup)
    }

    fn start_in(directory: TempDir, rules: &str, mut setup: Setup) -> Self {
        let (notes, events) = (Arc::new(Notes::default()), Arc::new(Mutex::new(Vec::new())));
        Desk::write_rules(directory.path(), "user", rules);
        setup.sinks.push(notes.clone());
        let heard = events.clone();
        setup.journal = Arc::new(move |_, event| heard.lock().unwrap().push(event.clone()));
        let desk = Desk::start(directory.path(), setup).unwrap();
        let scene = Self { desk, notes, events, directory };
        scene.until_attached();
        scene
    }

    fn until_attached(&self) {
        self.desk.until(|| matches!(self.status().gate, status::Gate::Attached { .. }));
    }

    fn status(&self) -> status::Status {
        self.desk.daemon().core().status()
    }

    fn outcome(&self, program: &Program, remote: &str) -> Outcome {
        self.desk.outcome(program, remote)
    }

    /// Waits for that many entries.
    fn entries(&self, count: usize) -> Vec<Arc<Entry>> {
        self.desk.until(|| self.notes.entries().len() >= count);
        self.notes.entries()
    }

    /// The reason of the entry with that number, from 1, once it is there.
    fn reason(&self, number: usize) -> Reason {
        self.entries(number)[number - 1].reason.clone()
    }

    /// Somebody is there to answer everybody's prompts.
    fn sit_down(&self) {
        let core = self.desk.daemon().core();
        let person = Person { id: "0".into(), name: "root".into(), administrator: true };
        core.gate.with_asks(core.gate.clock.now(), |asks| asks.follow(1, person));
    }

    fn prompts(&self) -> Vec<Prompt> {
        let mut prompts = Vec::new();
        self.desk.daemon().core().prompts(&mut |all| prompts = all.to_vec());
        prompts
    }

    /// Has `program` connect, and waits until that is asked about.
    fn ask(&self, program: &Program, remote: &str) -> e2e::Connect {
        let before = self.status().counters.waiting;
        let held = self.desk.machine().connect(program, remote);
        self.desk.until(|| self.status().counters.waiting > before);
        assert_eq!(held.outcome(), Outcome::Pending);
        held
    }

    fn answer(&self, verdict: Verdict, hold: Hold, target: Target) {
        let user = User { id: "0".into(), name: Some("root".into()) };
        let client = Client { number: 1, pid: 1, user, role: Role::Administrator };
        let prompt = self.prompts()[0].id;
        let answer = Answer { verdict, hold, target, note: None };
        self.desk.daemon().core().answer(&client, prompt, answer).unwrap();
    }

    fn reload(&self, rules: &str) {
        Desk::write_rules(self.directory.path(), "user", rules);
        self.desk.daemon().core().reload().unwrap();
    }

    fn rule_ids(&self) -> Vec<String> {
        let rules = self.desk.daemon().core().rules();
        rules.ruleset.rules().iter().map(|rule| rule.name.to_string()).collect()
    }
}

fn setup(config: Config) -> Setup {
    Setup { config, ..Setup::default() }
}

fn block_by_default() -> Config {
    let mut config = Config::default();
    config.ask.default = Verdict::Block;
    config
}

const HOUR: Hold = Hold::Duration { seconds: 3_600 };

const BLOCK_ALL: &str = "[rule.all]\naction = \"block\"\n";

const NODE_ONLY: &str = r#"
[rule.node]
action = "permit"
program = "node.exe"
remote = "192.0.2.0/24:443"

[rule.rest]
action = "block"
"#;

#[test]
fn rules_decide() {
    let scene = Scene::start(NODE_ONLY, Setup::default());
    let (node, curl) = (scene.desk.program("node.exe"), scene.desk.program("curl.exe"));
    let resolver = scene.desk.program("svchost.exe");
    assert_eq!(scene.outcome(&node, WEB), Outcome::Connected);
    assert_eq!(scene.outcome(&node, "192.0.2.1:80"), BLOCKED);
    assert_eq!(scene.outcome(&curl, WEB), BLOCKED);
    assert_eq!(scene.outcome(&resolver, "9.9.9.9:53"), Outcome::Connected, "the floor");

    let entries = scene.entries(4);
    let rule = |entry: &Arc<Entry>| match &entry.reason {
        Reason::Rule { rule } => rule.to_string(),
        other => format!("{other:?}"),
    };
    let rules: Vec<String> = entries.iter().map(rule).collect();
    assert_eq!(rules, ["user/node", "user/rest", "user/rest", "floor/name-resolution"]);
    let first = &entries[0];
    assert_eq!(first.identity.program.path.as_deref(), Some(r"C:\program files\node.exe"));
    assert_eq!((first.verdict, first.in_force, first.pid), (Verdict::Permit, true, node.pid()));
    assert_eq!(first.revision, scene.status().rules.revision);
    assert!(entries.is_sorted_by(|one, next| one.id < next.id));
    let counters = scene.status().counters;
    assert_eq!((counters.permitted, counters.blocked, counters.stale, counters.defaulted), (2, 2, 0, 0));
}

#[test]
fn a_rule_with_an_interface_decides_what_uses_it() {
    let rules = "[rule.cable]\naction = \"block\"\ninterface = \"Ethernet\"\n";
    let scene = Scene::start(rules, Setup::default());
    let node = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&node, WEB), BLOCKED);
    assert_eq!(scene.entries(1)[0].interface.as_deref(), Some("Ethernet"));
    scene.reload("[rule.radio]\naction = \"block\"\ninterface = \"Wi-Fi\"\n");
    assert_eq!(scene.outcome(&node, WEB), Outcome::Connected);
}

#[test]
fn facts_are_learnt_in_the_background_and_told_once_known() {
    let scene = Scene::start("", Setup::default());
    let node = scene.desk.program("node.exe");
    scene.desk.until(|| {
        assert_eq!(scene.outcome(&node, WEB), Outcome::Connected);
        scene.notes.entries().last().is_some_and(|entry| entry.identity.parent.is_some())
    });
    let identity = scene.notes.entries().last().unwrap().identity.clone();
    assert_eq!(identity.parent.as_ref().unwrap().path.as_deref(), Some(r"C:\Windows\explorer.exe"));
    assert_eq!(identity.user.as_ref().unwrap().name.as_deref(), Some(r"DESK\me"));
}

#[test]
fn a_rule_that_turns_on_facts_waits_for_them() {
    let scene = Scene::start("[rule.shell]\naction = \"block\"\nparent = \"explorer.exe\"\n", Setup::default());
    let node = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&node, WEB), BLOCKED, "decided after its parent was known");
}

#[test]
fn nobody_there_to_ask_means_the_default_at_once() {
    let scene = Scene::start("", setup(block_by_default()));
    let node = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&node, WEB), BLOCKED);
    assert_eq!(scene.reason(1), Reason::Default { why: DefaultWhy::NoClient });
}

#[test]
fn an_answer_decides_its_connection_and_those_it_covers() {
    let scene = Scene::start("", Setup::default());
    scene.sit_down();
    let node = scene.desk.program("node.exe");
    let held = scene.ask(&node, WEB);
    scene.answer(Verdict::Block, HOUR, Target::Remote);
    scene.desk.until(|| held.outcome() != Outcome::Pending);
    assert_eq!(held.outcome(), BLOCKED);
    assert_eq!(scene.outcome(&node, WEB), BLOCKED, "without asking again");
    for entry in scene.entries(2) {
        assert!(matches!(&entry.reason, Reason::Answer { user, .. } if &**user == "root"), "{entry:?}");
    }
    assert_eq!(scene.status().counters.prompts, 1);
}

/// Processes that have all ended.
struct Ended;

impl Processes for Ended {
    fn describe(&self, _process: Key) -> Option<Description> {
        None
    }
    fn is_running(&self, _process: Key) -> bool {
        false
    }
    fn open(&self, _path: &str) -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn publisher(&self, _path: &str) -> Option<Arc<str>> {
        None
    }
}

#[test]
fn an_answer_for_a_process_is_forgotten_when_that_has_ended() {
    let scene = Scene::start("", Setup::default());
    scene.sit_down();
    let (node, curl) = (scene.desk.program("node.exe"), scene.desk.program("curl.exe"));
    for (program, hold) in [(&node, Hold::Process), (&curl, HOUR)] {
        let held = scene.ask(program, WEB);
        scene.answer(Verdict::Block, hold, Target::Remote);
        scene.desk.until(|| held.outcome() == BLOCKED);
    }
    let kept = || fs::read_to_string(scene.directory.path().join("state/answers.json")).unwrap();
    assert!(kept().contains("node.exe"));
    scene.desk.daemon().core().forget_ended(&Ended);
    assert!(!kept().contains("node.exe") && kept().contains("curl.exe"), "{}", kept());
    assert_eq!(scene.outcome(&curl, WEB), BLOCKED);
}

#[test]
fn an_answer_outlives_the_service() {
    let scene = Scene::start("", Setup::default());
    scene.sit_down();
    let node = scene.desk.program("node.exe");
    let held = scene.ask(&node, WEB);
    scene.answer(Verdict::Block, HOUR, Target::Remote);
    scene.desk.until(|| held.outcome() == BLOCKED);
    let Scene { desk, directory, .. } = scene;
    drop((held, node, desk));

    let scene = Scene::start_in(directory, "", Setup::default());
    scene.sit_down();
    let node = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&node, WEB), BLOCKED);
    assert_eq!(scene.status().counters.prompts, 0);
}

#[test]
fn an_answer_for_ever_becomes_a_rule() {
    let scene = Scene::start("", Setup::default());
    scene.sit_down();
    let node = scene.desk.program("node.exe");
    let held = scene.ask(&node, WEB);
    scene.answer(Verdict::Permit, Hold::Forever, Target::Everything);
    scene.desk.until(|| held.outcome() == Outcome::Connected);
    assert!(scene.directory.path().join("rules/user/answers.toml").exists());
    assert_eq!(scene.outcome(&node, "192.0.2.9:25"), Outcome::Connected);
    assert!(matches!(scene.reason(2), Reason::Rule { .. }), "{:?}", scene.reason(2));
}

#[test]
fn a_question_that_nobody_answers_gets_the_default_before_the_driver_gives_up() {
    let clock = Arc::new(Turned::default());
    let config = block_by_default();
    let timeout = config.ask.timeout;
    let scene = Scene::start("", Setup { clock: clock.clone(), ..setup(config) });
    scene.sit_down();
    let node = scene.desk.program("node.exe");
    let held = scene.ask(&node, WEB);
    // The wall clock jumps, to and fro, and nothing comes of it.
    clock.wall_ms.fetch_add(86_400_000, Ordering::AcqRel);
    clock.advance(timeout - Duration::from_millis(1));
    scene.desk.daemon().core().gate.tick();
    assert_eq!(held.outcome(), Outcome::Pending);
    clock.wall_ms.store(0, Ordering::Release);
    clock.advance(Duration::from_millis(1));
    scene.desk.until(|| held.outcome() != Outcome::Pending);
    assert_eq!(held.outcome(), BLOCKED, "and the driver's fallback is to permit");
    assert_eq!(scene.reason(1), Reason::Default { why: DefaultWhy::TimedOut });
}

#[test]
fn rules_that_change_decide_what_waits_and_void_what_the_driver_remembers() {
    let config = Config { remember: Scope::PROGRAM, ..Config::default() };
    let permit = "[rule.node]\naction = \"permit\"\nprogram = 'C:\\Program Files\\node.exe'\n";
    let scene = Scene::start(permit, setup(config));
    scene.sit_down();
    let (node, curl) = (scene.desk.program("node.exe"), scene.desk.program("curl.exe"));
    for _ in 0..3 {
        assert_eq!(scene.outcome(&node, WEB), Outcome::Connected);
    }
    scene.entries(1);
    assert_eq!(scene.status().counters.permitted, 1, "the driver remembered it");
    let asked = scene.ask(&curl, WEB);
    scene.reload(BLOCK_ALL);
    scene.desk.until(|| asked.outcome() != Outcome::Pending);
    assert_eq!(asked.outcome(), BLOCKED);
    assert_eq!(scene.outcome(&node, WEB), BLOCKED);
    assert!(scene.prompts().is_empty());
}

#[test]
fn rules_are_read_again_when_they_change_and_stay_when_they_are_broken() {
    let scene = Scene::start(NODE_ONLY, Setup::default());
    let node = scene.desk.program("node.exe");
    Desk::write_rules(scene.directory.path(), "user", "[rule.x]\naction = \"allow\"\ncolour = 3\n");
    scene.desk.until(|| !scene.status().rules.refused.is_empty());
    let refused = scene.status().rules.refused;
    assert!(refused.len() >= 2, "all problems are told: {refused:?}");
    assert_eq!(scene.outcome(&node, WEB), Outcome::Connected, "those in force stay");
    Desk::write_rules(scene.directory.path(), "user", BLOCK_ALL);
    scene.desk.until(|| scene.rule_ids().contains(&"user/all".to_owned()));
    assert_eq!(scene.outcome(&node, WEB), BLOCKED);
    assert!(scene.status().rules.refused.is_empty());
}

#[test]
fn a_start_with_broken_rules_takes_the_last_good_ones() {
    let Scene { desk, directory, .. } = Scene::start(NODE_ONLY, Setup::default());
    drop(desk);
    let scene = Scene::start_in(directory, "[rule", Setup::default());
    assert!(scene.rule_ids().contains(&"user/node".to_owned()));
    assert!(!scene.status().rules.refused.is_empty());
    let told: String = scene.events.lock().unwrap().iter().map(ToString::to_string).collect();
    assert!(told.contains("the last ones without errors"), "{told}");
    let curl = scene.desk.program("curl.exe");
    assert_eq!(scene.outcome(&curl, WEB), BLOCKED);
}

#[test]
fn a_driver_that_goes_and_comes_back_is_attached_again() {
    let mut scene = Scene::start("", setup(block_by_default()));
    scene.sit_down();
    let node = scene.desk.program("node.exe");
    let held = scene.ask(&node, WEB);
    scene.desk.stop_driver();
    scene.desk.until(|| matches!(scene.status().gate, status::Gate::Detached { .. }));
    let status::Gate::Detached { why, retry, since } = scene.status().gate else { panic!("attached") };
    assert!(why.contains("driver"), "{why}");
    assert!(retry >= since);
    scene.desk.until(|| held.outcome() != Outcome::Pending);
    assert_eq!(held.outcome(), Outcome::Connected, "released by the fallback");
    let entry = scene.entries(1)[0].clone();
    assert_eq!((entry.in_force, scene.status().counters.waiting), (false, 0));
    assert_eq!(entry.reason, Reason::Enforcer { why: EnforcerWhy::Fallback });

    scene.desk.start_driver();
    scene.until_attached();
    scene.reload(BLOCK_ALL);
    assert_eq!(scene.outcome(&node, WEB), BLOCKED);
}

#[test]
fn what_waits_when_the_service_stops_gets_the_default() {
    let scene = Scene::start("", setup(block_by_default()));
    scene.sit_down();
    let node = scene.desk.program("node.exe");
    let held = scene.ask(&node, WEB);
    scene.desk.daemon().stop();
    scene.desk.daemon().stop();
    scene.desk.until(|| held.outcome() != Outcome::Pending);
    assert_eq!(held.outcome(), BLOCKED, "and the fallback is to permit");
    assert_eq!(scene.reason(1), Reason::Default { why: DefaultWhy::Stopping });
    scene.desk.daemon().wait();
    assert_eq!(scene.outcome(&node, WEB), Outcome::Connected, "the fallback");
}

/// A system that never describes processes, until it is let go.
#[derive(Default)]
struct Stuck {
    is_free: AtomicBool,
}

impl Processes for Stuck {
    fn describe(&self, _process: Key) -> Option<Description> {
        while !self.is_free.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
    fn open(&self, _path: &str) -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn publisher(&self, _path: &str) -> Option<Arc<str>> {
        None
    }
}

#[test]
fn a_system_that_does_not_answer_holds_only_what_turns_on_it_and_not_for_ever() {
    let (clock, stuck) = (Arc::new(Turned::default()), Arc::new(Stuck::default()));
    let rules = r#"
        [rule.node]
        action = "permit"
        program = "node.exe"
        priority = -1

        [rule.shell]
        action = "block"
        parent = "explorer.exe"
    "#;
    let scene =
        Scene::start(rules, Setup { clock: clock.clone(), processes: Some(stuck.clone()), ..setup(Config::default()) });
    let (node, curl) = (scene.desk.program("node.exe"), scene.desk.program("curl.exe"));
    let held = scene.desk.machine().connect(&curl, WEB);
    for _ in 0..10 {
        assert_eq!(scene.outcome(&node, WEB), Outcome::Connected, "it needs no facts");
    }
    assert_eq!(held.outcome(), Outcome::Pending);
    clock.advance(PATIENCE);
    scene.desk.until(|| held.outcome() != Outcome::Pending);
    assert_eq!(held.outcome(), Outcome::Connected, "a condition on what cannot be known does not match");
    assert_eq!(scene.outcome(&curl, WEB), Outcome::Connected, "and it is not waited for again");
    stuck.is_free.store(true, Ordering::Release);
}

#[test]
fn a_directory_of_state_that_goes_away_changes_no_verdict() {
    let scene = Scene::start(NODE_ONLY, Setup::default());
    let (node, curl) = (scene.desk.program("node.exe"), scene.desk.program("curl.exe"));
    fs::remove_dir_all(scene.directory.path().join("state")).unwrap();
    assert_eq!(scene.outcome(&node, WEB), Outcome::Connected);
    assert_eq!(scene.outcome(&curl, WEB), BLOCKED);
    scene.sit_down();
    scene.reload("");
    let held = scene.ask(&node, "192.0.2.7:22");
    scene.answer(Verdict::Permit, HOUR, Target::Remote);
    scene.desk.until(|| held.outcome() == Outcome::Connected);
    assert!(scene.directory.path().join("state/answers.json").exists(), "it is made again");
}

#[test]
fn a_storm_with_a_log_that_cannot_be_written_loses_no_verdict() {
    const STORM: usize = 3_000;
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.limits.held_per_process = config.limits.held;
    config.log.path = Some(directory.path().join("nowhere/at/all/log.db"));
    let scene = Scene::start(NODE_ONLY, setup(config));
    let programs: Vec<Program> = (0..20).map(|n| scene.desk.program(["node.exe", "curl.exe"][n % 2])).collect();
    let connects: Vec<_> =
        (0..STORM).map(|n| (n, programs[n % 20].connect(scene.desk.machine().engine(), WEB))).collect();
    for (n, connect) in &connects {
        scene.desk.until(|| connect.outcome() != Outcome::Pending);
        let expected = if n % 2 == 0 { Outcome::Connected } else { BLOCKED };
        assert_eq!(connect.outcome(), expected, "{n}");
    }
    assert_eq!(scene.entries(STORM).len(), STORM, "one entry for each");
    let counters = scene.status().counters;
    assert_eq!((counters.permitted, counters.blocked), (STORM as u64 / 2, STORM as u64 / 2));
}

#[test]
fn a_configuration_that_changes_is_in_force_and_a_broken_one_is_not() {
    let scene = Scene::start("", Setup::default());
    let file = scene.directory.path().join("tollgate.toml");
    fs::write(&file, "unmatched = \"block\"\n").unwrap();
    scene.desk.daemon().core().reload().unwrap();
    let node = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&node, WEB), BLOCKED);
    fs::write(&file, "unmatched = \"permit\"\ncolour = 3\n").unwrap();
    let problems = scene.desk.daemon().core().reload().unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(scene.outcome(&node, WEB), BLOCKED, "the old one stays");
    assert_eq!(scene.status().rules.refused, problems);
}
