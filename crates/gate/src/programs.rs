//! The paths of programs whose requests or reports wait for delivery, each kept once.
//!
//! A path is named by its keyed hash, the *program id*, which the service also sees. Equal ids count as equal paths: the
//! hash is keyed, so a program cannot choose a path whose id is another program's.
//!
//! Invariants: a path stays while anything refers to it; every [`PathRef`] but `NONE` is released exactly once.
//! When there is no room the path is left out, never waited for. Memory is fixed.
//!
//! Neighbours: `pathhash` makes the ids; `pending` and `reports` hold references; `crate::Gate` takes and releases them.

use crate::memory::{Memory, OutOfMemory};
use wire::request::MAX_PATH_BYTES;

/// How many paths are kept at most.
const PATHS: usize = if cfg!(miri) { 32 } else { 512 };
/// How many places one path can be in.
const WAYS: usize = 8;

/// A counted reference to a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PathRef(u16);

impl PathRef {
    /// No path.
    pub(crate) const NONE: Self = Self(u16::MAX);
}

pub(crate) struct Programs<M: Memory> {
    paths: M::Slab<Path>,
}

#[derive(Clone, Copy)]
pub(crate) struct Path {
    program: u64,
    references: u32,
    len: u16,
    bytes: [u8; MAX_PATH_BYTES],
}

impl<M: Memory> Programs<M> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        let empty = Path { program: 0, references: 0, len: 0, bytes: [0; MAX_PATH_BYTES] };
        Ok(Self { paths: M::slab(PATHS, || empty)? })
    }

    /// Keeps a path, cut to [`MAX_PATH_BYTES`], until the reference is released.
    pub(crate) fn keep(&mut self, program: u64, path: &[u8]) -> PathRef {
        if program == 0 {
            return PathRef::NONE;
        }
        let first = (program as usize % (PATHS / WAYS)) * WAYS;
        let Some(ways) = self.paths.get_mut(first..).and_then(|rest| rest.get_mut(..WAYS)) else {
            return PathRef::NONE;
        };
        let known = ways.iter().position(|way| way.references > 0 && way.program == program);
        let Some(at) = known.or_else(|| ways.iter().position(|way| way.references == 0)) else {
            return PathRef::NONE;
        };
        let Some(way) = ways.get_mut(at) else { return PathRef::NONE };
        if known.is_none() {
            let cut = path.get(..MAX_PATH_BYTES).unwrap_or(path);
            if let Some(room) = way.bytes.get_mut(..cut.len()) {
                room.copy_from_slice(cut);
            }
            way.program = program;
            way.len = cut.len() as u16;
        }
        way.references = way.references.saturating_add(1);
        PathRef((first + at) as u16)
    }

    pub(crate) fn release(&mut self, path: PathRef) {
        if let Some(path) = self.paths.get_mut(usize::from(path.0)) {
            path.references = path.references.saturating_sub(1);
        }
    }

    pub(crate) fn path(&self, path: PathRef) -> &[u8] {
        self.paths.get(usize::from(path.0)).and_then(|path| path.bytes.get(..usize::from(path.len))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Heap;

    fn programs() -> Programs<Heap> {
        Programs::new().unwrap()
    }

    /// Ids that all fall into the same places.
    fn clashing() -> impl Iterator<Item = u64> {
        (1..).map(|n| n * (PATHS / WAYS) as u64)
    }

    #[test]
    fn a_path_stays_while_it_is_referred_to() {
        let mut programs = programs();
        let first = programs.keep(64, b"one");
        assert_eq!(programs.keep(64, b"one"), first);
        programs.release(first);
        let others: std::vec::Vec<_> = clashing().skip(1).take(WAYS).map(|id| programs.keep(id, b"other")).collect();
        assert_eq!(programs.path(first), b"one");
        assert_eq!(others.iter().filter(|path| **path == PathRef::NONE).count(), 1, "the last found no room");
    }

    #[test]
    fn an_unreferenced_path_makes_room() {
        let mut programs = programs();
        let all: std::vec::Vec<_> = clashing().take(WAYS).map(|id| programs.keep(id, b"old")).collect();
        programs.release(all[3]);
        assert_eq!(programs.keep(9 * 64, b"new"), all[3]);
        assert_eq!(programs.path(all[3]), b"new");
    }

    #[test]
    fn an_unknown_program_has_no_path() {
        let mut programs = programs();
        assert_eq!(programs.keep(0, b""), PathRef::NONE);
        assert_eq!(programs.path(PathRef::NONE), b"");
    }
}
