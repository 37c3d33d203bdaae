//! Names that programs looked up, as the system's resolver tells.
//!
//! Invariants: what is told is what the resolver answered; an address that no answer named has no name here. Every name
//! is lower case and without a final dot. A source that is not there is an error with its reason, and one that ends later
//! says so once. Neighbours: `resolved` and `dns_client` read two resolvers' records; `linux::names` and
//! `windows::names` get them; `service` maps addresses back.

#[cfg(any(windows, test))]
pub(crate) mod dns_client;
#[cfg(unix)]
pub(crate) mod resolved;

#[cfg(unix)]
pub use crate::linux::names::{Watch, watch};
#[cfg(windows)]
pub use crate::windows::names::{Watch, watch};

use std::net::IpAddr;
use std::time::Duration;

/// One address of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The process that asked, where the resolver tells.
    pub pid: Option<u32>,
    /// What it asked for, not what aliases led to.
    pub name: String,
    /// An address of it.
    pub address: IpAddr,
    /// How long that holds, where the resolver tells.
    pub ttl: Option<Duration>,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A name was resolved.
    Answer(Answer),
    /// The source ended for this reason, or the watch was dropped; nothing follows.
    Ended(String),
}

/// Why names are not seen.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// There is no such source on this machine, now.
    #[error("{0}")]
    NoSource(String),
    /// The caller may not listen.
    #[error("{0}: only administrators may see what others look up")]
    AccessDenied(String),
    /// The operating system's.
    #[error("{call} failed")]
    Os {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The one spelling of a name; `None` for what is none.
pub(crate) fn normal(name: &str) -> Option<String> {
    let name = name.trim().trim_end_matches('.');
    let is_name = !name.is_empty() && name.len() <= 253 && !name.contains(char::is_whitespace);
    is_name.then(|| name.to_ascii_lowercase())
}
