//! Memory descriptor lists over nonpaged memory, whose Wine exports are stubs.
//!
//! In the driver host's one address space a page needs no mapping, so the mapped address is the address itself, and no page
//! numbers follow the list. Each is accounted to its driver like pool memory, with a tag of its own.

use core::ffi::c_void;
use core::ptr;

use nt_sys::ex::NonPagedPoolNx;
use nt_sys::mdl::{MDL, MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL};
use nt_sys::types::DISPATCH_LEVEL;

use crate::{irql, pool, violations};

const TAG: u32 = u32::from_le_bytes(*b"Mdl ");
const PAGE: usize = 4096;

/// In place of `IoAllocateMdl`. Lists that belong to a request or to a chain are not served.
pub unsafe extern "system" fn allocate<const SLOT: usize>(
    address: *mut u8,
    bytes: u32,
    secondary: u8,
    _charge_quota: u8,
    irp: *mut c_void,
) -> *mut MDL {
    irql::require_at_most(DISPATCH_LEVEL, "IoAllocateMdl");
    if secondary != 0 || !irp.is_null() {
        violations::record("IoAllocateMdl with a request: the lab has no such lists".to_owned());
        return ptr::null_mut();
    }
    // SAFETY: no condition on the arguments.
    let mdl = unsafe { pool::allocate_with_tag::<SLOT>(NonPagedPoolNx, size_of::<MDL>(), TAG) }.cast::<MDL>();
    if mdl.is_null() {
        return mdl;
    }
    let offset = address.addr() % PAGE;
    let fresh = MDL {
        Next: ptr::null_mut(),
        Size: size_of::<MDL>() as i16,
        MdlFlags: 0,
        Process: ptr::null_mut(),
        MappedSystemVa: ptr::null_mut(),
        StartVa: address.wrapping_sub(offset).cast(),
        ByteCount: bytes,
        ByteOffset: offset as u32,
    };
    // SAFETY: a block of that size, and pool memory is aligned to 16 bytes.
    unsafe { mdl.write(fresh) };
    mdl
}

/// In place of `IoFreeMdl`.
pub unsafe extern "system" fn free<const SLOT: usize>(mdl: *mut MDL) {
    // SAFETY: the caller's list, of `allocate`.
    unsafe { pool::free_with_tag::<SLOT>(mdl.cast(), TAG) };
}

/// In place of `MmBuildMdlForNonPagedPool`.
pub unsafe extern "system" fn build(mdl: *mut MDL) {
    irql::require_at_most(DISPATCH_LEVEL, "MmBuildMdlForNonPagedPool");
    // SAFETY: the caller's list.
    let mdl = unsafe { &mut *mdl };
    mdl.MappedSystemVa = mdl.StartVa.wrapping_byte_add(mdl.ByteOffset as usize);
    mdl.MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

/// In place of `MmMapLockedPagesSpecifyCache`.
pub unsafe extern "system" fn map(
    mdl: *mut MDL,
    _mode: i8,
    _cache: i32,
    _requested: *mut c_void,
    _bugcheck: u32,
    _priority: u32,
) -> *mut c_void {
    irql::require_at_most(DISPATCH_LEVEL, "MmMapLockedPagesSpecifyCache");
    // SAFETY: the caller's list.
    let mdl = unsafe { &mut *mdl };
    if mdl.MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL == 0 {
        mdl.MappedSystemVa = mdl.StartVa.wrapping_byte_add(mdl.ByteOffset as usize);
        mdl.MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
    }
    mdl.MappedSystemVa
}
