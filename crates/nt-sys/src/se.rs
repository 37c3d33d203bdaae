//! `Se*`: records of the security reference monitor.
//!
//! Neighbours: `rtl` builds these, `zw` applies them.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

use crate::types::ACCESS_MASK;

pub const SECURITY_DESCRIPTOR_REVISION: u32 = 1;
pub const ACL_REVISION: u32 = 2;
pub const SID_REVISION: u8 = 1;
pub const ACCESS_ALLOWED_ACE_TYPE: u8 = 0;

/// Bits of `SECURITY_DESCRIPTOR::Control`.
pub const SE_DACL_PRESENT: u16 = 0x0004;
pub const SE_DACL_PROTECTED: u16 = 0x1000;

/// Bits of `SECURITY_INFORMATION`.
pub const DACL_SECURITY_INFORMATION: u32 = 0x4;
pub const PROTECTED_DACL_SECURITY_INFORMATION: u32 = 0x8000_0000;

pub const WRITE_DAC: ACCESS_MASK = 0x0004_0000;
pub const GENERIC_ALL: ACCESS_MASK = 0x1000_0000;
pub const GENERIC_EXECUTE: ACCESS_MASK = 0x2000_0000;
pub const GENERIC_WRITE: ACCESS_MASK = 0x4000_0000;
pub const GENERIC_READ: ACCESS_MASK = 0x8000_0000;
pub const FILE_ALL_ACCESS: ACCESS_MASK = 0x001F_01FF;
pub const FILE_GENERIC_READ: ACCESS_MASK = 0x0012_0089;
pub const FILE_GENERIC_WRITE: ACCESS_MASK = 0x0012_0116;
pub const FILE_GENERIC_EXECUTE: ACCESS_MASK = 0x0012_00A0;

/// A descriptor in absolute form: its parts are pointers.
#[repr(C)]
#[derive(Debug)]
pub struct SECURITY_DESCRIPTOR {
    pub Revision: u8,
    pub Sbz1: u8,
    pub Control: u16,
    pub Owner: *mut c_void,
    pub Group: *mut c_void,
    pub Sacl: *mut ACL,
    pub Dacl: *mut ACL,
}

/// Head of an access control list; the entries follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ACL {
    pub AclRevision: u8,
    pub Sbz1: u8,
    pub AclSize: u16,
    pub AceCount: u16,
    pub Sbz2: u16,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ACE_HEADER {
    pub AceType: u8,
    pub AceFlags: u8,
    pub AceSize: u16,
}

/// Head of an entry that grants; the identifier begins at `SidStart`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ACCESS_ALLOWED_ACE {
    pub Header: ACE_HEADER,
    pub Mask: ACCESS_MASK,
    pub SidStart: u32,
}

/// A security identifier with `N` subauthorities.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SID<const N: usize> {
    pub Revision: u8,
    pub SubAuthorityCount: u8,
    pub IdentifierAuthority: [u8; 6],
    pub SubAuthority: [u32; N],
}

const _: () = {
    assert!(size_of::<SECURITY_DESCRIPTOR>() == 40);
    assert!(offset_of!(SECURITY_DESCRIPTOR, Control) == 2);
    assert!(offset_of!(SECURITY_DESCRIPTOR, Owner) == 8);
    assert!(offset_of!(SECURITY_DESCRIPTOR, Dacl) == 32);
    assert!(size_of::<ACL>() == 8);
    assert!(offset_of!(ACL, AclSize) == 2);
    assert!(offset_of!(ACL, AceCount) == 4);
    assert!(size_of::<ACE_HEADER>() == 4);
    assert!(size_of::<ACCESS_ALLOWED_ACE>() == 12);
    assert!(offset_of!(ACCESS_ALLOWED_ACE, SidStart) == 8);
    assert!(size_of::<SID<1>>() == 12);
    assert!(offset_of!(SID<1>, SubAuthority) == 8);
};
