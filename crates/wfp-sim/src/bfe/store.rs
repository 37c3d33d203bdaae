//! Every object, by key.
//!
//! Invariants: keys are unique per kind of object; what one object refers to is there, and stays until nothing refers to it.

use super::Result;
use super::lifetime::{Lifetime, may_refer};
use super::object::{Callout, Common, Filter, Provider, Sublayer};
use nt_sys::fwpm::{FWPM_SUBLAYER_INSPECTION, FWPM_SUBLAYER_UNIVERSAL};
use nt_sys::status::*;
use nt_sys::types::{GUID, NTSTATUS};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects of one kind.
pub(super) type Table<T> = BTreeMap<u128, Arc<T>>;

#[derive(Clone, Default)]
pub(super) struct Store {
    pub providers: Table<Provider>,
    pub sublayers: Table<Sublayer>,
    pub callouts: Table<Callout>,
    pub filters: Table<Filter>,
    filter_keys: BTreeMap<u64, u128>,
}

impl Store {
    /// What is there before anybody adds anything.
    pub fn with_builtins() -> Self {
        let mut store = Self::default();
        for (key, name, weight) in
            [(FWPM_SUBLAYER_UNIVERSAL, "Universal", 0x8000), (FWPM_SUBLAYER_INSPECTION, "Inspection", 0)]
        {
            let common = Common { key, name: name.into(), flags: 0, provider: None, lifetime: Lifetime::BuiltIn };
            store.sublayers.insert(key.to_u128(), Arc::new(Sublayer { common, weight }));
        }
        store
    }

    pub fn provider(&self, key: &GUID) -> Result<&Arc<Provider>> {
        self.providers.get(&key.to_u128()).ok_or(STATUS_FWP_PROVIDER_NOT_FOUND)
    }

    pub fn sublayer(&self, key: &GUID) -> Result<&Arc<Sublayer>> {
        self.sublayers.get(&key.to_u128()).ok_or(STATUS_FWP_SUBLAYER_NOT_FOUND)
    }

    pub fn callout(&self, key: &GUID) -> Result<&Arc<Callout>> {
        self.callouts.get(&key.to_u128()).ok_or(STATUS_FWP_CALLOUT_NOT_FOUND)
    }

    pub fn filter(&self, key: &GUID) -> Result<&Arc<Filter>> {
        self.filters.get(&key.to_u128()).ok_or(STATUS_FWP_FILTER_NOT_FOUND)
    }

    pub fn filter_by_id(&self, id: u64) -> Result<&Arc<Filter>> {
        let key = self.filter_keys.get(&id).ok_or(STATUS_FWP_FILTER_NOT_FOUND)?;
        self.filters.get(key).ok_or(STATUS_FWP_FILTER_NOT_FOUND)
    }

    pub fn add_filter(&mut self, filter: &Arc<Filter>) {
        let key = filter.common.key.to_u128();
        self.filter_keys.insert(filter.id, key);
        self.filters.insert(key, Arc::clone(filter));
    }

    pub fn remove_filter(&mut self, filter: &Filter) {
        self.filter_keys.remove(&filter.id);
        self.filters.remove(&filter.common.key.to_u128());
    }

    /// Checks that `common` may name its provider.
    pub fn check_provider(&self, common: &Common) -> Result<()> {
        let Some(key) = &common.provider else { return Ok(()) };
        let provider = self.provider(key)?;
        check_reference(common, provider.common.lifetime, Some(provider.common.key))
    }

    pub fn is_provider_used(&self, key: &GUID) -> bool {
        let uses = |common: &Common| common.provider.as_ref() == Some(key);
        self.sublayers.values().any(|object| uses(&object.common))
            || self.callouts.values().any(|object| uses(&object.common))
            || self.filters.values().any(|object| uses(&object.common))
    }

    /// The objects that `keep` chooses; filters keep their ids.
    pub fn only(&self, keep: impl Fn(&Common) -> bool) -> Self {
        let filters: Table<Filter> = pick(&self.filters, |filter| keep(&filter.common));
        Self {
            providers: pick(&self.providers, |object| keep(&object.common)),
            sublayers: pick(&self.sublayers, |object| keep(&object.common)),
            callouts: pick(&self.callouts, |object| keep(&object.common)),
            filter_keys: filters.iter().map(|(key, filter)| (filter.id, *key)).collect(),
            filters,
        }
    }
}

fn pick<T>(table: &Table<T>, keep: impl Fn(&T) -> bool) -> Table<T> {
    table.iter().filter(|(_, object)| keep(object)).map(|(key, object)| (*key, Arc::clone(object))).collect()
}

/// Checks that an object may refer to one of another lifetime.
pub(super) fn check_reference(from: &Common, to: Lifetime, to_provider: Option<GUID>) -> Result<()> {
    if may_refer(from.lifetime, from.provider, to, to_provider) { Ok(()) } else { Err(STATUS_FWP_LIFETIME_MISMATCH) }
}

/// Checks that a new object's key is free.
pub(super) fn check_free<T>(table: &Table<T>, key: &GUID) -> Result<()> {
    if table.contains_key(&key.to_u128()) { Err(STATUS_FWP_ALREADY_EXISTS) } else { Ok(()) }
}

/// Checks that `session` may delete an object.
pub(super) fn check_delete(common: &Common, session: u64, is_dynamic: bool, is_used: bool) -> Result<()> {
    let refusal: Option<NTSTATUS> = match common.lifetime {
        Lifetime::BuiltIn => Some(STATUS_FWP_BUILTIN_OBJECT),
        Lifetime::Dynamic(owner) if owner != session => Some(STATUS_FWP_WRONG_SESSION),
        Lifetime::Persistent | Lifetime::BootTime | Lifetime::Static if is_dynamic => {
            Some(STATUS_FWP_DYNAMIC_SESSION_IN_PROGRESS)
        }
        _ if is_used => Some(STATUS_FWP_IN_USE),
        _ => None,
    };
    refusal.map_or(Ok(()), Err)
}
