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
    pub mono: Duration,
    /// By the clock on the wall, which people and programs set.
    pub wall: Timestamp,
}

impl Now {
    /// When, by the clock on the wall, a moment of the steady clock is, if nobody sets it meanwhile.
    pub fn wall_at(&self, mono: Duration) -> Timestamp {
        let at = match mono.checked_sub(self.mono) {
            Some(ahead) => self.wall.checked_add(ahead),
            None => self.wall.checked_sub(self.mono.saturating_sub(mono)),
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
        Now { mono: self.started.elapsed(), wall: Timestamp::now() }
    }
}
