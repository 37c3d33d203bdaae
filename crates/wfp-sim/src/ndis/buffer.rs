//! One net buffer: a window on the bytes of a chain of memory descriptor lists.
//!
//! Invariant: nothing here owns memory; every function is given a net buffer that is there, and follows its chain.

#![expect(unsafe_code, reason = "follows raw chains")]

use nt_sys::mdl::*;
use nt_sys::ndis::NET_BUFFER;
use std::ptr;

/// Where a net buffer's data begins and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub next: usize,
    pub mdl: usize,
    pub offset: u32,
    pub len: usize,
}

/// # Safety
/// `buffer` is a net buffer.
pub(super) unsafe fn window(buffer: *mut NET_BUFFER) -> Window {
    // SAFETY: by contract.
    let buffer = unsafe { &*buffer };
    Window {
        next: buffer.Next.addr(),
        mdl: buffer.CurrentMdl.addr(),
        offset: buffer.CurrentMdlOffset,
        len: buffer.stDataLength,
    }
}

/// The pieces of memory that hold the data, in order; nothing when the chain has less than the net buffer says, or has no
/// system address.
///
/// # Safety
/// `buffer` is a net buffer with a chain of descriptor lists.
pub(super) unsafe fn pieces(buffer: *mut NET_BUFFER) -> Option<Vec<(*mut u8, usize)>> {
    // SAFETY: by contract.
    let record = unsafe { buffer.read() };
    let (mut mdl, mut skip, mut left) = (record.MdlChain, record.DataOffset as usize, record.stDataLength);
    let mut pieces = Vec::new();
    while left > 0 {
        // SAFETY: null, or the next list of the chain.
        let one = unsafe { mdl.as_ref() }?;
        let count = one.ByteCount as usize;
        if skip < count {
            let len = left.min(count - skip);
            pieces.push((address(one)?.wrapping_add(skip), len));
            left -= len;
            skip = 0;
        } else {
            skip -= count;
        }
        mdl = one.Next;
    }
    Some(pieces)
}

/// The data.
///
/// # Safety
/// As [`pieces`], and the memory is there and initialised.
pub(super) unsafe fn read(buffer: *mut NET_BUFFER) -> Option<Vec<u8>> {
    // SAFETY: by contract.
    let pieces = unsafe { pieces(buffer) }?;
    let mut bytes = Vec::new();
    for (start, len) in pieces {
        // SAFETY: the descriptor list describes this memory, which is there by contract.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(start, len) });
    }
    Some(bytes)
}

/// Where the memory of a list is mapped, as `MmGetSystemAddressForMdlSafe` finds it.
fn address(mdl: &MDL) -> Option<*mut u8> {
    const MAPPED: i16 = MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL;
    (mdl.MdlFlags & MAPPED != 0 && !mdl.MappedSystemVa.is_null()).then(|| mdl.MappedSystemVa.cast())
}

/// Sets the data to begin at `offset` of the chain and to be `len` long. False when the chain is shorter.
///
/// # Safety
/// `buffer` is a net buffer that nobody else uses now, with a chain of descriptor lists.
pub(super) unsafe fn set_window(buffer: *mut NET_BUFFER, offset: usize, len: usize) -> bool {
    // SAFETY: by contract.
    let mut mdl = unsafe { (*buffer).MdlChain };
    let mut skip = offset;
    loop {
        // SAFETY: null, or the next list of the chain.
        let Some(one) = (unsafe { mdl.as_ref() }) else { return false };
        let count = one.ByteCount as usize;
        if skip < count || (skip == count && one.Next.is_null()) {
            break;
        }
        skip -= count;
        mdl = one.Next;
    }
    // SAFETY: by contract.
    let buffer = unsafe { &mut *buffer };
    buffer.CurrentMdl = mdl;
    buffer.CurrentMdlOffset = u32::try_from(skip).unwrap_or(u32::MAX);
    buffer.DataOffset = u32::try_from(offset).unwrap_or(u32::MAX);
    buffer.stDataLength = len;
    true
}

/// A descriptor list of `len` bytes of nonpaged memory at `start`.
pub(super) fn describe(start: *mut u8, len: usize, next: *mut MDL) -> MDL {
    const PAGE: usize = 0x1000;
    MDL {
        Next: next,
        Size: i16::try_from(size_of::<MDL>() + size_of::<u64>()).unwrap_or(i16::MAX),
        MdlFlags: MDL_SOURCE_IS_NONPAGED_POOL,
        Process: ptr::null_mut(),
        MappedSystemVa: start.cast(),
        StartVa: start.map_addr(|addr| addr & !(PAGE - 1)).cast(),
        ByteCount: u32::try_from(len).unwrap_or(u32::MAX),
        ByteOffset: (start.addr() % PAGE) as u32,
    }
}
