//! What must come of each operation, said as simply as possible: vectors, walked from end to end.
//!
//! Written from the documents, not from the gate: docs/decisions/0002 (what is held), 0010 (live flows), and what `wire`
//! says about settings, scopes, lifetimes and epochs.
//!
//! Neighbours: `world` has the machine and compares it with this.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use wire::request::{Because, Direction};
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Answer, RequestId, Scope, Verdict};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const GRE: u8 = 47;

/// What names a flow: its socket, and its peer.
pub type Key = (u64, SocketAddr);

/// Who wants what from whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Who {
    pub key: Key,
    pub program: usize,
    pub pid: u64,
    pub direction: Direction,
    pub protocol: u8,
    /// The local port, where the protocol has ports.
    pub port: u16,
}

impl Who {
    pub fn remote(&self) -> SocketAddr {
        self.key.1
    }

    pub fn is_inbound(&self) -> bool {
        self.direction == Direction::INBOUND
    }

    /// Whether its operation has no packet.
    fn is_connect(&self) -> bool {
        self.protocol == TCP && !self.is_inbound()
    }
}

#[derive(Debug)]
struct Cached {
    program: usize,
    direction: Direction,
    /// None: whatever it connects to.
    remote: Option<(u8, SocketAddr)>,
    verdict: Verdict,
    expires: Option<u64>,
    asked: u64,
}

/// A question about a live flow.
#[derive(Debug)]
pub struct Question {
    pub who: Who,
    /// Once it was delivered.
    pub id: Option<RequestId>,
    pub asked: u64,
    /// Nobody can know whether our callout saw what it would come from.
    pub maybe: bool,
}

/// What somebody else's filters do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Foreign {
    None,
    /// They leave everything as it is.
    Permits,
    /// They permit before we are asked, and take the right to say no but by veto.
    PermitsForGood,
    BlocksBeforeUs,
    BlocksAfterUs,
}

impl Foreign {
    pub fn blocks(self) -> bool {
        matches!(self, Self::BlocksBeforeUs | Self::BlocksAfterUs)
    }

    pub fn takes_the_right(self) -> bool {
        matches!(self, Self::PermitsForGood | Self::BlocksBeforeUs)
    }
}

/// What an authorization must come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    Answer(Verdict),
    Hold,
}

/// What can be done about a packet that is authorized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ability {
    Hold,
    /// IPsec secured it, so a copy would come without its protection (R24).
    ReportOnly,
    /// It is a tunnel's, and comes again without it.
    Pass,
}

pub type Report = (usize, SocketAddr, Direction, u8, Verdict, Because);

pub struct Reference {
    pub settings: Settings,
    pub attached: bool,
    pub foreign: Foreign,
    /// Our filters are in the filter engine.
    pub filtering: bool,
    cache: Vec<Cached>,
    /// What was said about flows.
    said: BTreeMap<Key, (Verdict, u64)>,
    pub questions: Vec<Question>,
    pub reports: Vec<Report>,
    /// Counts changes of the rules; the others say at which of them what was said before ended.
    pub rules: u64,
    epoch_at: u64,
    forgotten_at: u64,
    programs_at: BTreeMap<usize, u64>,
    /// The filter engine must look at live flows again.
    pub recheck: bool,
    /// How often the filter engine's policy has changed.
    pub policy: u64,
}

impl Reference {
    pub fn new() -> Self {
        Self {
            settings: Settings::INITIAL,
            attached: false,
            foreign: Foreign::None,
            filtering: true,
            cache: Vec::new(),
            said: BTreeMap::new(),
            questions: Vec::new(),
            reports: Vec::new(),
            rules: 0,
            epoch_at: 0,
            forgotten_at: 0,
            programs_at: BTreeMap::new(),
            recheck: false,
            policy: 0,
        }
    }

    fn is_current(&self, asked: u64, program: usize) -> bool {
        asked >= self.epoch_at && self.is_remembered(asked, program)
    }

    fn is_remembered(&self, asked: u64, program: usize) -> bool {
        asked >= self.forgotten_at && asked >= self.programs_at.get(&program).copied().unwrap_or(0)
    }

    fn cached(&self, who: &Who, counts: impl Fn(&Cached) -> bool) -> Option<Verdict> {
        let narrow = Some((who.protocol, who.remote()));
        [narrow, None].into_iter().find_map(|remote| {
            let is_it = |one: &&Cached| {
                (one.program, one.direction, one.remote) == (who.program, who.direction, remote) && counts(one)
            };
            self.cache.iter().find(is_it).map(|one| one.verdict)
        })
    }

    fn valid(&self, now: u64, who: &Who) -> Option<Verdict> {
        self.cached(who, |one| one.expires.is_none_or(|at| now < at) && self.is_current(one.asked, one.program))
    }

    pub fn fallback(&self, who: &Who) -> Verdict {
        let settings = &self.settings;
        match if who.is_inbound() { settings.fallback_inbound } else { settings.fallback_outbound } {
            Fallback::PERMIT => Verdict::PERMIT,
            Fallback::BLOCK => Verdict::BLOCK,
            _ => self.cached(who, |one| self.is_remembered(one.asked, one.program)).unwrap_or(Verdict::BLOCK),
        }
    }

    fn wants_hold(&self, who: &Who) -> bool {
        let (connect, accept) = match who.protocol {
            TCP => (Holds::CONNECT_TCP, Holds::ACCEPT_TCP),
            UDP => (Holds::CONNECT_UDP, Holds::ACCEPT_UDP),
            1 | 58 => (Holds::CONNECT_ICMP, Holds::ACCEPT_ICMP),
            _ => (Holds::CONNECT_OTHER, Holds::ACCEPT_OTHER),
        };
        self.settings.holds().contains(if who.is_inbound() { accept } else { connect })
    }

    /// A new connection. `is_full` says whether the limit of records was reached.
    pub fn authorize(&mut self, now: u64, who: &Who, ability: Ability, is_full: bool) -> Expected {
        if !self.filtering || ability == Ability::Pass {
            return Expected::Answer(self.effect(Verdict::PERMIT));
        }
        if self.foreign.takes_the_right() {
            let vetoes = self.valid(now, who) == Some(Verdict::BLOCK);
            self.questions.iter_mut().filter(|question| question.who.key == who.key).for_each(|one| one.maybe = true);
            self.said.remove(&who.key);
            let blocks = vetoes || self.foreign.blocks();
            return Expected::Answer(if blocks { Verdict::BLOCK } else { Verdict::PERMIT });
        }
        self.said.remove(&who.key);
        self.questions.retain(|question| question.who.key != who.key);
        let is_held = self.wants_hold(who) && ability == Ability::Hold;
        let (verdict, because) = if let Some(verdict) = self.valid(now, who) {
            if is_held {
                return Expected::Answer(self.effect(verdict));
            }
            (verdict, Because::CACHED)
        } else if !is_held || !self.attached {
            (self.fallback(who), Because::FALLBACK)
        } else if is_full || !who.is_connect() && !self.has_room() {
            (self.fallback(who), Because::LIMIT)
        } else {
            return Expected::Hold;
        };
        if self.attached {
            self.reports.push((who.program, who.remote(), who.direction, who.protocol, verdict, because));
        }
        Expected::Answer(self.effect(verdict))
    }

    /// Whether packets may be kept.
    pub fn has_room(&self) -> bool {
        self.settings.max_packet_bytes_per_operation > 0
    }

    /// Whether they may be too many. What one of them costs is told nowhere.
    pub fn is_tight(&self) -> bool {
        self.settings.max_packet_bytes_per_operation < 4_096
    }

    /// What the filter engine makes of our verdict.
    pub fn effect(&self, verdict: Verdict) -> Verdict {
        match (self.filtering, self.foreign.blocks()) {
            (false, _) => Verdict::PERMIT,
            (true, true) => Verdict::BLOCK,
            (true, false) => verdict,
        }
    }

    /// An operation goes on, and lives.
    pub fn say(&mut self, key: Key, verdict: Verdict, asked: u64) {
        self.said.insert(key, (verdict, asked));
    }

    /// A live flow is authorized again; gives what becomes of it.
    pub fn reauthorize(&mut self, now: u64, who: &Who) -> Verdict {
        if !self.filtering {
            return Verdict::PERMIT;
        }
        let said = self.said.get(&who.key).copied();
        let current = said.filter(|(_, asked)| self.is_current(*asked, who.program)).map(|(verdict, _)| verdict);
        let known = current.or_else(|| self.valid(now, who));
        if known.is_none() {
            self.ask(who);
        }
        let stands = said.map_or(Verdict::PERMIT, |(verdict, _)| verdict);
        self.effect(known.unwrap_or(stands))
    }

    fn ask(&mut self, who: &Who) {
        let is_asked = self.questions.iter().any(|question| question.who.key == who.key && !question.maybe);
        if self.attached && self.wants_hold(who) && !is_asked {
            self.questions.retain(|question| question.who.key != who.key || question.id.is_some());
            let maybe = self.foreign == Foreign::BlocksBeforeUs;
            self.questions.push(Question { who: *who, id: None, asked: self.rules, maybe });
        }
    }

    /// Remembers an answer to what was asked at `asked`.
    pub fn remember(&mut self, now: u64, who: &Who, asked: u64, answer: &Answer) {
        let is_link_local = matches!(who.remote().ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        let is_narrow = answer.scope == Scope::REMOTE;
        if answer.scope == Scope::OPERATION
            || self.settings.max_cached == 0
            || !self.is_current(asked, who.program)
            || is_narrow && is_link_local
        {
            return;
        }
        let remote = is_narrow.then_some((who.protocol, who.remote()));
        let (program, direction) = (who.program, who.direction);
        self.cache.retain(|one| (one.program, one.direction, one.remote) != (program, direction, remote));
        let expires = (answer.lifetime_ms > 0).then(|| now + u64::from(answer.lifetime_ms));
        self.cache.push(Cached { program, direction, remote, verdict: answer.verdict, expires, asked });
    }

    /// An answer to a question that was delivered; `None` when there is none with that id, else whether it is taken.
    pub fn answer_question(&mut self, now: u64, answer: &Answer) -> Option<bool> {
        let at = self.questions.iter().position(|question| question.id == Some(answer.request))?;
        let Question { who, asked, .. } = self.questions.remove(at);
        if !self.is_current(asked, who.program) {
            self.recheck = true;
            return Some(false);
        }
        let stands = self.said.get(&who.key).map_or(Verdict::PERMIT, |(verdict, _)| *verdict);
        self.recheck |= stands != answer.verdict;
        self.say(who.key, answer.verdict, asked);
        self.remember(now, &who, asked, answer);
        Some(true)
    }

    pub fn configure(&mut self, settings: Settings) {
        if settings.epoch != self.settings.epoch {
            self.rules += 1;
            self.epoch_at = self.rules;
            self.questions.retain(|question| question.id.is_none());
            self.recheck |= self.attached;
        }
        if settings.max_cached != self.settings.max_cached {
            self.cache.clear();
        }
        self.settings = settings;
    }

    pub fn attach(&mut self, settings: Settings) {
        self.configure(settings);
        (self.attached, self.recheck) = (true, true);
    }

    /// Operations that are held are the caller's to decide.
    pub fn detach(&mut self) {
        self.attached = false;
        self.reports.clear();
        self.questions.clear();
    }

    pub fn forget_all(&mut self) {
        self.rules += 1;
        self.forgotten_at = self.rules;
    }

    pub fn forget_program(&mut self, program: usize) {
        self.rules += 1;
        self.programs_at.insert(program, self.rules);
    }
}
