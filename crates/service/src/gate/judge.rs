//! One connection, judged: rules first, then answers, then defaults.
//!
//! Invariants: rules are loaded with the state locked, so that after [`Gate::rules_changed`] took the lock nobody judges by
//! older ones; nobody is asked about a connection that lives already, and a default ends none; what is remembered never decides another connection than the rules would. Neighbours: `rules` and `ask`
//! decide, `parked` keeps what waits for facts.

use crate::ask::answers::Lookup;
use crate::ask::waiting::{self, Considered, Decided, Waiting};
use crate::clock::Now;
use crate::connection;
use crate::gate::attachment::Ruled;
use crate::gate::held::{Held, Ruling};
use crate::gate::keep::Ended;
use crate::gate::parked::{Lot, Parked};
use crate::gate::{Gate, PATIENCE, State};
use crate::identity::{Key, Known};
use crate::outlet;
use crate::policy::Rules;
use crate::sink::Made;
use control::entry::{DefaultWhy, EnforcerWhy, Reason, Verdict};
use rules::decision::{Decision, Judgement};
use rules::facts::Needs;
use rules::model::{Action, Lifetime};
use rules::ruleset::Subject;
use std::sync::Arc;
use std::time::Duration;
use wire::batch::{self, RequestView};
use wire::request::{self, Because, RequestFlags};
use wire::settings::{Fallback, Settings};
use wire::verdict::{self, Scope};

/// How long before the enforcement point's deadline a connection must be ruled about.
const AHEAD: Duration = Duration::from_secs(2);

/// What becomes of a connection.
enum Step {
    /// It has its ruling.
    Ruled(Box<Ruled>),
    /// It waits for a person.
    Asked,
    /// Rules, or an answer, turn on facts that are being looked up.
    Needs(Box<Held>),
}

impl Gate {
    /// Takes a batch of requests: rules about those that can be ruled about now.
    pub(super) fn receive(&self, batch: &[u8], attachment: u64) -> Result<(), Ended> {
        let (head, requests) = batch::requests(batch).map_err(Ended::BadBatch)?;
        self.outlet.counters.lost_reports.add(head.dropped_reports.into());
        let now = self.clock.now();
        let (mut ruled, mut made) = (Vec::new(), Vec::new());
        let mut taken = Ok(());
        {
            let State { identities, interfaces, parked, .. } = &mut *self.state();
            let rules = self.policy.rules();
            for view in requests {
                let view = match view {
                    Ok(view) => view,
                    // What came before it is ruled about.
                    Err(error) => {
                        taken = Err(Ended::BadBatch(error));
                        break;
                    }
                };
                let request = &view.request;
                let process = Key { pid: request.process_id, start_key: request.process_start_key };
                let known = identities.get_or_insert_with(process, || Known::from_request(&view, &self.volumes));
                self.ask_idly(process, known);
                let interface = interfaces.name(request.interface_luid, request.interface_index, now.monotonic);
                let held = Held { interface, ..self.held(&view, known, attachment, now) };
                if held.flags.intersects(RequestFlags::HELD | RequestFlags::LIVE) {
                    ruled.extend(self.judge(&rules, known, parked, held, None, now));
                } else {
                    made.extend(self.report(&view, held, &rules, now));
                }
            }
        }
        self.outlet.publish(&made);
        self.submit(ruled);
        taken
    }

    /// Judges connections that waited for facts. Each comes with the moment at which it is given up, if it has one.
    pub(super) fn judge_again(&self, waiting: Vec<(Held, Option<Duration>)>, now: Now) {
        if waiting.is_empty() {
            return;
        }
        let (mut ruled, mut gone) = (Vec::new(), Vec::new());
        {
            let State { identities, parked, is_stopping, .. } = &mut *self.state();
            let rules = self.policy.rules();
            // The end of an attachment takes what waits with the state locked, and nothing may wait after that.
            let current = self.attachment().map(|attachment| attachment.number);
            for (mut held, give_up) in waiting {
                if Some(held.attachment) != current {
                    gone.push(held);
                    continue;
                }
                if *is_stopping {
                    ruled.extend((!held.is_live()).then(|| self.stopping(held)));
                    continue;
                }
                let make = || Known::new(held.identity.clone());
                let known = identities.get_or_insert_with(held.key(), make);
                held.identity = known.identity();
                ruled.extend(self.judge(&rules, known, parked, held, give_up, now));
            }
        }
        self.submit(ruled);
        if !gone.is_empty() {
            self.released(gone, &self.settings(), now);
        }
    }

    /// Judges one. `None`: it waits, for facts or for a person.
    fn judge(
        &self,
        rules: &Arc<Rules>,
        known: &mut Known,
        parked: &mut Lot,
        held: Held,
        give_up: Option<Duration>,
        now: Now,
    ) -> Option<Ruled> {
        let mut held = match self.decide(rules, known.subject(rules), held, now) {
            Step::Ruled(ruled) => return Some(*ruled),
            Step::Asked => return None,
            Step::Needs(held) => *held,
        };
        let give_up = give_up.unwrap_or(now.monotonic + PATIENCE).min(held.deadline);
        if give_up > now.monotonic && parked.has_room() && !held.identity.pending.is_empty() {
            self.ask_urgently(held.key(), known);
            parked.park(Parked { held, give_up });
            self.wake_timer();
            return None;
        }
        // It waited long enough, or too many wait: the facts count as unknown.
        Arc::make_mut(&mut held.identity).pending = Needs::empty();
        let subject = rules.ruleset.subject(held.identity.clone());
        match self.decide(rules, &subject, held, now) {
            Step::Ruled(ruled) => Some(*ruled),
            Step::Asked => None,
            Step::Needs(held) => {
                let default = if held.is_live() { Verdict::Permit } else { self.config.load().ask.default };
                Some(Ruled {
                    held: *held,
                    ruling: Ruling::by_default(default, DefaultWhy::Unknown),
                    rules: rules.clone(),
                })
            }
        }
    }

    /// Rules first, then people.
    fn decide(&self, rules: &Arc<Rules>, subject: &Subject, held: Held, now: Now) -> Step {
        let decision = match rules.ruleset.decide(subject, &held.flow(now)) {
            Judgement::Decided(decision) => decision,
            Judgement::Needs(_) => return Step::Needs(Box::new(held)),
        };
        match decision.action {
            Action::Permit => Step::Ruled(Box::new(self.ruled(rules, held, Verdict::Permit, decision))),
            Action::Block => Step::Ruled(Box::new(self.ruled(rules, held, Verdict::Block, decision))),
            Action::Ask if held.is_live() => self.recall(rules, held, decision, now),
            Action::Ask => match self.with_asks(now, |asks| asks.consider(waiting(held, decision), now)) {
                Considered::Decided(decided) => Step::Ruled(Box::new(answered(decided, rules))),
                Considered::Held(_) => {
                    self.wake_timer();
                    Step::Asked
                }
                Considered::Needs(waiting, _) => Step::Needs(Box::new(self::held(waiting))),
            },
        }
    }

    /// An answer in force decides a live connection, or it lives on: nobody is asked about what was let live.
    fn recall(&self, rules: &Arc<Rules>, held: Held, decision: Decision, now: Now) -> Step {
        let waiting = waiting(held, decision);
        match self.with_asks(now, |asks| asks.recall(&waiting, now)) {
            Lookup::Decided(kept) => {
                let reason = Reason::Answer { prompt: kept.prompt, user: kept.by.clone() };
                Step::Ruled(Box::new(answered(waiting.decided(kept.verdict, reason), rules)))
            }
            Lookup::Needs(_) => Step::Needs(Box::new(self::held(waiting))),
            Lookup::Nothing => {
                let ruling = Ruling::by_default(Verdict::Permit, DefaultWhy::Unmatched);
                Step::Ruled(Box::new(Ruled { held: self::held(waiting), ruling, rules: rules.clone() }))
            }
        }
    }

    /// A rule decides it.
    fn ruled(&self, rules: &Arc<Rules>, held: Held, verdict: Verdict, decision: Decision) -> Ruled {
        let scope = self.scope(&held, &decision);
        let lifetime = match decision.lifetime {
            Lifetime::For(lifetime) => Some(lifetime),
            Lifetime::Once | Lifetime::Process | Lifetime::Forever => None,
        };
        let ruling = Ruling { verdict, reason: by_rule(&decision), asked_by: None, scope, lifetime, log: decision.log };
        Ruled { held, ruling, rules: rules.clone() }
    }

    /// How widely it may be remembered: as the rules allow and the configuration wants.
    fn scope(&self, held: &Held, decision: &Decision) -> Scope {
        let wanted = self.config.load().remember;
        // To the driver, all programs that it does not know may be one; and it does not know processes.
        let is_one_program = held.identity.program.path.is_some() && !held.flags.contains(RequestFlags::PATH_TRUNCATED);
        if !is_one_program || matches!(decision.lifetime, Lifetime::Once | Lifetime::Process) {
            return Scope::OPERATION;
        }
        if wanted.0 < decision.scope.0 { wanted } else { decision.scope }
    }

    fn held(&self, view: &RequestView<'_>, known: &Known, attachment: u64, now: Now) -> Held {
        let request = &view.request;
        let (config, remote) = (self.config.load(), request.remote_ip());
        let time_left = match request.flags().contains(RequestFlags::LIVE) {
            // Nothing waits for the answer but the facts it turns on.
            true => PATIENCE,
            false => Duration::from_millis(request.deadline_ms.into()).saturating_sub(AHEAD),
        };
        Held {
            attachment,
            id: request.id,
            identity: known.identity(),
            pid: request.process_id,
            start_key: request.process_start_key,
            direction: request.direction,
            protocol: request.protocol,
            local: connection::endpoint(request.local_ip(), request.local_port, 0),
            remote: connection::endpoint(remote, request.remote_port, request.remote_scope),
            // Names are of what this machine looked up: they say nothing about who connects.
            name: match request.direction {
                request::Direction::INBOUND => None,
                _ => self.names.name(remote, request.process_id, now.monotonic),
            },
            interface: None,
            flags: request.flags(),
            received: now,
            waited: Duration::from_millis(request.waited_ms.into()),
            deadline: now.monotonic + config.ask.timeout.min(time_left),
            log: true,
        }
    }

    /// What the enforcement point decided alone; `None` when it says so in words that we do not know, and for the inbound
    /// half of loopback: its outbound half is decided and has an entry, and there are very many.
    fn report(&self, view: &RequestView<'_>, held: Held, rules: &Rules, now: Now) -> Option<Made> {
        let verdict = match view.request.verdict {
            verdict::Verdict::PERMIT => Verdict::Permit,
            verdict::Verdict::BLOCK => Verdict::Block,
            _ => return None,
        };
        if (view.request.because, verdict) == (Because::LOOPBACK, Verdict::Permit) {
            self.outlet.counters.reported.add(1);
            return None;
        }
        let why = match view.request.because {
            Because::CACHED => EnforcerWhy::Cached,
            Because::LIMIT => EnforcerWhy::Limit,
            _ => EnforcerWhy::Fallback,
        };
        Some(self.outlet.reported(held, verdict, why, rules.ruleset.revision().clone(), now))
    }

    /// Has the facts of a new process looked up, when nobody waits for them.
    fn ask_idly(&self, process: Key, known: &mut Known) {
        if !known.is_queued && !known.identity.pending.is_empty() {
            known.is_queued = self.lookups.ask(process, false);
        }
    }

    /// Has the facts of a process looked up before those of others.
    pub(super) fn ask_urgently(&self, process: Key, known: &mut Known) {
        if !known.is_urgent {
            known.is_urgent = self.lookups.ask(process, true);
        }
    }
}

/// What the fallback of the enforcement point answers. Of `last` the service knows only that it blocks what was never
/// decided.
pub(super) fn fallback(direction: request::Direction, settings: &Settings) -> Verdict {
    let fallback = match direction {
        request::Direction::INBOUND => settings.fallback_inbound,
        _ => settings.fallback_outbound,
    };
    if fallback == Fallback::PERMIT { Verdict::Permit } else { Verdict::Block }
}

/// What other rules say about a connection that waits for a person.
pub(super) fn reconsider(rules: &Rules, waiting: &Waiting<Box<Held>>, now: Now) -> waiting::Ruling {
    let subject = rules.ruleset.subject(waiting.identity.clone());
    let decision = match rules.ruleset.decide(&subject, &waiting.token.flow(now)) {
        Judgement::Decided(decision) => decision,
        Judgement::Needs(_) => return waiting::Ruling::TakeBack,
    };
    match decision.action {
        Action::Permit => waiting::Ruling::Decided(Verdict::Permit, by_rule(&decision)),
        Action::Block => waiting::Ruling::Decided(Verdict::Block, by_rule(&decision)),
        Action::Ask => waiting::Ruling::Ask { asked_by: decision.because, lifetime: decision.lifetime },
    }
}

/// The rulings of people, and defaults in their place.
pub(super) fn answered(decided: Decided<Box<Held>>, rules: &Arc<Rules>) -> Ruled {
    let Decided { waiting, verdict, reason } = decided;
    let asked_by = match reason {
        Reason::Rule { .. } => None,
        _ => waiting.asked_by.clone(),
    };
    let held = held(waiting);
    let ruling = Ruling { verdict, reason, asked_by, scope: Scope::OPERATION, lifetime: None, log: held.log };
    Ruled { held, ruling, rules: rules.clone() }
}

/// The connection that waited, as well known as it is now.
pub(super) fn held(waiting: Waiting<Box<Held>>) -> Held {
    Held { identity: waiting.identity, ..*waiting.token }
}

fn waiting(held: Held, decision: Decision) -> Waiting<Box<Held>> {
    Waiting {
        request: held.id,
        identity: held.identity.clone(),
        pid: held.pid,
        start_key: held.start_key,
        direction: outlet::direction(held.direction),
        protocol: held.protocol,
        local: held.local,
        remote: held.remote,
        name: held.name.clone(),
        asked_by: decision.because,
        lifetime: decision.lifetime,
        deadline: held.deadline,
        token: Box::new(Held { log: decision.log, ..held }),
    }
}

/// Rules that permit or block have names; what nothing matched is asked about.
fn by_rule(decision: &Decision) -> Reason {
    let unmatched = Reason::Default { why: DefaultWhy::Unmatched };
    decision.because.clone().map_or(unmatched, |rule| Reason::Rule { rule })
}
