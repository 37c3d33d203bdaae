//! Where the gate's tables live: slabs of a fixed length, made before they are needed.
//!
//! The gate has no heap. Its caller provides memory of the kind it has: tagged nonpaged pool in the driver, `Vec` in tests.
//!
//! Neighbours: every table is built of slabs, by `crate::Gate::new` or `crate::Room::new`.

use core::ops::{Deref, DerefMut};

/// There was not enough memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// A source of memory.
pub trait Memory {
    /// A slice of fixed length; gives its memory back when dropped.
    type Slab<T>: DerefMut<Target = [T]>;

    /// A value with several owners; dropped with the last of them.
    type Shared<T>: Deref<Target = T> + Clone;

    /// A place that is filled once.
    type Once<T>: Once<T>;

    /// Makes a slab of `len` values.
    ///
    /// # Errors
    /// When there is no memory; then nothing is left behind.
    fn slab<T>(len: usize, make: impl FnMut() -> T) -> Result<Self::Slab<T>, OutOfMemory>;

    /// Makes a value that can be shared.
    ///
    /// # Errors
    /// When there is no memory; then `value` is dropped.
    fn shared<T>(value: T) -> Result<Self::Shared<T>, OutOfMemory>;
}

/// A place that is filled once, perhaps while others look at it.
pub trait Once<T> {
    /// An empty place.
    fn new() -> Self;

    /// What is in it.
    fn get(&self) -> Option<&T>;

    /// Fills it.
    ///
    /// # Errors
    /// Gives `value` back when it is filled already.
    fn set(&self, value: T) -> Result<(), T>;
}
