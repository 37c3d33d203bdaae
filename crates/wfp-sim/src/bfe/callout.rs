//! The management half of callouts.

use super::lifetime::Lifetime;
use super::object::{Callout, Common};
use super::provider::key_or_new;
use super::store::{check_delete, check_free};
use super::{Bfe, Result};
use crate::classify::Layer;
use crate::machine::Machine;
use nt_sys::fwpm::*;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::sync::Arc;

/// A callout as the caller wrote it.
#[derive(Debug)]
pub(crate) struct CalloutSpec {
    pub key: GUID,
    pub name: Option<String>,
    pub flags: u32,
    pub provider: Option<GUID>,
    pub layer: GUID,
}

const SETTABLE: u32 = FWPM_CALLOUT_FLAG_PERSISTENT | FWPM_CALLOUT_FLAG_USES_PROVIDER_CONTEXT;

impl Bfe {
    pub fn add_callout(&self, machine: &Machine, session: u64, spec: CalloutSpec) -> Result<u32> {
        self.change(machine, session, |txn, author| {
            let name = spec.name.ok_or(STATUS_FWP_NULL_DISPLAY_NAME)?;
            if spec.flags & !SETTABLE != 0 {
                return Err(STATUS_FWP_INVALID_FLAGS);
            }
            let is_persistent = spec.flags & FWPM_CALLOUT_FLAG_PERSISTENT != 0;
            if is_persistent && author.is_dynamic {
                return Err(STATUS_FWP_LIFETIME_MISMATCH);
            }
            let layer = Layer::by_key(&spec.layer).ok_or(STATUS_FWP_LAYER_NOT_FOUND)?;
            let key = key_or_new(machine, spec.key);
            let lifetime = Lifetime::of(is_persistent, author.dynamic());
            let common = Common { key, name, flags: spec.flags, provider: spec.provider, lifetime };
            txn.work.check_provider(&common)?;
            check_free(&txn.work.callouts, &key)?;
            if txn.work.callouts.len() >= machine.config.max_callouts {
                return Err(STATUS_FWP_TOO_MANY_CALLOUTS);
            }
            let id = machine.callouts.id_of(&key);
            txn.work.callouts.insert(key.to_u128(), Arc::new(Callout { common, id, layer: layer.id }));
            Ok(id)
        })
    }

    pub fn delete_callout(&self, machine: &Machine, session: u64, key: GUID) -> Result<()> {
        self.change(machine, session, |txn, author| {
            let callout = txn.work.callout(&key)?;
            let is_used = txn.work.filters.values().any(|filter| filter.callout() == Some(callout.id));
            check_delete(&callout.common, author.session, author.is_dynamic, is_used)?;
            txn.work.callouts.remove(&key.to_u128());
            Ok(())
        })
    }
}
