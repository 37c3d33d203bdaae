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

bitflags::bitflags! {
    /// The kinds of operations that are held. The others are answered at once, by cache and fallback, and reported.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Holds: u16 {
        /// Outbound TCP connects.
        const CONNECT_TCP = 1;
        /// First outbound UDP packets to a remote.
        const CONNECT_UDP = 2;
        /// First outbound ICMP packets, IPv4 and IPv6.
        const CONNECT_ICMP = 4;
        /// First outbound packets of any other protocol.
        const CONNECT_OTHER = 8;
        /// Inbound TCP connections.
        const ACCEPT_TCP = 0x10;
        /// First inbound UDP packets from a remote.
        const ACCEPT_UDP = 0x20;
        /// First inbound ICMP packets, IPv4 and IPv6.
        const ACCEPT_ICMP = 0x40;
        /// First inbound packets of any other protocol.
        const ACCEPT_OTHER = 0x80;
        /// The inbound half of loopback too, as its protocol says. Clear: it is permitted, unless a block is cached, and
        /// reported; its outbound half is held as its protocol says.
        const ACCEPT_LOOPBACK = 0x100;
    }
}

impl Holds {
    /// Everything but the inbound half of loopback.
    pub const USUAL: Self = Self::all().difference(Self::ACCEPT_LOOPBACK);
}

/// The policy in force. Sent with `HELLO` and with `CONFIGURE`; replaced as a whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Settings {
    /// The fallback for outbound connections.
    pub fallback_outbound: Fallback,
    /// The fallback for inbound connections.
    pub fallback_inbound: Fallback,
    /// [`Holds`], as bits; none that is unknown.
    pub hold: u16,
    /// How long a connection may be held, in milliseconds: [`Settings::DEADLINE_MS`].
    pub deadline_ms: u32,
    /// How many connections may be held at once: [`Settings::PENDED`]. Inbound ones are held only while less than half of
    /// them are in use, so that remotes cannot keep this machine's own from being held.
    pub max_pended: u32,
    /// How many of them may belong to one process: 1 to `max_pended`. Of inbound ones half as many, for the same reason.
    pub max_pended_per_process: u32,
    /// How many verdicts may be cached: [`Settings::CACHED`]. Rounded up to what the cache is built of.
    pub max_cached: u32,
    /// The number of the ruleset in force. Verdicts cached under another epoch are not used.
    pub epoch: u32,
    /// How many bytes of packets may be kept for held operations: [`Settings::PACKET_BYTES`]. An operation whose first
    /// packet has no room is not held. For inbound ones there is room in the first half only.
    pub max_packet_bytes: u32,
    /// How many of them for one operation: 0 to `max_packet_bytes`.
    pub max_packet_bytes_per_operation: u32,
}

const _: () = assert!(size_of::<Settings>() == 32);

impl Settings {
    /// The range of `deadline_ms`. The upper end is ten minutes; programs give a TCP connect about 21 seconds.
    pub const DEADLINE_MS: core::ops::RangeInclusive<u32> = 10..=600_000;
    /// The range of `max_pended`.
    pub const PENDED: core::ops::RangeInclusive<u32> = 1..=131_072;
    /// The range of `max_cached`.
    pub const CACHED: core::ops::RangeInclusive<u32> = 0..=1 << 21;
    /// The range of `max_packet_bytes`. The upper end is 256 MiB.
    pub const PACKET_BYTES: core::ops::RangeInclusive<u32> = 0..=1 << 28;

    /// What is in force when no service has said anything: connections are not held, the fallback is permit.
    pub const INITIAL: Self = Self {
        fallback_outbound: Fallback::PERMIT,
        fallback_inbound: Fallback::PERMIT,
        hold: Holds::USUAL.bits(),
        deadline_ms: 20_000,
        max_pended: 4_096,
        max_pended_per_process: 1_024,
        max_cached: 16_384,
        epoch: 0,
        max_packet_bytes: 8 << 20,
        max_packet_bytes_per_operation: 128 << 10,
    };

    /// What is held.
    pub fn holds(&self) -> Holds {
        Holds::from_bits_truncate(self.hold)
    }

    /// Whether every field is in its range.
    pub fn is_valid(&self) -> bool {
        self.fallback_outbound.is_known()
            && self.fallback_inbound.is_known()
            && Holds::from_bits(self.hold).is_some()
            && Self::DEADLINE_MS.contains(&self.deadline_ms)
            && Self::PENDED.contains(&self.max_pended)
            && (1..=self.max_pended).contains(&self.max_pended_per_process)
            && Self::CACHED.contains(&self.max_cached)
            && Self::PACKET_BYTES.contains(&self.max_packet_bytes)
            && self.max_packet_bytes_per_operation <= self.max_packet_bytes
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
            Settings { hold: 0x200, ..Settings::INITIAL },
            Settings { max_packet_bytes: (1 << 28) + 1, ..Settings::INITIAL },
            Settings { max_packet_bytes_per_operation: Settings::INITIAL.max_packet_bytes + 1, ..Settings::INITIAL },
            Settings { deadline_ms: 9, ..Settings::INITIAL },
            Settings { max_pended: 0, max_pended_per_process: 0, ..Settings::INITIAL },
            Settings { max_pended_per_process: Settings::INITIAL.max_pended + 1, ..Settings::INITIAL },
            Settings { max_cached: (1 << 21) + 1, ..Settings::INITIAL },
        ] {
            assert!(!bad.is_valid(), "{bad:?}");
        }
    }
}
