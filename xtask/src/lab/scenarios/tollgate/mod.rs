//! The shipped files in the lab: real programs, the real driver, the real service.
//!
//! Invariants: a scenario judges by the driver's counters, the engine's counters and the servers' counts, and never by
//! what a program prints alone; it ends with [`finish`], which finds what went wrong unseen.
//! Neighbours: `lab::tollgate` starts things, `lab::clients` connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::{Bench, Scenario};
use crate::lab::status::Status;
use crate::lab::tollgate::{Counters, Stand};

mod decisions;
mod doctor;
mod engine;
mod errors;
mod experiments;
mod fallback;
mod lifecycle;
mod service;

/// One table for each file.
pub const TABLES: [&[Scenario]; 8] = [
    &decisions::SCENARIOS,
    &fallback::SCENARIOS,
    &lifecycle::SCENARIOS,
    &engine::SCENARIOS,
    &errors::SCENARIOS,
    &service::SCENARIOS,
    &experiments::SCENARIOS,
    &doctor::SCENARIOS,
];

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A fresh lab with the shipped driver.
fn up() -> Result<Stand> {
    Stand::up(&super::lab_name())
}

/// Takes the lab down and requires that driver and engine agree, that nothing is held or lost, and that nothing went
/// wrong unseen. Gives the last counters of both.
fn finish(bench: &Bench, stand: Stand) -> Result<(Counters, Status)> {
    let counters = stand.counters()?;
    require!(counters.balance(), "{counters:?}");
    require!(counters.pended == 0, "{counters:?}");
    require!(counters.orphaned == 0 && counters.unclaimed == 0 && counters.without_right == 0, "{counters:?}");
    let status = bench.finish(stand.lab)?;
    require!(status.count("/engine/held") == 0, "{status}");
    require!(status.count("/questions/waiting") == 0, "{status}");
    let of_engine = |name: &str| status.count(&format!("/engine/counts/{name}"));
    require!(of_engine("pended") == of_engine("completed"), "{status}");
    require!(status.json()["kernel"]["drivers"].as_array().is_some_and(Vec::is_empty), "{status}");
    Ok((counters, status))
}
