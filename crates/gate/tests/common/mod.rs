//! What the tests of the gate share.

use gate::{Ability, Action, Flow, Gate, Instant, Memory, Once, OutOfMemory, Packets};
use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use wire::stats::Stats;

/// A key as random as real ones: with a small one, neighbours have neighbouring hashes.
pub const KEY: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03];

/// The user of every connection.
pub const SID: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];

/// Memory from the heap.
pub enum Heap {}

impl Memory for Heap {
    type Slab<T> = Vec<T>;
    type Shared<T> = Arc<T>;
    type Once<T> = Place<T>;

    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, OutOfMemory> {
        Ok((0..len).map(|_| make()).collect())
    }

    fn shared<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
        Ok(Arc::new(value))
    }
}

/// A place on the heap that is filled once.
pub struct Place<T>(OnceLock<T>);

impl<T> Once<T> for Place<T> {
    fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self) -> Option<&T> {
        self.0.get()
    }

    fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }
}

/// Packets, each a number and what it costs. They are taken out of it by name: see [`lost`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Numbered(Vec<(u64, u32)>);

impl Numbered {
    /// One packet.
    pub fn one(number: u64, bytes: u32) -> Self {
        Self(vec![(number, bytes)])
    }

    /// Takes out the numbers.
    pub fn numbers(mut self) -> Vec<u64> {
        self.0.drain(..).map(|(number, _)| number).collect()
    }
}

impl Packets for Numbered {
    fn count(&self) -> u32 {
        self.0.len() as u32
    }

    fn bytes(&self) -> u32 {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }

    fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }
}

thread_local! {
    static LOST: Cell<usize> = const { Cell::new(0) };
}

impl Drop for Numbered {
    fn drop(&mut self) {
        LOST.set(LOST.get() + self.0.len());
    }
}

/// How many packets the gate has dropped itself, under its caller's lock.
pub fn lost() -> usize {
    LOST.get()
}

/// Asks as the driver does: the front, and the gate only if that says nothing.
pub fn classify<P, K: Packets>(gate: &mut Gate<P, K, Heap>, now: Instant, flow: &Flow<'_>, ability: Ability) -> Action {
    let said = gate.front().classify(now, flow, ability, 0);
    said.map_or_else(|| gate.classify(now, flow, ability), Action::from)
}

/// The books of a gate add up.
#[track_caller]
pub fn assert_balanced(stats: &Stats) {
    assert!(stats.balances(), "{stats:?}");
    assert_eq!(lost(), 0, "packets dropped by the gate");
    let answered = stats.cache_permitted + stats.cache_blocked + stats.exempted + stats.fell_back + stats.limited;
    assert_eq!(stats.classified, answered + stats.held, "{stats:?}");
}

/// The UTF-16LE bytes of a path.
pub fn utf16(path: &str) -> Vec<u8> {
    path.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
