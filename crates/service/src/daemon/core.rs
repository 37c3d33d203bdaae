//! What the threads of the service share.
//!
//! Neighbours: `daemon` starts the threads; `server` serves clients from this.

use crate::clock::Now;
use crate::config::Config;
use crate::daemon::desk::Audience;
use crate::daemon::memory::Memory;
use crate::gate::Gate;
use crate::gate::keep::Keeper;
use crate::identity::Processes;
use crate::journal::{Event, Journal};
use crate::log;
use crate::metrics::Metrics;
use crate::policy::{Read, Rules};
use crate::server::Feed;
use control::status::{Counters, Log, Source, Status};
use jiff::Timestamp;
use rules::source::Problem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The service, as its threads and its clients see it.
pub struct Core {
    /// Connections that are held.
    pub gate: Arc<Gate>,
    /// The attachment.
    pub keeper: Arc<Keeper>,
    /// The log, when it is kept.
    pub log: Option<log::Log>,
    /// What clients are told unasked.
    pub feed: Feed,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Memory,
    pub(super) audience: Mutex<Audience>,
    journal: Journal,
    pub(super) config_file: Option<PathBuf>,
    started: Timestamp,
    config_refused: Mutex<Vec<Problem>>,
    names: Mutex<Source>,
}

/// What a [`Core`] is made of.
pub(super) struct Parts {
    pub gate: Arc<Gate>,
    pub keeper: Arc<Keeper>,
    pub log: Option<log::Log>,
    pub feed: Feed,
    pub metrics: Arc<Metrics>,
    pub memory: Memory,
    pub journal: Journal,
    pub config_file: Option<PathBuf>,
    pub now: Now,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { gate, keeper, log, feed, metrics, memory, journal, config_file, now } = parts;
        let (config_refused, names) = (Mutex::default(), Mutex::new(Source::Off));
        let (audience, started) = (Mutex::default(), now.wall);
        Self {
            gate,
            keeper,
            log,
            feed,
            metrics,
            memory,
            audience,
            journal,
            config_file,
            started,
            config_refused,
            names,
        }
    }

    /// How the service does, truthfully.
    pub fn status(&self) -> Status {
        let now = self.gate.clock.now();
        let (counts, snoozed_until) = self.gate.with_asks(now, |asks| (asks.counts(), asks.snoozed_until(now)));
        let mut rules = self.gate.policy.status();
        rules.refused.extend(self.config_refused().iter().cloned());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            gate: self.keeper.status(),
            rules,
            unmatched: self.gate.config.load().unmatched,
            snoozed_until,
            prompts: counts.prompts,
            counters: Counters {
                prompts: counts.opened,
                answered: counts.answered,
                waiting: counts.waiting,
                shed: self.log.as_ref().map_or(0, log::Log::shed),
                ..self.gate.outlet.counters.read()
            },
            log: self.log.as_ref().map_or(Log { state: Source::Off, bytes: 0, entries: 0 }, log::Log::status),
            names: self.names().clone(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.gate.policy.rules())
    }

    /// Reads rules and configuration again, now. Gives everything that is wrong; what was in force then stays.
    pub fn reload(&self) -> Result<(), Vec<Problem>> {
        let mut problems = self.reload_config().err().unwrap_or_default();
        let read = self.gate.policy.read(self.gate.clock.now());
        self.rules_read(&read);
        if let Read::Refused(refused) = read {
            problems.extend(refused);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Carries out what came of reading the rules, and says so.
    pub(super) fn rules_read(&self, read: &Read) {
        match read {
            Read::Same => {}
            Read::InForce => {
                self.gate.rules_changed();
                self.tell_rules();
            }
            Read::Refused(problems) => self.tell(&Event::RulesRefused(problems.clone())),
        }
    }

    /// Says what a start found.
    pub(super) fn tell_start(&self) {
        let refused = self.gate.policy.refused();
        if !refused.is_empty() {
            self.tell(&Event::RulesRefused(refused));
        }
        self.tell_rules();
    }

    /// Puts the configuration in force that is in its file now.
    pub(super) fn reload_config(&self) -> Result<(), Vec<Problem>> {
        let Some(file) = &self.config_file else { return Ok(()) };
        let read = Config::read(file);
        *self.config_refused() = read.as_ref().err().cloned().unwrap_or_default();
        match read {
            Ok(config) => {
                if config != **self.gate.config.load() {
                    self.gate.change_config(config);
                    self.tell(&Event::Configured);
                }
                Ok(())
            }
            Err(problems) => {
                self.tell(&Event::ConfigRefused(problems.clone()));
                Err(problems)
            }
        }
    }

    /// Forgets answers for processes that have ended, so that they take no room from others.
    pub fn forget_ended(&self, processes: &dyn Processes) {
        let now = self.gate.clock.now();
        let answered = self.gate.with_asks(now, |asks| asks.answered_processes());
        let mut is_changed = false;
        for process in answered.into_iter().filter(|process| !processes.is_running(*process)) {
            is_changed |= self.gate.with_asks(now, |asks| asks.process_ended(process.start_key));
        }
        if is_changed {
            // They decide nothing any more, whether the file has them or not.
            let _written_next_time = self.memory.write_answers(&self.gate);
        }
    }

    /// Where names come from, from now on.
    pub(super) fn set_names(&self, source: Source) {
        *self.names() = source;
    }

    pub(super) fn tell(&self, event: &Event) {
        (self.journal)(self.gate.clock.now(), event);
    }

    /// Tells, and keeps, which rules are in force.
    fn tell_rules(&self) {
        let rules = self.gate.policy.rules();
        let (revision, count) = (rules.ruleset.revision().clone(), rules.ruleset.rules().len());
        if let Some(log) = &self.log {
            log.put_revision(revision.clone(), rules.ruleset.files().to_vec());
        }
        self.tell(&Event::Rules { revision, count, instead: rules.instead });
    }

    fn config_refused(&self) -> MutexGuard<'_, Vec<Problem>> {
        self.config_refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, Source> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
