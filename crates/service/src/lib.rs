//! The decision point: requests in, decisions out.
//!
//! * [`connection`]: one request, readable.
//! * [`exempt`]: what is permitted whatever the mode says.
//! * [`decide`]: connection to decision, pure.
//! * [`session`]: the conversation with an enforcement point, from attach to detach.
//!
//! Invariants: nothing here names an operating system or prints; deciding does no I/O. Neighbours: `platform` has the
//! enforcement point, `wire` the vocabulary, `cli` shows what happens.

#![forbid(unsafe_code)]

pub mod ask;
pub mod clock;
pub mod config;
pub mod connection;
pub mod counters;
pub mod daemon;
pub mod decide;
pub mod exempt;
pub mod export;
pub mod files;
pub mod gate;
pub mod identity;
pub mod journal;
pub mod log;
pub mod metrics;
pub mod names;
pub mod outlet;
pub mod policy;
pub mod recent;
pub mod server;
pub mod session;
pub mod sink;
pub mod submit;
