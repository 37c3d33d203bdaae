//! Memory for unit tests: the heap.

use crate::memory::{Memory, OutOfMemory};
use std::vec::Vec;

pub(crate) enum Heap {}

impl Memory for Heap {
    type Slab<T> = Vec<T>;

    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, OutOfMemory> {
        Ok((0..len).map(|_| make()).collect())
    }
}
