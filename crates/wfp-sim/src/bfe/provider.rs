//! Providers.

use super::lifetime::Lifetime;
use super::object::{Common, Provider};
use super::store::{check_delete, check_free};
use super::{Bfe, Result};
use crate::machine::Machine;
use nt_sys::fwpm::*;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::sync::Arc;

/// A provider as the caller wrote it.
#[derive(Debug)]
pub(crate) struct ProviderSpec {
    pub key: GUID,
    pub name: Option<String>,
    pub flags: u32,
    pub service: Option<String>,
}

impl Bfe {
    pub fn add_provider(&self, machine: &Machine, session: u64, spec: ProviderSpec) -> Result<()> {
        self.change(machine, session, |txn, author| {
            let name = spec.name.ok_or(STATUS_FWP_NULL_DISPLAY_NAME)?;
            let is_persistent = check_flags(spec.flags, FWPM_PROVIDER_FLAG_PERSISTENT, author.is_dynamic)?;
            let key = key_or_new(machine, spec.key);
            check_free(&txn.work.providers, &key)?;
            let lifetime = Lifetime::of(is_persistent, author.dynamic());
            // A persistent object belongs to a provider; a provider to itself.
            let common = Common { key, name, flags: spec.flags, provider: Some(key), lifetime };
            txn.work.providers.insert(key.to_u128(), Arc::new(Provider { common, service: spec.service }));
            Ok(())
        })
    }

    pub fn delete_provider(&self, machine: &Machine, session: u64, key: GUID) -> Result<()> {
        self.change(machine, session, |txn, author| {
            let provider = txn.work.provider(&key)?;
            let is_used = txn.work.is_provider_used(&key);
            check_delete(&provider.common, author.session, author.is_dynamic, is_used)?;
            txn.work.providers.remove(&key.to_u128());
            Ok(())
        })
    }
}

/// Checks the flags of a new object whose only settable one is `persistent`.
pub(super) fn check_flags(flags: u32, persistent: u32, is_dynamic: bool) -> Result<bool> {
    if flags & !persistent != 0 {
        return Err(STATUS_FWP_INVALID_FLAGS);
    }
    if flags & persistent != 0 && is_dynamic {
        return Err(STATUS_FWP_LIFETIME_MISMATCH);
    }
    Ok(flags & persistent != 0)
}

/// The caller's key, or a new one when it left it empty.
pub(super) fn key_or_new(machine: &Machine, key: GUID) -> GUID {
    if key != GUID::default() {
        return key;
    }
    GUID::from_u128(u128::from(machine.draw()) << 64 | u128::from(machine.draw()))
}
