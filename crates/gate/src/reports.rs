//! Reports: what was decided without asking, for the service to know.
//!
//! Invariants: a ring of fixed size; when it is full the oldest report is dropped and counted, never a classify delayed.
//!
//! Neighbours: `crate::Gate` reports; `programs` holds the paths that reports refer to.

use crate::facts::Sid;
use crate::memory::{Memory, OutOfMemory};
use crate::programs::PathRef;
use wire::request::Request;

/// How many reports wait at most.
pub(crate) const REPORTS: usize = if cfg!(miri) { 64 } else { 1024 };

/// One report, as it will be written but for its tail.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    pub(crate) request: Request,
    pub(crate) path: PathRef,
    pub(crate) sid: Sid,
}

pub(crate) struct Reports<M: Memory> {
    ring: M::Slab<Option<Report>>,
    /// The place of the oldest.
    first: usize,
    len: usize,
}

impl<M: Memory> Reports<M> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { ring: M::slab(REPORTS, || None)?, first: 0, len: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a report; gives the one that made room for it.
    pub(crate) fn push(&mut self, report: Report) -> Option<Report> {
        let dropped = if self.len < REPORTS { None } else { self.pop() };
        let place = (self.first + self.len) % REPORTS;
        if let Some(place) = self.ring.get_mut(place) {
            *place = Some(report);
            self.len += 1;
        }
        dropped
    }

    pub(crate) fn pop(&mut self) -> Option<Report> {
        let report = self.ring.get_mut(self.first)?.take()?;
        self.first = (self.first + 1) % REPORTS;
        self.len -= 1;
        Some(report)
    }
}
