//! What a person or another program reads.
//!
//! Neighbours: `line` is how one thing looks, `narrator` knows what to say, `printer` gets it out.

pub mod line;
pub mod narrator;
#[cfg(test)]
mod paper;
pub mod printer;
