//! The counters: what the gate did, and by which door each held connection left.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Why a held connection stopped being held. Each leaves by exactly one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Doors {
    /// The service answered.
    pub verdict: u64,
    /// Its deadline passed; the fallback answered.
    pub deadline: u64,
    /// Its socket went away.
    pub closure: u64,
    /// The service detached; the fallback answered.
    pub detach: u64,
    /// The driver is unloading; the fallback answered.
    pub unload: u64,
    /// The filter engine refused to pend it; the fallback answered at once.
    pub pend_failed: u64,
}

impl Doors {
    /// How many left by any door.
    pub fn total(&self) -> u64 {
        [self.verdict, self.deadline, self.closure, self.detach, self.unload, self.pend_failed]
            .iter()
            .fold(0, |sum, n| sum.wrapping_add(*n))
    }
}

/// All counters since the driver was loaded, and what is held now.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Stats {
    /// The version the driver speaks.
    pub version: u16,
    /// Whether a service is attached: 0 or 1.
    pub attached: u8,
    /// Whether the callouts' filters are in the filter engine: 0 or 1.
    pub filtering: u8,
    /// Connections held now.
    pub pended: u32,
    /// Age of the oldest held connection, in milliseconds.
    pub oldest_ms: u32,
    /// Requests and reports not yet delivered.
    pub queued: u32,
    /// Verdicts in the cache, valid or not.
    pub cached: u32,
    /// The epoch in force.
    pub epoch: u32,
    /// Packets kept now, for operations that are held or not yet continued.
    pub kept_packets: u32,
    /// Their bytes.
    pub kept_bytes: u32,
    /// Process id of the attached service, else 0.
    pub attached_process_id: u64,
    /// Classifies that asked for an authorization.
    pub classified: u64,
    /// Classifies answered from the cache with permit.
    pub cache_permitted: u64,
    /// Classifies answered from the cache with block.
    pub cache_blocked: u64,
    /// Classifies of the attached service's own process, permitted.
    pub exempted: u64,
    /// Classifies answered by the fallback because no service was attached, or the operation cannot be held.
    pub fell_back: u64,
    /// Classifies answered by the fallback because a limit was reached.
    pub limited: u64,
    /// Connections held, ever. Equals `pended` plus the total of `doors`.
    pub held: u64,
    /// The doors.
    pub doors: Doors,
    /// Decided connections whose reauthorize took the verdict.
    pub claimed: u64,
    /// Decided connections for which no reauthorize came in time; the verdict was thrown away.
    pub unclaimed: u64,
    /// Reauthorizes that no decided connection was waiting for: of live flows, and of connections still held.
    pub foreign_reauthorized: u64,
    /// Reauthorizes after a completion whose verdict was gone; the fallback answered.
    pub orphaned: u64,
    /// Classifies that arrived without the right to set the action.
    pub without_right: u64,
    /// Answers that came too late.
    pub stale_answers: u64,
    /// Reports dropped because nobody took them.
    pub dropped_reports: u64,
    /// Packets kept, ever. Equals `kept_packets` plus `packets_released` plus `packets_dropped`.
    pub packets_kept: u64,
    /// Kept packets that were given out to be injected, because their operation was permitted.
    pub packets_released: u64,
    /// Kept packets that were thrown away with their operation.
    pub packets_dropped: u64,
    /// Further packets of held operations for which there was no room, or no use.
    pub packets_refused: u64,
    /// Injections that failed, at once or later.
    pub inject_failed: u64,
    /// Closing sockets that had to wait until an operation of theirs was completed.
    pub closures_held: u64,
    /// Questions about live flows.
    pub live_asked: u64,
    /// Times the filter engine was made to look at all live flows again.
    pub rechecked: u64,
}

const _: () = assert!(size_of::<Stats>() == 40 + 22 * 8 + 6 * 8);

impl Stats {
    /// Whether the books balance: every connection ever held is held now or left by one door, and so every packet.
    pub fn balances(&self) -> bool {
        let packets =
            u64::from(self.kept_packets).wrapping_add(self.packets_released).wrapping_add(self.packets_dropped);
        self.held == u64::from(self.pended).wrapping_add(self.doors.total()) && self.packets_kept == packets
    }
}
