//! What the service and its clients say to each other.
//!
//! One JSON object a line, in both directions. A client says [`protocol::Hello`] and is told its role; then it sends
//! requests, each with a number that comes back with the reply; what it subscribed to arrives in between.
//!
//! * [`entry`]: one decision, as it is logged, shown and exported.
//! * [`prompt`]: a question to a person, and the answer.
//! * [`status`]: how the service does.
//! * [`filter`]: which entries.
//! * [`protocol`]: the messages.
//! * [`mod@line`]: lines of bounded length.
//! * [`client`]: the client's side.
//!
//! Invariants: every message is bounded; an unknown field is ignored and an unknown request refused by name; nothing here
//! opens anything: the stream comes from `platform`. Neighbours: `service` serves, `cli` asks.

#![forbid(unsafe_code)]

pub mod client;
pub mod entry;
pub mod filter;
pub mod line;
pub mod prompt;
pub mod protocol;
pub mod status;
