//! Rules: who may connect where.
//!
//! A ruleset is a directory of TOML files in layers. It is compiled once into an immutable index; every connection is then
//! decided in nanoseconds, and each decision can say which rule made it.
//!
//! * [`source`]: the files, as text, and where a thing stands in them.
//! * [`model`]: a rule and its conditions, as types.
//! * [`facts`]: what is known about a connection.
//! * [`decision`]: what a ruleset concludes.
//! * [`ruleset`]: files in, decisions out. [`explain`]: one decision, rule by rule.
//! * [`language`]: files to rules; [`floor`]: the rules that are built in; [`when`]: expressions.
//! * `index`: rules to decisions; `wildcard`: text patterns.
//!
//! Invariants: pure: no clock, no file, no operating system; a ruleset with any error in it does not compile; rules are
//! walked in one order, by layer, priority, file and line, and the first that matches decides. Neighbours: `service`
//! keeps a ruleset in force, `cli` checks and explains one.

#![forbid(unsafe_code)]

pub mod cases;
pub mod check;
pub mod decision;
pub mod diff;
pub mod explain;
pub mod facts;
pub mod floor;
pub mod format;
pub mod import;
mod index;
pub mod language;
pub mod model;
mod path_glob;
pub mod ruleset;
pub mod schema;
pub mod source;
pub mod when;
mod wildcard;
