//! Sublayers.

use super::lifetime::Lifetime;
use super::object::{Common, Sublayer};
use super::provider::{check_flags, key_or_new};
use super::store::{check_delete, check_free};
use super::{Bfe, Result, weight};
use crate::machine::Machine;
use nt_sys::fwpm::FWPM_SUBLAYER_FLAG_PERSISTENT;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::sync::Arc;

/// A sublayer as the caller wrote it.
#[derive(Debug)]
pub(crate) struct SublayerSpec {
    pub key: GUID,
    pub name: Option<String>,
    pub flags: u32,
    pub provider: Option<GUID>,
    pub weight: u16,
}

impl Bfe {
    pub fn add_sublayer(&self, machine: &Machine, session: u64, spec: SublayerSpec) -> Result<()> {
        self.change(machine, session, |txn, author| {
            let name = spec.name.ok_or(STATUS_FWP_NULL_DISPLAY_NAME)?;
            let is_persistent = check_flags(spec.flags, FWPM_SUBLAYER_FLAG_PERSISTENT, author.is_dynamic)?;
            let key = key_or_new(machine, spec.key);
            let lifetime = Lifetime::of(is_persistent, author.dynamic());
            let common = Common { key, name, flags: spec.flags, provider: spec.provider, lifetime };
            txn.work.check_provider(&common)?;
            check_free(&txn.work.sublayers, &key)?;
            if txn.work.sublayers.len() >= machine.config.max_sublayers {
                return Err(STATUS_FWP_TOO_MANY_SUBLAYERS);
            }
            let weight = weight::closest_free(spec.weight, &txn.work.sublayers)?;
            txn.work.sublayers.insert(key.to_u128(), Arc::new(Sublayer { common, weight }));
            Ok(())
        })
    }

    pub fn delete_sublayer(&self, machine: &Machine, session: u64, key: GUID) -> Result<()> {
        self.change(machine, session, |txn, author| {
            let sublayer = txn.work.sublayer(&key)?;
            let is_used = txn.work.filters.values().any(|filter| filter.sublayer == key);
            check_delete(&sublayer.common, author.session, author.is_dynamic, is_used)?;
            txn.work.sublayers.remove(&key.to_u128());
            Ok(())
        })
    }
}
