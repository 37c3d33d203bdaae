//! The callouts that drivers have registered.
//!
//! A callout has two halves, joined by its key: the functions registered here and the management object in `bfe`. Either may
//! come first, and both name the same run-time id (learn.microsoft.com "Registering Callouts with the Filter Engine").
//!
//! Invariants: an id belongs to one key for ever; once unregistering has succeeded no function of the callout runs or will.

use crate::counters::Counters;
use crate::sync::SharedLock;
use nt_sys::fwps::*;
use nt_sys::types::GUID;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

/// A registered callout.
pub(crate) struct Registered {
    pub id: u32,
    pub key: GUID,
    pub flags: u32,
    pub classify: FWPS_CALLOUT_CLASSIFY_FN3,
    pub notify: FWPS_CALLOUT_NOTIFY_FN3,
    pub flow_delete: Option<FWPS_CALLOUT_FLOW_DELETE_NOTIFY_FN0>,
    pub counters: Counters,
    /// Functions of it that run now.
    running: AtomicUsize,
    /// No function of it may start any more.
    is_closing: AtomicBool,
    /// A thread is inside unregister.
    pub is_unregistering: AtomicBool,
    /// Flow contexts that it has to give back.
    pub contexts: AtomicUsize,
    /// Operations that it has to complete.
    pub pends: AtomicUsize,
    /// Classify handles that it has to release.
    pub handles: AtomicUsize,
}

impl Registered {
    pub fn new(
        id: u32,
        callout: &FWPS_CALLOUT3,
        classify: FWPS_CALLOUT_CLASSIFY_FN3,
        notify: FWPS_CALLOUT_NOTIFY_FN3,
    ) -> Self {
        Self {
            id,
            key: callout.calloutKey,
            flags: callout.flags,
            classify,
            notify,
            flow_delete: callout.flowDeleteFn,
            counters: Counters::default(),
            running: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
            is_unregistering: AtomicBool::new(false),
            contexts: AtomicUsize::new(0),
            pends: AtomicUsize::new(0),
            handles: AtomicUsize::new(0),
        }
    }

    /// Holds the callout for one call of a function; nothing when it is on its way out.
    pub fn run(self: &Arc<Self>) -> Option<Running> {
        let running = self.run_closing();
        (!self.is_closing.load(Ordering::SeqCst)).then_some(running)
    }

    /// The same for what is owed even to a callout on its way out: the end of its flow contexts.
    pub fn run_closing(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(self))
    }

    /// From now on no function starts.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst) != 0
    }
}

/// A callout that cannot be unregistered.
pub(crate) struct Running(Arc<Registered>);

impl std::ops::Deref for Running {
    type Target = Arc<Registered>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Every registered callout.
#[derive(Default)]
pub(crate) struct Callouts(RwLock<Table>);

#[derive(Default)]
struct Table {
    ids: HashMap<GUID, u32>,
    registered: HashMap<u32, Arc<Registered>>,
}

impl Callouts {
    /// The run-time id of a key, made up the first time either half of the callout asks.
    pub fn id_of(&self, key: &GUID) -> u32 {
        let mut table = self.0.exclusive();
        let next = 0x100 + u32::try_from(table.ids.len()).unwrap_or(u32::MAX);
        *table.ids.entry(*key).or_insert(next)
    }

    /// Adds a callout, unless its key is registered.
    pub fn insert(&self, callout: Arc<Registered>) -> bool {
        let mut table = self.0.exclusive();
        let is_new = !table.registered.contains_key(&callout.id);
        if is_new {
            table.registered.insert(callout.id, callout);
        }
        is_new
    }

    pub fn get(&self, id: u32) -> Option<Arc<Registered>> {
        self.0.shared().registered.get(&id).cloned()
    }

    pub fn get_by_key(&self, key: &GUID) -> Option<Arc<Registered>> {
        let table = self.0.shared();
        let id = table.ids.get(key)?;
        table.registered.get(id).cloned()
    }

    pub fn remove(&self, id: u32) {
        let removed = self.0.exclusive().registered.remove(&id);
        drop(removed);
    }

    pub fn all(&self) -> Vec<Arc<Registered>> {
        self.0.shared().registered.values().cloned().collect()
    }
}
