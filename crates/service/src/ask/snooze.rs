//! Peace for a while.
//!
//! Invariants: ends by the monotonic clock, so a clock that is set neither ends nor prolongs it; does not outlive the
//! service. Prompts that are open already stay. Neighbours: `ask` asks whether it is on.

use crate::clock::Now;
use control::entry::Verdict;
use control::status::Snooze;
use jiff::Timestamp;
use std::time::Duration;

/// The longest snooze, in seconds: a day.
pub const MAX_SECONDS: u32 = 86_400;

/// It is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a snooze lasts 1 to {MAX_SECONDS} seconds, not {0}; 0 ends it")]
pub struct TooLong(pub u32);

/// Whether prompts are snoozed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snoozing(Option<(Duration, Option<Verdict>)>);

impl Snoozing {
    /// Begins one, or ends it.
    pub fn set(&mut self, snooze: Snooze, now: Now) -> Result<(), TooLong> {
        self.0 = match snooze.seconds {
            0 => None,
            1..=MAX_SECONDS => {
                Some((now.monotonic.saturating_add(Duration::from_secs(snooze.seconds.into())), snooze.verdict))
            }
            seconds => return Err(TooLong(seconds)),
        };
        Ok(())
    }

    /// The verdict meanwhile, where `default` is the configured one; `None` when it is over.
    pub fn verdict(&self, default: Verdict, now: Now) -> Option<Verdict> {
        self.0.filter(|(until, _)| now.monotonic < *until).map(|(_, verdict)| verdict.unwrap_or(default))
    }

    /// Until when, for people.
    pub fn until(&self, now: Now) -> Option<Timestamp> {
        let (until, _) = self.0.filter(|(until, _)| now.monotonic < *until)?;
        Some(now.wall_at(until))
    }
}
