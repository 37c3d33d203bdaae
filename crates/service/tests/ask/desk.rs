//! A desk to test at: questions on a clock that tests turn.

use control::entry::{Confidence, DefaultWhy, Direction, Name, Reason, Verdict};
use control::prompt::{Answer, Hold, Prompt, Target};
use control::status::Unmatched;
use jiff::Timestamp;
use rules::facts::{Identity, Program, User};
use rules::model::Lifetime;
use rules::ruleset::PathStyle;
use service::ask::answers::Answers;
use service::ask::learn::Learned;
use service::ask::person::Person;
use service::ask::refused::AnswerRefused;
use service::ask::reply::Answered;
use service::ask::waiting::{Considered, Decided, Waiting};
use service::ask::{Asks, Settings};
use service::clock::Now;
use std::sync::Arc;
use std::time::Duration;
use wire::verdict::RequestId;

/// How long a connection waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What tests begin with.
pub const SETTINGS: Settings = Settings { unmatched: Unmatched::Ask, default: Verdict::Block };

/// The questions, and the time.
pub struct Desk {
    pub asks: Asks<u64>,
    pub now: Now,
    last: u64,
}

impl Desk {
    /// Nobody is there yet.
    pub fn new() -> Self {
        Self::with(Answers::new("boot-1".into()))
    }

    /// With answers of an earlier run.
    pub fn with(answers: Answers) -> Self {
        let wall: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        let now = Now { monotonic: Duration::from_secs(1000), wall };
        Self { asks: Asks::new(SETTINGS, answers, Learned::new(PathStyle::Unix)), now, last: 0 }
    }

    /// Anna follows prompts.
    pub fn with_anna() -> Self {
        let mut desk = Self::new();
        desk.asks.follow(1, anna());
        desk
    }

    /// A connection comes.
    pub fn connect(&mut self, from: &Connect) -> Considered<u64> {
        self.last += 1;
        let waiting = from.waiting(self.last, self.now.monotonic + PATIENCE);
        self.asks.consider(waiting, self.now)
    }

    /// A connection comes, and waits in this prompt.
    pub fn held(&mut self, from: &Connect) -> u64 {
        match self.connect(from) {
            Considered::Held(prompt) => prompt,
            other => panic!("it should wait: {other:?}"),
        }
    }

    /// A connection comes, and has its verdict at once.
    pub fn decided(&mut self, from: &Connect) -> (Verdict, Reason) {
        match self.connect(from) {
            Considered::Decided(decided) => (decided.verdict, decided.reason),
            other => panic!("it should be decided: {other:?}"),
        }
    }

    /// The number of a connection is used up.
    pub fn skip(&mut self) {
        self.last += 1;
    }

    /// The connection that came last.
    pub fn last(&self) -> RequestId {
        RequestId(self.last)
    }

    /// Anna answers.
    pub fn answer(&mut self, prompt: u64, answer: Answer) -> Answered<u64> {
        self.asks.answer(prompt, &answer, &anna(), self.now).unwrap()
    }

    /// Anna's answer is refused.
    pub fn refused(&mut self, prompt: u64, answer: Answer) -> AnswerRefused {
        self.asks.answer(prompt, &answer, &anna(), self.now).unwrap_err()
    }

    /// Both clocks go on.
    pub fn pass(&mut self, time: Duration) -> Vec<Decided<u64>> {
        self.now = Now { monotonic: self.now.monotonic + time, wall: self.now.wall + time };
        self.asks.tick(self.now)
    }

    /// Somebody sets the wall clock.
    pub fn set_clock(&mut self, wall: &str) {
        self.now.wall = wall.parse().unwrap();
    }

    /// The prompts that this person sees.
    pub fn prompts(&self, person: &Person) -> Vec<Prompt> {
        self.asks.prompts_for(person, self.now)
    }
}

/// A connection that comes.
#[derive(Clone, Debug)]
pub struct Connect {
    pub user: Option<&'static str>,
    pub program: Program,
    pub process: u64,
    pub direction: Direction,
    pub protocol: u8,
    pub local: &'static str,
    pub remote: String,
    pub name: Option<(&'static str, Confidence)>,
    pub asked_by: Option<rules::decision::RuleName>,
    pub lifetime: Lifetime,
    pub pending: rules::facts::Needs,
}

/// Anna's browser connects to this name.
pub fn browser(name: &'static str) -> Connect {
    let address = name.bytes().fold(1_u8, u8::wrapping_add);
    Connect {
        user: Some("1000"),
        program: Program { path: Some("/usr/bin/browser".into()), ..Program::default() },
        process: 77,
        direction: Direction::Out,
        protocol: 6,
        local: "192.168.0.2:50000",
        remote: format!("93.184.216.{address}:443"),
        name: Some((name, Confidence::OwnProcess)),
        asked_by: None,
        lifetime: Lifetime::Process,
        pending: rules::facts::Needs::empty(),
    }
}

impl Connect {
    pub fn of_user(self, user: &'static str) -> Self {
        Self { user: Some(user), ..self }
    }

    pub fn by(mut self, path: &str) -> Self {
        self.program.path = Some(path.into());
        self
    }

    pub fn in_process(self, process: u64) -> Self {
        Self { process, ..self }
    }

    pub fn to(self, remote: impl Into<String>) -> Self {
        Self { remote: remote.into(), ..self }
    }

    pub fn nameless(self) -> Self {
        Self { name: None, ..self }
    }

    pub fn signed(mut self, publisher: &str) -> Self {
        self.program.publisher = Some(publisher.into());
        self
    }

    pub fn hashed(mut self, sha256: &str) -> Self {
        self.program.sha256 = Some(sha256.into());
        self
    }

    pub fn asked(self, layer: rules::model::Layer, id: &str) -> Self {
        Self { asked_by: Some(rules::decision::RuleName { layer, id: id.into() }), ..self }
    }

    pub fn identity(&self) -> Arc<Identity> {
        let user = self.user.map(|id| User { id: id.into(), name: Some(format!("name-{id}").into()) });
        Arc::new(Identity { program: self.program.clone(), user, pending: self.pending, ..Identity::default() })
    }

    pub fn waiting(&self, request: u64, deadline: Duration) -> Waiting<u64> {
        Waiting {
            token: request,
            request: RequestId(request),
            identity: self.identity(),
            pid: 4000 + self.process,
            start_key: self.process,
            direction: self.direction,
            protocol: self.protocol,
            local: self.local.parse().unwrap(),
            remote: self.remote.parse().unwrap(),
            name: self.name.map(|(text, confidence)| Name { text: text.into(), confidence }),
            asked_by: self.asked_by.clone(),
            lifetime: self.lifetime,
            deadline,
        }
    }
}

/// An operator.
pub fn anna() -> Person {
    Person { id: "1000".into(), name: "anna".into(), administrator: false }
}

/// Another operator.
pub fn ben() -> Person {
    Person { id: "1001".into(), name: "ben".into(), administrator: false }
}

/// An administrator.
pub fn root() -> Person {
    Person { id: "0".into(), name: "root".into(), administrator: true }
}

/// Permit.
pub fn permit(hold: Hold, target: Target) -> Answer {
    Answer { verdict: Verdict::Permit, hold, target, note: None }
}

/// Block.
pub fn block(hold: Hold, target: Target) -> Answer {
    Answer { verdict: Verdict::Block, ..permit(hold, target) }
}

/// For an hour.
pub const HOUR: Hold = Hold::Duration { seconds: 3600 };

/// In place of a person.
pub fn default(why: DefaultWhy) -> (Verdict, Reason) {
    (Verdict::Block, Reason::Default { why })
}

/// By Anna.
pub fn by_anna(verdict: Verdict, prompt: u64) -> (Verdict, Reason) {
    (verdict, Reason::Answer { prompt, user: "anna".into() })
}

/// Which connections these are.
pub fn tokens(decided: &[Decided<u64>]) -> Vec<u64> {
    decided.iter().map(|decided| decided.waiting.token).collect()
}
