//! Conditions: what a filter may ask of a field, checked when it is added (learn.microsoft.com "Filtering Conditions").

use super::Result;
use crate::classify::{Facts, Field, Layer, Operand};
use nt_sys::fwp::FWP_MATCH_TYPE;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::cmp::Ordering;

/// A condition as the caller wrote it.
#[derive(Clone, Debug)]
pub(crate) struct ConditionSpec {
    pub field: GUID,
    pub match_type: FWP_MATCH_TYPE,
    pub operand: Operand,
}

/// A condition on a field of the filter's layer.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub field: Field,
    pub index: u16,
    pub match_type: FWP_MATCH_TYPE,
    pub operand: Operand,
}

impl Condition {
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        facts.value(usize::from(self.index), self.field).matches(self.match_type, &self.operand)
    }
}

/// Checks the conditions of a filter at `layer`; those on one field come out side by side.
///
/// At a layer that nothing is ever indicated at, conditions are accepted as they are and never asked.
pub(super) fn compile(layer: &Layer, specs: &[ConditionSpec]) -> Result<Vec<Condition>> {
    let Some(fields) = layer.fields else { return Ok(Vec::new()) };
    let mut conditions = specs.iter().map(|spec| check(layer, fields, spec)).collect::<Result<Vec<_>>>()?;
    conditions.sort_by_key(|condition| condition.index);
    Ok(conditions)
}

fn check(layer: &Layer, fields: &[Field], spec: &ConditionSpec) -> Result<Condition> {
    let (field, kind) = Field::named(&spec.field).ok_or(STATUS_FWP_CONDITION_NOT_FOUND)?;
    let index = fields.iter().position(|&listed| listed == field).ok_or(STATUS_FWP_CONDITION_NOT_FOUND)?;
    if !spec.operand.fits(kind, layer.is_v6) {
        return Err(STATUS_FWP_TYPE_MISMATCH);
    }
    if !spec.operand.allows(spec.match_type) {
        return Err(STATUS_FWP_MATCH_TYPE_MISMATCH);
    }
    check_bounds(&spec.operand)?;
    Ok(Condition {
        field,
        index: u16::try_from(index).map_err(|_| STATUS_FWP_CONDITION_NOT_FOUND)?,
        match_type: spec.match_type,
        operand: spec.operand.clone(),
    })
}

fn check_bounds(operand: &Operand) -> Result<()> {
    match operand {
        Operand::Range(ends) => match ends.0.order(&ends.1) {
            Some(Ordering::Greater) => Err(STATUS_FWP_INVALID_RANGE),
            Some(_) => Ok(()),
            None => Err(STATUS_FWP_TYPE_MISMATCH),
        },
        Operand::V4Net { mask, .. } if mask.leading_ones() != mask.count_ones() => Err(STATUS_FWP_INVALID_NET_MASK),
        Operand::V6Net { prefix, .. } if *prefix > 128 => Err(STATUS_FWP_OUT_OF_BOUNDS),
        _ => Ok(()),
    }
}
