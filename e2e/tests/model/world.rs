//! The machine beside the reference, and the comparison of the two.
//!
//! Invariant: after each step everything that is due has run, and no deadline is overdue; so the reference knows what every
//! operation must have come to.
//!
//! Neighbours: `programs`, `network`, `services` and `others` make the steps.

use crate::dice::Dice;
use crate::reference::{Ability, Expected, Foreign, Key, Reference, TCP, Who};
use e2e::{
    Accept, AfterHardBlock, ClassifyIrql, Connect, DatagramSocket, Knobs, Listener, Machine, Options, Outcome, Program,
    Request, Rival, Service, SynFate, WSAEACCES,
};
use nt_sim::Io;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::request::{Direction, RequestFlags};
use wire::settings::Settings;
use wire::stats::{Doors, Stats};
use wire::verdict::{RequestId, Verdict};

/// How often the driver looks at deadlines.
pub const TICK_MS: u64 = 50;
/// How long a flow of datagrams lives without packets.
const IDLE_MS: u64 = 60_000;
pub const PROGRAMS: usize = 3;
/// No step: which policy the flow was authorized under nobody knows.
const UNSURE: usize = usize::MAX;
/// What a reauthorization shows of a flow.
pub const SOME_PACKET: &[u8] = b"data";
/// The steps that a failure shows.
const SHOWN: usize = 50;

/// An operation that is held.
#[derive(Debug)]
pub struct Record {
    pub serial: u64,
    /// Once it was delivered.
    pub id: Option<RequestId>,
    pub since: u64,
    pub asked: u64,
    pub packets: Vec<Vec<u8>>,
}

#[derive(Debug)]
pub enum State {
    Held(Record),
    Live {
        used: u64,
        /// The filter engine's policy that it was authorized under.
        policy: u64,
        /// The step in which it was.
        step: usize,
    },
    Over,
}

#[derive(Debug)]
pub struct Flow {
    pub who: Who,
    pub state: State,
    /// Of a TCP connection that came in.
    pub accept: Option<Accept>,
    /// It was decided where we did not see it go on: its verdict may wait still.
    pub is_ghost: bool,
}

impl Flow {
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }

    pub fn is_live(&self, now: u64) -> bool {
        let is_tcp = self.who.protocol == TCP;
        matches!(self.state, State::Live { used, .. } if is_tcp || now - used < IDLE_MS)
    }
}

pub enum Kind {
    Connect(Connect, Arc<AtomicUsize>, Outcome),
    Datagram(DatagramSocket),
    Listener(Listener),
}

/// A socket and its flows.
pub struct Socket {
    pub serial: u64,
    pub kind: Kind,
    pub program: usize,
    pub protocol: u8,
    pub is_v6: bool,
    /// Zero where the protocol has no ports.
    pub port: u16,
    /// Whether its peers begin.
    pub is_server: bool,
    pub flows: Vec<Flow>,
    /// What must have been received; the order is that of each peer.
    pub received: Vec<(SocketAddr, Vec<u8>)>,
}

pub struct World {
    pub dice: Dice,
    pub programs: Vec<Option<Program>>,
    pub sockets: Vec<Socket>,
    pub rival: Option<Rival>,
    pub parked: Vec<Io>,
    pub service: Option<Service>,
    /// Opens the device to read the counters, and does what only the service may.
    pub observer: Option<Service>,
    pub reference: Reference,
    pub stats: Stats,
    /// What must be on the wire after this step, by flow.
    pub wire: BTreeMap<Key, Vec<Vec<u8>>>,
    pub doors: Doors,
    pub old_ids: Vec<RequestId>,
    pub serial: u64,
    pub knobs: Knobs,
    /// Ids of programs, by index, as requests tell them.
    pub ids: BTreeMap<usize, u64>,
    pub log: VecDeque<String>,
    pub kinds: BTreeMap<&'static str, u64>,
    pub steps: usize,
    /// A socket of this step has gone before its packets; or somebody else blocks them.
    pub may_fail_to_inject: bool,
    /// How many looks at live flows may follow now, and since when.
    pub looks: (u64, u64),
    pub machine: Machine,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let all = Knobs::all();
        let knobs = all[(seed as usize * 7 + seed as usize / 36) % all.len()];
        let machine = Machine::with_driver(Options {
            knobs,
            irql: [ClassifyIrql::Seeded, ClassifyIrql::Passive, ClassifyIrql::Dispatch][seed as usize % 3],
            value_count: [41, 37, 36, 32][seed as usize % 4],
            seed,
            ..Options::default()
        });
        let programs = (0..PROGRAMS).map(|n| Some(machine.program(&name_of(n)))).collect();
        let observer = machine.client();
        let stats = observer.stats();
        Self {
            dice: Dice(seed),
            programs,
            sockets: Vec::new(),
            rival: None,
            parked: Vec::new(),
            service: None,
            observer: Some(observer),
            reference: Reference::new(),
            stats,
            wire: BTreeMap::new(),
            doors: Doors::default(),
            old_ids: vec![RequestId(0), RequestId(1)],
            serial: 0,
            knobs,
            ids: BTreeMap::new(),
            log: VecDeque::new(),
            kinds: BTreeMap::new(),
            steps: 0,
            may_fail_to_inject: false,
            looks: (0, 0),
            machine,
        }
    }

    pub fn note(&mut self, kind: &'static str, about: impl FnOnce() -> String) {
        *self.kinds.entry(kind).or_default() += 1;
        self.steps += 1;
        if self.log.len() == SHOWN {
            self.log.pop_front();
        }
        let line = format!("{} ms: {kind} {}", self.now(), about());
        self.log.push_back(line);
    }

    pub fn now(&self) -> u64 {
        self.machine.kernel().now_ms()
    }

    pub fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A payload that no other packet has.
    pub fn payload(&mut self) -> Vec<u8> {
        self.serial().to_le_bytes().to_vec()
    }

    pub fn program(&self, at: usize) -> &Program {
        self.programs[at].as_ref().expect("it runs")
    }

    pub fn read_stats(&self) -> Stats {
        self.observer.as_ref().expect("the device is open").stats()
    }

    /// Operations that were decided, and did not go on: they take up room for a while.
    fn ghosts(&self) -> u64 {
        let Stats { doors, claimed, unclaimed, .. } = self.stats;
        doors.total() - doors.pend_failed - claimed - unclaimed
    }

    /// A flow was authorized for the first time, with these packets; gives what it must have come to.
    pub fn authorized(&mut self, who: &Who, ability: Ability, packets: Vec<Vec<u8>>) -> State {
        let now = self.now();
        let held = || self.sockets.iter().flat_map(|socket| &socket.flows).filter(|flow| flow.is_held());
        let (used, of_process) = (held().count(), held().filter(|flow| flow.who.pid == who.pid).count());
        let settings = self.reference.settings;
        let share = |limit: u32| if who.is_inbound() { limit.div_ceil(2) } else { limit };
        let [most, most_of_process] =
            [settings.max_pended, settings.max_pended_per_process].map(|limit| share(limit) as usize);
        let ghosts = self.ghosts() as usize;
        let must = used + ghosts >= most || of_process >= most_of_process;
        let has_packet = who.is_inbound() || who.protocol != TCP;
        let may = must || of_process + ghosts >= most_of_process || has_packet && self.reference.is_tight();
        let was_limited = self.read_stats().limited > self.stats.limited;
        match self.reference.authorize(now, who, ability, must || may && was_limited) {
            Expected::Hold => {
                let serial = self.serial();
                State::Held(Record { serial, id: None, since: now, asked: 0, packets })
            }
            Expected::Answer(Verdict::PERMIT) => {
                let at = self.socket_at(who.key.0);
                self.passes(at, who, packets);
                self.live()
            }
            Expected::Answer(_) => State::Over,
        }
    }

    pub fn live(&self) -> State {
        State::Live { used: self.now(), policy: self.reference.policy, step: self.steps }
    }

    fn socket_at(&self, serial: u64) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.serial == serial)
    }

    /// Packets go where they should.
    fn passes(&mut self, at: Option<usize>, who: &Who, packets: impl IntoIterator<Item = Vec<u8>>) {
        if !who.is_inbound() {
            self.wire.entry(who.key).or_default().extend(packets);
        } else if let Some(at) = at.filter(|_| who.protocol != TCP) {
            self.sockets[at].received.extend(packets.into_iter().map(|packet| (who.remote(), packet)));
        }
    }

    /// What is held by a flow was decided; the packets go, or stay.
    pub fn decide(&mut self, at: usize, flow: usize, verdict: Verdict, asked: Option<u64>) {
        let state = std::mem::replace(&mut self.sockets[at].flows[flow].state, State::Over);
        let State::Held(record) = state else { panic!("it is held") };
        let who = self.sockets[at].flows[flow].who;
        self.old_ids.extend(record.id);
        let rules = self.reference.rules;
        // Nobody asks again about what comes in; but its packet is.
        let effect = match who.is_inbound() {
            true if verdict == Verdict::BLOCK => verdict,
            _ => self.reference.effect(verdict),
        };
        if verdict == Verdict::PERMIT || !who.is_inbound() {
            self.reference.say(who.key, verdict, asked.unwrap_or(rules));
        }
        let is_hidden =
            self.foreign() == Foreign::BlocksBeforeUs && self.knobs.after_hard_block == AfterHardBlock::Stop;
        self.sockets[at].flows[flow].is_ghost = !who.is_inbound() && (is_hidden || !self.reference.filtering);
        if effect == Verdict::PERMIT {
            let state = self.live();
            self.sockets[at].flows[flow].state = state;
            // Without our filters nobody asks whether its packets may go.
            if self.reference.filtering || who.is_inbound() {
                self.passes(Some(at), &who, record.packets);
            }
        }
        if let Kind::Connect(_, _, outcome) = &mut self.sockets[at].kind {
            *outcome = if effect == Verdict::PERMIT { Outcome::Connected } else { Outcome::Refused(WSAEACCES) };
        }
    }

    /// Decides by the fallback whatever is held and `which` is about.
    pub fn fall_back(&mut self, which: impl Fn(&Record) -> bool, door: fn(&mut Doors) -> &mut u64) {
        for at in 0..self.sockets.len() {
            for flow in 0..self.sockets[at].flows.len() {
                let one = &self.sockets[at].flows[flow];
                if matches!(&one.state, State::Held(record) if which(record)) {
                    let verdict = self.reference.fallback(&one.who);
                    self.decide(at, flow, verdict, None);
                    *door(&mut self.doors) += 1;
                }
            }
        }
    }

    /// A live flow was authorized again, if the policy says so or `always`; says whether it goes on.
    pub fn reauthorized(&mut self, at: usize, flow: usize, always: bool) -> bool {
        let (now, current) = (self.now(), self.reference.policy);
        let was_asked = self.read_stats().foreign_reauthorized > self.stats.foreign_reauthorized;
        let one = &mut self.sockets[at].flows[flow];
        let State::Live { policy, used, step } = &mut one.state else { panic!("it lives") };
        if !always {
            *used = now;
            let is_unsure = std::mem::take(step) == UNSURE;
            if *policy == current && !(is_unsure && was_asked) {
                return true;
            }
        }
        let who = one.who;
        if self.reference.reauthorize(now, &who) == Verdict::PERMIT {
            *policy = current;
            return true;
        }
        one.state = State::Over;
        if let Kind::Connect(_, _, outcome) = &mut self.sockets[at].kind {
            *outcome = Outcome::Reset;
        }
        false
    }

    /// A socket goes away, with everything of it.
    pub fn close(&mut self, at: usize) {
        let Some((outcome, expected)) = self.close_now(at) else { return };
        let expected = if expected == Outcome::Pending { Outcome::Closed } else { expected };
        assert_eq!(outcome, expected);
    }

    /// The same, of one that was just answered: its connection is closed, or was decided before.
    pub fn close_hurriedly(&mut self, at: usize, effect: Verdict) {
        let Some((outcome, _)) = self.close_now(at) else { return };
        let decided = if effect == Verdict::PERMIT { Outcome::Connected } else { Outcome::Refused(WSAEACCES) };
        assert!(outcome == Outcome::Closed || outcome == decided, "{outcome:?}");
    }

    /// Gives the outcome of a connection, and the one that was expected before.
    fn close_now(&mut self, at: usize) -> Option<(Outcome, Outcome)> {
        let socket = self.sockets.remove(at);
        for flow in &socket.flows {
            if let State::Held(record) = &flow.state {
                self.doors.closure += 1;
                self.old_ids.extend(record.id);
            }
        }
        match &socket.kind {
            Kind::Connect(connect, told, expected) => {
                connect.close();
                self.machine.settle();
                assert_eq!(told.load(Ordering::SeqCst), 1, "an outcome is told once");
                Some((connect.outcome(), *expected))
            }
            Kind::Datagram(datagram) => {
                datagram.close();
                self.machine.settle();
                None
            }
            Kind::Listener(listener) => {
                listener.close();
                self.machine.settle();
                None
            }
        }
    }

    /// Runs what is due and compares.
    pub fn compare(&mut self) {
        self.machine.settle();
        self.take_parked();
        self.compare_without_counters();
        self.compare_stats();
        self.old_ids.drain(..self.old_ids.len().saturating_sub(64));
    }

    pub fn compare_without_counters(&mut self) {
        self.compare_packets();
        for at in 0..self.sockets.len() {
            self.compare_socket(at);
        }
    }

    fn compare_packets(&mut self) {
        let mut came: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
        for packet in self.machine.engine().take_wire() {
            came.entry(packet.remote).or_default().push(packet.payload);
        }
        for ((_, remote), due) in std::mem::take(&mut self.wire) {
            // Several sockets may talk with this one; the order is that of each.
            let came = came.entry(remote).or_default();
            let is_of_it = |packet: &Vec<u8>| due.contains(packet) && packet != SOME_PACKET;
            let own: Vec<_> = came.iter().filter(|packet| is_of_it(packet)).collect();
            assert_eq!(own, due.iter().filter(|packet| is_of_it(packet)).collect::<Vec<_>>(), "what left for {remote}");
            for packet in due {
                let at = came.iter().position(|other| *other == packet).expect("each leaves once");
                came.remove(at);
            }
        }
        came.retain(|_, packets| !packets.is_empty());
        assert!(came.is_empty(), "nothing else left: {came:?}");
    }

    fn compare_socket(&self, at: usize) {
        let socket = &self.sockets[at];
        match &socket.kind {
            Kind::Connect(connect, told, expected) => {
                assert_eq!(connect.outcome(), *expected, "{:?}", socket.flows);
                let is_over = *expected != Outcome::Pending;
                assert_eq!(told.load(Ordering::SeqCst), usize::from(is_over), "an outcome is told once");
            }
            Kind::Datagram(datagram) => {
                let (mut received, mut expected) = (datagram.received(), socket.received.clone());
                received.sort_by_key(|(from, _)| *from);
                expected.sort_by_key(|(from, _)| *from);
                assert_eq!(received, expected, "{:?}", socket.flows);
            }
            Kind::Listener(_) => socket.flows.iter().for_each(compare_accept),
        }
    }

    /// Looks come at once as long as there are few, and then one a tick. Says whether the next may have to wait; when the
    /// timer ticks is not known to the millisecond.
    fn spend_looks(&mut self, looks: u64) -> bool {
        const AT_ONCE: u64 = 8;
        const TICK_MS: u64 = 50;
        let (left, since) = self.looks;
        let ticks = (self.now() - since) / TICK_MS;
        self.looks = ((left + ticks).min(AT_ONCE).saturating_sub(looks), since + ticks * TICK_MS);
        self.looks.0 <= 1
    }

    fn compare_stats(&mut self) {
        let (before, stats) = (self.stats, self.read_stats());
        let rechecked = stats.rechecked - before.rechecked;
        let is_due = self.reference.recheck && self.reference.filtering;
        let may_wait = self.spend_looks(rechecked);
        assert!(rechecked == 0 || is_due, "live flows are not looked at without a reason");
        assert!(rechecked > 0 || !is_due || may_wait, "live flows are looked at when there is a reason");
        if rechecked > 0 {
            self.reference.policy += 1;
            self.reference.recheck = false;
            self.note_unsure();
        }
        let held: Vec<&Record> = self.held().map(|(_, record)| record).collect();
        assert_eq!(stats.pended as usize, held.len(), "what is held");
        assert_eq!(stats.doors, self.doors, "how it left");
        let waited = held.iter().map(|record| record.since).min().map_or(0, |since| self.now() - since);
        assert_eq!(u64::from(stats.oldest_ms), waited, "the oldest");
        let kept: usize = held.iter().map(|record| record.packets.len()).sum();
        let tcp = self.held().filter(|(flow, _)| flow.who.protocol == TCP && flow.who.is_inbound()).count();
        self.stats = stats;
        let is_exact = self.ghosts() == 0;
        assert!(stats.kept_packets as usize == kept + tcp || !is_exact, "{stats:?}");
        assert!(stats.packets_kept >= before.packets_kept && stats.kept_bytes <= 1 << 20);
        assert_eq!(stats.epoch, self.reference.settings.epoch);
        assert_eq!(stats.attached, u8::from(self.reference.attached));
        assert_eq!(stats.filtering, u8::from(self.reference.filtering));
        let may_fail = std::mem::take(&mut self.may_fail_to_inject) || self.foreign().blocks();
        assert!(stats.inject_failed == before.inject_failed || may_fail, "{stats:?}");
        assert_eq!(stats.orphaned, before.orphaned);
    }

    /// What was authorized in the step in which live flows are looked at may have been so before, or after.
    fn note_unsure(&mut self) {
        let (steps, current) = (self.steps, self.reference.policy);
        for flow in self.sockets.iter_mut().flat_map(|socket| &mut socket.flows) {
            if let State::Live { policy, step, .. } = &mut flow.state
                && *step == steps
            {
                (*policy, *step) = (current, UNSURE);
            }
        }
    }

    pub fn held(&self) -> impl Iterator<Item = (&Flow, &Record)> {
        self.sockets.iter().flat_map(|socket| &socket.flows).filter_map(|flow| match &flow.state {
            State::Held(record) => Some((flow, record)),
            _ => None,
        })
    }

    /// Where the held operation is that `is_it`.
    pub fn find_held(&self, is_it: impl Fn(&Record) -> bool) -> Option<(usize, usize)> {
        self.sockets.iter().enumerate().find_map(|(at, socket)| {
            let flow = socket.flows.iter().position(|flow| matches!(&flow.state, State::Held(one) if is_it(one)))?;
            Some((at, flow))
        })
    }

    /// Batches that parked calls have brought.
    fn take_parked(&mut self) {
        for call in std::mem::take(&mut self.parked) {
            if call.is_pending() {
                self.parked.push(call);
            } else {
                let batch = e2e::read_batch(&call);
                assert!(!batch.is_empty());
                self.delivered(batch);
            }
        }
    }

    /// Each of these must have been waiting, and what is held comes in the order in which it came.
    pub fn delivered(&mut self, batch: Vec<Request>) {
        for request in batch {
            let fixed = &request.fixed;
            let program = (0..PROGRAMS).find(|n| request.path.ends_with(&name_of(*n))).expect("a program of ours");
            self.ids.insert(program, fixed.program);
            let said = (program, request.remote(), fixed.direction, fixed.protocol);
            let rules = self.reference.rules;
            if fixed.flags().contains(RequestFlags::LIVE) {
                let questions = &mut self.reference.questions;
                let is_it = |who: &Who| {
                    let has_port = [who.port, 0].contains(&fixed.local_port) || who.port == 0;
                    has_port && (who.program, who.remote(), who.direction, who.protocol) == said
                };
                let question = questions.iter_mut().find(|question| question.id.is_none() && is_it(&question.who));
                let question = question.unwrap_or_else(|| panic!("not asked: {request:?}"));
                (question.id, question.asked) = (Some(fixed.id), rules);
            } else if request.is_held() {
                let waits = self.held().filter(|(_, record)| record.id.is_none());
                let (flow, record) = waits.min_by_key(|(_, record)| record.serial).expect("something waits");
                let who = flow.who;
                assert_eq!((who.program, who.remote(), who.direction, who.protocol), said);
                assert_eq!(fixed.process_id, who.pid);
                let serial = record.serial;
                let (at, flow) = self.find_held(|record| record.serial == serial).expect("it is held");
                let State::Held(record) = &mut self.sockets[at].flows[flow].state else { continue };
                (record.id, record.asked) = (Some(fixed.id), rules);
            } else {
                let (program, remote, direction, protocol) = said;
                let said = (program, remote, direction, protocol, fixed.verdict, fixed.because);
                let at = self.reference.reports.iter().position(|report| *report == said);
                self.reference.reports.remove(at.unwrap_or_else(|| panic!("no such report: {request:?}")));
            }
        }
    }

    /// The settings that a service wants.
    pub fn settings(&mut self) -> Settings {
        crate::services::settings(&mut self.dice)
    }

    pub fn foreign(&self) -> Foreign {
        self.reference.foreign
    }

    /// A flow of any kind that `is_it`.
    pub fn any_flow(&mut self, is_it: impl Fn(&Flow) -> bool) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = self
            .sockets
            .iter()
            .enumerate()
            .flat_map(|(at, socket)| (0..socket.flows.len()).map(move |flow| (at, flow)))
            .filter(|(at, flow)| is_it(&self.sockets[*at].flows[*flow]))
            .collect();
        (!all.is_empty()).then(|| self.dice.pick(&all))
    }

    pub fn who(&self, at: usize, remote: SocketAddr) -> Who {
        let socket = &self.sockets[at];
        Who {
            key: (socket.serial, remote),
            program: socket.program,
            pid: self.program(socket.program).pid(),
            direction: if socket.is_server { Direction::INBOUND } else { Direction::OUTBOUND },
            protocol: socket.protocol,
            port: socket.port,
        }
    }
}

fn compare_accept(flow: &Flow) {
    let Some(accept) = &flow.accept else { return };
    let fate = accept.fate();
    let is_right = match flow.state {
        State::Held(_) => fate == SynFate::Held,
        State::Live { .. } => fate == SynFate::Established,
        State::Over => !matches!(fate, SynFate::Held | SynFate::Established),
    };
    assert!(is_right, "{fate:?}: {flow:?}");
}

pub fn name_of(program: usize) -> String {
    format!("program{program}.exe")
}
