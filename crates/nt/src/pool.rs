//! Nonpaged pool: memory that can be touched at any IRQL, always tagged, zeroed and not executable.
//!
//! Every allocation is fallible and says so; there is no global allocator in a driver built on this crate.

use crate::status::{Result, Status};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use nt_sys::ex::{ExAllocatePool2, ExFreePoolWithTag, POOL_FLAG_NON_PAGED};

/// A pool tag: four characters as the debugger shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(pub [u8; 4]);

impl Tag {
    pub(crate) const fn code(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

/// Pool blocks of a page or more are page aligned, smaller ones are aligned to this.
const POOL_ALIGNMENT: usize = 16;

/// Allocates zeroed memory; [`free`] gives it back.
pub(crate) fn allocate(size: usize, align: usize, tag: Tag) -> Result<NonNull<u8>> {
    if align > POOL_ALIGNMENT {
        return Err(Status::INVALID_PARAMETER);
    }
    // SAFETY: size is not zero and the tag is not zero, which the callers' types see to; POOL_FLAG_NON_PAGED gives
    // zeroed, non-executable memory.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size.max(1), tag.code()) };
    NonNull::new(block.cast::<u8>()).ok_or(Status::INSUFFICIENT_RESOURCES)
}

/// # Safety
/// `block` came from [`allocate`] with this tag, is freed once and not used any more.
pub(crate) unsafe fn free(block: NonNull<u8>, tag: Tag) {
    // SAFETY: as the caller vouches.
    unsafe { ExFreePoolWithTag(block.as_ptr().cast(), tag.code()) };
}

/// One value in nonpaged pool.
pub struct PoolBox<T> {
    value: NonNull<T>,
    tag: Tag,
}

// SAFETY: a PoolBox owns its value as a Box does; pool memory belongs to no thread.
unsafe impl<T: Send> Send for PoolBox<T> {}
// SAFETY: as above, sharing the box shares only the value.
unsafe impl<T: Sync> Sync for PoolBox<T> {}

impl<T> PoolBox<T> {
    /// Moves `value` into pool.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`; `value` is dropped.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "ExAllocatePool2")]
    pub fn new(value: T, tag: Tag) -> Result<Self> {
        let block = allocate(size_of::<T>(), align_of::<T>(), tag)?.cast::<T>();
        // SAFETY: the block is fresh, large enough and aligned for T.
        unsafe { block.write(value) };
        Ok(Self { value: block, tag })
    }

    /// Gives up ownership; [`PoolBox::from_raw`] takes it back.
    pub fn into_raw(self) -> (NonNull<T>, Tag) {
        let parts = (self.value, self.tag);
        core::mem::forget(self);
        parts
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `value` and `tag` came from [`PoolBox::into_raw`], once, and nobody uses `value` any more.
    pub unsafe fn from_raw(value: NonNull<T>, tag: Tag) -> Self {
        Self { value, tag }
    }
}

impl<T> Deref for PoolBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the box owns an initialized value.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for PoolBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` makes it unique.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: the value is initialized and dropped once.
        unsafe { self.value.drop_in_place() };
        // SAFETY: the block came from ExAllocatePool2 with this tag and is freed once.
        unsafe { free(self.value.cast(), self.tag) };
    }
}

/// A slice of fixed length in nonpaged pool.
pub struct Slab<T> {
    items: NonNull<T>,
    len: usize,
    tag: Tag,
}

// SAFETY: a Slab owns its items as a boxed slice does; pool memory belongs to no thread.
unsafe impl<T: Send> Send for Slab<T> {}
// SAFETY: as above, sharing the slab shares only the items.
unsafe impl<T: Sync> Sync for Slab<T> {}

impl<T> Slab<T> {
    /// Allocates `len` items, each made by `make(index)`. An empty slab takes no pool.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "ExAllocatePool2")]
    pub fn new(len: usize, tag: Tag, mut make: impl FnMut(usize) -> T) -> Result<Self> {
        if len == 0 {
            return Ok(Self { items: NonNull::dangling(), len: 0, tag });
        }
        let bytes = size_of::<T>().checked_mul(len).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        let items = allocate(bytes, align_of::<T>(), tag)?.cast::<T>();
        for index in 0..len {
            // SAFETY: `index < len`, inside the block.
            let item = unsafe { items.add(index) };
            // SAFETY: the place is inside the block, aligned, and not yet initialized.
            unsafe { item.write(make(index)) };
        }
        Ok(Self { items, len, tag })
    }
}

impl<T> Deref for Slab<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `items` points to `len` initialized items that the slab owns (or dangles with `len` 0).
        unsafe { core::slice::from_raw_parts(self.items.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Slab<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; `&mut self` makes it unique.
        unsafe { core::slice::from_raw_parts_mut(self.items.as_ptr(), self.len) }
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        let items: *mut [T] = &raw mut **self;
        // SAFETY: the items are initialized and dropped once.
        unsafe { items.drop_in_place() };
        // SAFETY: the block came from ExAllocatePool2 with this tag and is freed once.
        unsafe { free(self.items.cast(), self.tag) };
    }
}
