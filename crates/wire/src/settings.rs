//! What the service tells the driver about policy: fallback, deadline, limits, epoch.

use crate::open_enum::open_enum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

open_enum! {
    /// What the driver answers when the service is absent, slow or full.
    pub enum Fallback: u8 {
        /// Permit: fail open.
        PERMIT = 1,
        /// Block: fail closed.
        BLOCK = 2,
        /// The last known cached verdict, even an expired one; block when there is none.
        LAST = 3,
    }
}

/// The policy in force. Sent with `HELLO` and with `CONFIGURE`; replaced as a whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Settings {
    /// The fallback for outbound connections.
    pub fallback_outbound: Fallback,
    /// The fallback for inbound connections.
    pub fallback_inbound: Fallback,
    /// Zero.
    pub reserved: [u8; 2],
    /// How long a connection may be held, in milliseconds: [`Settings::DEADLINE_MS`].
    pub deadline_ms: u32,
    /// How many connections may be held at once: [`Settings::PENDED`].
    pub max_pended: u32,
    /// How many of them may belong to one process: 1 to `max_pended`.
    pub max_pended_per_process: u32,
    /// How many verdicts may be cached: [`Settings::CACHED`]. Rounded up to what the cache is built of.
    pub max_cached: u32,
    /// The number of the ruleset in force. Verdicts cached under another epoch are not used.
    pub epoch: u32,
}

const _: () = assert!(size_of::<Settings>() == 24);

impl Settings {
    /// The range of `deadline_ms`. The upper end is ten minutes; programs give a TCP connect about 21 seconds.
    pub const DEADLINE_MS: core::ops::RangeInclusive<u32> = 10..=600_000;
    /// The range of `max_pended`.
    pub const PENDED: core::ops::RangeInclusive<u32> = 1..=131_072;
    /// The range of `max_cached`.
    pub const CACHED: core::ops::RangeInclusive<u32> = 0..=1 << 21;

    /// What is in force when no service has said anything: connections are not held, the fallback is permit.
    pub const INITIAL: Self = Self {
        fallback_outbound: Fallback::PERMIT,
        fallback_inbound: Fallback::PERMIT,
        reserved: [0; 2],
        deadline_ms: 20_000,
        max_pended: 4_096,
        max_pended_per_process: 1_024,
        max_cached: 16_384,
        epoch: 0,
    };

    /// Whether every field is in its range.
    pub fn is_valid(&self) -> bool {
        self.fallback_outbound.is_known()
            && self.fallback_inbound.is_known()
            && self.reserved == [0; 2]
            && Self::DEADLINE_MS.contains(&self.deadline_ms)
            && Self::PENDED.contains(&self.max_pended)
            && (1..=self.max_pended).contains(&self.max_pended_per_process)
            && Self::CACHED.contains(&self.max_cached)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::INITIAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_settings_are_valid() {
        assert!(Settings::INITIAL.is_valid());
    }

    #[test]
    fn a_field_out_of_range_makes_settings_invalid() {
        for bad in [
            Settings { fallback_outbound: Fallback(0), ..Settings::INITIAL },
            Settings { fallback_inbound: Fallback(4), ..Settings::INITIAL },
            Settings { reserved: [0, 1], ..Settings::INITIAL },
            Settings { deadline_ms: 9, ..Settings::INITIAL },
            Settings { max_pended: 0, max_pended_per_process: 0, ..Settings::INITIAL },
            Settings { max_pended_per_process: Settings::INITIAL.max_pended + 1, ..Settings::INITIAL },
            Settings { max_cached: (1 << 21) + 1, ..Settings::INITIAL },
        ] {
            assert!(!bad.is_valid(), "{bad:?}");
        }
    }
}
