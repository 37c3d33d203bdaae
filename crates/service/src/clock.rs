//! What time it is, by both clocks.
//!
//! Deadlines go by the clock that never jumps; what people read goes by the clock on the wall. Neighbours: `daemon` has the
//! real one; tests turn their own.

use jiff::Timestamp;
use std::time::{Duration, Instant};

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary moment before the service started. Never goes back.
    pub monotonic: Duration,
    /// By the clock on the wall, which people and programs set.
    pub wall: Timestamp,
}

impl Now {
    /// When, by the clock on the wall, a moment of the steady clock is, if nobody sets it meanwhile.
    pub fn wall_at(&self, monotonic: Duration) -> Timestamp {
        let at = match monotonic.checked_sub(self.monotonic) {
            Some(ahead) => self.wall.checked_add(ahead),
            None => self.wall.checked_sub(self.monotonic.saturating_sub(monotonic)),
        };
        at.unwrap_or(self.wall)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { monotonic: self.started.elapsed(), wall: Timestamp::now() }
    }
}
