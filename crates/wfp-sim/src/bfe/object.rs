//! The objects themselves.

#![expect(unsafe_code, reason = "a filter keeps the C record that callouts are shown")]

use super::condition::Condition;
use super::lifetime::Lifetime;
use crate::classify::{Arena, Facts};
use crate::counters::Counters;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::types::GUID;
use std::ptr;

/// What every object has.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub key: GUID,
    pub name: String,
    pub flags: u32,
    pub provider: Option<GUID>,
    pub lifetime: Lifetime,
}

/// Who objects belong to.
pub(crate) struct Provider {
    pub common: Common,
    /// The Windows service whose absence disables the provider's persistent objects.
    pub service: Option<String>,
}

/// A band of filters.
pub(crate) struct Sublayer {
    pub common: Common,
    pub weight: u16,
}

/// The management half of a callout.
pub(crate) struct Callout {
    pub common: Common,
    pub id: u32,
    pub layer: u16,
}

/// What a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterAction {
    Permit,
    Block,
    /// Leaves the decision to the next filter. Not in the documented list of filter actions, but products add such filters to
    /// have every flow authorized again, and it works.
    Continue,
    Callout {
        kind: CalloutKind,
        id: u32,
    },
}

/// What a callout's answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CalloutKind {
    Terminating,
    Unknown,
    Inspection,
}

/// A filter.
pub(crate) struct Filter {
    pub common: Common,
    pub id: u64,
    pub layer: u16,
    pub sublayer: GUID,
    pub sublayer_weight: u16,
    pub weight: u64,
    pub conditions: Vec<Condition>,
    pub action: FilterAction,
    pub context: u64,
    pub counters: Counters,
    /// Its provider's service is not there.
    pub is_disabled: bool,
    record: Record,
}

/// The C record of a filter and the memory behind it.
struct Record {
    filter: *mut FWPS_FILTER3,
    _memory: Arena,
}

// SAFETY: the record is written once, before it is shared, and only read afterwards.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

/// A filter before it has a record.
pub(crate) struct Draft {
    pub common: Common,
    pub id: u64,
    pub layer: u16,
    pub sublayer: GUID,
    pub sublayer_weight: u16,
    pub weight: u64,
    pub conditions: Vec<Condition>,
    pub action: FilterAction,
    pub context: u64,
    pub is_disabled: bool,
}

impl Draft {
    pub fn finish(self) -> Filter {
        let mut memory = Arena::default();
        let record = Record { filter: record(&self, &mut memory), _memory: memory };
        Filter {
            common: self.common,
            id: self.id,
            layer: self.layer,
            sublayer: self.sublayer,
            sublayer_weight: self.sublayer_weight,
            weight: self.weight,
            conditions: self.conditions,
            action: self.action,
            context: self.context,
            counters: Counters::default(),
            is_disabled: self.is_disabled,
            record,
        }
    }
}

impl Filter {
    /// What callouts are shown.
    pub fn record(&self) -> *const FWPS_FILTER3 {
        self.record.filter
    }

    /// A copy of it, for a notify function to write to.
    pub fn record_copy(&self) -> FWPS_FILTER3 {
        // SAFETY: the record is whole and lives as long as the filter.
        unsafe { self.record.filter.read() }
    }

    /// The filter again, with another context or another state.
    pub fn draft(&self) -> Draft {
        Draft {
            common: self.common.clone(),
            id: self.id,
            layer: self.layer,
            sublayer: self.sublayer,
            sublayer_weight: self.sublayer_weight,
            weight: self.weight,
            conditions: self.conditions.clone(),
            action: self.action,
            context: self.context,
            is_disabled: self.is_disabled,
        }
    }

    /// Whether every field that it has conditions on satisfies one of them.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.conditions.chunk_by(|a, b| a.field == b.field).all(|same| same.iter().any(|one| one.holds(facts)))
    }

    pub fn callout(&self) -> Option<u32> {
        match self.action {
            FilterAction::Callout { id, .. } => Some(id),
            _ => None,
        }
    }

    pub fn callout_kind(&self) -> Option<CalloutKind> {
        match self.action {
            FilterAction::Callout { kind, .. } => Some(kind),
            _ => None,
        }
    }

    pub fn clears_right(&self) -> bool {
        self.common.flags & FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT != 0
    }

    pub fn permits_unregistered(&self) -> bool {
        self.common.flags & FWPM_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED != 0
    }

    pub fn is_silent(&self) -> bool {
        self.common.flags & FWPM_FILTER_FLAG_SILENT_MODE != 0
    }
}

fn record(draft: &Draft, memory: &mut Arena) -> *mut FWPS_FILTER3 {
    let conditions: Vec<FWPS_FILTER_CONDITION0> = draft
        .conditions
        .iter()
        .map(|condition| FWPS_FILTER_CONDITION0 {
            fieldId: condition.index,
            reserved: 0,
            matchType: condition.match_type,
            conditionValue: memory.operand(&condition.operand),
        })
        .collect();
    let (action, callout) = match draft.action {
        FilterAction::Permit => (FWP_ACTION_PERMIT, 0),
        FilterAction::Block => (FWP_ACTION_BLOCK, 0),
        FilterAction::Continue => (FWP_ACTION_CONTINUE, 0),
        FilterAction::Callout { kind: CalloutKind::Terminating, id } => (FWP_ACTION_CALLOUT_TERMINATING, id),
        FilterAction::Callout { kind: CalloutKind::Unknown, id } => (FWP_ACTION_CALLOUT_UNKNOWN, id),
        FilterAction::Callout { kind: CalloutKind::Inspection, id } => (FWP_ACTION_CALLOUT_INSPECTION, id),
    };
    let mut flags = 0;
    for (management, run_time) in [
        (FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT, FWPS_FILTER_FLAG_CLEAR_ACTION_RIGHT),
        (FWPM_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED, FWPS_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED),
        (FWPM_FILTER_FLAG_SILENT_MODE, FWPS_FILTER_FLAG_SILENT_MODE),
    ] {
        if draft.common.flags & management != 0 {
            flags |= run_time;
        }
    }
    if draft.conditions.chunk_by(|a, b| a.field == b.field).any(|same| same.len() > 1) {
        flags |= FWPS_FILTER_FLAG_OR_CONDITIONS;
    }
    let weight = memory.one(draft.weight);
    let filter_conditions = if conditions.is_empty() { ptr::null_mut() } else { memory.slice(&conditions) };
    memory.one(FWPS_FILTER3 {
        filterId: draft.id,
        weight: FWP_VALUE0 { r#type: FWP_UINT64, u: FWP_VALUE0_UNION { uint64: weight } },
        subLayerWeight: draft.sublayer_weight,
        flags,
        numFilterConditions: u32::try_from(conditions.len()).unwrap_or(u32::MAX),
        filterCondition: filter_conditions,
        action: FWPS_ACTION0 { r#type: action, calloutId: callout },
        context: draft.context,
        providerContext: ptr::null_mut(),
    })
}
