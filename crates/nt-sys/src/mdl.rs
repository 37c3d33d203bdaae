//! Memory descriptor lists: which pages a buffer is, chained for buffers of several pieces.
//!
//! The functions have two prefixes, `Io*` and `Mm*`, and one subject. An `MDL` is followed by one page number for each page it
//! spans, so it is never made, copied or freed by its declared size.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

use crate::io::IRP;
use crate::types::BOOLEAN;

/// The head of a memory descriptor list.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MDL {
    pub Next: *mut MDL,
    pub Size: i16,
    pub MdlFlags: i16,
    pub Process: *mut c_void,
    pub MappedSystemVa: *mut c_void,
    pub StartVa: *mut c_void,
    pub ByteCount: u32,
    pub ByteOffset: u32,
}

const _: () = {
    assert!(size_of::<MDL>() == 48 && align_of::<MDL>() == 8);
    assert!(offset_of!(MDL, Size) == 8);
    assert!(offset_of!(MDL, MdlFlags) == 10);
    assert!(offset_of!(MDL, Process) == 16);
    assert!(offset_of!(MDL, MappedSystemVa) == 24);
    assert!(offset_of!(MDL, StartVa) == 32);
    assert!(offset_of!(MDL, ByteCount) == 40);
    assert!(offset_of!(MDL, ByteOffset) == 44);
};

pub const MDL_MAPPED_TO_SYSTEM_VA: i16 = 0x0001;
pub const MDL_PAGES_LOCKED: i16 = 0x0002;
pub const MDL_SOURCE_IS_NONPAGED_POOL: i16 = 0x0004;

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Allocates a list large enough for the pages of the buffer; null when there is no memory.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoAllocateMdl(
        VirtualAddress: *mut c_void,
        Length: u32,
        SecondaryBuffer: BOOLEAN,
        ChargeQuota: BOOLEAN,
        Irp: *mut IRP,
    ) -> *mut MDL;

    /// Frees a list that [`IoAllocateMdl`] made; the buffer is not touched.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoFreeMdl(Mdl: *mut MDL);

    /// Fills in the pages of a buffer in nonpaged pool, which needs no locking.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn MmBuildMdlForNonPagedPool(MemoryDescriptorList: *mut MDL);
}
