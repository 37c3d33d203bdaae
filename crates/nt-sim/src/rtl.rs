//! `Rtl*`: builders of security descriptors; and the strings of the kernel.

use std::ffi::c_void;

use nt_sys::se::{
    ACCESS_ALLOWED_ACE_TYPE, ACE_HEADER, ACL, SE_DACL_PRESENT, SECURITY_DESCRIPTOR, SECURITY_DESCRIPTOR_REVISION,
    SID_REVISION,
};
use nt_sys::status::{
    STATUS_ALLOTTED_SPACE_EXCEEDED, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_ACL, STATUS_INVALID_PARAMETER,
    STATUS_INVALID_SECURITY_DESCR, STATUS_INVALID_SID, STATUS_SUCCESS, STATUS_UNKNOWN_REVISION,
};
use nt_sys::types::{ACCESS_MASK, APC_LEVEL, BOOLEAN, FALSE, NTSTATUS, PASSIVE_LEVEL, UNICODE_STRING};

use crate::{fault, thread};

/// `SECURITY_DESCRIPTOR::Control`: the list came from a default.
const SE_DACL_DEFAULTED: u16 = 0x0008;
/// Revisions of an access control list.
const ACL_REVISIONS: std::ops::RangeInclusive<u32> = 2..=4;

/// Text of a counted string.
///
/// # Safety
/// `string` and its buffer are valid.
pub(crate) unsafe fn text(string: *const UNICODE_STRING) -> String {
    // SAFETY: the caller's promise.
    let string = unsafe { string.read() };
    if string.Length == 0 {
        return String::new();
    }
    // SAFETY: the caller's promise; the length is in bytes.
    let units = unsafe { std::slice::from_raw_parts(string.Buffer, usize::from(string.Length / 2)) };
    String::from_utf16_lossy(units)
}

/// Counted string over `units`, which the caller keeps.
pub(crate) fn counted(units: &mut [u16]) -> UNICODE_STRING {
    let bytes = (units.len() * 2) as u16;
    UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: units.as_mut_ptr() }
}

/// Makes an empty descriptor.
///
/// # Safety
/// `descriptor` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn RtlCreateSecurityDescriptor(
    descriptor: *mut SECURITY_DESCRIPTOR,
    revision: u32,
) -> NTSTATUS {
    thread::require_irql("RtlCreateSecurityDescriptor", PASSIVE_LEVEL);
    if revision != SECURITY_DESCRIPTOR_REVISION || fault::should_fail("RtlCreateSecurityDescriptor") {
        return STATUS_UNKNOWN_REVISION;
    }
    // SAFETY: the caller's promise; all-zero bytes are a value of the record.
    unsafe { descriptor.write_bytes(0, 1) };
    // SAFETY: the caller's promise.
    unsafe { (*descriptor).Revision = SECURITY_DESCRIPTOR_REVISION as u8 };
    STATUS_SUCCESS
}

/// Makes an empty list.
///
/// # Safety
/// `acl` is valid for writing `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn RtlCreateAcl(acl: *mut ACL, length: u32, revision: u32) -> NTSTATUS {
    thread::require_irql("RtlCreateAcl", APC_LEVEL);
    if (length as usize) < size_of::<ACL>() {
        return STATUS_BUFFER_TOO_SMALL;
    }
    let Ok(size) = u16::try_from(length & !3) else { return STATUS_INVALID_PARAMETER };
    if !ACL_REVISIONS.contains(&revision) || fault::should_fail("RtlCreateAcl") {
        return STATUS_INVALID_PARAMETER;
    }
    let head = ACL { AclRevision: revision as u8, Sbz1: 0, AclSize: size, AceCount: 0, Sbz2: 0 };
    // SAFETY: the caller's promise, and the length was checked.
    unsafe { acl.write(head) };
    STATUS_SUCCESS
}

/// Appends a granting entry.
///
/// # Safety
/// `acl` was made by [`RtlCreateAcl`]; `sid` is readable as far as its own length says.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn RtlAddAccessAllowedAce(
    acl: *mut ACL,
    revision: u32,
    mask: ACCESS_MASK,
    sid: *mut c_void,
) -> NTSTATUS {
    thread::require_irql("RtlAddAccessAllowedAce", APC_LEVEL);
    // SAFETY: the caller's promise.
    let head = unsafe { acl.read() };
    if !ACL_REVISIONS.contains(&u32::from(head.AclRevision)) || !ACL_REVISIONS.contains(&revision) {
        return STATUS_INVALID_ACL;
    }
    // SAFETY: the caller's promise.
    if unsafe { sid.cast::<u8>().read() } != SID_REVISION {
        return STATUS_INVALID_SID;
    }
    // SAFETY: the caller's promise.
    let sid_bytes = unsafe { sid_length(sid) };
    // SAFETY: the caller's promise.
    let used = unsafe { used_bytes(acl) };
    let size = size_of::<ACE_HEADER>() + size_of::<ACCESS_MASK>() + sid_bytes;
    if used + size > usize::from(head.AclSize) || fault::should_fail("RtlAddAccessAllowedAce") {
        return STATUS_ALLOTTED_SPACE_EXCEEDED;
    }
    let header = ACE_HEADER { AceType: ACCESS_ALLOWED_ACE_TYPE, AceFlags: 0, AceSize: size as u16 };
    let ace = acl.cast::<u8>().wrapping_add(used);
    // SAFETY: the entry lies within `AclSize`, which the caller promises to be writable.
    unsafe { ace.cast::<ACE_HEADER>().write_unaligned(header) };
    let place = ace.wrapping_add(size_of::<ACE_HEADER>());
    // SAFETY: as above.
    unsafe { place.cast::<ACCESS_MASK>().write_unaligned(mask) };
    let place = ace.wrapping_add(size - sid_bytes);
    // SAFETY: as above for the target; the caller promises the source.
    unsafe { std::ptr::copy_nonoverlapping(sid.cast::<u8>(), place, sid_bytes) };
    // SAFETY: the caller's promise.
    unsafe { (*acl).AceCount = head.AceCount + 1 };
    STATUS_SUCCESS
}

/// Puts a list into a descriptor.
///
/// # Safety
/// `descriptor` was made by [`RtlCreateSecurityDescriptor`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn RtlSetDaclSecurityDescriptor(
    descriptor: *mut SECURITY_DESCRIPTOR,
    present: BOOLEAN,
    dacl: *mut ACL,
    defaulted: BOOLEAN,
) -> NTSTATUS {
    thread::require_irql("RtlSetDaclSecurityDescriptor", PASSIVE_LEVEL);
    // SAFETY: the caller's promise.
    let descriptor = unsafe { &mut *descriptor };
    if u32::from(descriptor.Revision) != SECURITY_DESCRIPTOR_REVISION {
        return STATUS_UNKNOWN_REVISION;
    }
    if fault::should_fail("RtlSetDaclSecurityDescriptor") {
        return STATUS_INVALID_SECURITY_DESCR;
    }
    descriptor.Control &= !(SE_DACL_PRESENT | SE_DACL_DEFAULTED);
    if present != FALSE {
        descriptor.Control |= SE_DACL_PRESENT;
        descriptor.Dacl = dacl;
        if defaulted != FALSE {
            descriptor.Control |= SE_DACL_DEFAULTED;
        }
    }
    STATUS_SUCCESS
}

/// Bytes of an identifier.
///
/// # Safety
/// `sid` is a valid identifier.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn RtlLengthSid(sid: *mut c_void) -> u32 {
    thread::require_irql("RtlLengthSid", APC_LEVEL);
    // SAFETY: the caller's promise.
    unsafe { sid_length(sid) as u32 }
}

/// # Safety
/// `sid` is a valid identifier.
pub(crate) unsafe fn sid_length(sid: *const c_void) -> usize {
    let subauthorities = sid.cast::<u8>().wrapping_add(1);
    // SAFETY: the caller's promise: an identifier begins with its revision and its count.
    8 + 4 * usize::from(unsafe { subauthorities.read() })
}

/// Bytes of a list up to the end of its last entry.
///
/// # Safety
/// `acl` is a valid list.
unsafe fn used_bytes(acl: *const ACL) -> usize {
    // SAFETY: the caller's promise.
    let count = unsafe { (*acl).AceCount };
    (0..count).fold(size_of::<ACL>(), |used, _| {
        let header = acl.cast::<u8>().wrapping_add(used).cast::<ACE_HEADER>();
        // SAFETY: the caller's promise: entries follow each other.
        used + usize::from(unsafe { header.read_unaligned() }.AceSize)
    })
}
