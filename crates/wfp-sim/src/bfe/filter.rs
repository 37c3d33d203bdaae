//! Adding, finding and deleting filters.
//!
//! Invariant: checks come in one order, and the callout is asked last, when nothing else can fail; what it accepted is either
//! added or taken back from it.

use super::condition::{ConditionSpec, compile};
use super::lifetime::Lifetime;
use super::object::{CalloutKind, Common, Draft, Filter, FilterAction};
use super::provider::key_or_new;
use super::store::{check_delete, check_free, check_reference};
use super::transaction::{Author, Txn};
use super::{Bfe, Result, notify, weight};
use crate::classify::Layer;
use crate::machine::Machine;
use nt_sys::fwpm::*;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::sync::Arc;

/// A filter as the caller wrote it.
#[derive(Debug)]
pub(crate) struct FilterSpec {
    pub key: GUID,
    pub name: Option<String>,
    pub flags: u32,
    pub provider: Option<GUID>,
    pub layer: GUID,
    pub sublayer: GUID,
    pub weight: WeightSpec,
    pub conditions: Vec<ConditionSpec>,
    pub action: FWP_ACTION_TYPE,
    pub callout: GUID,
    pub raw_context: u64,
}

/// A weight as the caller wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WeightSpec {
    Automatic,
    /// Automatic within one of sixteen ranges.
    Range(u8),
    Exact(u64),
    /// Of a type that weights do not have.
    Other,
}

const SETTABLE: u32 = FWPM_FILTER_FLAG_PERSISTENT
    | FWPM_FILTER_FLAG_BOOTTIME
    | FWPM_FILTER_FLAG_HAS_PROVIDER_CONTEXT
    | FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT
    | FWPM_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED
    | FWPM_FILTER_FLAG_INDEXED
    | FWPM_FILTER_FLAG_SILENT_MODE;

impl Bfe {
    pub fn add_filter(&self, machine: &Machine, session: u64, spec: &FilterSpec) -> Result<u64> {
        let scope = self.enter(machine, session)?;
        let draft = {
            let mut state = self.state();
            let author = state.author(session);
            author.and_then(|author| draft(machine, state.txn(session)?, &author, spec))
        };
        let result = draft.and_then(|draft| self.announce_and_insert(machine, session, draft));
        self.leave(machine, session, scope, result.is_ok());
        result
    }

    fn announce_and_insert(&self, machine: &Machine, session: u64, draft: Draft) -> Result<u64> {
        let announced = draft.finish();
        let context = notify::added(machine, &announced)?;
        let filter = Arc::new(Draft { context, ..announced.draft() }.finish());
        let inserted = {
            let mut state = self.state();
            state.txn(session).and_then(|txn| {
                check_free(&txn.work.filters, &filter.common.key)?;
                txn.work.add_filter(&filter);
                txn.added.push(Arc::clone(&filter));
                Ok(filter.id)
            })
        };
        if inserted.is_err() {
            notify::deleted(machine, &filter);
        }
        inserted
    }

    pub fn delete_filter_by_id(&self, machine: &Machine, session: u64, id: u64) -> Result<()> {
        self.change(machine, session, |txn, author| {
            let filter = Arc::clone(txn.work.filter_by_id(id)?);
            delete(txn, author, filter)
        })
    }

    pub fn delete_filter(&self, machine: &Machine, session: u64, key: GUID) -> Result<()> {
        self.change(machine, session, |txn, author| {
            let filter = Arc::clone(txn.work.filter(&key)?);
            delete(txn, author, filter)
        })
    }

    /// The filter as `session` sees it.
    pub fn filter_by_id(&self, machine: &Machine, session: u64, id: u64) -> Result<Arc<Filter>> {
        self.look(machine, session, |store| store.filter_by_id(id).cloned())
    }
}

fn delete(txn: &mut Txn, author: &Author, filter: Arc<Filter>) -> Result<()> {
    check_delete(&filter.common, author.session, author.is_dynamic, false)?;
    txn.work.remove_filter(&filter);
    txn.removed.push(filter);
    Ok(())
}

/// Checks a filter (learn.microsoft.com "FWPM_FILTER0", "WFP Error Codes").
fn draft(machine: &Machine, txn: &Txn, author: &Author, spec: &FilterSpec) -> Result<Draft> {
    let store = &txn.work;
    let name = spec.name.clone().ok_or(STATUS_FWP_NULL_DISPLAY_NAME)?;
    let lifetime = lifetime(spec.flags, author)?;
    let key = key_or_new(machine, spec.key);
    let common = Common { key, name, flags: spec.flags, provider: spec.provider, lifetime };
    if let Some(provider) = &spec.provider {
        store.provider(provider)?;
    }
    let layer = Layer::by_key(&spec.layer).ok_or(STATUS_FWP_LAYER_NOT_FOUND)?;
    let sublayer_key = if spec.sublayer == GUID::default() { FWPM_SUBLAYER_UNIVERSAL } else { spec.sublayer };
    let sublayer = store.sublayer(&sublayer_key)?;
    // The type of the weight comes before the conditions, its value after them: they make it.
    weight::effective(spec.weight, &[])?;
    let kind = action_kind(spec)?;
    if sublayer_key == FWPM_SUBLAYER_INSPECTION && kind != ActionKind::Callout(CalloutKind::Inspection) {
        return Err(STATUS_FWP_ACTION_INCOMPATIBLE_WITH_SUBLAYER);
    }
    let callout = match kind {
        ActionKind::Callout(_) => Some(store.callout(&spec.callout)?),
        ActionKind::Plain(_) => None,
    };
    if callout.is_some_and(|callout| callout.layer != layer.id) {
        return Err(STATUS_FWP_INCOMPATIBLE_LAYER);
    }
    if spec.flags & FWPM_FILTER_FLAG_HAS_PROVIDER_CONTEXT != 0 {
        // There is no way to add a provider context here.
        return Err(STATUS_FWP_PROVIDER_CONTEXT_NOT_FOUND);
    }
    let conditions = compile(layer, &spec.conditions)?;
    store.check_provider(&common)?;
    check_reference(&common, sublayer.common.lifetime, sublayer.common.provider)?;
    if let Some(callout) = callout {
        check_reference(&common, callout.common.lifetime, callout.common.provider)?;
    }
    check_free(&store.filters, &key)?;
    Ok(Draft {
        common,
        id: machine.new_id(),
        layer: layer.id,
        sublayer: sublayer_key,
        sublayer_weight: sublayer.weight,
        weight: weight::effective(spec.weight, &conditions)?,
        conditions,
        action: match (kind, callout) {
            (ActionKind::Callout(kind), Some(callout)) => FilterAction::Callout { kind, id: callout.id },
            (ActionKind::Plain(action), _) => action,
            (ActionKind::Callout(_), None) => return Err(STATUS_FWP_CALLOUT_NOT_FOUND),
        },
        context: spec.raw_context,
        is_disabled: false,
    })
}

fn lifetime(flags: u32, author: &Author) -> Result<Lifetime> {
    const STORED: u32 = FWPM_FILTER_FLAG_PERSISTENT | FWPM_FILTER_FLAG_BOOTTIME;
    if flags & !SETTABLE != 0 || flags & STORED == STORED {
        return Err(STATUS_FWP_INVALID_FLAGS);
    }
    if flags & STORED != 0 && author.is_dynamic {
        return Err(STATUS_FWP_LIFETIME_MISMATCH);
    }
    if flags & FWPM_FILTER_FLAG_BOOTTIME != 0 {
        return Ok(Lifetime::BootTime);
    }
    Ok(Lifetime::of(flags & FWPM_FILTER_FLAG_PERSISTENT != 0, author.dynamic()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ActionKind {
    Plain(FilterAction),
    Callout(CalloutKind),
}

fn action_kind(spec: &FilterSpec) -> Result<ActionKind> {
    let kind = match spec.action {
        FWP_ACTION_PERMIT => ActionKind::Plain(FilterAction::Permit),
        FWP_ACTION_BLOCK => ActionKind::Plain(FilterAction::Block),
        FWP_ACTION_CONTINUE => ActionKind::Plain(FilterAction::Continue),
        FWP_ACTION_CALLOUT_TERMINATING => ActionKind::Callout(CalloutKind::Terminating),
        FWP_ACTION_CALLOUT_UNKNOWN => ActionKind::Callout(CalloutKind::Unknown),
        FWP_ACTION_CALLOUT_INSPECTION => ActionKind::Callout(CalloutKind::Inspection),
        _ => return Err(STATUS_FWP_INVALID_ACTION_TYPE),
    };
    let needs_verdict = matches!(kind, ActionKind::Callout(CalloutKind::Terminating | CalloutKind::Unknown));
    if spec.flags & FWPM_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED != 0 && !needs_verdict {
        return Err(STATUS_FWP_INVALID_FLAGS);
    }
    Ok(kind)
}
