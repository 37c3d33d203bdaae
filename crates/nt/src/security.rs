//! Who may open a device: SYSTEM and Administrators, nobody else.
//!
//! The usual way, `IoCreateDeviceSecure`, lives in a static library of the driver kit (`wdmsec.lib`) and is no export of
//! the kernel, so the descriptor is built and set by hand, before user mode gets a name for the device (Q16).

use crate::status::{Result, Status};
use core::ffi::c_void;
use core::ptr::null_mut;
use nt_sys::io::DEVICE_OBJECT;
use nt_sys::ob::{OBJ_KERNEL_HANDLE, ObOpenObjectByPointer};
use nt_sys::rtl::{RtlAddAccessAllowedAce, RtlCreateAcl, RtlCreateSecurityDescriptor, RtlSetDaclSecurityDescriptor};
use nt_sys::se::{
    ACCESS_ALLOWED_ACE, ACL, ACL_REVISION, DACL_SECURITY_INFORMATION, FILE_ALL_ACCESS,
    PROTECTED_DACL_SECURITY_INFORMATION, SECURITY_DESCRIPTOR, SECURITY_DESCRIPTOR_REVISION, SID, SID_REVISION,
    WRITE_DAC,
};
use nt_sys::types::{HANDLE, KernelMode};
use nt_sys::zw::{ZwClose, ZwSetSecurityObject};

const NT_AUTHORITY: [u8; 6] = [0, 0, 0, 0, 0, 5];
/// S-1-5-18.
static SYSTEM: SID<1> =
    SID { Revision: SID_REVISION, SubAuthorityCount: 1, IdentifierAuthority: NT_AUTHORITY, SubAuthority: [18] };
/// S-1-5-32-544.
static ADMINISTRATORS: SID<2> =
    SID { Revision: SID_REVISION, SubAuthorityCount: 2, IdentifierAuthority: NT_AUTHORITY, SubAuthority: [32, 544] };

/// `SidStart` is the first word of the SID, so an entry is this much larger than its SID.
const ACE_HEAD: usize = size_of::<ACCESS_ALLOWED_ACE>() - size_of::<u32>();
const ACL_BYTES: usize = size_of::<ACL>() + ACE_HEAD + size_of::<SID<1>>() + ACE_HEAD + size_of::<SID<2>>();

#[repr(C, align(8))]
struct AclBuffer([u8; ACL_BYTES]);

/// Sets the DACL `D:P(A;;GA;;;SY)(A;;GA;;;BA)`.
///
/// # Safety
/// `device` is a device of this driver that has not been deleted.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
#[doc(alias = "ZwSetSecurityObject")]
pub(crate) unsafe fn system_and_administrators(device: *mut DEVICE_OBJECT) -> Result<()> {
    let mut buffer = AclBuffer([0; ACL_BYTES]);
    let acl: *mut ACL = (&raw mut buffer).cast();
    // SAFETY: the buffer is aligned for an ACL and ACL_BYTES long.
    Status::check(unsafe { RtlCreateAcl(acl, ACL_BYTES as u32, ACL_REVISION) })?;
    for sid in [(&raw const SYSTEM).cast::<c_void>(), (&raw const ADMINISTRATORS).cast::<c_void>()] {
        // SAFETY: the list was made above with room for both entries; the SIDs are valid and only read.
        Status::check(unsafe { RtlAddAccessAllowedAce(acl, ACL_REVISION, FILE_ALL_ACCESS, sid.cast_mut()) })?;
    }
    let mut descriptor = SECURITY_DESCRIPTOR {
        Revision: 0,
        Sbz1: 0,
        Control: 0,
        Owner: null_mut(),
        Group: null_mut(),
        Sacl: null_mut(),
        Dacl: null_mut(),
    };
    // SAFETY: the descriptor is writable.
    Status::check(unsafe { RtlCreateSecurityDescriptor(&raw mut descriptor, SECURITY_DESCRIPTOR_REVISION) })?;
    // SAFETY: descriptor and list are valid and outlive the call below that uses them.
    Status::check(unsafe { RtlSetDaclSecurityDescriptor(&raw mut descriptor, 1, acl, 0) })?;

    let mut handle: HANDLE = null_mut();
    // SAFETY: the caller vouches for the device; a null type is not compared, and the handle is for the kernel only.
    Status::check(unsafe {
        ObOpenObjectByPointer(
            device.cast(),
            OBJ_KERNEL_HANDLE,
            null_mut(),
            WRITE_DAC,
            null_mut(),
            KernelMode,
            &raw mut handle,
        )
    })?;
    let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the handle was opened with WRITE_DAC, the descriptor is valid.
    let set = Status::check(unsafe { ZwSetSecurityObject(handle, what, &raw mut descriptor) });
    // SAFETY: the handle was opened above and is closed once. A failure to close a valid kernel handle has no remedy.
    let _ = unsafe { ZwClose(handle) };
    set
}
