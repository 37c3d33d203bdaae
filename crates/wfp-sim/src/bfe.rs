//! The base filtering engine: the objects, who may change them, and the policy that classifies see.
//!
//! Invariants: one writer at a time; a transaction works on a copy that nobody else sees; committing publishes one policy at
//! once. Notify functions and state callbacks run with no lock held.
//! Neighbours: `api::fwpm` is the C face; `classify` reads [`Policy`].

mod callout;
mod condition;
mod filter;
mod lifetime;
mod notify;
mod object;
mod policy;
mod provider;
mod service;
mod session;
mod store;
mod sublayer;
mod transaction;
mod weight;

pub(crate) use callout::CalloutSpec;
pub(crate) use condition::ConditionSpec;
pub(crate) use filter::{FilterSpec, WeightSpec};
pub(crate) use object::{CalloutKind, Filter, FilterAction};
pub(crate) use policy::Policy;
pub(crate) use provider::ProviderSpec;
pub(crate) use session::{Owner, SessionSpec};
pub(crate) use sublayer::SublayerSpec;

use crate::config::Config;
use crate::sync::Lock;
use nt_sys::types::NTSTATUS;
use service::Service;
use session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use store::Store;

/// An answer of the management interface.
pub(crate) type Result<T> = std::result::Result<T, NTSTATUS>;

/// The base filtering engine.
pub(crate) struct Bfe(Mutex<State>);

pub(crate) struct State {
    service: Service,
    committed: Store,
    /// What outlives the engine's restart while it is stopped.
    stored: Store,
    sessions: BTreeMap<u64, Session>,
    /// Sessions that the engine's stop ended; their handles may still be closed.
    dead_sessions: BTreeSet<u64>,
    writer: Option<u64>,
    readers: usize,
    epochs: u64,
}

impl Bfe {
    pub fn new(config: &Config) -> Self {
        let state = State {
            service: Service::new(config.bfe_running),
            committed: Store::with_builtins(),
            stored: Store::default(),
            sessions: BTreeMap::new(),
            dead_sessions: BTreeSet::new(),
            writer: None,
            readers: 0,
            epochs: 0,
        };
        Self(Mutex::new(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.hold()
    }

    /// Every committed object, for a look from outside.
    pub fn objects(&self) -> Objects {
        let state = self.state();
        Objects {
            sessions: state.sessions.len(),
            providers: state.committed.providers.len(),
            sublayers: state.committed.sublayers.values().cloned().collect(),
            callouts: state.committed.callouts.values().cloned().collect(),
            filters: state.committed.filters.values().cloned().collect(),
        }
    }
}

/// The committed objects at one moment.
pub(crate) struct Objects {
    pub sessions: usize,
    pub providers: usize,
    pub sublayers: Vec<Arc<object::Sublayer>>,
    pub callouts: Vec<Arc<object::Callout>>,
    pub filters: Vec<Arc<Filter>>,
}
