//! What is done now and then: looking for changed rules and configuration and for processes that ended,
//! and listening to names.
//!
//! Neighbours: `core` carries out what is found.

use crate::daemon::core::Core;
use crate::identity::Processes;
use crate::journal::Event;
use crate::names::NameSource;
use control::status::Source;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use platform::names;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// How often files are looked at.
const ROUND: Duration = Duration::from_secs(1);
/// How many rounds pass before a source of names that failed is tried again.
const NAMES_ROUNDS: u32 = 30;
/// How many rounds pass before processes that have answers are looked at again.
const PROCESS_ROUNDS: u32 = 60;

/// The thread that looks.
pub struct Caretaker {
    core: Arc<Core>,
    processes: Arc<dyn Processes>,
    source: Option<Box<dyn NameSource>>,
    /// Dropping it ends listening.
    watch: Option<Box<dyn Send>>,
    has_ended: Arc<AtomicBool>,
    rounds_until_names: u32,
    config_seen: Option<(u64, SystemTime)>,
}

impl Caretaker {
    /// Looks after `core`, and whether those of its `processes` that have answers still run; listens to `source`.
    pub fn new(core: Arc<Core>, processes: Arc<dyn Processes>, source: Option<Box<dyn NameSource>>) -> Self {
        let config_seen = core.config_file.as_deref().and_then(look);
        let (watch, has_ended) = (None, Arc::default());
        Self { core, processes, source, watch, has_ended, rounds_until_names: 0, config_seen }
    }

    /// Looks each second until `stop` is closed.
    pub fn run(mut self, stop: &Receiver<()>) {
        for round in 1_u32.. {
            self.listen();
            if !matches!(stop.recv_timeout(ROUND), Err(RecvTimeoutError::Timeout)) {
                return;
            }
            // Tried again when it is seen more often.
            let _unwritten = self.core.memory.write_proposals(&self.core.gate);
            if round.is_multiple_of(PROCESS_ROUNDS) {
                self.core.forget_ended(&*self.processes);
            }
            let read = self.core.gate.policy.poll(self.core.gate.clock.now());
            self.core.rules_read(&read);
            let seen = self.core.config_file.as_deref().and_then(look);
            if seen != self.config_seen {
                self.config_seen = seen;
                // What is wrong with it is told.
                let _told = self.core.reload_config();
            }
        }
    }

    /// Listens to names, again after a while when that ended.
    fn listen(&mut self) {
        let Some(source) = &self.source else { return };
        if self.has_ended.swap(false, Ordering::AcqRel) {
            self.watch = None;
        }
        if self.watch.is_some() {
            return;
        }
        if self.rounds_until_names > 0 {
            self.rounds_until_names -= 1;
            return;
        }
        self.rounds_until_names = NAMES_ROUNDS;
        let (core, has_ended) = (Arc::downgrade(&self.core), self.has_ended.clone());
        let sink = move |event| {
            let Some(core) = core.upgrade() else { return };
            match event {
                names::Event::Answer(answer) => core.gate.names.hear(&answer, core.gate.clock.now().monotonic),
                names::Event::Ended(why) => {
                    tell_no_names(&core, why);
                    has_ended.store(true, Ordering::Release);
                }
            }
        };
        match source.watch(Box::new(sink)) {
            Ok(watch) => {
                self.core.set_names(Source::Works { what: source.what().into() });
                self.watch = Some(watch);
            }
            Err(why) => tell_no_names(&self.core, why),
        }
    }
}

fn tell_no_names(core: &Core, why: String) {
    let source = Source::Fails { why: why.as_str().into() };
    if core.status().names != source {
        core.tell(&Event::NoNames(why));
    }
    core.set_names(source);
}

/// What changes when the file does.
fn look(file: &Path) -> Option<(u64, SystemTime)> {
    let found = fs::metadata(file).ok()?;
    Some((found.len(), found.modified().ok()?))
}
