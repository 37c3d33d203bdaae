//! Rules: who may connect where.
//!
//! A ruleset is a directory of TOML files in layers. It is compiled once into an immutable index; every connection is then
//! decided in nanoseconds, and each decision can say which rule made it.
//!
//! * [`source`]: the files, as text, and where a thing stands in them.
//! * [`model`]: a rule and its conditions, as types.
//! * [`facts`]: what is known about a connection.
//! * [`decision`]: what a ruleset concludes.
//! * [`ruleset`]: files in, decisions out.
//!
//! Invariants: pure: no clock, no file, no operating system; a ruleset with any error in it does not compile; rules are
//! walked in one order, by layer, priority, file and line, and the first that matches decides. Neighbours: `service`
//! keeps a ruleset in force, `cli` checks and explains one.

#![forbid(unsafe_code)]

pub mod decision;
pub mod facts;
pub mod import;
pub mod model;
pub mod ruleset;
pub mod source;
