//! Packets of our own: deep copies of what a held operation was about, until they are injected or thrown away.
//!
//! A packet is one allocation: head, control data, raw header, data. It refers to nothing of the network stack's, which
//! forbids to keep its buffers, or clones of them, for as long as somebody thinks (R19).
//!
//! Neighbours: `copy` makes packets in a classify; [`crate::wfp::inject`] sends and receives them.

use crate::pool::{self, Tag};
use crate::status::{Result, Status};
use core::mem::{ManuallyDrop, offset_of};
use core::ptr::{NonNull, null};
use core::sync::atomic::AtomicU64;
use nt_sys::fwps::{AF_INET, AF_INET6};
use nt_sys::mdl::MDL;

/// Everything of an allocation that is not the packet's own bytes.
pub(super) const OVERHEAD: usize = size_of::<Head>();

/// The longest packet that is copied: an IP packet of full length, and then some.
pub(super) const MAX_DATA: u32 = 0x1_1000;

const _: () = assert!(OVERHEAD <= 256 && OVERHEAD.is_multiple_of(ALIGNMENT));

/// Control data is a chain of records with pointers' alignment; the data after it is nothing in particular.
const ALIGNMENT: usize = 16;

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// `ADDRESS_FAMILY`.
    pub(super) fn number(self) -> u16 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }
}

/// Where a packet goes on.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// Out of a socket; the data begins with the transport header.
    Send { endpoint: u64, scope: u32 },
    /// In from an interface; the data begins with the IP header.
    Receive { interface: u32, sub_interface: u32 },
}

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub family: Family,
    pub compartment: u32,
    /// What the adapter computes or has checked of the checksums (`NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO`); a clone would
    /// carry it, and without it a checksum that was left to the adapter would never be computed.
    pub checksum: usize,
    /// The remote address of a packet that is sent, in network order; IPv4 uses the first four bytes.
    pub remote: [u8; 16],
    pub way: Way,
}

/// The bytes of a packet, by what they are.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub control: u32,
    pub included_header: u32,
    pub data: u32,
}

impl Sizes {
    pub(super) fn of(control: &[u8], included_header: &[u8], data: u32) -> Self {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { control: len(control), included_header: len(included_header), data }
    }

    /// Size of the allocation.
    pub(super) fn total(self) -> usize {
        self.data_at() + self.data as usize
    }

    fn data_at(self) -> usize {
        (OVERHEAD + self.control as usize + self.included_header as usize).next_multiple_of(ALIGNMENT)
    }
}

/// The start of a packet's allocation.
#[repr(align(16))]
pub(super) struct Head {
    next: Option<NonNull<Head>>,
    pub facts: Facts,
    pub sizes: Sizes,
    tag: Tag,
    /// Set while it is injected.
    pub list: Option<NonNull<MDL>>,
    /// Set while it is injected: who counts what fails.
    pub failed: *const AtomicU64,
}

/// One copied packet.
pub struct Packet {
    head: NonNull<Head>,
}

// SAFETY: a packet owns its allocation, as a Box does; pool memory belongs to no thread.
unsafe impl Send for Packet {}

impl Packet {
    /// Makes a packet whose bytes are zero.
    ///
    /// # Errors
    /// `STATUS_INVALID_BUFFER_SIZE` if it is empty or longer than packets are, `STATUS_INSUFFICIENT_RESOURCES`.
    pub(super) fn new(facts: Facts, sizes: Sizes, tag: Tag) -> Result<Self> {
        if sizes.data == 0 || sizes.data > MAX_DATA {
            return Err(Status::INVALID_BUFFER_SIZE);
        }
        let head = pool::allocate(sizes.total(), align_of::<Head>(), tag)?.cast::<Head>();
        // SAFETY: the block is fresh, large enough and aligned for a head.
        unsafe { head.write(Head { next: None, facts, sizes, tag, list: None, failed: null() }) };
        Ok(Self { head })
    }

    pub(super) fn head(&self) -> &Head {
        // SAFETY: the packet owns an initialized head.
        unsafe { self.head.as_ref() }
    }

    pub(super) fn head_mut(&mut self) -> &mut Head {
        // SAFETY: as in `head`; `&mut self` makes it unique.
        unsafe { self.head.as_mut() }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.head.as_ptr().cast::<u8>().wrapping_add(offset)
    }

    /// The remote address, which is as long in place as the packet.
    pub(super) fn remote(&self) -> *mut u8 {
        self.at(offset_of!(Head, facts) + offset_of!(Facts, remote))
    }

    pub(super) fn control(&self) -> *mut u8 {
        self.at(OVERHEAD)
    }

    pub(super) fn included_header(&self) -> *mut u8 {
        self.at(OVERHEAD + self.head().sizes.control as usize)
    }

    pub(super) fn data(&self) -> *mut u8 {
        self.at(self.head().sizes.data_at())
    }

    /// Fills in what lies before the data.
    pub(super) fn put_attachments(&mut self, control: &[u8], included_header: &[u8]) {
        let sizes = self.head().sizes;
        for (to, room, from) in
            [(self.control(), sizes.control, control), (self.included_header(), sizes.included_header, included_header)]
        {
            let len = from.len().min(room as usize);
            // SAFETY: both parts lie inside the allocation, `len` is within the part, and nobody else has a reference to it.
            unsafe { to.copy_from_nonoverlapping(from.as_ptr(), len) };
        }
    }

    /// Size of the allocation.
    pub(super) fn total(&self) -> u32 {
        u32::try_from(self.head().sizes.total()).unwrap_or(u32::MAX)
    }

    /// Gives up ownership; [`Packet::from_raw`] takes it back.
    pub(super) fn into_raw(self) -> NonNull<Head> {
        ManuallyDrop::new(self).head
    }

    /// # Safety
    /// `head` came from [`Packet::into_raw`], once, and nobody uses it any more.
    pub(super) unsafe fn from_raw(head: NonNull<Head>) -> Self {
        Self { head }
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let tag = self.head().tag;
        // SAFETY: the block came from `allocate` with this tag and is freed once. The head has nothing to drop.
        unsafe { pool::free(self.head.cast(), tag) };
    }
}

/// Packets in the order in which they came. A queue through their heads: it allocates nothing.
#[derive(Default)]
pub struct Packets {
    ends: Option<(NonNull<Head>, NonNull<Head>)>,
    count: u32,
    bytes: u32,
}

// SAFETY: a queue owns its packets, each of which may go to another thread.
unsafe impl Send for Packets {}

impl Packets {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How much pool they take.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Adds a packet at the end.
    pub fn push_back(&mut self, packet: Packet) {
        let (count, bytes) = (1, packet.total());
        let head = packet.into_raw();
        self.link((head, head), count, bytes);
    }

    /// Adds all of `more` at the end.
    pub fn append(&mut self, more: Self) {
        let more = ManuallyDrop::new(more);
        if let Some(ends) = more.ends {
            self.link(ends, more.count, more.bytes);
        }
    }

    fn link(&mut self, (first, last): (NonNull<Head>, NonNull<Head>), count: u32, bytes: u32) {
        self.ends = match self.ends {
            None => Some((first, last)),
            Some((front, back)) => {
                // SAFETY: `back` is a head of this queue, which owns it; no reference to it exists.
                unsafe { (*back.as_ptr()).next = Some(first) };
                Some((front, last))
            }
        };
        self.count = self.count.saturating_add(count);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Takes the first packet.
    pub fn pop_front(&mut self) -> Option<Packet> {
        let (first, last) = self.ends?;
        // SAFETY: `first` is a head of this queue, which owns it and gives it up here.
        let mut packet = unsafe { Packet::from_raw(first) };
        self.ends = packet.head_mut().next.take().map(|next| (next, last));
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(packet.total());
        Some(packet)
    }
}

impl Drop for Packets {
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, and better with no lock held: each packet is freed.
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, MAX_DATA, OVERHEAD, Sizes};

    #[test]
    fn everything_beside_the_bytes_is_at_most_256() {
        for (control, header) in [(0, 0), (1, 0), (0, 20), (40, 60), (4096, 4096)] {
            let sizes = Sizes::of(&[0; 4096][..control], &[0; 4096][..header], MAX_DATA);
            let bytes = control + header + MAX_DATA as usize;
            assert!((bytes..=bytes + 256).contains(&sizes.total()), "{control} {header}");
            assert!(sizes.data_at() >= OVERHEAD + control + header && sizes.data_at().is_multiple_of(ALIGNMENT));
        }
    }

    #[test]
    fn a_length_that_is_no_length_is_not_made_small() {
        assert!(Sizes::of(&[], &[], u32::MAX).total() > u32::MAX as usize);
    }
}
