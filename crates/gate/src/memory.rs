//! The gate's only allocations: vectors of a known length, made before they are needed.
//!
//! Neighbours: every table is built of these, by `crate::Gate::new` or `crate::Room::new`.

use alloc::vec::Vec;

/// There was not enough memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// An empty vector with room for `len`; pushing no more than that never allocates.
pub(crate) fn room<T>(len: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).map_err(|_| OutOfMemory)?;
    Ok(vec)
}

/// A vector of `len` equal values.
pub(crate) fn filled<T: Clone>(len: usize, value: T) -> Result<Vec<T>, OutOfMemory> {
    let mut vec = room(len)?;
    vec.resize(len, value);
    Ok(vec)
}
