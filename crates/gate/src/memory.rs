//! Where the gate's tables live: slabs of a fixed length, made before they are needed.
//!
//! The gate has no heap. Its caller provides memory of the kind it has: tagged nonpaged pool in the driver, `Vec` in tests.
//!
//! Neighbours: every table is built of slabs, by `crate::Gate::new` or `crate::Room::new`.

use core::ops::DerefMut;

/// There was not enough memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// A source of memory.
pub trait Memory {
    /// A slice of fixed length; gives its memory back when dropped.
    type Slab<T>: DerefMut<Target = [T]>;

    /// Makes a slab of `len` values.
    ///
    /// # Errors
    /// When there is no memory; then nothing is left behind.
    fn slab<T>(len: usize, make: impl FnMut() -> T) -> Result<Self::Slab<T>, OutOfMemory>;
}
