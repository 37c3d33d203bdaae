//! Where the gate's tables live in the kernel: tagged nonpaged pool.

use crate::names;
use gate::{Memory, OutOfMemory};
use nt::pool::Slab;

/// Nonpaged pool under the gate's tag.
pub(crate) enum Pool {}

impl Memory for Pool {
    type Slab<T> = Slab<T>;

    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Slab<T>, OutOfMemory> {
        Slab::new(len, names::GATE_TAG, |_| make()).map_err(|_| OutOfMemory)
    }
}
