//! The state of an engine as plain data, for tests and tools.

use crate::counters::Counts;
use nt_sys::types::GUID;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// State of the base filtering engine, as `FwpmBfeStateGet0` gives it.
    pub bfe_state: u32,
    /// Open sessions.
    pub sessions: usize,
    /// Providers.
    pub providers: usize,
    /// Sublayers, heaviest first.
    pub sublayers: Vec<SublayerStatus>,
    /// Callouts that were added, registered or both, by id.
    pub callouts: Vec<CalloutStatus>,
    /// Filters, by id.
    pub filters: Vec<FilterStatus>,
    /// Flows that have not ended.
    pub flows: usize,
    /// Completion contexts that are out.
    pub pended: usize,
    /// Classifies that are pended by a classify handle: closures that are held.
    pub closures_held: usize,
    /// Sockets that listen.
    pub listeners: Vec<ListenerStatus>,
    /// What happened since boot.
    pub totals: Totals,
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Its endpoint handle.
    pub endpoint: u64,
    /// Where it listens.
    pub local: SocketAddr,
    /// The process.
    pub pid: u32,
    /// SYNs whose authorization is held.
    pub held: usize,
    /// Connections that nobody has accepted yet.
    pub waiting: usize,
}

/// A sublayer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SublayerStatus {
    /// Its key.
    pub key: GUID,
    /// Its display name.
    pub name: String,
    /// The weight that it was given.
    pub weight: u16,
}

/// A callout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalloutStatus {
    /// Its run-time id.
    pub id: u32,
    /// Its key.
    pub key: GUID,
    /// Its display name; none when there is no management object.
    pub name: Option<String>,
    /// Its layer; none when there is no management object.
    pub layer: Option<u16>,
    /// Whether a driver has registered its functions.
    pub is_registered: bool,
    /// Operations that it has pended and not completed.
    pub pended: usize,
    /// Its counters since it was registered.
    pub counts: Counts,
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterStatus {
    /// Its run-time id.
    pub id: u64,
    /// Its key.
    pub key: GUID,
    /// Its display name.
    pub name: String,
    /// Its layer.
    pub layer: u16,
    /// Its sublayer.
    pub sublayer: GUID,
    /// Its effective weight.
    pub weight: u64,
    /// The callout that it names.
    pub callout: Option<u32>,
    /// Whether its provider's service keeps it out of force.
    pub is_disabled: bool,
    /// Its counters.
    pub counts: Counts,
}

/// What happened since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// TCP connects.
    pub connects: u64,
    /// SYNs that arrived at listeners.
    pub syns: u64,
    /// Authorizations that ended in permit.
    pub permitted: u64,
    /// Authorizations that ended in block.
    pub blocked: u64,
    /// Contexts given out.
    pub pended: u64,
    /// Contexts given back.
    pub completed: u64,
    /// Reauthorizations, of every reason.
    pub reauthorized: u64,
}

/// The counters behind [`Totals`].
#[derive(Default)]
pub(crate) struct TotalCounters {
    pub connects: Total,
    pub syns: Total,
    pub permitted: Total,
    pub blocked: Total,
    pub pended: Total,
    pub completed: Total,
    pub reauthorized: Total,
}

#[derive(Default)]
pub(crate) struct Total(AtomicU64);

impl Total {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl TotalCounters {
    pub fn totals(&self) -> Totals {
        Totals {
            connects: self.connects.get(),
            syns: self.syns.get(),
            permitted: self.permitted.get(),
            blocked: self.blocked.get(),
            pended: self.pended.get(),
            completed: self.completed.get(),
            reauthorized: self.reauthorized.get(),
        }
    }
}
