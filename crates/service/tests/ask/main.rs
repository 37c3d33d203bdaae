//! Questions to people, as sentences: every test is one, on a clock that it turns itself.

mod answering;
mod asking;
mod desk;
mod forever;
mod lasting;
mod learning;
mod lifetimes;
mod model;
mod rights;
mod ruling;
mod storms;
mod telling;
