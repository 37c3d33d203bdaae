//! A gate with a virtual clock, told in stories: `t.connect("tcp 10.0.0.2:5000 -> 1.1.1.1:443")`.
//!
//! A story is `[program[pid]] protocol local -> remote`, or `<-` for inbound; the program is `app[42]` unless it says
//! otherwise. The endpoint handle is the local port, so that the same story is the same flow; a local `address:port/child`
//! names the handle of the accepted socket too. Everything but an outbound
//! TCP connect has a packet of [`PACKET`] bytes, numbered as its operation.

use crate::common::{Heap, KEY, Numbered, SID, assert_balanced, classify, utf16};
use gate::{
    Ability, Action, Closing, Closure, Completion, Flow, FlowKey, Gate, Instant, Outgoing, Owner, Pended, Reauthorized,
    Room, Then,
};
use std::net::SocketAddr;
use wire::request::{Address, Direction, FAMILY_V4, FAMILY_V6, Request};
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{Answer, Outcome, RequestId, Scope, Verdict};

/// The service's process and handle.
pub const SERVICE: Owner = Owner { process_id: 100, handle: 7 };
/// An operation: numbered in the order of being pended.
pub type Op = u64;
/// What every packet costs.
pub const PACKET: u32 = 100;

pub struct Harness {
    pub gate: Gate<Op, Numbered, Heap>,
    pub settings: Settings,
    now: Instant,
    ops: Op,
    seen: Stats,
    injected: Vec<u64>,
    dropped: Vec<u64>,
}

/// One delivered request or report.
pub struct Delivered {
    pub request: Request,
    pub path: Vec<u8>,
    pub sid: Vec<u8>,
}

/// What came of a connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connect {
    Permitted,
    Blocked,
    Held(RequestId, Op),
}

impl Connect {
    #[track_caller]
    pub fn held(self) -> (RequestId, Op) {
        match self {
            Self::Held(id, op) => (id, op),
            other => panic!("{other:?}, not held"),
        }
    }
}

impl Harness {
    /// No service yet.
    pub fn idle() -> Self {
        Self::keyed([1, 2])
    }

    /// With an attached service, and a key of the gate's hashes as random as real ones.
    pub fn with_real_key() -> Self {
        Self::with_key(KEY)
    }

    /// The same with any key.
    pub fn with_key(key: [u64; 2]) -> Self {
        let mut t = Self::keyed(key);
        t.attach();
        t.seen = t.stats();
        t
    }

    fn keyed(key: [u64; 2]) -> Self {
        let settings = Settings { max_pended: 8, max_pended_per_process: 4, max_cached: 64, ..Settings::INITIAL };
        let gate = Gate::new(key, settings).expect("memory");
        let now = Instant::from_millis(1_000);
        let seen = gate.stats(now);
        Self { gate, settings, now, ops: 0, seen, injected: Vec::new(), dropped: Vec::new() }
    }

    /// With an attached service.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With an attached service of other settings.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut t = Self::idle();
        change(&mut t.settings);
        t.attach();
        t.seen = t.stats();
        t
    }

    pub fn attach(&mut self) {
        let mut room = Room::new(self.gate.settings(), &self.settings).expect("memory");
        self.gate.attach(self.now, SERVICE, self.settings, &mut room).expect("nobody is attached");
    }

    pub fn detach(&mut self) {
        self.gate.detach(self.now, SERVICE.handle);
    }

    pub fn configure(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        let mut room = Room::new(self.gate.settings(), &self.settings).expect("memory");
        self.gate.configure(self.now, self.settings, &mut room);
    }

    /// A classify of an operation that can be held; a held one is pended.
    pub fn connect(&mut self, story: &str) -> Connect {
        match self.classify(story) {
            Action::Permit => Connect::Permitted,
            Action::Block => Connect::Blocked,
            Action::Pend(id) => {
                let op = self.op();
                let packets = Story::parse(story).packets(op);
                assert_eq!(self.gate.handle_pended(self.now, id, op, packets), Ok(Pended::Held));
                Connect::Held(id, op)
            }
            further => panic!("{further:?}"),
        }
    }

    pub fn classify(&mut self, story: &str) -> Action {
        let story = Story::parse(story);
        let packet_bytes = story.packet_bytes();
        story.with(|flow| classify(&mut self.gate, self.now, flow, Ability::Hold { packet_bytes }))
    }

    /// What the front says of an operation that can be held, before the gate is asked.
    pub fn front(&self, story: &str) -> Option<Verdict> {
        self.front_at(self.now, story)
    }

    /// The same at another time.
    pub fn front_at(&self, now: Instant, story: &str) -> Option<Verdict> {
        let packet_bytes = Story::parse(story).packet_bytes();
        self.front_with(now, story, Ability::Hold { packet_bytes })
    }

    /// The same of any operation.
    pub fn front_with(&self, now: Instant, story: &str, ability: Ability) -> Option<Verdict> {
        Story::parse(story).with(|flow| self.gate.front().classify(now, flow, ability, 0))
    }

    /// A classify that carries no packet.
    pub fn classify_bare(&mut self, story: &str) -> Action {
        Story::parse(story).with(|flow| self.gate.classify(self.now, flow, Ability::Hold { packet_bytes: 0 }))
    }

    /// A classify of an operation that cannot be held.
    pub fn pass(&mut self, story: &str) -> Action {
        Story::parse(story).with(|flow| classify(&mut self.gate, self.now, flow, Ability::ReportOnly))
    }

    /// A classify of an operation that somebody else has permitted for good.
    pub fn vetoes(&mut self, story: &str) -> bool {
        Story::parse(story).with(|flow| self.gate.classify_without_right(self.now, flow))
    }

    /// The reauthorize that follows a completion.
    pub fn reauthorize(&mut self, story: &str) -> Reauthorized {
        Story::parse(story).with(|flow| self.gate.reauthorize(self.now, flow, true))
    }

    /// A reauthorize for another reason.
    pub fn foreign_reauthorize(&mut self, story: &str) -> Reauthorized {
        Story::parse(story).with(|flow| self.gate.reauthorize(self.now, flow, false))
    }

    /// A number for the next operation.
    pub fn op(&mut self) -> Op {
        self.ops += 1;
        self.ops
    }

    /// Takes all that waits for delivery.
    pub fn deliveries(&mut self) -> Vec<Delivered> {
        let mut out = Outgoing::default();
        let mut all = Vec::new();
        while self.gate.next_request(self.now, &mut out) {
            all.push(Delivered { request: out.request, path: out.path().to_vec(), sid: out.sid().to_vec() });
        }
        all
    }

    pub fn answer(&mut self, id: RequestId, verdict: Verdict) -> Outcome {
        self.submit(&Answer::once(id, verdict))
    }

    /// An answer to be remembered until the epoch changes.
    pub fn answer_for(&mut self, id: RequestId, verdict: Verdict, scope: Scope) -> Outcome {
        self.submit(&Answer { scope, ..Answer::once(id, verdict) })
    }

    pub fn submit(&mut self, answer: &Answer) -> Outcome {
        self.gate.handle_answer(self.now, SERVICE.handle, answer)
    }

    /// Takes, and completes, all operations that are ready.
    pub fn completions(&mut self) -> Vec<Op> {
        let mut all = Vec::new();
        while let Some(completion) = self.gate.poll_completion(self.now) {
            all.push(self.complete(completion));
        }
        all
    }

    /// Takes, and completes, a ready operation of this socket.
    pub fn completion_of(&mut self, endpoint: u64) -> Option<Op> {
        let completion = self.gate.poll_completion_of(self.now, endpoint)?;
        Some(self.complete(completion))
    }

    fn complete(&mut self, completion: Completion<Op, Numbered>) -> Op {
        self.gate.handle_completed(completion.ticket);
        match completion.then {
            Then::Reauthorizes => {}
            Then::Inject(packets) => self.injected.extend(packets.numbers()),
            Then::Drop(packets) => self.dropped.extend(packets.numbers()),
        }
        completion.operation
    }

    /// The packets that came out since the last time: those to be injected, and those to be dropped.
    pub fn packets(&mut self) -> (Vec<u64>, Vec<u64>) {
        let released = self.gate.take_packets();
        assert!(!self.gate.has_packets());
        self.injected.extend(released.inject.numbers());
        self.dropped.extend(released.drop.numbers());
        (std::mem::take(&mut self.injected), std::mem::take(&mut self.dropped))
    }

    /// A further packet of a held operation comes in; gives its number.
    pub fn join(&mut self, id: RequestId) -> u64 {
        let number = self.op();
        assert_eq!(self.gate.handle_joined(self.now, id, Numbered::one(number, PACKET)), Ok(()));
        number
    }

    /// A socket without a parent closes.
    pub fn close(&mut self, endpoint: u64) -> Closure {
        self.gate.handle_closure(self.now, Closing { endpoint, parent: None })
    }

    /// A whole round for one connection: held, asked, answered, completed, reauthorized.
    pub fn decide(&mut self, story: &str, verdict: Verdict, scope: Scope) {
        let (id, op) = self.connect(story).held();
        self.deliveries();
        assert_eq!(self.answer_for(id, verdict, scope), Outcome::ACCEPTED);
        assert_eq!(self.completions(), [op]);
        assert_eq!(self.reauthorize(story), Reauthorized::Verdict(verdict));
        self.seen = self.stats();
    }

    /// Lets time pass; a timer runs when the gate wanted one.
    pub fn advance(&mut self, ms: u32) {
        self.now = self.now.after_millis(ms);
        if self.gate.poll_timeout().is_some_and(|due| due <= self.now) {
            self.gate.handle_timeout(self.now);
        }
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn stats(&self) -> Stats {
        self.gate.stats(self.now)
    }

    /// Since the last time, the counters have changed by exactly this.
    #[track_caller]
    pub fn expect(&mut self, change: impl FnOnce(&mut Stats)) {
        let stats = self.stats();
        change(&mut self.seen);
        assert_eq!(stats, self.seen);
        assert_balanced(&stats);
    }
}

struct Story {
    program: Vec<u8>,
    process_id: u64,
    local: Address,
    local_port: u16,
    socket: u64,
    key: FlowKey,
}

impl Story {
    fn parse(story: &str) -> Self {
        let words: Vec<_> = story.split_whitespace().collect();
        let (who, [protocol, local, way, remote]) = (match words.as_slice() {
            [who, rest @ ..] if rest.len() == 4 => (*who, rest),
            rest => ("app[42]", rest),
        }) else {
            panic!("no story: {story}");
        };
        let (program, process_id) = who.trim_end_matches(']').split_once('[').expect("program[pid]");
        let (local, child) = local.split_once('/').unwrap_or((local, ""));
        let [local, remote] = [local, remote].map(|socket| socket.parse::<SocketAddr>().expect("address:port"));
        Self {
            program: utf16(program),
            process_id: process_id.parse().expect("a number"),
            local: local.ip().into(),
            local_port: local.port(),
            socket: child.parse().unwrap_or(local.port().into()),
            key: FlowKey {
                family: if remote.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 },
                direction: match *way {
                    "->" => Direction::OUTBOUND,
                    "<-" => Direction::INBOUND,
                    other => panic!("no way: {other}"),
                },
                protocol: match *protocol {
                    "icmp" => 1,
                    "tcp" => 6,
                    "udp" => 17,
                    "icmp6" => 58,
                    "sctp" => 132,
                    other => panic!("no protocol: {other}"),
                },
                endpoint: local.port().into(),
                remote: remote.ip().into(),
                remote_port: remote.port(),
            },
        }
    }

    fn packet_bytes(&self) -> u32 {
        if self.key.protocol == 6 && self.key.direction == Direction::OUTBOUND { 0 } else { PACKET }
    }

    fn packets(&self, number: u64) -> Numbered {
        match self.packet_bytes() {
            0 => Numbered::default(),
            bytes => Numbered::one(number, bytes),
        }
    }

    fn with<R>(&self, then: impl FnOnce(&Flow<'_>) -> R) -> R {
        then(&Flow {
            key: self.key,
            own_endpoint: self.socket,
            compartment: 1,
            local: self.local,
            local_port: self.local_port,
            process_id: self.process_id,
            program: &self.program,
            user: SID,
            interface_luid: 0x0006_0080_0100_0000,
            interface_index: 3,
            remote_scope: 0,
            loopback: self.key.remote == Address::v4([127, 0, 0, 1]),
        })
    }
}
