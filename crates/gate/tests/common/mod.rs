//! What the tests of the gate share.

use gate::{Memory, OutOfMemory};
use wire::stats::Stats;

/// The user of every connection.
pub const SID: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];

/// Memory from the heap.
pub enum Heap {}

impl Memory for Heap {
    type Slab<T> = Vec<T>;

    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, OutOfMemory> {
        Ok((0..len).map(|_| make()).collect())
    }
}

/// The books of a gate add up.
#[track_caller]
pub fn assert_balanced(stats: &Stats) {
    assert!(stats.balances(), "{stats:?}");
    let answered = stats.cache_permitted + stats.cache_blocked + stats.exempted + stats.fell_back + stats.limited;
    assert_eq!(stats.classified, answered + stats.held, "{stats:?}");
}

/// The UTF-16LE bytes of a path.
pub fn utf16(path: &str) -> Vec<u8> {
    path.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
