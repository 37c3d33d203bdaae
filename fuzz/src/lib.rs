//! What random bytes are fed to, and what must hold whatever they are.
//!
//! Each target is a function of bytes that panics when a promise is broken: [`wire`] parses them, [`driver`] takes them for
//! what programs, services and the filter engine do to the whole driver, [`gate`] for what is done to the state machine.
//! `cargo xtask fuzz` looks for bytes that make one panic; `tests/corpus.rs` tries those that are kept in `corpus/`.
//!
//! Invariant: the same bytes do the same thing, always: no clock, no chance, nothing left of an earlier run.

mod bytes;
pub mod driver;
pub mod gate;
pub mod wire;
