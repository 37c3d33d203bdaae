//! Random operations on the gate and on a naive model of it, compared after every step.
//!
//! `GATE_SEED` repeats a run.
//!
//! Neighbours: `reference` is the model; `stories` tell single behaviours.

#[path = "../common/mod.rs"]
mod common;
mod reference;

use common::{Heap, Numbered, SID, assert_balanced, utf16};
use gate::{Ability, Action, Closing, Flow, FlowKey, GRACE_MS, Gate, Instant, Outgoing, Owner, Pended, Room};
use reference::{Model, PROGRAMS, Record, Stage, Who};
use wire::request::{Address, Direction, FAMILY_V4, RequestFlags};
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Outcome, RequestId, Scope, Verdict};

const STEPS: usize = if cfg!(miri) { 400 } else { 100_000 };
const SEEDS: u64 = if cfg!(miri) { 1 } else { 3 };

#[test]
fn the_gate_does_what_the_model_does() {
    let given = std::env::var("GATE_SEED").ok().map(|seed| seed.parse::<u64>().expect("GATE_SEED is a number"));
    for seed in given.map_or(1..1 + SEEDS, |seed| seed..seed + 1) {
        let on_failure = Announce(seed);
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        run.finish();
        std::mem::forget(on_failure);
    }
}

/// Dropped by a failing run only.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        eprintln!("to repeat: GATE_SEED={}", self.0);
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// The gate and the model, side by side.
struct Run {
    dice: Dice,
    gate: Gate<u64, Numbered, Heap>,
    model: Model,
    now: u64,
    next_op: u64,
    outstanding: Vec<u64>,
    old_ids: Vec<RequestId>,
    paths: Vec<Vec<u8>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let settings = Settings { max_pended: 6, max_pended_per_process: 4, max_cached: 8_192, ..Settings::INITIAL };
        let model = Model::new(settings);
        // With a fixed key: programs with the same low bits of their ids would be forgotten together.
        let gate = Gate::new([1, 2], settings).expect("memory");
        let paths = PROGRAMS.iter().map(|path| utf16(path)).collect();
        let now = dice.below(1_000_000);
        Self { dice, gate, model, now, next_op: 0, outstanding: Vec::new(), old_ids: vec![RequestId(0)], paths }
    }

    fn time(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn who(&mut self) -> Who {
        let dice = &mut self.dice;
        let program = dice.below(PROGRAMS.len() as u64) as usize;
        Who {
            key: FlowKey {
                family: FAMILY_V4,
                direction: Direction::OUTBOUND,
                protocol: dice.pick(&[6, 17]),
                endpoint: 1 + dice.below(6),
                remote: Address::v4([1, 1, 1, dice.below(2) as u8]),
                remote_port: dice.pick(&[53, 443]),
            },
            process_id: dice.pick(&[41, 42, 43, 100]),
            program,
        }
    }

    fn step(&mut self) {
        self.now += if self.dice.chance(20) { self.dice.below(400) } else { 0 };
        match self.dice.below(100) {
            0..30 => self.classify(),
            30..40 => self.hand_in(),
            40..55 => self.answer(),
            55..67 => self.complete(),
            67..80 => self.reauthorize(),
            80..87 => self.deliver(),
            87..90 => self.time_out(),
            90..92 => self.attach_or_detach(),
            92..95 => self.configure(),
            95..97 => self.close(),
            97..99 => self.forget(),
            _ => self.classify_without_right(),
        }
        self.compare();
    }

    fn compare(&self) {
        let stats = self.gate.stats(self.time());
        assert_eq!(stats, self.model.stats(self.now));
        assert_balanced(&stats);
        assert_eq!(self.gate.poll_timeout(), self.model.next_timeout().map(Instant::from_millis));
        assert_eq!(self.gate.has_requests(), stats.queued > 0);
        assert_eq!(self.gate.has_completions(), self.model.records.iter().any(|r| r.stage == Stage::Ready));
        let inside = self.model.records.iter().filter(|r| r.op.is_some()).count();
        assert_eq!(self.outstanding.len(), inside, "operations in, not out yet");
    }

    fn classify(&mut self) {
        let who = self.who();
        let ability = if self.dice.chance(85) { Ability::Hold { packet_bytes: 0 } } else { Ability::ReportOnly };
        let expected = self.model.classify(self.now, who, ability);
        let now = self.time();
        let action = self.gate.classify(now, &flow(&who, &self.paths[who.program]), ability);
        let Some(verdict) = expected else {
            let Action::Pend(id) = action else { panic!("{action:?}, not held: {who:?}") };
            let asked = self.model.rules;
            let (stage, verdict, superseded) = (Stage::Pending, None, false);
            let since = self.now;
            self.model.records.push(Record { id, who, since, asked, stage, verdict, superseded, op: None });
            assert!(!self.old_ids.contains(&id), "an id used before");
            self.old_ids.push(id);
            if self.dice.chance(80) {
                self.pended(id);
            }
            return;
        };
        assert_eq!(action, Action::from(verdict), "{who:?}");
    }

    fn classify_without_right(&mut self) {
        let who = self.who();
        let expected = self.model.classify_without_right(self.now, who);
        let now = self.time();
        assert_eq!(self.gate.classify_without_right(now, &flow(&who, &self.paths[who.program])), expected, "{who:?}");
    }

    fn hand_in(&mut self) {
        let pending: Vec<_> = self.model.records.iter().filter(|r| r.stage == Stage::Pending).map(|r| r.id).collect();
        if pending.is_empty() {
            assert_eq!(
                self.gate.handle_pended(self.time(), RequestId(0), u64::MAX, Numbered::default()),
                Err((u64::MAX, Numbered::default()))
            );
            return;
        }
        let id = self.dice.pick(&pending);
        if self.dice.chance(70) {
            return self.pended(id);
        }
        let record = self.model.remove(id);
        let expected = record.verdict.unwrap_or_else(|| self.model.fallback(&record.who));
        match record.verdict {
            Some(_) => self.model.counters.claimed += 1,
            None => self.model.counters.doors.pend_failed += 1,
        }
        assert_eq!(self.gate.handle_pend_failed(self.time(), id), expected);
    }

    fn pended(&mut self, id: RequestId) {
        self.next_op += 1;
        let op = self.next_op;
        let record = self.model.records.iter_mut().find(|r| r.id == id).expect("a record");
        record.op = Some(op);
        self.outstanding.push(op);
        let expected = if record.verdict.is_some() {
            record.stage = Stage::Ready;
            Pended::Ready
        } else {
            record.stage = Stage::Held;
            self.model.deliveries.push_back(id);
            Pended::Held
        };
        assert_eq!(self.gate.handle_pended(self.time(), id, op, Numbered::default()), Ok(expected));
        assert_eq!(
            self.gate.handle_pended(self.time(), id, op, Numbered::default()),
            Err((op, Numbered::default())),
            "once only"
        );
    }

    fn answer(&mut self) {
        let recent = self.old_ids.len().saturating_sub(12);
        let id = self.dice.pick(&self.old_ids[recent..]);
        let handle = if self.dice.chance(95) { self.model.owner.map_or(1, |owner| owner.handle) } else { 999 };
        let answer = Answer {
            request: if self.dice.chance(97) { id } else { RequestId(self.dice.next()) },
            verdict: if self.dice.chance(97) { self.dice.pick(&[Verdict::PERMIT, Verdict::BLOCK]) } else { Verdict(7) },
            scope: self.dice.pick(&[Scope::OPERATION, Scope::OPERATION, Scope::REMOTE, Scope::PROGRAM]),
            reserved: 0,
            lifetime_ms: self.dice.pick(&[0, 1, 500, 5_000]),
        };
        let attached = self.model.owner.is_some_and(|owner| owner.handle == handle);
        let record = self.model.records.iter().find(|r| r.id == answer.request && r.verdict.is_none()).cloned();
        let expected = match record.filter(|_| attached) {
            _ if !answer.is_valid() => Outcome::MALFORMED,
            None => {
                self.model.counters.stale_answers += 1;
                Outcome::STALE
            }
            Some(record) => {
                self.model.remember(self.now, &record.who, record.asked, &answer);
                self.model.decide(record.id, answer.verdict, record.asked);
                self.model.counters.doors.verdict += 1;
                Outcome::ACCEPTED
            }
        };
        assert_eq!(self.gate.handle_answer(self.time(), handle, &answer), expected, "{answer:?}");
    }

    fn complete(&mut self) {
        let endpoint = if self.dice.chance(30) { Some(self.dice.below(7)) } else { None };
        let op = match endpoint {
            Some(endpoint) => self.gate.poll_completion_of(self.time(), endpoint),
            None => self.gate.poll_completion(self.time()),
        };
        let asked = |r: &&Record| endpoint.is_none_or(|endpoint| r.who.key.endpoint == endpoint);
        let Some(completion) = op else {
            assert!(self.model.records.iter().filter(asked).all(|r| r.stage != Stage::Ready), "one is ready");
            return;
        };
        let op = completion.operation;
        self.gate.handle_completed(completion.ticket);
        let at = self.outstanding.iter().position(|out| *out == op).expect("handed in, and not handed out before");
        self.outstanding.remove(at);
        self.model.handed_out += 1;
        let record = self.model.records.iter_mut().find(|r| r.op == Some(op)).expect("its record");
        assert!(asked(&&*record));
        assert_eq!(record.stage, Stage::Ready);
        (record.op, record.since, record.stage) = (None, self.now, Stage::HandedOut(self.model.handed_out));
        let id = record.id;
        if record.superseded {
            self.model.remove(id);
            self.model.counters.unclaimed += 1;
        }
    }

    fn reauthorize(&mut self) {
        // Mostly of flows that wait for it.
        let waiting: Vec<_> =
            self.model.records.iter().filter(|r| matches!(r.stage, Stage::HandedOut(_))).map(|r| r.who).collect();
        let who = if waiting.is_empty() || self.dice.chance(40) { self.who() } else { self.dice.pick(&waiting) };
        let completion = self.dice.chance(50);
        let expected = self.model.reauthorize(self.now, who, completion);
        let now = self.time();
        let answer = self.gate.reauthorize(now, &flow(&who, &self.paths[who.program]), completion);
        assert_eq!(answer, expected, "{who:?}");
    }

    fn deliver(&mut self) {
        let mut out = Outgoing::default();
        let some = self.gate.next_request(self.time(), &mut out);
        let request = out.request;
        let who = if let Some(id) = self.model.deliveries.pop_front() {
            let (rules, deadline) = (self.model.rules, u64::from(self.model.settings.deadline_ms));
            let record = self.model.records.iter_mut().find(|r| r.id == id).expect("a record");
            record.asked = rules;
            let left = (record.since + deadline).saturating_sub(self.now);
            assert_eq!((request.id, request.flags()), (id, RequestFlags::HELD));
            assert_eq!((request.waited_ms, request.deadline_ms), ((self.now - record.since) as u32, left as u32));
            record.who
        } else if let Some((who, verdict, because)) = self.model.reports.pop_front() {
            assert_eq!((request.id, request.flags()), (RequestId(0), RequestFlags::empty()));
            assert_eq!((request.verdict, request.because), (verdict, because));
            who
        } else {
            return assert!(!some, "nothing waits");
        };
        assert!(some);
        assert_eq!(out.path(), self.paths[who.program]);
        assert_eq!(
            (request.process_id, request.remote, request.remote_port),
            (who.process_id, who.key.remote, who.key.remote_port,)
        );
        self.gate.take_dropped_reports();
    }

    fn time_out(&mut self) {
        self.now += self.dice.below(3_000);
        let (now, deadline) = (self.now, u64::from(self.model.settings.deadline_ms));
        self.model.counters.doors.deadline += self.model.release(|r| r.since + deadline <= now);
        self.model.expire(now);
        self.gate.handle_timeout(self.time());
    }

    fn attach_or_detach(&mut self) {
        if let Some(owner) = self.model.owner {
            let settings = self.settings();
            let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
            let other = Owner { process_id: 7, handle: 999 };
            let refused = self.gate.attach(self.time(), other, settings, &mut room);
            assert_eq!(refused, Err(gate::Busy { process_id: owner.process_id }));
            self.gate.detach(self.time(), 999);
            if self.dice.chance(30) {
                self.gate.detach(self.time(), owner.handle);
                self.model.owner = None;
                self.model.counters.doors.detach += self.model.release(|_| true);
                self.model.counters.dropped_reports += self.model.reports.drain(..).count() as u64;
            }
            return;
        }
        let settings = self.settings();
        let owner = Owner { process_id: 100, handle: 1 + self.dice.below(5) };
        let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
        assert_eq!(self.gate.attach(self.time(), owner, settings, &mut room), Ok(()));
        self.apply(settings);
        self.model.owner = Some(owner);
    }

    fn configure(&mut self) {
        let settings = self.settings();
        let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
        self.gate.configure(self.time(), settings, &mut room);
        self.apply(settings);
    }

    fn settings(&mut self) -> Settings {
        let dice = &mut self.dice;
        let max_pended = 1 + dice.below(12) as u32;
        let old = self.model.settings;
        let fallbacks = [Fallback::PERMIT, Fallback::BLOCK, Fallback::LAST];
        Settings {
            fallback_outbound: dice.pick(&fallbacks),
            fallback_inbound: dice.pick(&fallbacks),
            deadline_ms: dice.pick(&[10, 500, 3_000, 20_000]),
            max_pended,
            max_pended_per_process: 1 + dice.below(max_pended.into()) as u32,
            // Large enough that no set ever overflows: the model forgets nothing by age.
            max_cached: if dice.chance(90) { old.max_cached } else { dice.pick(&[0, 8_192, 8_200]) },
            epoch: if dice.chance(70) { old.epoch } else { dice.below(3) as u32 },
            ..Settings::INITIAL
        }
    }

    fn apply(&mut self, settings: Settings) {
        if settings.epoch != self.model.settings.epoch {
            self.model.rules += 1;
            self.model.epoch_at = self.model.rules;
        }
        if settings.max_cached != self.model.settings.max_cached {
            self.model.cache.clear();
        }
        self.model.settings = settings;
    }

    fn close(&mut self) {
        let endpoint = self.dice.below(7);
        self.gate.handle_closure(self.time(), Closing { endpoint, parent: None });
        let closing = |r: &&Record| r.verdict.is_none() && r.who.key.endpoint == endpoint;
        let closed: Vec<_> = self.model.records.iter().filter(closing).map(|r| r.id).collect();
        for id in closed {
            self.model.decide(id, Verdict::BLOCK, self.model.rules);
            self.model.counters.doors.closure += 1;
        }
    }

    fn forget(&mut self) {
        self.model.rules += 1;
        if self.dice.chance(30) {
            self.gate.forget_all();
            self.model.forgotten_at = self.model.rules;
            self.model.cache.clear();
        } else {
            let program = 1 + self.dice.below(PROGRAMS.len() as u64 - 1) as usize;
            self.gate.forget_program(&self.paths[program]);
            self.model.programs_at[program] = self.model.rules;
        }
    }

    /// At the end everything comes out again.
    fn finish(mut self) {
        self.gate.drain(self.time());
        self.model.draining = true;
        self.model.counters.doors.unload += self.model.release(|_| true);
        for _ in 0..20 {
            self.classify();
        }
        for id in self.old_ids.clone() {
            if self.model.records.iter().any(|r| r.id == id && r.stage == Stage::Pending) {
                self.pended(id);
            }
        }
        while self.gate.has_completions() {
            self.complete();
        }
        self.now += u64::from(GRACE_MS);
        self.time_out();
        self.compare();
        assert!(self.outstanding.is_empty() && self.model.records.is_empty());
    }
}

fn flow<'a>(who: &Who, program: &'a [u8]) -> Flow<'a> {
    Flow {
        key: who.key,
        own_endpoint: who.key.endpoint,
        compartment: 1,
        local: Address::v4([10, 0, 0, 2]),
        local_port: 5000,
        process_id: who.process_id,
        program,
        user: SID,
        interface_luid: 0,
        interface_index: 0,
        remote_scope: 0,
        loopback: false,
    }
}
