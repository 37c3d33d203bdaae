//! Entries for other programs: JSON lines, OCSF, ECS, and syslog.
//!
//! Neighbours: `tollgate log` prints with it, the daemon sends with it.

use control::entry::Entry;
use std::path::PathBuf;
use std::sync::Arc;

/// A form of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The entry itself, as JSON.
    Json,
    /// OCSF class 4001.
    Ocsf,
    /// Elastic Common Schema.
    Ecs,
    /// RFC 5424.
    Syslog,
}

/// Where entries are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Appended to a file, a line each.
    File(PathBuf),
    /// A datagram each, to `host:port`.
    Udp(String),
    /// With octet counting, to `host:port`.
    Tcp(String),
    /// A datagram each, to a local socket such as `/dev/log`.
    Unix(PathBuf),
}

/// Sends entries on a thread of its own; ends when dropped.
pub struct Exporter {}

impl Exporter {
    /// Begins to send. Never fails: it tries again and again, and counts what it dropped meanwhile.
    pub fn start(target: Target, format: Format) -> Self {
        let _ = (target, format);
        todo!()
    }

    /// Takes `entry` without ever waiting.
    pub fn put(&self, entry: Arc<Entry>) {
        todo!("{entry:?}")
    }

    /// How many entries were dropped.
    pub fn dropped(&self) -> u64 {
        todo!()
    }
}
