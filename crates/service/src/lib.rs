//! The decision point: requests in, decisions out.
//!
//! * [`daemon`]: the whole service, with rules. [`config`], [`policy`], [`journal`]: what it is told and what it says.
//! * [`gate`]: connections that are held, and what is ruled about each. [`identity`], [`files`], [`names`]: what is known.
//! * [`ask`]: prompts and answers. [`server`]: clients.
//! * [`outlet`], [`sink`]: where decisions go. [`log`], [`export`], [`metrics`], [`counters`]: what becomes of them there.
//! * [`session`]: one word for every connection, from attach to detach. [`connection`], [`exempt`], [`decide`]: its parts.
//! * [`submit`], [`recent`], [`clock`]: what several of these use.
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
pub mod interfaces;
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
