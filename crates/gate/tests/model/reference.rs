//! The naive model of the gate: plain vectors, everything found by walking them, nothing ever full.
//!
//! Neighbours: `main` compares it with the gate after every step.

use gate::{Ability, FlowKey, GRACE_MS, Owner, Reauthorized};
use std::collections::VecDeque;
use wire::request::{Address, Because, Direction};
use wire::settings::{Fallback, Settings};
use wire::stats::Stats;
use wire::verdict::{Answer, RequestId, Scope, Verdict};

/// The programs there are, by index; the first is unknown.
pub const PROGRAMS: [&str; 5] = ["", "a.exe", "b.exe", "c.exe", "tollgate.exe"];

/// A flow as the model remembers it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Who {
    pub key: FlowKey,
    pub process_id: u64,
    pub program: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    Pending,
    Held,
    Ready,
    HandedOut(u64),
}

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
}

/// A cached verdict.
#[derive(Clone, Debug)]
pub struct Cached {
    pub program: usize,
    pub direction: Direction,
    pub remote: Option<(u8, Address, u16)>,
    pub verdict: Verdict,
    pub expires: Option<u64>,
    pub asked: u64,
}

/// What the gate must do, without any cleverness.
pub struct Model {
    pub settings: Settings,
    pub owner: Option<Owner>,
    pub draining: bool,
    pub records: Vec<Record>,
    pub deliveries: VecDeque<RequestId>,
    pub reports: VecDeque<(Who, Verdict, Because)>,
    pub cache: Vec<Cached>,
    pub live: Vec<(FlowKey, Verdict, u64)>,
    /// Counts changes of the rules; the others say at which of them something was forgotten.
    pub rules: u64,
    pub epoch_at: u64,
    pub forgotten_at: u64,
    pub programs_at: [u64; PROGRAMS.len()],
    pub handed_out: u64,
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
            reports: VecDeque::new(),
            cache: Vec::new(),
            live: Vec::new(),
            rules: 0,
            epoch_at: 0,
            forgotten_at: 0,
            programs_at: [0; PROGRAMS.len()],
            handed_out: 0,
            counters: Stats::default(),
        }
    }

    pub fn current(&self, asked: u64, program: usize) -> bool {
        asked >= self.epoch_at && self.remembered(asked, program)
    }

    pub fn remembered(&self, asked: u64, program: usize) -> bool {
        asked >= self.forgotten_at && asked >= self.programs_at[program]
    }

    pub fn cached(&self, who: &Who, counts: impl Fn(&Cached) -> bool) -> Option<Verdict> {
        let remote = (who.key.protocol, who.key.remote, who.key.remote_port);
        [Some(remote), None].into_iter().find_map(|remote| {
            let mine = |c: &&Cached| (c.program, c.direction, c.remote) == (who.program, who.key.direction, remote);
            self.cache.iter().find(mine).filter(|c| counts(c)).map(|c| c.verdict)
        })
    }

    pub fn valid(&self, now: u64, who: &Who) -> Option<Verdict> {
        self.cached(who, |c| c.expires.is_none_or(|at| now < at) && self.current(c.asked, c.program))
    }

    pub fn fallback(&self, who: &Who) -> Verdict {
        let outbound = who.key.direction == Direction::OUTBOUND;
        match if outbound { self.settings.fallback_outbound } else { self.settings.fallback_inbound } {
            Fallback::PERMIT => Verdict::PERMIT,
            Fallback::BLOCK => Verdict::BLOCK,
            _ => self.cached(who, |c| self.remembered(c.asked, c.program)).unwrap_or(Verdict::BLOCK),
        }
    }

    pub fn is_own(&self, who: &Who) -> bool {
        self.owner.is_some_and(|owner| owner.process_id == who.process_id)
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
        self.live.retain(|(key, ..)| *key != new);
        let before = self.records.len();
        self.records.retain(|r| r.who.key != new || r.superseded || !matches!(r.stage, Stage::HandedOut(_)));
        self.counters.unclaimed += (before - self.records.len()) as u64;
        for record in self.records.iter_mut().filter(|r| r.who.key == new && r.verdict.is_some()) {
            record.superseded = true;
        }
    }

    /// Whether it vetoes.
    pub fn classify_without_right(&mut self, now: u64, who: Who) -> bool {
        self.counters.without_right += 1;
        self.forget_predecessors(who.key);
        self.valid(now, &who) == Some(Verdict::BLOCK) && !self.is_own(&who)
    }

    /// `None`: hold it.
    pub fn classify(&mut self, now: u64, who: Who, ability: Ability) -> Option<Verdict> {
        self.counters.classified += 1;
        self.forget_predecessors(who.key);
        if self.is_own(&who) {
            self.counters.exempted += 1;
            return Some(Verdict::PERMIT);
        }
        if let Some(verdict) = self.valid(now, &who) {
            let permitted = verdict == Verdict::PERMIT;
            *(if permitted { &mut self.counters.cache_permitted } else { &mut self.counters.cache_blocked }) += 1;
            if ability == Ability::ReportOnly {
                self.report(who, verdict, Because::CACHED);
            }
            return Some(verdict);
        }
        let verdict = self.fallback(&who);
        if ability == Ability::ReportOnly || self.owner.is_none() || self.draining {
            self.counters.fell_back += 1;
            self.report(who, verdict, Because::FALLBACK);
            return Some(verdict);
        }
        let of_process = self.records.iter().filter(|r| r.who.process_id == who.process_id).count();
        if self.records.len() >= self.settings.max_pended as usize
            || of_process >= self.settings.max_pended_per_process as usize
        {
            self.counters.limited += 1;
            self.report(who, verdict, Because::LIMIT);
            return Some(verdict);
        }
        self.counters.held += 1;
        None
    }

    /// Ends what was handed out too long ago; its verdict is that of a live flow, unless a later one is known.
    pub fn expire(&mut self, now: u64) {
        let is_late = |r: &Record| matches!(r.stage, Stage::HandedOut(_)) && r.since + u64::from(GRACE_MS) <= now;
        let (mut late, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.records).into_iter().partition(is_late);
        self.records = kept;
        self.counters.unclaimed += late.len() as u64;
        late.sort_by_key(|r| match r.stage {
            Stage::HandedOut(order) => order,
            _ => 0,
        });
        for record in late {
            if self.live.iter().all(|(key, ..)| *key != record.who.key) {
                self.live.push((record.who.key, record.verdict.expect("handed out, so decided"), record.asked));
            }
        }
    }

    pub fn reauthorize(&mut self, now: u64, who: Who, completion: bool) -> Reauthorized {
        let mine = |r: &&Record| r.who.key == who.key && !r.superseded;
        let last = self.records.iter().filter(mine).filter_map(|r| match r.stage {
            Stage::HandedOut(order) => Some((order, r.id)),
            _ => None,
        });
        if let Some((_, id)) = last.max_by_key(|(order, _)| *order) {
            let record = self.remove(id);
            let verdict = record.verdict.expect("handed out, so decided");
            self.counters.claimed += 1;
            self.live.retain(|(key, ..)| *key != who.key);
            self.live.push((who.key, verdict, record.asked));
            return Reauthorized::Verdict(verdict);
        }
        if let Some(record) = self.records.iter().rev().find(mine) {
            let id = record.id;
            self.counters.foreign_reauthorized += 1;
            return Reauthorized::Waiting(id);
        }
        if self.is_own(&who) {
            self.counters.foreign_reauthorized += 1;
            return Reauthorized::Leave;
        }
        let live = self.live.iter().find(|(key, ..)| *key == who.key).copied();
        let counts = |verdict, asked| verdict == Verdict::BLOCK || self.current(asked, who.program);
        let said = live.filter(|(_, verdict, asked)| counts(*verdict, *asked)).map(|(_, verdict, _)| verdict);
        match said.or_else(|| self.valid(now, &who)) {
            None if completion && live.is_none() => {
                self.counters.orphaned += 1;
                Reauthorized::Verdict(self.fallback(&who))
            }
            known => {
                self.counters.foreign_reauthorized += 1;
                known.map_or(Reauthorized::Leave, Reauthorized::Cached)
            }
        }
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
            self.decide(record.id, self.fallback(&record.who), self.rules);
        }
        going.len() as u64
    }

    pub fn remember(&mut self, now: u64, who: &Who, asked: u64, answer: &Answer) {
        let unknown = PROGRAMS[who.program].is_empty();
        if unknown || answer.scope == Scope::OPERATION || !self.current(asked, who.program) {
            return;
        }
        if self.settings.max_cached == 0 {
            return;
        }
        let remote = (who.key.protocol, who.key.remote, who.key.remote_port);
        let remote = (answer.scope == Scope::REMOTE).then_some(remote);
        let (program, direction) = (who.program, who.key.direction);
        self.cache.retain(|c| (c.program, c.direction, c.remote) != (program, direction, remote));
        let expires = (answer.lifetime_ms > 0).then(|| now + u64::from(answer.lifetime_ms));
        self.cache.push(Cached { program, direction, remote, verdict: answer.verdict, expires, asked });
    }

    pub fn stats(&self, now: u64) -> Stats {
        let undecided = || self.records.iter().filter(|r| r.verdict.is_none());
        Stats {
            version: wire::VERSION,
            attached: self.owner.is_some().into(),
            pended: undecided().count() as u32,
            oldest_ms: undecided().map(|r| now - r.since).max().unwrap_or(0) as u32,
            queued: (self.deliveries.len() + self.reports.len()) as u32,
            cached: self.cache.len() as u32,
            epoch: self.settings.epoch,
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
