//! Names of addresses, from the answers to name lookups that the platform sees.
//!
//! Neighbours: `platform` hears the lookups, `gate` asks for names.

use std::net::IpAddr;
use std::time::Duration;

/// One answer to a name lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name that was asked for.
    pub name: String,
    /// The addresses that came back, through whatever aliases.
    pub addresses: Vec<IpAddr>,
    /// How long they hold; `None` when the source does not know.
    pub ttl: Option<Duration>,
    /// The process that asked, when the source knows.
    pub pid: Option<u64>,
}

/// What hears of lookups.
pub type Heard = Box<dyn Fn(Lookup) + Send + Sync>;

/// Something that sees name lookups.
pub trait NameSource: Send {
    /// Begins to tell `heard` of each, from another thread, until what is given back is dropped; or says why it cannot.
    fn start(self: Box<Self>, heard: Heard) -> Result<Listening, String>;
}

/// A source that listens.
pub struct Listening {
    /// What it is, for people: `the DNS client's events`.
    pub what: String,
    /// Dropping it ends it.
    pub guard: Box<dyn Send + Sync>,
}
