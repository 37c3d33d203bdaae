//! Questions to people: who waits for an answer, and which answers are in force.
//!
//! A connection for which the ruleset says *ask* comes to [`Asks::consider`]. In this order: an answer in force decides; the
//! configured mode does (permit, block, learn); a snooze does; without anybody who may answer the default does; when too
//! much waits the default does; else it waits in a prompt. It comes out again once: answered, by default when its deadline
//! has come, ruled about by new rules, or because it is gone.
//!
//! * [`waiting`]: a connection on its way through, and what comes out.
//! * [`place`]: who asks, and for where: what prompts are coalesced by.
//! * [`coverage`]: what an answer covers.
//! * [`prompts`]: the open prompts and their bounds.
//! * [`reply`]: an answer is checked and carried out.
//! * [`answers`]: answers in force, and their file.
//! * [`rule`]: an answer for ever, as a rule.
//! * [`learn`]: proposed rules, in place of questions.
//! * [`snooze`]: peace for a while.
//! * [`person`], [`changes`], [`refused`]: who may answer, what clients are told, and why not.
//!
//! Invariants: no I/O, no clock, nothing blocks: the daemon keeps this behind one mutex and passes the time in. Every
//! connection that goes in comes out once. An open prompt decides nothing but the connections that its answer covers.
//! Neighbours: the daemon gives the verdicts to the enforcement point and writes down what must last; the control server
//! passes answers in and [`Asks::drain_changes`] out.

pub mod answers;
pub mod changes;
pub mod coverage;
pub mod learn;
pub mod person;
pub mod place;
pub mod prompts;
pub mod refused;
pub mod reply;
pub mod rule;
pub mod snooze;
pub mod waiting;

use crate::clock::Now;
use crate::identity::Key;
use answers::file::Snapshot;
use answers::{Answers, Lookup};
use changes::{Change, Changes, Gone, Shown};
use control::entry::{DefaultWhy, Reason, Verdict};
use control::prompt::{Closed, Prompt};
use control::status::{Snooze, Unmatched};
use jiff::Timestamp;
use learn::Learned;
use person::Person;
use place::Asker;
use prompts::{Added, Open, Prompts};
use rules::facts::Identity;
use snooze::{Snoozing, TooLong};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use waiting::{Considered, Decided, Ruling, Waiting};
use wire::verdict::RequestId;

/// What is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is done with connections for which the ruleset says *ask*.
    pub unmatched: Unmatched,
    /// The verdict when nobody answers.
    pub default: Verdict,
}

/// What was done, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Prompts opened.
    pub opened: u64,
    /// Prompts answered, those that an answer to another covered included.
    pub answered: u64,
    /// Prompts open now.
    pub prompts: u64,
    /// Connections that wait now.
    pub waiting: u64,
}

/// What became of connections when the rules changed.
#[derive(Debug)]
#[must_use = "programs wait for these verdicts"]
pub struct Reconsidered<T> {
    /// These have their verdict.
    pub decided: Vec<Decided<T>>,
    /// These want facts: consider them again.
    pub taken_back: Vec<Waiting<T>>,
}

impl<T> Default for Reconsidered<T> {
    fn default() -> Self {
        Self { decided: Vec::new(), taken_back: Vec::new() }
    }
}

/// Everything that waits for people, and what they answered.
#[derive(Debug)]
pub struct Asks<T> {
    settings: Settings,
    answers: Answers,
    prompts: Prompts<T>,
    clients: BTreeMap<u64, Person>,
    snoozing: Snoozing,
    learned: Learned,
    changes: Changes,
    counts: Counts,
}

impl<T> Asks<T> {
    /// With the answers and proposals that are kept from an earlier run.
    pub fn new(settings: Settings, answers: Answers, learned: Learned) -> Self {
        Self {
            settings,
            prompts: Prompts::new(answers.last_prompt()),
            answers,
            clients: BTreeMap::new(),
            snoozing: Snoozing::default(),
            learned,
            changes: Changes::default(),
            counts: Counts::default(),
        }
    }

    /// From now on. What waits already goes on waiting.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// What becomes of this connection.
    pub fn consider(&mut self, waiting: Waiting<T>, now: Now) -> Considered<T> {
        self.by_answer_or(Self::by_mode, waiting, now)
    }

    /// What the answers in force say about it. Nobody is asked.
    pub fn recall(&self, waiting: &Waiting<T>, now: Now) -> Lookup {
        self.answers.look_up(&Asker::of(waiting), waiting, now)
    }

    /// Decides by an answer in force, or else as `otherwise` does.
    fn by_answer_or(
        &mut self,
        otherwise: impl FnOnce(&mut Self, Waiting<T>, Now) -> Considered<T>,
        waiting: Waiting<T>,
        now: Now,
    ) -> Considered<T> {
        match self.answers.look_up(&Asker::of(&waiting), &waiting, now) {
            Lookup::Decided(kept) => {
                let reason = Reason::Answer { prompt: kept.prompt, user: kept.by.clone() };
                Considered::Decided(waiting.decided(kept.verdict, reason))
            }
            Lookup::Needs(needs) => Considered::Needs(waiting, needs),
            Lookup::Nothing => otherwise(self, waiting, now),
        }
    }

    /// Decides as configured, snoozed or deserted; else lets it wait.
    fn by_mode(&mut self, waiting: Waiting<T>, now: Now) -> Considered<T> {
        let default = self.settings.default;
        let (verdict, why) = match self.settings.unmatched {
            Unmatched::Permit => (Verdict::Permit, DefaultWhy::Unmatched),
            Unmatched::Block => (Verdict::Block, DefaultWhy::Unmatched),
            Unmatched::Learn => {
                self.learned.see(&waiting, now.wall);
                (Verdict::Permit, DefaultWhy::Learning)
            }
            Unmatched::Ask => match self.snoozing.verdict(default, now) {
                Some(verdict) => (verdict, DefaultWhy::Snoozed),
                None if !self.has_client(Asker::of(&waiting).user.as_ref()) => (default, DefaultWhy::NoClient),
                None => return self.ask(waiting, now),
            },
        };
        Considered::Decided(waiting.decided(verdict, Reason::Default { why }))
    }

    /// Lets it wait, or decides by default because too much does.
    fn ask(&mut self, waiting: Waiting<T>, now: Now) -> Considered<T> {
        let before = self.prompts.last();
        match self.prompts.add(waiting, now) {
            Added::Waits(id) => {
                self.counts.opened += self.prompts.last() - before;
                self.changes.touch(id);
                Considered::Held(id)
            }
            Added::TooMany(waiting) => {
                let reason = Reason::Default { why: DefaultWhy::TooMany };
                Considered::Decided(waiting.decided(self.settings.default, reason))
            }
        }
    }

    fn has_client(&self, owner: Option<&Arc<str>>) -> bool {
        self.clients.values().any(|person| person.may_answer(owner))
    }

    /// A client follows prompts from now on. `client` is its number.
    pub fn follow(&mut self, client: u64, person: Person) {
        self.clients.insert(client, person);
    }

    /// A client does not follow prompts any more. What nobody may answer now gets the default at once.
    pub fn unfollow(&mut self, client: u64, now: Now) -> Vec<Decided<T>> {
        self.clients.remove(&client);
        let orphans = self.prompts.iter().filter(|(_, open)| !self.has_client(open.owner())).map(|(id, _)| id);
        let orphans: Vec<u64> = orphans.collect();
        orphans.into_iter().flat_map(|id| self.release(id, DefaultWhy::NoClient, now)).collect()
    }

    /// Gives the default to everything that waits in a prompt.
    fn release(&mut self, id: u64, why: DefaultWhy, now: Now) -> Vec<Decided<T>> {
        let taken = self.prompts.take(id, |_| true);
        if !taken.is_empty() {
            self.settle(id, now);
        }
        let default = self.settings.default;
        taken.into_iter().map(|waiting| waiting.decided(default, Reason::Default { why })).collect()
    }

    /// Connections left a prompt. If it was the last one, the prompt lingers, or closes when no answer would outlive it.
    fn settle(&mut self, id: u64, now: Now) {
        self.changes.touch(id);
        let mut closed = self.prompts.linger(id, now);
        let is_useless = |open: &Open<T>| open.waiting.is_empty() && reply::holds(open, true).is_empty();
        if self.prompts.get(id).is_some_and(is_useless) {
            closed.extend(self.prompts.close(id).map(|open| (id, open)));
        }
        for (id, open) in closed {
            self.tell_closed(id, &open, Closed::Expired);
        }
    }

    fn tell_closed(&mut self, id: u64, open: &Open<T>, closed: Closed) {
        self.changes.close(Gone { owner: open.owner().cloned(), id, closed });
    }

    /// Time has passed: gives the default to those whose deadline has come.
    pub fn tick(&mut self, now: Now) -> Vec<Decided<T>> {
        let mut decided = Vec::new();
        let (default, why) = (self.settings.default, DefaultWhy::TimedOut);
        for (id, due) in self.prompts.take_due(now.monotonic) {
            self.settle(id, now);
            decided.extend(due.into_iter().map(|waiting| waiting.decided(default, Reason::Default { why })));
        }
        for (id, open) in self.prompts.close_due(now.monotonic) {
            self.tell_closed(id, &open, Closed::Expired);
        }
        decided
    }

    /// When [`Self::tick`] is due next, by the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.prompts.next_deadline()
    }

    /// A connection is gone: its program gave up, or was ended. `None`: it did not wait.
    pub fn closed(&mut self, request: RequestId, now: Now) -> Option<Waiting<T>> {
        let id = self.prompts.find(request)?;
        let gone = self.prompts.take(id, |waiting| waiting.request == request).pop();
        self.settle(id, now);
        gone
    }

    /// All connections are gone: the enforcement point released them.
    pub fn all_closed(&mut self, now: Now) -> Vec<Waiting<T>> {
        let ids: Vec<u64> = self.prompts.iter().map(|(id, _)| id).collect();
        let mut gone = Vec::new();
        for id in ids {
            let taken = self.prompts.take(id, |_| true);
            if !taken.is_empty() {
                self.settle(id, now);
            }
            gone.extend(taken);
        }
        gone
    }

    /// The service ends: everything gets the default.
    pub fn stop(&mut self, now: Now) -> Vec<Decided<T>> {
        let ids: Vec<u64> = self.prompts.iter().map(|(id, _)| id).collect();
        ids.into_iter().flat_map(|id| self.release(id, DefaultWhy::Stopping, now)).collect()
    }

    /// The rules changed: asks `rule` about everything that waits.
    pub fn reconsider(&mut self, mut rule: impl FnMut(&Waiting<T>) -> Ruling, now: Now) -> Reconsidered<T> {
        let mut reconsidered = Reconsidered::default();
        let ids: Vec<u64> = self.prompts.iter().map(|(id, _)| id).collect();
        let mut moved = Vec::new();
        for id in ids {
            let mut rulings = Vec::new();
            let taken = self.prompts.take(id, |waiting| {
                let ruling = rule(waiting);
                let stays = matches!(&ruling, Ruling::Ask { asked_by, .. } if *asked_by == waiting.asked_by);
                if !stays {
                    rulings.push(ruling);
                }
                !stays
            });
            if taken.is_empty() {
                continue;
            }
            for (waiting, ruling) in taken.into_iter().zip(rulings) {
                match ruling {
                    Ruling::Decided(verdict, reason) => reconsidered.decided.push(waiting.decided(verdict, reason)),
                    Ruling::Ask { asked_by, lifetime } => moved.push(Waiting { asked_by, lifetime, ..waiting }),
                    Ruling::TakeBack => reconsidered.taken_back.push(waiting),
                }
            }
            if self.prompts.get(id).is_some_and(|open| open.waiting.is_empty()) {
                if let Some(open) = self.prompts.close(id) {
                    self.tell_closed(id, &open, Closed::Ruled);
                }
            } else {
                self.changes.touch(id);
            }
        }
        self.ask_again(moved, &mut reconsidered, now);
        reconsidered
    }

    /// More is known about a process: answers may turn on it, and prompts show it.
    pub fn identify(&mut self, start_key: u64, identity: &Arc<Identity>, now: Now) -> Reconsidered<T> {
        let mut reconsidered = Reconsidered::default();
        if start_key == 0 {
            return reconsidered;
        }
        self.prompts.identify(start_key, identity);
        let concerns = |open: &Open<T>| {
            let is_its = |waiting: &Waiting<T>| waiting.start_key == start_key;
            open.shown.start_key == start_key || open.waiting.iter().any(is_its)
        };
        let ids: Vec<u64> = self.prompts.iter().filter(|(_, open)| concerns(open)).map(|(id, _)| id).collect();
        let mut known = Vec::new();
        for id in &ids {
            let taken = self.prompts.take(*id, |waiting| waiting.start_key == start_key);
            known.extend(taken.into_iter().map(|waiting| Waiting { identity: identity.clone(), ..waiting }));
        }
        self.ask_again(known, &mut reconsidered, now);
        for id in ids {
            self.settle(id, now);
        }
        reconsidered
    }

    /// Lets connections that waited already wait on, unless an answer decides them as they are now.
    fn ask_again(&mut self, waiting: Vec<Waiting<T>>, reconsidered: &mut Reconsidered<T>, now: Now) {
        for waiting in waiting {
            match self.by_answer_or(Self::ask, waiting, now) {
                Considered::Decided(decided) => reconsidered.decided.push(decided),
                Considered::Needs(waiting, _) => reconsidered.taken_back.push(waiting),
                Considered::Held(_) => {}
            }
        }
    }

    /// The rule that the answer to this prompt became is in force, and decides in its place.
    pub fn rule_in_force(&mut self, prompt: u64) {
        self.answers.drop_ruled(prompt);
    }

    /// The processes that have answers of their own.
    pub fn answered_processes(&self) -> Vec<Key> {
        self.answers.processes()
    }

    /// A process has ended, and the answers for it with it. Gives whether there were any.
    pub fn process_ended(&mut self, start_key: u64) -> bool {
        start_key != 0 && self.answers.drop_process(start_key)
    }

    /// Begins or ends a snooze.
    pub fn snooze(&mut self, snooze: Snooze, now: Now) -> Result<(), TooLong> {
        self.snoozing.set(snooze, now)
    }

    /// Until when prompts are snoozed.
    pub fn snoozed_until(&self, now: Now) -> Option<Timestamp> {
        self.snoozing.until(now)
    }

    /// The open prompts that this person may answer, the oldest first.
    pub fn prompts_for(&self, person: &Person, now: Now) -> Vec<Prompt> {
        self.prompts.iter().filter_map(|(id, open)| self.show(id, open, now).to(person)).collect()
    }

    /// What happened to prompts since the last time. To be called after each call that changes something.
    pub fn drain_changes(&mut self, now: Now) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        let drained = changes.drain(|id| Some(self.show(id, self.prompts.get(id)?, now)));
        self.changes = changes;
        drained
    }

    fn show(&self, id: u64, open: &Open<T>, now: Now) -> Shown {
        let shown = &open.shown;
        let holds = reply::holds(open, true);
        let prompt = Prompt {
            id,
            identity: shown.identity.clone(),
            pid: shown.pid,
            direction: shown.direction,
            protocol: shown.protocol,
            local: shown.local,
            remote: shown.remote,
            name: shown.name.clone(),
            domain: open.domain(),
            many: open.is_for_many(),
            asked_by: shown.asked_by.clone(),
            default: self.settings.default,
            waiting: u32::try_from(open.waiting.len()).unwrap_or(u32::MAX),
            deadline: open.deadline().map(|deadline| now.wall_at(deadline)),
            opened: open.opened,
            offer: reply::offer(shown.lifetime, &holds),
            holds,
        };
        Shown::new(open.owner().cloned(), prompt)
    }

    /// What must be written down so that answers outlive this run.
    pub fn snapshot(&self) -> Snapshot {
        self.answers.snapshot()
    }

    /// Proposed rules.
    pub fn learned(&mut self) -> &mut Learned {
        &mut self.learned
    }

    /// What was done, and what waits.
    pub fn counts(&self) -> Counts {
        let (prompts, waiting) = (self.prompts.iter().count() as u64, self.prompts.waiting() as u64);
        Counts { prompts, waiting, ..self.counts }
    }
}
