//! `Ex*`: the executive: pool memory and rundown protection.

use core::ffi::c_void;
use core::mem::{align_of, size_of};

use crate::types::BOOLEAN;

pub const POOL_FLAG_USE_QUOTA: u64 = 0x1;
pub const POOL_FLAG_UNINITIALIZED: u64 = 0x2;
pub const POOL_FLAG_SESSION: u64 = 0x4;
pub const POOL_FLAG_CACHE_ALIGNED: u64 = 0x8;
pub const POOL_FLAG_RAISE_ON_FAILURE: u64 = 0x20;
/// Nonpaged and never executable.
pub const POOL_FLAG_NON_PAGED: u64 = 0x40;
pub const POOL_FLAG_NON_PAGED_EXECUTE: u64 = 0x80;
pub const POOL_FLAG_PAGED: u64 = 0x100;

/// `POOL_TYPE` of [`ExAllocatePoolWithTag`].
pub const NonPagedPool: i32 = 0;
pub const PagedPool: i32 = 1;
pub const NonPagedPoolNx: i32 = 512;

/// Run-down protection of an object: users acquire, the owner waits until all have released and no new one may.
#[repr(C)]
#[derive(Debug)]
pub struct EX_RUNDOWN_REF {
    pub Count: usize,
}

/// Run-down protection whose users are counted on each processor; its inside belongs to the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct EX_RUNDOWN_REF_CACHE_AWARE {
    _opaque: [u8; 0],
}

const _: () = assert!(size_of::<EX_RUNDOWN_REF>() == 8 && align_of::<EX_RUNDOWN_REF>() == 8);

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Allocates pool memory, zeroed unless `POOL_FLAG_UNINITIALIZED`; null when there is none.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`; `<= APC_LEVEL` for paged pool.
    pub fn ExAllocatePool2(Flags: u64, NumberOfBytes: usize, Tag: u32) -> *mut c_void;

    /// Allocates pool memory with whatever content it last had; null when there is none.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`; `<= APC_LEVEL` for paged pool.
    pub fn ExAllocatePoolWithTag(PoolType: i32, NumberOfBytes: usize, Tag: u32) -> *mut c_void;

    /// Frees pool memory allocated with `Tag`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`; `<= APC_LEVEL` for paged pool.
    pub fn ExFreePoolWithTag(P: *mut c_void, Tag: u32);

    /// Makes the object usable.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn ExInitializeRundownProtection(RunRef: *mut EX_RUNDOWN_REF);

    /// Tries to become a user of the object; false once run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn ExAcquireRundownProtection(RunRef: *mut EX_RUNDOWN_REF) -> BOOLEAN;

    /// Ends one use.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn ExReleaseRundownProtection(RunRef: *mut EX_RUNDOWN_REF);

    /// Refuses new users and waits for the present ones.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn ExWaitForRundownProtectionRelease(RunRef: *mut EX_RUNDOWN_REF);

    /// Makes run-down protection with a count for each processor, in pool of this type; null when there is none.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn ExAllocateCacheAwareRundownProtection(PoolType: i32, PoolTag: u32) -> *mut EX_RUNDOWN_REF_CACHE_AWARE;

    /// Frees what [`ExAllocateCacheAwareRundownProtection`] made.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`: the page gives none, so that of the allocation.
    pub fn ExFreeCacheAwareRundownProtection(RunRefCacheAware: *mut EX_RUNDOWN_REF_CACHE_AWARE);

    /// Tries to become a user of the object; false once run-down has begun.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, when the block is nonpaged (the page of the `Ex` variant says so).
    pub fn ExAcquireRundownProtectionCacheAware(RunRefCacheAware: *mut EX_RUNDOWN_REF_CACHE_AWARE) -> BOOLEAN;

    /// Ends one use, on whichever processor.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, when the block is nonpaged.
    pub fn ExReleaseRundownProtectionCacheAware(RunRefCacheAware: *mut EX_RUNDOWN_REF_CACHE_AWARE);

    /// Refuses new users and waits for the present ones.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as [`ExWaitForRundownProtectionRelease`].
    pub fn ExWaitForRundownProtectionReleaseCacheAware(RunRefCacheAware: *mut EX_RUNDOWN_REF_CACHE_AWARE);
}
