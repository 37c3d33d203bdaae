//! How long to wait before attaching is tried again.
//!
//! Neighbours: `gate::keep` waits.

use std::time::Duration;

/// Waits longer each time, within bounds.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The first wait.
    pub const FIRST: Duration = Duration::from_millis(250);
    /// The longest.
    pub const LONGEST: Duration = Duration::from_secs(15);
    /// An attachment that held that long was a good one: waits begin anew.
    pub const GOOD: Duration = Duration::from_secs(10);

    /// How long to wait, after an attachment that held for `held`: zero when there was none.
    pub fn wait(&mut self, held: Duration) -> Duration {
        if held >= Self::GOOD {
            *self = Self::default();
        }
        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        wait
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew_after_a_good_attachment() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..100).map(|_| backoff.wait(Duration::ZERO)).collect();
        assert_eq!(waits.first(), Some(&Backoff::FIRST));
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&Backoff::LONGEST));
        assert_eq!(backoff.wait(Backoff::GOOD - Duration::from_millis(1)), Backoff::LONGEST);
        assert_eq!(backoff.wait(Backoff::GOOD), Backoff::FIRST);
    }
}
