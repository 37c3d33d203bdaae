//! Weights (learn.microsoft.com "Filter Weight Assignment", "FWPM_SUBLAYER0").
//!
//! The formula of automatic weights is not published; what is, and what this one keeps, is that a more specific filter
//! outranks a less specific one.

use super::Result;
use super::condition::Condition;
use super::filter::WeightSpec;
use super::object::Sublayer;
use super::store::Table;
use crate::classify::Operand;
use nt_sys::status::*;

/// Bits of a weight that the engine fills in.
const AUTOMATIC_BITS: u32 = 60;
const HIGHEST_RANGE: u8 = 15;

/// The weight of a filter.
pub(super) fn effective(spec: WeightSpec, conditions: &[Condition]) -> Result<u64> {
    match spec {
        WeightSpec::Exact(weight) => Ok(weight),
        WeightSpec::Automatic => Ok(specificity(conditions)),
        WeightSpec::Range(range) if range <= HIGHEST_RANGE => {
            Ok(u64::from(range) << AUTOMATIC_BITS | specificity(conditions))
        }
        WeightSpec::Range(_) | WeightSpec::Other => Err(STATUS_FWP_INVALID_WEIGHT),
    }
}

/// Grows with the number of fields that are bound, then with how tightly.
fn specificity(conditions: &[Condition]) -> u64 {
    const PER_FIELD: u64 = 1 << 52;
    const PER_BIT: u64 = 1 << 40;
    let fields = conditions.chunk_by(|a, b| a.field == b.field);
    let score: u64 = fields
        .map(|same| {
            let loosest = same.iter().map(|condition| tightness(&condition.operand)).min().unwrap_or(0);
            PER_FIELD + loosest * PER_BIT
        })
        .sum();
    score.min((1 << AUTOMATIC_BITS) - 1)
}

fn tightness(operand: &Operand) -> u64 {
    match operand {
        Operand::V4Net { mask, .. } => mask.count_ones().into(),
        Operand::V6Net { prefix, .. } => (*prefix).into(),
        Operand::Range(_) | Operand::Descriptor(_) => 1,
        _ => 129,
    }
}

/// The free weight closest to the one that was asked for: no two sublayers weigh the same.
pub(super) fn closest_free(requested: u16, sublayers: &Table<Sublayer>) -> Result<u16> {
    let is_free = |weight: &u16| sublayers.values().all(|other| other.weight != *weight);
    let below = (0..=requested).rev().find(is_free);
    let above = (requested..=u16::MAX).find(is_free);
    let distance = |weight: &u16| weight.abs_diff(requested);
    below.into_iter().chain(above).min_by_key(distance).ok_or(STATUS_FWP_TOO_MANY_SUBLAYERS)
}
