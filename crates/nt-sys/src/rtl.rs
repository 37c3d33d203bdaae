//! `Rtl*`: builders of security descriptors.

use core::ffi::c_void;

use crate::se::{ACL, SECURITY_DESCRIPTOR};
use crate::types::{ACCESS_MASK, BOOLEAN, NTSTATUS};

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Makes an empty absolute descriptor of `SECURITY_DESCRIPTOR_REVISION`.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn RtlCreateSecurityDescriptor(SecurityDescriptor: *mut SECURITY_DESCRIPTOR, Revision: u32) -> NTSTATUS;

    /// Makes an empty list in `AclLength` bytes.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn RtlCreateAcl(Acl: *mut ACL, AclLength: u32, AclRevision: u32) -> NTSTATUS;

    /// Appends an entry that grants `AccessMask` to `Sid`.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn RtlAddAccessAllowedAce(
        Acl: *mut ACL,
        AceRevision: u32,
        AccessMask: ACCESS_MASK,
        Sid: *mut c_void,
    ) -> NTSTATUS;

    /// Puts a list into an absolute descriptor, which then refers to it.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn RtlSetDaclSecurityDescriptor(
        SecurityDescriptor: *mut SECURITY_DESCRIPTOR,
        DaclPresent: BOOLEAN,
        Dacl: *mut ACL,
        DaclDefaulted: BOOLEAN,
    ) -> NTSTATUS;

    /// Bytes a valid security identifier occupies.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn RtlLengthSid(Sid: *mut c_void) -> u32;
}
