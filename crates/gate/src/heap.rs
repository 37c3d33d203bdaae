//! Memory for unit tests: the heap.

use crate::memory::{Memory, Once, OutOfMemory};
use std::sync::{Arc, OnceLock};
use std::vec::Vec;

pub(crate) enum Heap {}

impl Memory for Heap {
    type Slab<T> = Vec<T>;
    type Shared<T> = Arc<T>;
    type Once<T> = OnceLock<T>;

    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, OutOfMemory> {
        Ok((0..len).map(|_| make()).collect())
    }

    fn shared<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
        Ok(Arc::new(value))
    }
}

impl<T> Once<T> for OnceLock<T> {
    fn new() -> Self {
        Self::new()
    }

    fn get(&self) -> Option<&T> {
        self.get()
    }

    fn set(&self, value: T) -> Result<(), T> {
        self.set(value)
    }
}
