//! Everything at once: random operations, and what must hold after each.
//!
//! The model keeps what an outsider knows: which connections wait, which answers were given and what they say they cover. It
//! does not know how prompts are kept.

use crate::desk::*;
use control::entry::{DefaultWhy, Direction, Reason, Verdict};
use control::prompt::{Hold, HoldKind, Target};
use proptest::prelude::*;
use rules::model::{Layer, Lifetime};
use service::ask::answers::Answers;
use service::ask::changes::Change;
use service::ask::person::Person;
use service::ask::prompts::{MAX_LINGERING, MAX_OWN_PROMPTS, MAX_PROMPTS_PER_PROGRAM};
use service::ask::waiting::{Considered, Decided, Ruling, Waiting};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wire::verdict::RequestId;

#[derive(Clone, Debug)]
enum Step {
    Connect(Connect),
    Answer { which: prop::sample::Index, verdict: Verdict, hold: Hold, target: Target, by: usize },
    Pass(u64),
    SetClock(i64),
    Close(prop::sample::Index),
    Follow(usize),
    Unfollow(usize),
    Reconsider(u8),
    EndProcess(u64),
    Restart,
}

fn people() -> [Person; 3] {
    [anna(), ben(), root()]
}

fn connects() -> impl Strategy<Value = Connect> {
    let names = prop::sample::select(vec![
        Some("www.example.com"),
        Some("cdn.example.com"),
        Some("www.example.org"),
        Some("a.b.example.co.uk"),
        None,
    ]);
    let program = prop::sample::select(vec![Some("/usr/bin/a"), Some("/usr/bin/b"), None]);
    let user = prop::sample::select(vec![Some("1000"), Some("1000"), Some("1001"), None]);
    let asked_by = prop::sample::select(vec![None, None, Some(Layer::User), Some(Layer::Mandatory)]);
    (names, program, user, asked_by, 0_u64..4, 0_u8..12, prop::sample::select(vec![80, 443])).prop_map(
        |(name, program, user, asked_by, process, host, port)| {
            let mut connect = browser(name.unwrap_or("-")).in_process(process).to(format!("10.0.0.{host}:{port}"));
            connect.user = user;
            connect.program.path = program.map(Into::into);
            connect.name = connect.name.filter(|_| name.is_some());
            match asked_by {
                Some(layer) => connect.asked(layer, "careful"),
                None => connect,
            }
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let verdict = prop::sample::select(vec![Verdict::Permit, Verdict::Block]);
    let hold = prop::sample::select(vec![Hold::Once, Hold::Process, HOUR, Hold::Forever]);
    let target = prop::sample::select(vec![Target::Remote, Target::Domain, Target::Port, Target::Everything]);
    prop_oneof![
        30 => connects().prop_map(Step::Connect),
        8 => (index(), verdict, hold, target, 0_usize..3)
            .prop_map(|(which, verdict, hold, target, by)| Step::Answer { which, verdict, hold, target, by }),
        4 => (0_u64..40).prop_map(Step::Pass),
        1 => (600_u64..4000).prop_map(Step::Pass),
        1 => (-5000_i64..5000).prop_map(Step::SetClock),
        4 => index().prop_map(Step::Close),
        2 => (0_usize..3).prop_map(Step::Follow),
        1 => (0_usize..3).prop_map(Step::Unfollow),
        1 => any::<u8>().prop_map(Step::Reconsider),
        1 => (0_u64..4).prop_map(Step::EndProcess),
        1 => Just(Step::Restart),
    ]
}

/// An answer that was accepted, in the words it was given in.
#[derive(Clone, Debug)]
struct Given {
    verdict: Verdict,
    hold: Hold,
    target: Target,
    /// The connection of the prompt that was answered.
    shown: Connect,
    domain: Option<String>,
    at: Duration,
    processes: BTreeSet<u64>,
}

impl Given {
    /// Whether the answer, as it was put to the person, speaks of this connection.
    fn speaks_of(&self, from: &Connect) -> bool {
        let program = match (&self.shown.program.path, self.shown.user) {
            (Some(path), Some(_)) => from.program.path.as_ref() == Some(path),
            _ => from.process == self.shown.process && (from.program.path.is_none() || from.user.is_none()),
        };
        let to = match self.target {
            Target::Remote => from.remote == self.shown.remote,
            Target::Domain => {
                let domain = self.domain.as_deref().unwrap_or("none");
                from.name.is_some_and(|(name, _)| name == domain || name.ends_with(&format!(".{domain}")))
            }
            Target::Port => from.direction == Direction::In && from.local == self.shown.local,
            Target::Everything => true,
        };
        from.user == self.shown.user && program && to
    }
}

struct Model {
    desk: Desk,
    /// What waits, and until when.
    waiting: BTreeMap<u64, (Connect, Duration)>,
    given: BTreeMap<u64, Given>,
    following: BTreeSet<usize>,
    /// Prompts as a client knows them, by what it was told.
    known: BTreeSet<u64>,
    /// A clock that was set may end answers sooner.
    clock_was_set: bool,
}

impl Model {
    fn leaves(&mut self, decided: &Decided<u64>) -> Connect {
        let token = decided.waiting.token;
        let (connect, _) = self.waiting.remove(&token).unwrap_or_else(|| panic!("{token} left twice"));
        if let Reason::Answer { prompt, .. } = &decided.reason {
            self.is_by_an_answer(*prompt, decided.verdict, &connect, None);
        }
        connect
    }

    /// An answer decided this. `later`: at that time, after it was given.
    fn is_by_an_answer(&self, prompt: u64, verdict: Verdict, from: &Connect, later: Option<Duration>) {
        let given = &self.given[&prompt];
        assert_eq!(given.verdict, verdict);
        assert!(given.speaks_of(from), "{given:?} decided {from:?}");
        if given.hold == Hold::Forever {
            assert_eq!(from.asked_by, given.shown.asked_by, "a rule does not reach where another asks");
        }
        let Some(now) = later else { return };
        match given.hold {
            Hold::Once => panic!("{given:?} decided {from:?} later"),
            Hold::Process => assert!(given.processes.contains(&from.process), "{given:?} decided {from:?}"),
            Hold::Duration { seconds } => assert!(now < given.at + Duration::from_secs(seconds.into())),
            Hold::Forever => {}
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.desk.now;
        match step {
            Step::Connect(from) => match self.desk.connect(&from) {
                Considered::Decided(decided) => match decided.reason {
                    Reason::Answer { prompt, .. } => {
                        self.is_by_an_answer(prompt, decided.verdict, &from, Some(now.monotonic));
                    }
                    Reason::Default { why: DefaultWhy::NoClient } => {
                        let may = |person: &Person| person.administrator || Some(&*person.id) == from.user;
                        assert!(!self.following.iter().any(|person| may(&people()[*person])));
                    }
                    Reason::Default { why } => assert_eq!(why, DefaultWhy::TooMany),
                    other => panic!("{other:?}"),
                },
                Considered::Held(_) => {
                    self.is_not_answered(&from);
                    self.waiting.insert(self.desk.last().0, (from, now.monotonic + PATIENCE));
                }
                Considered::Needs(..) => panic!("nothing is being looked up"),
            },
            Step::Answer { which, verdict, hold, target, by } => self.answer(which, verdict, hold, target, by),
            Step::Pass(seconds) => {
                let decided = self.desk.pass(Duration::from_secs(seconds));
                for decided in &decided {
                    let deadline = self.waiting[&decided.waiting.token].1;
                    assert!(deadline <= self.desk.now.monotonic);
                    self.leaves(decided);
                }
                assert!(self.waiting.values().all(|(_, deadline)| *deadline > self.desk.now.monotonic));
            }
            Step::SetClock(seconds) => {
                self.desk.now.wall += jiff::SignedDuration::from_secs(seconds);
                self.clock_was_set = true;
            }
            Step::Close(which) => {
                let tokens: Vec<u64> = self.waiting.keys().copied().collect();
                if !tokens.is_empty() {
                    let token = *which.get(&tokens);
                    assert!(self.desk.asks.closed(RequestId(token), now).is_some());
                    self.waiting.remove(&token);
                }
            }
            Step::Follow(person) => {
                self.following.insert(person);
                self.desk.asks.follow(person as u64, people()[person].clone());
            }
            Step::Unfollow(person) => {
                self.following.remove(&person);
                for decided in self.desk.asks.unfollow(person as u64, now) {
                    self.leaves(&decided);
                }
            }
            Step::Reconsider(bits) => self.reconsider(bits),
            Step::EndProcess(process) => {
                self.desk.asks.process_ended(process);
                for given in self.given.values_mut() {
                    given.processes.remove(&process);
                }
            }
            Step::Restart => self.restart(),
        }
    }

    /// Nothing is asked that an answer in force speaks of.
    fn is_not_answered(&self, from: &Connect) {
        let steady = self.desk.now.monotonic;
        for (prompt, given) in &self.given {
            let in_force = match given.hold {
                Hold::Once => false,
                Hold::Process => from.process != 0 && given.processes.contains(&from.process),
                Hold::Duration { seconds } => {
                    !self.clock_was_set && steady < given.at + Duration::from_secs(seconds.into())
                }
                Hold::Forever => from.asked_by == given.shown.asked_by,
            };
            assert!(!(in_force && given.speaks_of(from)), "prompt {prompt}, {given:?}, is asked again at {steady:?}");
        }
    }

    fn answer(&mut self, which: prop::sample::Index, verdict: Verdict, hold: Hold, target: Target, by: usize) {
        let (now, person) = (self.desk.now, &people()[by]);
        let everything = self.desk.prompts(&root());
        if everything.is_empty() {
            return;
        }
        let prompt = which.get(&everything);
        let answer = permit(hold, target);
        let answer = control::prompt::Answer { verdict, ..answer };
        let mine = self.desk.prompts(person).into_iter().find(|own| own.id == prompt.id);
        let result = self.desk.asks.answer(prompt.id, &answer, person, now);
        let kind = match hold {
            Hold::Once => HoldKind::Once,
            Hold::Process => HoldKind::Process,
            Hold::Duration { .. } => HoldKind::Duration,
            Hold::Forever => HoldKind::Forever,
        };
        let allowed = mine.is_some_and(|mine| mine.holds.contains(&kind))
            && (target != Target::Domain || prompt.domain.is_some())
            && (target != Target::Port || prompt.direction == Direction::In);
        assert_eq!(result.is_ok(), allowed, "{result:?}");
        let Ok(answered) = result else { return };
        let shown = Connect {
            user: prompt.identity.user.as_ref().map(|user| if &*user.id == "1000" { "1000" } else { "1001" }),
            program: prompt.identity.program.clone(),
            process: prompt.pid - 4000,
            remote: prompt.remote.to_string(),
            name: None,
            asked_by: prompt.asked_by.clone(),
            ..browser("-")
        };
        let processes = answered.decided.iter().map(|decided| decided.waiting.start_key).chain([shown.process]);
        let given = Given {
            verdict,
            hold,
            target,
            domain: prompt.domain.as_deref().map(str::to_owned),
            at: now.monotonic,
            processes: processes.filter(|process| *process != 0).collect(),
            shown,
        };
        self.given.insert(prompt.id, given);
        for decided in &answered.decided {
            self.leaves(decided);
        }
        // What the answer speaks of waits no longer, except for a rule, which is only where its rule asks.
        let given = &self.given[&prompt.id];
        let covers =
            |from: &Connect| given.speaks_of(from) && (hold != Hold::Forever || from.asked_by == given.shown.asked_by);
        assert!(!self.waiting.values().any(|(from, _)| covers(from)), "{given:?} left something");
    }

    fn reconsider(&mut self, bits: u8) {
        let now = self.desk.now;
        let ruling = |waiting: &Waiting<u64>| match (waiting.token as u8 ^ bits) & 7 {
            0 => Ruling::Decided(Verdict::Permit, Reason::Default { why: DefaultWhy::Unknown }),
            1 => Ruling::TakeBack,
            _ => Ruling::Ask { asked_by: waiting.asked_by.clone(), lifetime: Lifetime::Once },
        };
        let reconsidered = self.desk.asks.reconsider(ruling, now);
        for decided in &reconsidered.decided {
            self.leaves(decided);
        }
        for waiting in &reconsidered.taken_back {
            assert!(self.waiting.remove(&waiting.token).is_some());
        }
        assert!(self.waiting.keys().all(|token| (*token as u8 ^ bits) & 7 > 1));
    }

    /// The service is killed and starts anew, with what it said would last.
    fn restart(&mut self) {
        let bytes = self.desk.asks.snapshot().to_bytes();
        let answers = Answers::load(&bytes, "boot-1".into(), self.desk.now).unwrap();
        let mut desk = Desk::with(answers);
        desk.now = self.desk.now;
        // Those that waited are gone with their gate; numbers of connections go on.
        while desk.last().0 < self.desk.last().0 {
            desk.skip();
        }
        for person in &self.following {
            desk.asks.follow(*person as u64, people()[*person].clone());
        }
        // Numbers of prompts go on behind those that answers in force still name.
        self.given.retain(|_, given| matches!(given.hold, Hold::Process | Hold::Duration { .. }));
        let kept: BTreeSet<u64> = answers_of(&bytes);
        self.given.retain(|prompt, _| kept.contains(prompt));
        if self.clock_was_set {
            // A clock that is set back while the service is down may give an answer its whole time once more.
            self.given.values_mut().for_each(|given| given.at = self.desk.now.monotonic);
        }
        self.waiting.clear();
        self.known.clear();
        self.desk = desk;
    }

    /// What must hold between any two steps.
    fn check(&mut self) {
        let counts = self.desk.asks.counts();
        assert_eq!(counts.waiting as usize, self.waiting.len());
        let prompts = self.desk.prompts(&root());
        assert_eq!(prompts.iter().map(|prompt| prompt.waiting as usize).sum::<usize>(), self.waiting.len());
        assert!(prompts.iter().filter(|prompt| prompt.waiting == 0).count() <= MAX_LINGERING);
        let mut of_program: BTreeMap<_, Vec<bool>> = BTreeMap::new();
        for prompt in prompts.iter().filter(|prompt| prompt.waiting > 0) {
            let user = prompt.identity.user.as_ref().map(|user| user.id.clone());
            let path = prompt.identity.program.path.clone().filter(|_| user.is_some());
            let process = path.is_none().then_some(prompt.pid);
            of_program.entry((user, path, process)).or_default().push(prompt.many);
        }
        for many in of_program.values() {
            assert!(many.len() <= MAX_PROMPTS_PER_PROGRAM);
            assert!(many.iter().filter(|many| !**many).count() <= MAX_OWN_PROMPTS);
        }
        for change in self.desk.asks.drain_changes(self.desk.now) {
            let _ = match change {
                Change::Shown(shown) => self.known.insert(shown.to(&root()).unwrap().id),
                Change::Closed(gone) => self.known.remove(&gone.id),
            };
        }
        assert_eq!(self.known, prompts.iter().map(|prompt| prompt.id).collect(), "clients know what is open");
        let next = self.desk.asks.next_deadline();
        assert!(self.waiting.values().all(|(_, deadline)| next.is_some_and(|next| next <= *deadline)));
    }
}

fn answers_of(bytes: &[u8]) -> BTreeSet<u64> {
    let file: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    file["answers"].as_array().unwrap().iter().map(|answer| answer["prompt"].as_u64().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn every_connection_leaves_once_and_no_answer_decides_what_it_does_not_speak_of(
        steps in prop::collection::vec(steps(), 1..150),
    ) {
        let (waiting, given) = (BTreeMap::new(), BTreeMap::new());
        let (following, known) = (BTreeSet::new(), BTreeSet::new());
        let mut model = Model { desk: Desk::new(), waiting, given, following, known, clock_was_set: false };
        model.step(Step::Follow(2));
        for step in steps {
            model.step(step);
            model.check();
        }
        for decided in model.desk.asks.stop(model.desk.now) {
            model.leaves(&decided);
        }
        prop_assert!(model.waiting.is_empty());
    }
}
