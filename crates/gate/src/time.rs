//! Time as the gate sees it: a number of milliseconds that only grows. The caller reads the clock.
//!
//! Neighbours: everything that waits or expires.

/// A point on the caller's monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// A time no clock reaches.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `ms` milliseconds after the clock's zero.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds from the clock's zero.
    pub(crate) const fn as_millis(self) -> u64 {
        self.0
    }

    /// The point `ms` milliseconds later.
    #[must_use]
    pub const fn after_millis(self, ms: u32) -> Self {
        Self(self.0.saturating_add(ms as u64))
    }

    /// Milliseconds from `earlier` to here; none when `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> u32 {
        u32::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(u32::MAX)
    }
}
