//! The gate: connections that are held, and what is ruled about each.
//!
//! * [`held`]: a connection that waits for its verdict, as the service keeps it.
//!
//! Invariants: a [`held::Held`] is an obligation: it is moved until it is ruled about and submitted, once. Neighbours: `ask`
//! keeps those that wait for a person.

pub mod held;
