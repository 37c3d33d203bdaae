//! Where the gate's tables live in the kernel: tagged nonpaged pool.

use crate::names;
use gate::{Memory, OutOfMemory};
use nt::pool::Slab;
use nt::shared::{Once, Shared};

/// Nonpaged pool under the gate's tag.
pub(crate) enum Pool {}

impl Memory for Pool {
    type Slab<T> = Slab<T>;
    type Shared<T> = Shared<T>;
    type Once<T> = Place<T>;

    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Slab<T>, OutOfMemory> {
        Slab::new(len, names::GATE_TAG, |_| make()).map_err(|_| OutOfMemory)
    }

    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn shared<T>(value: T) -> Result<Shared<T>, OutOfMemory> {
        Shared::new(value, names::GATE_TAG).map_err(|_| OutOfMemory)
    }
}

/// A place of the gate's that is filled once.
pub(crate) struct Place<T>(Once<T>);

impl<T> gate::Once<T> for Place<T> {
    fn new() -> Self {
        Self(Once::new())
    }

    fn get(&self) -> Option<&T> {
        self.0.get()
    }

    fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }
}
