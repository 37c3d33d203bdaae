//! `tollgate tui`: watch and answer, full screen.
//!
//! What happens is a [`message::Message`]; [`update::update`] changes the [`model::Model`] by it and says what is to be done;
//! [`view::view`] draws it. These three are pure, and tests drive them with keys and compare screens. Around them:
//! `run` owns the terminal, `link` the connection to the service, `clerk` compiles and explains rules.
//!
//! Invariants: what others wrote never controls the terminal ([`text`]); no single key decides about a connection;
//! memory is bounded, and so is drawing, however much happens; nothing is drawn when nothing changes. Neighbours:
//! `control` has what is shown.

mod answer;
mod clerk;
mod connections;
mod filter;
mod history;
mod input;
mod keys;
mod link;
mod message;
mod model;
mod prompts;
mod ruleset;
mod run;
mod snooze;
mod text;
mod theme;
mod trace;
mod update;
mod view;
mod wording;

#[cfg(test)]
mod tests;

pub use link::{Stream, Trouble};
pub use run::run;
pub use theme::Theme;
