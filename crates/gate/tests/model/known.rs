//! What the model knows of verdicts: the cache and the live flows, and its side of the service.
//!
//! Neighbours: `reference` is the rest of the model.

use crate::reference::{Model, PROGRAMS, Who};
use gate::FlowKey;
use wire::request::{Address, Direction};
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Outcome, Scope, Verdict};

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

#[derive(Default)]
pub struct Known {
    pub cache: Vec<Cached>,
    pub live: Vec<(FlowKey, Verdict, u64)>,
    /// Counts changes of the rules; the others say at which of them something was forgotten.
    pub rules: u64,
    pub epoch_at: u64,
    pub forgotten_at: u64,
    pub programs_at: [u64; PROGRAMS.len()],
}

impl Known {
    pub fn current(&self, asked: u64, program: usize) -> bool {
        asked >= self.epoch_at && self.remembered(asked, program)
    }

    pub fn remembered(&self, asked: u64, program: usize) -> bool {
        asked >= self.forgotten_at && asked >= self.programs_at[program]
    }

    fn cached(&self, who: &Who, counts: impl Fn(&Cached) -> bool) -> Option<Verdict> {
        let remote = (who.key.protocol, who.key.remote, who.key.remote_port);
        [Some(remote), None].into_iter().find_map(|remote| {
            let mine = |c: &&Cached| (c.program, c.direction, c.remote) == (who.program, who.key.direction, remote);
            self.cache.iter().find(mine).filter(|c| counts(c)).map(|c| c.verdict)
        })
    }

    pub fn valid(&self, now: u64, who: &Who) -> Option<Verdict> {
        self.cached(who, |c| c.expires.is_none_or(|at| now < at) && self.current(c.asked, c.program))
    }

    pub fn fallback(&self, fallback: Fallback, who: &Who) -> Verdict {
        match fallback {
            Fallback::PERMIT => Verdict::PERMIT,
            Fallback::BLOCK => Verdict::BLOCK,
            _ => self.cached(who, |c| self.remembered(c.asked, c.program)).unwrap_or(Verdict::BLOCK),
        }
    }

    /// This was said about a live flow.
    pub fn lives(&mut self, new: FlowKey, verdict: Verdict, asked: u64) {
        self.live.retain(|(key, ..)| *key != new);
        self.live.push((new, verdict, asked));
    }

    fn remember(&mut self, now: u64, who: &Who, asked: u64, answer: &Answer) {
        let unknown = PROGRAMS[who.program].is_empty();
        if unknown || answer.scope == Scope::OPERATION || !self.current(asked, who.program) {
            return;
        }
        let remote = (who.key.protocol, who.key.remote, who.key.remote_port);
        let remote = (answer.scope == Scope::REMOTE).then_some(remote);
        let (program, direction) = (who.program, who.key.direction);
        self.cache.retain(|c| (c.program, c.direction, c.remote) != (program, direction, remote));
        let expires = (answer.lifetime_ms > 0).then(|| now + u64::from(answer.lifetime_ms));
        self.cache.push(Cached { program, direction, remote, verdict: answer.verdict, expires, asked });
    }
}

impl Model {
    pub fn answer(&mut self, now: u64, handle: u64, answer: &Answer) -> Outcome {
        if !answer.is_valid() {
            return Outcome::MALFORMED;
        }
        let attached = self.owner.is_some_and(|owner| owner.handle == handle);
        if let Some(at) = self.questions.iter().position(|q| attached && q.id == Some(answer.request)) {
            let question = self.questions.remove(at);
            if !self.known.current(question.asked, question.who.program) {
                self.recheck = true;
                self.counters.stale_answers += 1;
                return Outcome::STALE;
            }
            let key = question.who.key;
            let stands = self.known.live.iter().find(|(live, ..)| *live == key).map(|(_, verdict, _)| *verdict);
            self.recheck |= stands.unwrap_or(Verdict::PERMIT) != answer.verdict;
            self.known.lives(key, answer.verdict, question.asked);
            self.remember(now, &question.who, question.asked, answer);
            return Outcome::ACCEPTED;
        }
        let record = self.records.iter().find(|r| attached && r.id == answer.request && r.verdict.is_none()).cloned();
        let Some(record) = record else {
            self.counters.stale_answers += 1;
            return Outcome::STALE;
        };
        self.remember(now, &record.who, record.asked, answer);
        self.decide(record.id, answer.verdict, record.asked);
        self.counters.doors.verdict += 1;
        Outcome::ACCEPTED
    }

    fn remember(&mut self, now: u64, who: &Who, asked: u64, answer: &Answer) {
        if self.settings.max_cached > 0 {
            self.known.remember(now, who, asked, answer);
        }
    }

    pub fn configure(&mut self, settings: Settings) {
        if settings.epoch != self.settings.epoch {
            self.known.rules += 1;
            self.known.epoch_at = self.known.rules;
            self.recheck = self.owner.is_some() && !self.draining;
            self.questions.retain(|question| question.id.is_none());
        }
        if settings.max_cached != self.settings.max_cached {
            self.known.cache.clear();
        }
        self.settings = settings;
    }

    pub fn detach(&mut self) {
        self.owner = None;
        self.counters.doors.detach += self.release(|_| true);
        self.counters.dropped_reports += self.reports.drain(..).count() as u64;
        self.questions.clear();
        self.recheck = false;
    }

    pub fn drain(&mut self) {
        self.draining = true;
        self.counters.doors.unload += self.release(|_| true);
        self.questions.clear();
        self.recheck = false;
    }
}
