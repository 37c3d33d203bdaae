//! The Windows service that hosts the engine: its state, who hears of it, and what survives its restart.
//!
//! Invariants: when it stops every session ends, and everything but persistent objects goes; what is persistent comes back
//! when it starts, disabled where its provider's service will not start. Callbacks run with no lock held.

#![expect(unsafe_code, reason = "calls a driver's function")]

use super::lifetime::Lifetime;
use super::notify;
use super::object::{Draft, Filter};
use super::store::Store;
use super::{Bfe, Result, State};
use crate::machine::Machine;
use nt_sys::fwpm::*;
use nt_sys::status::STATUS_FWP_NOT_FOUND;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::{self, ThreadId};

pub(super) struct Service {
    state: FWPM_SERVICE_STATE,
    subscribers: BTreeMap<u64, Subscriber>,
    /// Windows services that do not start by themselves.
    disabled: BTreeSet<String>,
}

struct Subscriber {
    callback: FWPM_SERVICE_STATE_CHANGE_CALLBACK0,
    context: usize,
    running_on: Option<ThreadId>,
}

impl Service {
    pub fn new(is_running: bool) -> Self {
        let state = if is_running { FWPM_SERVICE_RUNNING } else { FWPM_SERVICE_STOPPED };
        Self { state, subscribers: BTreeMap::new(), disabled: BTreeSet::new() }
    }

    pub fn is_running(&self) -> bool {
        self.state == FWPM_SERVICE_RUNNING
    }
}

impl Bfe {
    pub fn service_state(&self) -> FWPM_SERVICE_STATE {
        self.state().service.state
    }

    /// Says whether the Windows service called `name` starts by itself.
    pub fn set_service_starts(&self, name: &str, starts: bool) {
        let disabled = &mut self.state().service.disabled;
        if starts {
            disabled.remove(name);
        } else {
            disabled.insert(name.into());
        }
    }

    pub fn stop(&self, machine: &Machine) {
        self.enter_state(machine, FWPM_SERVICE_STOP_PENDING);
        let sessions: Vec<u64> = self.state().sessions.keys().copied().collect();
        for session in sessions {
            self.roll_back(machine, session);
        }
        let gone: Vec<Arc<Filter>> = {
            let mut state = self.state();
            let ended = std::mem::take(&mut state.sessions);
            state.dead_sessions.extend(ended.into_keys());
            state.stored = state.committed.only(|common| common.lifetime.outlives_restart());
            let stays = |lifetime: Lifetime| matches!(lifetime, Lifetime::BuiltIn | Lifetime::BootTime);
            let filters = state.committed.filters.values();
            let gone = filters.filter(|filter| !stays(filter.common.lifetime)).cloned().collect();
            state.service.state = FWPM_SERVICE_STOPPED;
            state.replace(machine, |store| store.only(|common| stays(common.lifetime)));
            gone
        };
        for filter in &gone {
            notify::deleted(machine, filter);
        }
        self.enter_state(machine, FWPM_SERVICE_STOPPED);
    }

    pub fn start(&self, machine: &Machine) {
        self.enter_state(machine, FWPM_SERVICE_START_PENDING);
        let (stored, disabled) = {
            let mut state = self.state();
            (std::mem::take(&mut state.stored), state.service.disabled.clone())
        };
        let is_persistent = |filter: &&Arc<Filter>| filter.common.lifetime == Lifetime::Persistent;
        let filters: Vec<Arc<Filter>> = stored.filters.values().filter(is_persistent).cloned().collect();
        let mut store = stored;
        for filter in filters {
            store.remove_filter(&filter);
            let is_disabled = is_disabled(&store, &filter, &disabled);
            let draft = Draft { is_disabled, ..filter.draft() };
            // A callout that refuses the filter now goes without it.
            if let Ok(context) = notify::added(machine, &draft.finish()) {
                store.add_filter(&Arc::new(Draft { is_disabled, context, ..filter.draft() }.finish()));
            }
        }
        {
            let mut state = self.state();
            state.service.state = FWPM_SERVICE_RUNNING;
            state.replace(machine, |builtins| {
                store.sublayers.extend(builtins.sublayers.iter().map(|(key, object)| (*key, Arc::clone(object))));
                store
            });
        }
        self.enter_state(machine, FWPM_SERVICE_RUNNING);
    }

    pub fn subscribe(&self, machine: &Machine, callback: FWPM_SERVICE_STATE_CHANGE_CALLBACK0, context: usize) -> u64 {
        let handle = machine.new_handle();
        self.state().service.subscribers.insert(handle, Subscriber { callback, context, running_on: None });
        handle
    }

    pub fn unsubscribe(&self, machine: &Machine, handle: u64) -> Result<()> {
        loop {
            let running_on = {
                let mut state = self.state();
                let subscriber = state.service.subscribers.get(&handle).ok_or(STATUS_FWP_NOT_FOUND)?;
                let running_on = subscriber.running_on;
                if running_on.is_none() {
                    state.service.subscribers.remove(&handle);
                    return Ok(());
                }
                running_on
            };
            if running_on == Some(thread::current().id()) {
                machine.bugcheck("V-OBJ-01", "a state subscription was ended from its own callback".into());
            }
            machine.host.wait_ms(1);
        }
    }

    pub fn subscriptions(&self) -> usize {
        self.state().service.subscribers.len()
    }

    /// Changes the state and tells every subscriber, one after the other.
    fn enter_state(&self, machine: &Machine, new: FWPM_SERVICE_STATE) {
        let handles: Vec<u64> = {
            let mut state = self.state();
            state.service.state = new;
            state.service.subscribers.keys().copied().collect()
        };
        for handle in handles {
            self.tell(machine, handle, new);
        }
    }

    fn tell(&self, machine: &Machine, handle: u64, new: FWPM_SERVICE_STATE) {
        let Some((callback, context)) = self.mark_running(handle, Some(thread::current().id())) else { return };
        let irql = machine.host.irql();
        // SAFETY: a state callback needs the context it was subscribed with, and to be subscribed while it runs, which
        // `unsubscribe` waits for.
        unsafe { callback(std::ptr::with_exposed_provenance_mut(context), new) };
        if machine.host.irql() != irql {
            machine.bugcheck("IRQL", "a state callback changed the level".into());
        }
        self.mark_running(handle, None);
    }

    fn mark_running(&self, handle: u64, on: Option<ThreadId>) -> Option<(FWPM_SERVICE_STATE_CHANGE_CALLBACK0, usize)> {
        let mut state = self.state();
        let subscriber = state.service.subscribers.get_mut(&handle)?;
        subscriber.running_on = on;
        Some((subscriber.callback, subscriber.context))
    }
}

impl State {
    /// Puts other objects in place of the committed ones and publishes all layers anew.
    fn replace(&mut self, machine: &Machine, with: impl FnOnce(&Store) -> Store) {
        let next = with(&self.committed);
        let filters = self.committed.filters.values().chain(next.filters.values());
        let layers: BTreeSet<u16> = filters.map(|filter| filter.layer).collect();
        self.committed = next;
        self.publish(machine, layers);
    }
}

/// Whether the filter's provider names a service that will not start.
fn is_disabled(store: &Store, filter: &Filter, disabled: &BTreeSet<String>) -> bool {
    let provider = filter.common.provider.and_then(|key| store.provider(&key).ok().cloned());
    provider.and_then(|provider| provider.service.clone()).is_some_and(|service| disabled.contains(&service))
}
