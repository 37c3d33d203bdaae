//! A server with a desk that only remembers, and its clients.

use crate::pipe::{End, duplex};
use control::client::{Client, ClientError};
use control::entry::{Direction, Entry, Reason, Verdict};
use control::prompt::{Answer, Closed, Hold, HoldKind, Prompt, Target};
use control::protocol::{ErrorKind, Event, MAX_LINE, Proposal, Refusal};
use control::status::{self, Snooze, Status};
use jiff::Timestamp;
use platform::ipc::Peer;
use rules::decision::{Revision, RuleName};
use rules::facts::{Identity, Program, User};
use rules::model::Layer;
use rules::source::{Problem, SourceFile};
use service::server::{Change, Connection, Desk, Feed, Query, Server};
use service::sink::{Made, Sink};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What the desk was told, and what it has.
#[derive(Default)]
pub struct Papers {
    pub prompts: Vec<Prompt>,
    pub entries: Vec<Entry>,
    /// Prompts that got the default because nobody was left to answer.
    pub defaulted: Vec<u64>,
    pub answered: Vec<(u64, Answer, String)>,
    pub snoozed: Vec<Snooze>,
    pub reloads: usize,
    pub bad_rules: Vec<Problem>,
    pub reviewed: Vec<(Vec<String>, bool)>,
    pub audited: Vec<(String, Change, Option<ErrorKind>)>,
    pub queries: Vec<Query>,
}

/// A desk that only remembers.
#[derive(Default)]
pub struct FakeDesk {
    pub feed: Feed,
    papers: Mutex<Papers>,
}

impl FakeDesk {
    pub fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap()
    }

    pub fn open(&self, prompt: Prompt) {
        let mut papers = self.papers();
        self.feed.prompt(&prompt);
        papers.prompts.push(prompt);
    }

    pub fn close(&self, id: u64, closed: Closed) {
        let mut papers = self.papers();
        self.close_one(&mut papers, id, &closed);
    }

    fn close_one(&self, papers: &mut Papers, id: u64, closed: &Closed) {
        let at = papers.prompts.iter().position(|prompt| prompt.id == id).unwrap();
        let prompt = papers.prompts.remove(at);
        self.feed.closed(id, prompt.identity.user.as_ref(), closed);
    }
}

impl Desk for FakeDesk {
    fn status(&self) -> Status {
        status()
    }

    fn entries(&self, query: &Query) -> Result<Vec<Entry>, Refusal> {
        let mut papers = self.papers();
        papers.queries.push(query.clone());
        Ok(papers.entries.clone())
    }

    fn prompts(&self, look: &mut dyn FnMut(&[Prompt])) {
        look(&self.papers().prompts);
    }

    fn audience_changed(&self) {
        let audience = self.feed.audience();
        let mut papers = self.papers();
        let left: Vec<u64> = papers
            .prompts
            .iter()
            .filter(|prompt| !audience.answers_for(prompt.identity.user.as_ref()))
            .map(|prompt| prompt.id)
            .collect();
        papers.defaulted.extend(left);
    }

    fn answer(&self, client: &service::server::Client, id: u64, answer: Answer) -> Result<(), Refusal> {
        let mut papers = self.papers();
        if !papers.prompts.iter().any(|prompt| prompt.id == id) {
            return Err(Refusal::new(ErrorKind::NotFound, "it was answered meanwhile"));
        }
        let closed = Closed::Answered { user: client.user_name().into(), verdict: answer.verdict };
        self.close_one(&mut papers, id, &closed);
        papers.answered.push((id, answer, client.user_name().to_owned()));
        Ok(())
    }

    fn snooze(&self, _: &service::server::Client, snooze: Snooze) -> Result<(), Refusal> {
        self.papers().snoozed.push(snooze);
        Ok(())
    }

    fn ruleset(&self, revision: Option<&Revision>) -> Result<(Revision, Vec<SourceFile>), Refusal> {
        let revision = revision.cloned().unwrap_or(Revision("0123456789ab".into()));
        let file = |n| SourceFile { path: format!("user/{n}.toml").into(), text: "#".repeat(MAX_LINE / 4).into() };
        Ok((revision, (0..5).map(file).collect()))
    }

    fn reload(&self, _: &service::server::Client) -> Result<(), Refusal> {
        let mut papers = self.papers();
        papers.reloads += 1;
        if papers.bad_rules.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(ErrorKind::BadRules, "rules have errors").with_problems(papers.bad_rules.clone()))
    }

    fn proposals(&self) -> Result<Vec<Proposal>, Refusal> {
        Ok(vec![Proposal { id: "git".to_owned(), toml: "[rule.git]\n".to_owned(), seen: 3 }])
    }

    fn review(&self, _: &service::server::Client, ids: &[String], adopt: bool) -> Result<(), Refusal> {
        self.papers().reviewed.push((ids.to_vec(), adopt));
        Ok(())
    }

    fn audit(&self, client: &service::server::Client, change: &Change, refused: Option<&Refusal>) {
        let told = (client.user_name().to_owned(), change.clone(), refused.map(|refusal| refusal.kind));
        self.papers().audited.push(told);
    }
}

/// A server with a fake desk.
pub struct House {
    pub server: Server,
    pub desk: Arc<FakeDesk>,
}

impl House {
    pub fn new() -> Self {
        let desk = Arc::new(FakeDesk::default());
        Self { server: Server::new(desk.clone(), desk.feed.clone()), desk }
    }

    /// A stream to the server that nothing was said on; it holds `room` bytes each way.
    pub fn stream(&self, peer: Peer, room: usize) -> io::Result<End> {
        let (near, far) = duplex(room);
        let close = Box::new(far.closer());
        let End { reader, writer } = far;
        let connection = Connection { reader: Box::new(reader), writer: Box::new(writer), close, peer };
        self.server.admit(move || Ok(connection)).map(|()| near)
    }

    pub fn try_client(&self, peer: Peer) -> Result<Client, ClientError> {
        let End { reader, writer } = self.stream(peer, 1 << 16)?;
        Client::connect(Box::new(reader), Box::new(writer))
    }

    pub fn client(&self, peer: Peer) -> Client {
        self.try_client(peer).unwrap()
    }

    /// The clock goes on by so much, as far as the server's patience is concerned.
    pub fn wait(&self, time: Duration) {
        self.server.watch(Instant::now() + time);
    }

    pub fn decide(&self, id: u64) {
        self.desk.feed.take(&[Made { entry: Arc::new(entry(id)), log: true }]);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.server.close();
    }
}

/// Looks again and again whether something that other threads do is done.
pub fn eventually(what: &str, is_done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn next(client: &mut Client) -> Event {
    client.events().next().unwrap().unwrap()
}

pub fn refusal<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Refusal {
    match outcome {
        Err(ClientError::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

/// Says a line, as a client that speaks for itself does.
pub fn say(end: &mut End, line: &str) {
    writeln!(end.writer, "{line}").unwrap();
}

pub fn administrator(id: u32) -> Peer {
    Peer { is_administrator: true, ..operator(id) }
}

pub fn operator(id: u32) -> Peer {
    Peer {
        user_id: id.to_string(),
        user_name: Some(format!("user{id}")),
        pid: 4242,
        is_administrator: false,
        is_operator: true,
    }
}

pub fn stranger(id: u32) -> Peer {
    Peer { is_operator: false, ..operator(id) }
}

pub fn identity(user: u32) -> Arc<Identity> {
    Arc::new(Identity {
        program: Program { path: Some("/usr/bin/git".into()), ..Program::default() },
        user: Some(User { id: user.to_string().into(), name: Some(format!("user{user}").into()) }),
        ..Identity::default()
    })
}

pub fn prompt(id: u64, user: u32) -> Prompt {
    Prompt {
        id,
        identity: identity(user),
        pid: 7,
        direction: Direction::Out,
        protocol: 6,
        local: ([10, 0, 0, 1], 50_000).into(),
        remote: ([192, 0, 2, 7], 443).into(),
        name: None,
        domain: None,
        many: false,
        asked_by: None,
        default: Verdict::Block,
        waiting: 1,
        deadline: None,
        opened: Timestamp::UNIX_EPOCH,
        holds: vec![HoldKind::Once, HoldKind::Process, HoldKind::Duration, HoldKind::Forever],
        offer: Hold::Forever,
    }
}

pub fn permit_once() -> Answer {
    Answer { verdict: Verdict::Permit, hold: Hold::Once, target: Target::Remote, note: None }
}

pub fn entry(id: u64) -> Entry {
    Entry {
        id,
        time: Timestamp::UNIX_EPOCH,
        verdict: if id.is_multiple_of(2) { Verdict::Permit } else { Verdict::Block },
        reason: Reason::Rule { rule: RuleName { layer: Layer::User, id: "git".into() } },
        asked_by: None,
        revision: Revision("0123456789ab".into()),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: ([10, 0, 0, 1], 50_000).into(),
        remote: ([192, 0, 2, 7], 443).into(),
        name: None,
        interface: None,
        pid: 7,
        start_key: 9,
        identity: identity(1000),
        held_ms: 3,
    }
}

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 42,
        started: Timestamp::UNIX_EPOCH,
        gate: status::Gate::Attached { since: Timestamp::UNIX_EPOCH },
        rules: status::Rules {
            revision: Revision("0123456789ab".into()),
            count: 3,
            since: Timestamp::UNIX_EPOCH,
            refused: Vec::new(),
        },
        unmatched: status::Unmatched::Ask,
        snoozed_until: None,
        prompts: 0,
        counters: status::Counters::default(),
        log: status::Log { state: status::Source::Off, bytes: 0, entries: 0 },
        names: status::Source::Off,
    }
}
