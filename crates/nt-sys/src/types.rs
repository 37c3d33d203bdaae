//! Base types of the kernel interface: integers, strings, lists, identifiers.
//!
//! Neighbours: every other file. Sizes and offsets are those of the public x64 headers.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

/// Result of a kernel call: success is `>= 0`; names are in [`crate::status`].
pub type NTSTATUS = i32;
/// C `BOOLEAN`: zero is false, anything else true. Never a Rust `bool`, whose other 254 values are undefined.
pub type BOOLEAN = u8;
/// Interrupt request level.
pub type KIRQL = u8;
/// `KernelMode` or `UserMode`.
pub type KPROCESSOR_MODE = i8;
/// Boost of a thread's priority.
pub type KPRIORITY = i32;
pub type HANDLE = *mut c_void;
pub type ACCESS_MASK = u32;
/// C `LARGE_INTEGER`, of which 64-bit code only needs `QuadPart`.
pub type LARGE_INTEGER = i64;

pub const FALSE: BOOLEAN = 0;
pub const TRUE: BOOLEAN = 1;

pub const KernelMode: KPROCESSOR_MODE = 0;
pub const UserMode: KPROCESSOR_MODE = 1;

pub const PASSIVE_LEVEL: KIRQL = 0;
pub const APC_LEVEL: KIRQL = 1;
pub const DISPATCH_LEVEL: KIRQL = 2;
/// Highest level on x64; `DIRQL` of every device lies below it.
pub const HIGH_LEVEL: KIRQL = 15;

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

impl GUID {
    /// The identifier written `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, as one hexadecimal number without the dashes.
    pub const fn from_u128(value: u128) -> Self {
        Self {
            Data1: (value >> 96) as u32,
            Data2: (value >> 80) as u16,
            Data3: (value >> 64) as u16,
            Data4: (value as u64).to_be_bytes(),
        }
    }

    /// The number that [`Self::from_u128`] takes.
    pub const fn to_u128(self) -> u128 {
        (self.Data1 as u128) << 96
            | (self.Data2 as u128) << 80
            | (self.Data3 as u128) << 64
            | u64::from_be_bytes(self.Data4) as u128
    }
}

/// Counted UTF-16 string; both lengths are in bytes, and there need not be a terminator.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UNICODE_STRING {
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *mut u16,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LIST_ENTRY {
    pub Flink: *mut LIST_ENTRY,
    pub Blink: *mut LIST_ENTRY,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CLIENT_ID {
    pub UniqueProcess: HANDLE,
    pub UniqueThread: HANDLE,
}

const _: () = {
    assert!(size_of::<GUID>() == 16 && align_of::<GUID>() == 4);
    assert!(offset_of!(GUID, Data2) == 4);
    assert!(offset_of!(GUID, Data3) == 6);
    assert!(offset_of!(GUID, Data4) == 8);
    assert!(size_of::<UNICODE_STRING>() == 16 && align_of::<UNICODE_STRING>() == 8);
    assert!(offset_of!(UNICODE_STRING, MaximumLength) == 2);
    assert!(offset_of!(UNICODE_STRING, Buffer) == 8);
    assert!(size_of::<LIST_ENTRY>() == 16 && align_of::<LIST_ENTRY>() == 8);
    assert!(offset_of!(LIST_ENTRY, Blink) == 8);
    assert!(size_of::<CLIENT_ID>() == 16 && align_of::<CLIENT_ID>() == 8);
    assert!(offset_of!(CLIENT_ID, UniqueThread) == 8);
};
