//! Prometheus metrics, on a loopback address.
//!
//! Invariants: counting on the decision path is an atomic increment. Neighbours: the daemon counts, a scraper asks.

use control::entry::Entry;
use control::status::Status;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is counted here, beyond what [`Status`] has.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// A decision was made.
    pub fn decided(&self, entry: &Entry) {
        let _ = entry;
    }

    /// A prompt was answered that long after it was opened.
    pub fn answered(&self, after: Duration) {
        let _ = after;
    }

    /// The metrics as text, with what `status` has.
    pub fn text(&self, status: &Status) -> String {
        let _ = status;
        todo!()
    }
}

/// Answers scrapes on `GET /metrics`; ends when dropped.
pub struct Server {}

impl Server {
    /// Listens at `address`, which must be a loopback address.
    pub fn start(
        address: SocketAddr,
        metrics: Arc<Metrics>,
        status: Arc<dyn Fn() -> Status + Send + Sync>,
    ) -> io::Result<Self> {
        let _ = (address, metrics, status);
        todo!()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
}
