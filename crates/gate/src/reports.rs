//! Reports: what was decided without asking, for the service to know.
//!
//! Invariants: a ring of fixed size; when it is full the oldest report is dropped and counted, never a classify delayed.
//!
//! Neighbours: `crate::Gate` reports; `programs` holds the paths that reports refer to.

use crate::facts::Sid;
use crate::memory::{OutOfMemory, room};
use crate::programs::PathRef;
use alloc::collections::VecDeque;
use wire::request::Request;

/// How many reports wait at most.
pub(crate) const REPORTS: usize = 1024;

/// One report, as it will be written but for its tail.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    pub(crate) request: Request,
    pub(crate) path: PathRef,
    pub(crate) sid: Sid,
}

pub(crate) struct Reports {
    ring: VecDeque<Report>,
}

impl Reports {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { ring: room(REPORTS)?.into() })
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Adds a report; gives the one that made room for it.
    pub(crate) fn push(&mut self, report: Report) -> Option<Report> {
        let dropped = if self.ring.len() < REPORTS { None } else { self.ring.pop_front() };
        self.ring.push_back(report);
        dropped
    }

    /// Puts a report back where it was; gives it if its place is taken.
    pub(crate) fn put_back(&mut self, report: Report) -> Option<Report> {
        if self.ring.len() < REPORTS {
            self.ring.push_front(report);
            return None;
        }
        Some(report)
    }

    pub(crate) fn pop(&mut self) -> Option<Report> {
        self.ring.pop_front()
    }
}
