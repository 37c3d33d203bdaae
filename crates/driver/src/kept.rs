//! Kept packets, as the gate counts them.
//!
//! Neighbours: `nt` copies and frees them; `ale::packets` says which.

use nt::wfp::packet::{Packet, Packets};

/// Copies of packets, in order. Freed when dropped, which no lock should see.
#[derive(Default)]
pub(crate) struct Kept(Packets);

impl Kept {
    /// Takes the first one out.
    pub(crate) fn pop_front(&mut self) -> Option<Packet> {
        self.0.pop_front()
    }
}

impl From<Packets> for Kept {
    fn from(packets: Packets) -> Self {
        Self(packets)
    }
}

impl gate::Packets for Kept {
    fn count(&self) -> u32 {
        self.0.count()
    }

    fn bytes(&self) -> u32 {
        self.0.bytes()
    }

    fn append(&mut self, more: Self) {
        self.0.append(more.0);
    }
}
