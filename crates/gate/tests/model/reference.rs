//! The naive model of the gate: plain vectors, everything found by walking them, nothing ever full.
//!
//! Neighbours: `known` is what it knows of verdicts; `run` compares it with the gate after every step.

use crate::known::Known;
use gate::{Ability, FlowKey, GRACE_MS, Owner, Reauthorized};
use std::collections::VecDeque;
use wire::request::{Because, Direction};
use wire::settings::{Holds, Settings};
use wire::stats::Stats;
use wire::verdict::{RequestId, Verdict};

/// The programs there are, by index; the first is unknown.
pub const PROGRAMS: [&str; 5] = ["", "a.exe", "b.exe", "c.exe", "tollgate.exe"];

/// A flow as the model remembers it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Who {
    pub key: FlowKey,
    pub socket: u64,
    pub process_id: u64,
    pub program: usize,
    pub loopback: bool,
    /// The ICMP type for ICMP.
    pub local_port: u16,
}

impl Who {
    pub fn is_inbound(&self) -> bool {
        self.key.direction == Direction::INBOUND
    }

    pub fn is_tcp(&self) -> bool {
        self.key.protocol == 6
    }

    /// Whether it has no packet.
    pub fn is_connect(&self) -> bool {
        self.is_tcp() && !self.is_inbound()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    Pending,
    Held,
    Ready,
    HandedOut(u64),
}

/// A packet: its number and what it costs.
pub type Packet = (u64, u32);

#[derive(Clone, Debug)]
pub struct Record {
    pub id: RequestId,
    pub who: Who,
    pub since: u64,
    pub asked: u64,
    pub stage: Stage,
    pub verdict: Option<Verdict>,
    pub superseded: bool,
    pub op: Option<u64>,
    pub reserved: u32,
    pub packets: Vec<Packet>,
}

impl Record {
    pub fn new(id: RequestId, who: Who, since: u64, asked: u64, reserved: u32) -> Self {
        let (stage, verdict, superseded, op, packets) = (Stage::Pending, None, false, None, Vec::new());
        Self { id, who, since, asked, stage, verdict, superseded, op, reserved, packets }
    }

    fn bytes(&self) -> u32 {
        self.reserved + self.packets.iter().map(|(_, bytes)| bytes).sum::<u32>()
    }

    fn wants_more(&self) -> bool {
        !self.who.is_tcp() && self.verdict != Some(Verdict::BLOCK) && !self.superseded
    }
}

/// A question about a live flow; it has its id when it was delivered.
#[derive(Clone, Debug)]
pub struct Question {
    pub who: Who,
    pub asked: u64,
    pub id: Option<RequestId>,
}

/// What a classify must come to.
pub enum Expected {
    Answer(Verdict),
    Hold,
    Join(RequestId),
    Absorb,
}

/// What the gate must do, without any cleverness.
pub struct Model {
    pub settings: Settings,
    pub owner: Option<Owner>,
    pub draining: bool,
    pub records: Vec<Record>,
    pub deliveries: VecDeque<RequestId>,
    pub questions: Vec<Question>,
    pub reports: VecDeque<(Who, Verdict, Because)>,
    pub known: Known,
    pub recheck: bool,
    pub handed_out: u64,
    /// Packets that are to be taken: those to inject, those to drop.
    pub inject: Vec<Packet>,
    pub drop: Vec<Packet>,
    /// The permitted operations that ended last.
    recent: VecDeque<RequestId>,
    pub counters: Stats,
}

impl Model {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            owner: None,
            draining: false,
            records: Vec::new(),
            deliveries: VecDeque::new(),
            questions: Vec::new(),
            reports: VecDeque::new(),
            known: Known::default(),
            recheck: false,
            handed_out: 0,
            inject: Vec::new(),
            drop: Vec::new(),
            recent: VecDeque::new(),
            counters: Stats::default(),
        }
    }

    pub fn fallback(&self, who: &Who) -> Verdict {
        let fallback = if who.is_inbound() { self.settings.fallback_inbound } else { self.settings.fallback_outbound };
        self.known.fallback(fallback, who)
    }

    pub fn is_own(&self, who: &Who) -> bool {
        self.owner.is_some_and(|owner| owner.process_id == who.process_id)
    }

    fn is_held(&self, who: &Who) -> bool {
        let holds = self.settings.holds();
        let (connect, accept) = match who.key.protocol {
            6 => (Holds::CONNECT_TCP, Holds::ACCEPT_TCP),
            17 => (Holds::CONNECT_UDP, Holds::ACCEPT_UDP),
            1 => (Holds::CONNECT_ICMP, Holds::ACCEPT_ICMP),
            _ => (Holds::CONNECT_OTHER, Holds::ACCEPT_OTHER),
        };
        holds.contains(if who.is_inbound() { accept } else { connect }) && !self.is_loopback(who)
    }

    /// Whether it is the inbound half of loopback, which is not held.
    fn is_loopback(&self, who: &Who) -> bool {
        who.loopback && who.is_inbound() && !self.settings.holds().contains(Holds::ACCEPT_LOOPBACK)
    }

    pub fn report(&mut self, who: Who, verdict: Verdict, because: Because) {
        if self.owner.is_some() {
            self.reports.push_back((who, verdict, because));
            if self.reports.len() > 1024 {
                self.reports.pop_front();
                self.counters.dropped_reports += 1;
            }
        }
    }

    fn forget_predecessors(&mut self, new: FlowKey) {
        self.known.live.retain(|(key, ..)| *key != new);
        self.questions.retain(|question| question.who.key != new);
        let gone = |r: &Record| r.who.key == new && !r.superseded && matches!(r.stage, Stage::HandedOut(_));
        let mut ending: Vec<_> = self.records.iter().filter(|r| gone(r)).map(|r| (order(r), r.id)).collect();
        ending.sort_by_key(|(order, _)| std::cmp::Reverse(*order));
        for (_, id) in ending {
            let record = self.remove(id);
            self.counters.unclaimed += 1;
            self.drop.extend(record.packets);
        }
        for record in self.records.iter_mut().filter(|r| r.who.key == new && r.verdict.is_some()) {
            record.superseded = true;
        }
    }

    /// Whether it vetoes.
    pub fn classify_without_right(&mut self, now: u64, who: Who) -> bool {
        self.counters.without_right += 1;
        let said = self.find_same(&who).map(|record| record.verdict);
        if said.is_none() {
            self.forget_predecessors(who.key);
        }
        let verdict = said.flatten().or_else(|| self.known.valid(now, &who));
        verdict == Some(Verdict::BLOCK) && !self.is_own(&who)
    }

    pub fn classify(&mut self, now: u64, who: Who, ability: Ability) -> Expected {
        if let Some(expected) = self.further(&who, ability) {
            return expected;
        }
        self.counters.classified += 1;
        self.forget_predecessors(who.key);
        if self.is_own(&who) {
            self.counters.exempted += 1;
            return Expected::Answer(Verdict::PERMIT);
        }
        let bytes = match ability {
            Ability::Hold { packet_bytes } if self.is_held(&who) => Some(packet_bytes),
            _ => None,
        };
        if let Some(verdict) = self.known.valid(now, &who) {
            let permitted = verdict == Verdict::PERMIT;
            *(if permitted { &mut self.counters.cache_permitted } else { &mut self.counters.cache_blocked }) += 1;
            if bytes.is_none() {
                self.report(who, verdict, Because::CACHED);
            }
            return Expected::Answer(verdict);
        }
        let (verdict, because) = if self.is_loopback(&who) {
            (Verdict::PERMIT, Because::LOOPBACK)
        } else if bytes.is_none() || self.owner.is_none() || self.draining {
            (self.fallback(&who), Because::FALLBACK)
        } else if self.is_full(&who, bytes.unwrap_or(0)) {
            (self.fallback(&who), Because::LIMIT)
        } else {
            self.counters.held += 1;
            return Expected::Hold;
        };
        *(if because == Because::LIMIT { &mut self.counters.limited } else { &mut self.counters.fell_back }) += 1;
        self.report(who, verdict, because);
        Expected::Answer(verdict)
    }

    fn is_full(&self, who: &Who, bytes: u32) -> bool {
        let of_process = self.records.iter().filter(|r| r.who.process_id == who.process_id).count();
        self.records.len() >= share(who.is_inbound(), self.settings.max_pended) as usize
            || of_process >= share(who.is_inbound(), self.settings.max_pended_per_process) as usize
            || bytes > 0 && !self.has_room(who, 0, bytes)
    }

    /// A further packet of an operation.
    fn further(&mut self, who: &Who, ability: Ability) -> Option<Expected> {
        let bytes = match ability {
            Ability::Hold { packet_bytes } => Some(packet_bytes),
            Ability::ReportOnly => None,
        };
        if self.is_own(who) || bytes == Some(0) {
            return None;
        }
        let record = self.find_same(who)?;
        if matches!(record.stage, Stage::HandedOut(_)) {
            return Some(Expected::Answer(self.claim(record.id)));
        }
        if bytes.is_some_and(|bytes| record.wants_more() && self.has_room(&record.who, record.bytes(), bytes)) {
            return Some(Expected::Join(record.id));
        }
        self.counters.packets_refused += 1;
        Some(Expected::Absorb)
    }

    /// The record that a packet of this flow belongs to.
    fn find_same(&self, who: &Who) -> Option<Record> {
        let name = |who: &Who| {
            let kind = (who.key.protocol == 1).then_some(who.local_port);
            (who.key, who.process_id, who.program, kind)
        };
        let same = |r: &&Record| name(&r.who) == name(who);
        self.find(same).filter(|_| !who.is_connect())
    }

    /// The record that was handed out last, else the newest one.
    fn find(&self, which: impl Fn(&&Record) -> bool) -> Option<Record> {
        let found = || self.records.iter().filter(|r| !r.superseded).filter(&which);
        let last = found().filter(|r| matches!(r.stage, Stage::HandedOut(_))).max_by_key(|r| order(r));
        last.or_else(|| found().next_back()).cloned()
    }

    fn has_room(&self, who: &Who, of_operation: u32, bytes: u32) -> bool {
        self.has_room_for(who.is_inbound(), of_operation, bytes)
    }

    fn has_room_for(&self, inbound: bool, of_operation: u32, bytes: u32) -> bool {
        let all = self.kept().1 + self.records.iter().map(|r| r.reserved).sum::<u32>();
        all + bytes <= share(inbound, self.settings.max_packet_bytes)
            && of_operation + bytes <= self.settings.max_packet_bytes_per_operation
    }

    /// Packets and bytes kept now.
    fn kept(&self) -> (u32, u32) {
        let held = self.records.iter().flat_map(|r| &r.packets);
        let all: Vec<_> = held.chain(&self.inject).chain(&self.drop).collect();
        (all.len() as u32, all.iter().map(|(_, bytes)| bytes).sum())
    }

    /// Whether a further packet is taken in.
    pub fn join(&mut self, id: RequestId, number: u64, bytes: u32) -> bool {
        let at = self.records.iter().position(|r| r.id == id);
        let fits = match at.and_then(|at| self.records.get(at)) {
            Some(record) => record.wants_more() && self.has_room(&record.who, record.bytes(), bytes),
            None => self.recent.contains(&id) && self.has_room_for(false, 0, bytes),
        };
        if !fits {
            self.counters.packets_refused += 1;
            return false;
        }
        self.counters.packets_kept += 1;
        at.map_or(&mut self.inject, |at| &mut self.records[at].packets).push((number, bytes));
        true
    }

    fn remember_ended(&mut self, id: RequestId) {
        self.recent.push_back(id);
        if self.recent.len() > 64 {
            self.recent.pop_front();
        }
    }

    fn settle(&mut self, id: RequestId, verdict: Verdict, packets: Vec<Packet>) {
        if verdict == Verdict::PERMIT {
            self.remember_ended(id);
            self.inject.extend(packets);
        } else {
            self.drop.extend(packets);
        }
    }

    pub fn take_packets(&mut self) -> (Vec<u64>, Vec<u64>) {
        self.counters.packets_released += self.inject.len() as u64;
        self.counters.packets_dropped += self.drop.len() as u64;
        let [inject, drop] =
            [&mut self.inject, &mut self.drop].map(|packets| packets.drain(..).map(|(number, _)| number).collect());
        (inject, drop)
    }

    pub fn pend_failed(&mut self, id: RequestId) -> Verdict {
        let record = self.remove(id);
        let verdict = record.verdict.unwrap_or_else(|| self.fallback(&record.who));
        match record.verdict {
            Some(_) => self.counters.claimed += 1,
            None => self.counters.doors.pend_failed += 1,
        }
        self.settle(id, verdict, record.packets);
        verdict
    }

    /// An operation goes out to be completed; gives what becomes of the packets of an inbound one.
    pub fn complete(&mut self, now: u64, id: RequestId) -> Option<(Verdict, Vec<u64>)> {
        self.handed_out += 1;
        let handed_out = self.handed_out;
        let record = self.records.iter_mut().find(|r| r.id == id).expect("a record");
        (record.op, record.since, record.stage) = (None, now, Stage::HandedOut(handed_out));
        let (superseded, inbound) = (record.superseded, record.who.is_inbound());
        if !superseded && !inbound {
            return None;
        }
        let record = self.remove(id);
        if superseded {
            self.counters.unclaimed += 1;
        } else {
            self.counters.claimed += 1;
        }
        if !inbound {
            self.drop.extend(record.packets);
            return None;
        }
        let verdict = record.verdict.filter(|_| !superseded).unwrap_or(Verdict::BLOCK);
        if verdict == Verdict::PERMIT {
            self.counters.packets_released += record.packets.len() as u64;
            self.remember_ended(id);
            self.known.lives(record.who.key, verdict, record.asked);
        } else {
            self.counters.packets_dropped += record.packets.len() as u64;
        }
        Some((verdict, record.packets.into_iter().map(|(number, _)| number).collect()))
    }

    /// Ends what was handed out too long ago; its verdict is that of a live flow, unless a later one is known.
    pub fn expire(&mut self, now: u64) {
        let is_late = |r: &Record| matches!(r.stage, Stage::HandedOut(_)) && r.since + u64::from(GRACE_MS) <= now;
        let (mut late, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.records).into_iter().partition(is_late);
        self.records = kept;
        self.counters.unclaimed += late.len() as u64;
        late.sort_by_key(order);
        for record in late {
            if self.known.live.iter().all(|(key, ..)| *key != record.who.key) {
                self.known.lives(record.who.key, record.verdict.expect("handed out, so decided"), record.asked);
            }
            self.drop.extend(record.packets);
        }
    }

    fn claim(&mut self, id: RequestId) -> Verdict {
        let record = self.remove(id);
        let verdict = record.verdict.expect("handed out, so decided");
        self.counters.claimed += 1;
        self.known.lives(record.who.key, verdict, record.asked);
        self.settle(id, verdict, record.packets);
        verdict
    }

    pub fn reauthorize(&mut self, now: u64, who: Who, completion: bool) -> Reauthorized {
        if let Some(record) = self.find(|r| r.who.key == who.key) {
            if matches!(record.stage, Stage::HandedOut(_)) {
                return Reauthorized::Verdict(self.claim(record.id));
            }
            self.counters.foreign_reauthorized += 1;
            return Reauthorized::Waiting(record.id);
        }
        if self.is_own(&who) {
            self.counters.foreign_reauthorized += 1;
            return Reauthorized::Leave;
        }
        let live = self.known.live.iter().find(|(key, ..)| *key == who.key).copied();
        let said = live.filter(|(_, _, asked)| self.known.current(*asked, who.program)).map(|(_, verdict, _)| verdict);
        let known = said.or_else(|| self.known.valid(now, &who));
        if completion && known.is_none() && live.is_none() {
            self.counters.orphaned += 1;
            return Reauthorized::Verdict(self.fallback(&who));
        }
        self.counters.foreign_reauthorized += 1;
        if let Some(verdict) = known {
            return Reauthorized::Cached(verdict);
        }
        let blocked = live.is_some_and(|(_, verdict, _)| verdict == Verdict::BLOCK);
        let may_ask = self.owner.is_some() && !self.draining && self.is_held(&who) && !(blocked && completion);
        if may_ask && self.questions.iter().all(|question| question.who.key != who.key) {
            self.counters.live_asked += 1;
            self.questions.push(Question { who, asked: self.known.rules, id: None });
        }
        if blocked { Reauthorized::Cached(Verdict::BLOCK) } else { Reauthorized::Leave }
    }

    pub fn remove(&mut self, id: RequestId) -> Record {
        let at = self.records.iter().position(|r| r.id == id).expect("a record");
        self.records.remove(at)
    }

    pub fn decide(&mut self, id: RequestId, verdict: Verdict, asked: u64) {
        self.deliveries.retain(|queued| *queued != id);
        let record = self.records.iter_mut().find(|r| r.id == id).expect("a record");
        assert_eq!(record.verdict, None);
        (record.verdict, record.asked) = (Some(verdict), asked);
        if record.stage == Stage::Held {
            record.stage = Stage::Ready;
        }
    }

    pub fn release(&mut self, which: impl Fn(&Record) -> bool) -> u64 {
        let going: Vec<_> = self.records.iter().filter(|r| r.verdict.is_none() && which(r)).cloned().collect();
        for record in &going {
            self.decide(record.id, self.fallback(&record.who), self.known.rules);
        }
        going.len() as u64
    }

    pub fn stats(&self, now: u64) -> Stats {
        let undecided = || self.records.iter().filter(|r| r.verdict.is_none());
        let asked = self.questions.iter().filter(|question| question.id.is_none()).count();
        let (kept_packets, kept_bytes) = self.kept();
        Stats {
            version: wire::VERSION,
            attached: self.owner.is_some().into(),
            pended: undecided().count() as u32,
            oldest_ms: undecided().map(|r| now - r.since).max().unwrap_or(0) as u32,
            queued: (self.deliveries.len() + asked + self.reports.len()) as u32,
            cached: self.known.cache.len() as u32,
            epoch: self.settings.epoch,
            kept_packets,
            kept_bytes,
            attached_process_id: self.owner.map_or(0, |owner| owner.process_id),
            ..self.counters
        }
    }

    pub fn next_timeout(&self) -> Option<u64> {
        let wait = |r: &Record| match (r.verdict, r.stage) {
            (None, _) => Some(r.since + u64::from(self.settings.deadline_ms)),
            (Some(_), Stage::HandedOut(_)) => Some(r.since + u64::from(GRACE_MS)),
            _ => None,
        };
        self.records.iter().filter_map(wait).min()
    }
}

/// How much of a limit there is for it.
fn share(inbound: bool, limit: u32) -> u32 {
    if inbound { limit.div_ceil(2) } else { limit }
}

/// When it was handed out.
fn order(record: &Record) -> u64 {
    match record.stage {
        Stage::HandedOut(order) => order,
        _ => 0,
    }
}
