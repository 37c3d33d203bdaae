//! What a value of type `FWP_TOKEN_ACCESS_INFORMATION_TYPE` points to: `data` of its blob is a `TOKEN_ACCESS_INFORMATION`.
//!
//! Invariant: the pointers inside stay inside the blob and die with it. The first entry of `SidHash` is the user.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

/// Who a token stands for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TOKEN_ACCESS_INFORMATION {
    pub SidHash: *mut SID_AND_ATTRIBUTES_HASH,
    pub RestrictedSidHash: *mut SID_AND_ATTRIBUTES_HASH,
    pub Privileges: *mut c_void,
    pub AuthenticationId: u64,
    pub TokenType: u32,
    pub ImpersonationLevel: u32,
    pub MandatoryPolicy: u32,
    pub Flags: u32,
    pub AppContainerNumber: u32,
    pub PackageSid: *mut c_void,
    pub CapabilitiesHash: *mut SID_AND_ATTRIBUTES_HASH,
    pub TrustLevelSid: *mut c_void,
    pub SecurityAttributes: *mut c_void,
}

/// Security identifiers with a hash over them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SID_AND_ATTRIBUTES_HASH {
    pub SidCount: u32,
    pub SidAttr: *mut SID_AND_ATTRIBUTES,
    pub Hash: [usize; 32],
}

/// One security identifier.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SID_AND_ATTRIBUTES {
    pub Sid: *mut c_void,
    pub Attributes: u32,
}

const _: () = {
    assert!(size_of::<TOKEN_ACCESS_INFORMATION>() == 88);
    assert!(offset_of!(TOKEN_ACCESS_INFORMATION, AuthenticationId) == 24);
    assert!(offset_of!(TOKEN_ACCESS_INFORMATION, PackageSid) == 56);
    assert!(size_of::<SID_AND_ATTRIBUTES_HASH>() == 272);
    assert!(offset_of!(SID_AND_ATTRIBUTES_HASH, SidAttr) == 8);
    assert!(offset_of!(SID_AND_ATTRIBUTES_HASH, Hash) == 16);
    assert!(size_of::<SID_AND_ATTRIBUTES>() == 16);
    assert!(offset_of!(SID_AND_ATTRIBUTES, Attributes) == 8);
};
