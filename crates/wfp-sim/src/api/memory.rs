//! What callers have to free with `FwpmFreeMemory0`.

use crate::classify::Arena;
use crate::sync::Lock;
use std::collections::HashMap;
use std::sync::Mutex;

/// Records that callers own, by address.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<usize, Arena>>);

impl Memory {
    pub fn lend(&self, address: usize, arena: Arena) {
        self.0.hold().insert(address, arena);
    }

    /// Frees a record; says whether it was one.
    pub fn free(&self, address: usize) -> bool {
        self.0.hold().remove(&address).is_some()
    }

    pub fn outstanding(&self) -> usize {
        self.0.hold().len()
    }
}
