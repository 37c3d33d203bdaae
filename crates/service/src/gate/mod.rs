//! The gate: connections that are held, and what is ruled about each.
//!
//! * [`held`]: a connection that waits for its verdict, as the service keeps it.
//! * `judge`: rules, answers and defaults applied to one.
//! * `parked`: those that wait for facts. [`lookups`]: where facts are found out.
//! * [`attachment`]: one attachment to the enforcement point. [`keep`]: attaching for ever. [`backoff`]: and how often.
//!
//! Any thread may rule about connections and submit: the one that takes requests, the workers that learn facts, the timer,
//! and those of clients. Invariants: a [`held::Held`] is an obligation: it is moved until it is ruled about and submitted,
//! once, or its attachment ended; locks are taken in the order `state`, `asks`, and none is held across I/O but the
//! submission itself, which the enforcement point does at once. Neighbours: `policy` has the rules, `ask` the people,
//! `outlet` tells what was decided.

pub mod attachment;
pub mod backoff;
pub mod held;
mod judge;
pub mod keep;
pub mod lookups;
mod parked;

use crate::ask::changes::Change;
use crate::ask::waiting::Decided;
use crate::ask::{self, Asks};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::gate::attachment::{Attachment, Ruled};
use crate::gate::held::{Held, Ruling};
use crate::gate::lookups::{Asker, Lookups};
use crate::gate::parked::Lot;
use crate::identity::{Identities, Key};
use crate::interfaces::{Interfaces, Namer};
use crate::names::Names;
use crate::outlet::Outlet;
use crate::policy::Policy;
use crate::submit::{Fate, SubmitError};
use arc_swap::{ArcSwap, ArcSwapOption};
use control::entry::{DefaultWhy, EnforcerWhy, Reason};
use crossbeam_channel::Sender;
use platform::enforcer::EnforcerError;
use platform::paths::Volumes;
use rules::facts::Identity;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use wire::settings::Settings;

/// How long a connection waits for facts at most. Then they count as unknown.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long after the latest moment for a ruling the enforcement point's deadline is, so that we decide and not its fallback.
const MARGIN: Duration = Duration::from_secs(3);

/// Who is told what happens to prompts. Called with the prompts locked: it never blocks.
pub type PromptWatcher = Box<dyn Fn(&[Change]) + Send + Sync>;

/// The gate.
pub struct Gate {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The rules in force.
    pub policy: Arc<Policy>,
    /// The configuration in force.
    pub config: ArcSwap<Config>,
    /// The names that are known.
    pub names: Names,
    /// Where decisions go.
    pub outlet: Outlet,
    /// The drive letters of this machine.
    pub volumes: Volumes,
    /// Where facts are asked for.
    pub lookups: Lookups,
    /// Who is told what happens to prompts.
    pub watcher: PromptWatcher,
    asks: Mutex<Asks<Box<Held>>>,
    state: Mutex<State>,
    attachment: ArcSwapOption<Attachment>,
    /// Read while answers are submitted; written to wait for those that were ruled by rules that are no longer in force.
    submitting: RwLock<()>,
    epoch: AtomicU32,
    timer: Sender<()>,
}

/// What a [`Gate`] is made of.
pub struct Parts {
    /// See [`Gate`].
    pub clock: Arc<dyn Clock>,
    /// See [`Gate`].
    pub policy: Arc<Policy>,
    /// See [`Gate`].
    pub config: Config,
    /// See [`Gate`].
    pub outlet: Outlet,
    /// See [`Gate`].
    pub volumes: Volumes,
    /// See [`Gate`].
    pub lookups: Lookups,
    /// Names interfaces.
    pub interfaces: Namer,
    /// See [`Gate`].
    pub watcher: PromptWatcher,
    /// The people.
    pub asks: Asks<Box<Held>>,
    /// Wakes the thread that calls [`Gate::tick`].
    pub timer: Sender<()>,
}

/// What one connection at a time looks at.
struct State {
    identities: Identities,
    interfaces: Interfaces,
    parked: Lot,
    /// The service ends: what is not ruled about yet gets the default.
    is_stopping: bool,
}

impl Gate {
    /// Made of these.
    pub fn new(parts: Parts) -> Self {
        let Parts { clock, policy, config, outlet, volumes, lookups, interfaces, watcher, asks, timer } = parts;
        let (identities, interfaces, parked) = (Identities::default(), Interfaces::new(interfaces), Lot::default());
        Self {
            epoch: AtomicU32::new(fresh_epoch(clock.now())),
            clock,
            policy,
            config: ArcSwap::from_pointee(config),
            names: Names::default(),
            outlet,
            volumes,
            lookups,
            watcher,
            asks: Mutex::new(asks),
            state: Mutex::new(State { identities, interfaces, parked, is_stopping: false }),
            attachment: ArcSwapOption::empty(),
            submitting: RwLock::default(),
            timer,
        }
    }

    /// Does something with the people, and tells what changed.
    pub fn with_asks<T>(&self, now: Now, what: impl FnOnce(&mut Asks<Box<Held>>) -> T) -> T {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let result = what(&mut asks);
        let changes = asks.drain_changes(now);
        if !changes.is_empty() {
            (self.watcher)(&changes);
        }
        result
    }

    /// Carries out what was decided by, or in place of, people.
    pub fn release(&self, decided: Vec<Decided<Box<Held>>>) {
        if !decided.is_empty() {
            let rules = self.policy.rules();
            self.submit(decided.into_iter().map(|decided| judge::answered(decided, &rules)).collect());
        }
    }

    /// Other rules are in force: what waits is judged by them, and the enforcement point forgets what it remembers.
    pub fn rules_changed(&self) {
        let now = self.clock.now();
        // Whoever judges by the old rules has the state locked, so this comes after them.
        let parked = self.state().parked.take_all();
        let rules = self.policy.rules();
        self.configure();
        let reconsidered =
            self.with_asks(now, |asks| asks.reconsider(|waiting| judge::reconsider(&rules, waiting, now), now));
        self.release(reconsidered.decided);
        let again = parked.into_iter().map(|parked| (parked.held, Some(parked.give_up)));
        let taken_back = reconsidered.taken_back.into_iter().map(|waiting| (judge::held(waiting), None));
        self.judge_again(again.chain(taken_back).collect(), now);
    }

    /// Another configuration is in force.
    pub fn change_config(&self, config: Config) {
        let now = self.clock.now();
        let settings = ask::Settings { unmatched: config.unmatched, default: config.ask.default };
        self.config.store(Arc::new(config));
        self.with_asks(now, |asks| asks.configure(settings));
        self.configure();
    }

    /// Puts the settings that follow from the configuration in force, under a new epoch.
    pub fn configure(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        // What was ruled before is submitted, or will not be remembered.
        drop(self.submitting.write().unwrap_or_else(PoisonError::into_inner));
        if let Some(attachment) = self.attachment.load_full()
            && let Err(error) = attachment.configure(|| self.settings())
        {
            attachment.fail(error.into());
        }
    }

    /// Time has passed.
    pub fn tick(&self) {
        let now = self.clock.now();
        let decided = self.with_asks(now, |asks| asks.tick(now));
        self.release(decided);
        let mut again = Vec::new();
        {
            let State { identities, parked, .. } = &mut *self.state();
            for process in parked.given_up(now.monotonic) {
                if let Some(known) = identities.get(process) {
                    known.give_up();
                }
                again.extend(parked.take(process).into_iter().map(|parked| (parked.held, Some(parked.give_up))));
            }
            // There was no room to ask for these.
            for process in parked.processes() {
                if let Some(known) = identities.get(process) {
                    self.ask_urgently(process, known);
                }
            }
        }
        self.judge_again(again, now);
        if let Some(attachment) = self.attachment.load_full() {
            self.flush(&attachment);
        }
    }

    /// Whether something waits that [`Gate::tick`] looks after.
    pub fn is_waited_for(&self) -> bool {
        let now = self.clock.now();
        !self.state().parked.is_empty()
            || self.with_asks(now, |asks| asks.counts().waiting > 0)
            || self.attachment.load().as_ref().is_some_and(|attachment| !attachment.submitter.is_empty())
    }

    /// The attachment, if there is one.
    pub fn attachment(&self) -> Option<Arc<Attachment>> {
        self.attachment.load_full()
    }

    /// What the enforcement point is told.
    pub fn settings(&self) -> Settings {
        let config = self.config.load();
        let deadline = (config.ask.timeout + MARGIN).as_millis();
        Settings {
            fallback_outbound: config.fallback.outbound,
            fallback_inbound: config.fallback.inbound,
            hold: config.hold.what.bits(),
            deadline_ms: u32::try_from(deadline).unwrap_or(u32::MAX).min(*Settings::DEADLINE_MS.end()),
            max_pended: config.limits.held,
            max_pended_per_process: config.limits.held_per_process,
            max_cached: config.limits.remembered,
            epoch: self.epoch.load(Ordering::Acquire),
            max_packet_bytes: config.hold.packet_bytes,
            max_packet_bytes_per_operation: config.hold.packet_bytes_per_connection,
        }
    }

    /// Rules about everything that waits, because the service ends.
    fn wind_down(&self) {
        let now = self.clock.now();
        let parked = {
            let mut state = self.state();
            // From here on nothing is parked or asked about any more.
            state.is_stopping = true;
            state.parked.take_all()
        };
        let decided = self.with_asks(now, |asks| asks.stop(now));
        self.release(decided);
        let held = parked.into_iter().map(|parked| parked.held).filter(|held| !held.is_live());
        self.submit(held.map(|held| self.stopping(held)).collect());
    }

    /// The service ends before anybody decided.
    fn stopping(&self, held: Held) -> Ruled {
        let ruling = Ruling::by_default(self.config.load().ask.default, DefaultWhy::Stopping);
        Ruled { held, ruling, rules: self.policy.rules().clone() }
    }

    /// The attachment is over: what it held was released by the fallback.
    fn close(&self, attachment: &Attachment) {
        self.attachment.store(None);
        let now = self.clock.now();
        let unsubmitted = attachment.submitter.close().into_iter().map(|ruled| ruled.held);
        let parked = self.state().parked.take_all().into_iter().map(|parked| parked.held);
        let asked = self.with_asks(now, |asks| asks.all_closed(now)).into_iter().map(judge::held);
        let gone: Vec<Held> = unsubmitted.chain(parked).chain(asked).collect();
        self.released(gone, &attachment.settings(), now);
    }

    fn released(&self, gone: Vec<Held>, settings: &Settings, now: Now) {
        let rules = self.policy.rules();
        let made: Vec<_> = gone
            .into_iter()
            .filter(|held| !held.is_live())
            .filter_map(|held| {
                let fallback = judge::fallback(held.direction, settings);
                let reason = Reason::Enforcer { why: EnforcerWhy::Fallback };
                let ruling = Ruling { reason, ..Ruling::by_default(fallback, DefaultWhy::Unmatched) };
                self.outlet.decided(Ruled { held, ruling, rules: rules.clone() }, Fate::Stale, now)
            })
            .collect();
        self.outlet.publish(&made);
    }

    /// Submits rulings. Those about connections of an attachment that is over are only told.
    fn submit(&self, ruled: Vec<Ruled>) {
        if ruled.is_empty() {
            return;
        }
        let attachment = self.attachment.load_full();
        let number = attachment.as_ref().map(|attachment| attachment.number);
        let (ours, mut late): (Vec<Ruled>, Vec<Ruled>) =
            ruled.into_iter().partition(|ruled| Some(ruled.held.attachment) == number);
        if let Some(attachment) = attachment {
            late.extend(attachment.submitter.add(ours));
            self.flush(&attachment);
        }
        let now = self.clock.now();
        let made: Vec<_> = late.into_iter().filter_map(|ruled| self.outlet.decided(ruled, Fate::Stale, now)).collect();
        self.outlet.publish(&made);
    }

    /// Submits what waits to be. What went wrong ends the attachment.
    fn flush(&self, attachment: &Attachment) {
        if let Err(error) = self.try_flush(attachment) {
            attachment.fail(error);
        }
        if !attachment.submitter.is_empty() {
            self.wake_timer();
        }
    }

    fn try_flush(&self, attachment: &Attachment) -> Result<(), SubmitError> {
        let mut made = Vec::new();
        let submitted = {
            let _submitting = self.submitting.read().unwrap_or_else(PoisonError::into_inner);
            let in_force = self.policy.rules().number;
            let now = self.clock.now();
            let told = |ruled, fate| made.extend(self.outlet.decided(ruled, fate, now));
            attachment.submitter.submit(|ruled: &Ruled| ruled.answer(in_force), told)
        };
        self.outlet.publish(&made);
        submitted
    }

    fn wake_timer(&self) {
        // Full: it wakes anyway.
        let _full = self.timer.try_send(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asker for Gate {
    fn identity(&self, process: Key) -> Option<Arc<Identity>> {
        self.state().identities.get(process).map(|known| known.identity.clone())
    }

    fn learn(&self, process: Key, change: &mut dyn FnMut(&mut Identity)) {
        let now = self.clock.now();
        let (identity, parked) = {
            let State { identities, parked, .. } = &mut *self.state();
            let Some(known) = identities.get(process) else { return };
            known.change(change);
            (known.identity.clone(), parked.take(process))
        };
        let reconsidered = self.with_asks(now, |asks| asks.identify(process.start_key, &identity, now));
        self.release(reconsidered.decided);
        let parked = parked.into_iter().map(|parked| (parked.held, Some(parked.give_up)));
        let taken_back = reconsidered.taken_back.into_iter().map(|waiting| (judge::held(waiting), None));
        self.judge_again(parked.chain(taken_back).collect(), now);
    }
}

/// An epoch that no earlier run had, so that what they left in the driver's cache does not decide for this one: the low
/// bits of the time in milliseconds, which come again after 49 days.
fn fresh_epoch(now: Now) -> u32 {
    let [a, b, c, d, ..] = now.wall.as_millisecond().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl From<EnforcerError> for keep::Ended {
    fn from(error: EnforcerError) -> Self {
        Self::Submit(error.into())
    }
}
