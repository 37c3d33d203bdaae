//! Injection handles, and the packets that are on their way with each.
//!
//! Invariant: `outstanding` counts accepted injections whose completion function has not returned.

use super::job::Job;
use crate::ndis::Broken;
use crate::sync::Lock;
use nt_sys::fwps::{AF_UNSPEC, FWPS_INJECTION_TYPE_TRANSPORT};
use nt_sys::status::*;
use nt_sys::types::NTSTATUS;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

struct Handle {
    family: u16,
    kinds: u32,
    outstanding: usize,
    is_closing: bool,
}

/// Every handle and every packet that waits for its turn.
#[derive(Default)]
pub(crate) struct Injection {
    handles: Mutex<HashMap<u64, Handle>>,
    waiting: Mutex<VecDeque<Job>>,
}

impl Injection {
    pub fn open_handles(&self) -> usize {
        self.handles.hold().len()
    }

    pub(super) fn create(&self, handle: u64, family: u16, kinds: u32) {
        self.handles.hold().insert(handle, Handle { family, kinds, outstanding: 0, is_closing: false });
    }

    /// From now on nothing is injected with the handle.
    pub(super) fn close(&self, handle: u64) -> Result<(), Broken> {
        let mut handles = self.handles.hold();
        let found = handles.get_mut(&handle).ok_or_else(|| unknown(handle))?;
        if found.is_closing {
            return Err(("V-INJ-01", format!("injection handle {handle:#x} destroyed twice")));
        }
        found.is_closing = true;
        Ok(())
    }

    pub(super) fn is_idle(&self, handle: u64) -> bool {
        self.handles.hold().get(&handle).is_none_or(|found| found.outstanding == 0)
    }

    pub(super) fn remove(&self, handle: u64) {
        self.handles.hold().remove(&handle);
    }

    /// Checks that the handle is there, whatever it is for.
    pub(super) fn check(&self, handle: u64) -> Result<(), Broken> {
        self.handles.hold().get(&handle).map(drop).ok_or_else(|| unknown(handle))
    }

    /// Accepts one injection into the transport layers of `family`; the status refuses it.
    pub(super) fn begin(&self, handle: u64, family: u16) -> Result<Result<(), NTSTATUS>, Broken> {
        let mut handles = self.handles.hold();
        let found = handles.get_mut(&handle).ok_or_else(|| unknown(handle))?;
        // Zero stands for transport, stream and forward (learn.microsoft.com "FwpsInjectionHandleCreate0").
        if found.kinds != 0 && found.kinds & FWPS_INJECTION_TYPE_TRANSPORT == 0 {
            return Err(("V-INJ-01", format!("injection handle {handle:#x} is not for transport layers")));
        }
        if found.family != AF_UNSPEC && found.family != family {
            return Err(("V-INJ-01", format!("injection handle {handle:#x} is not for address family {family}")));
        }
        if found.is_closing {
            return Ok(Err(STATUS_FWP_INJECT_HANDLE_CLOSING));
        }
        found.outstanding += 1;
        Ok(Ok(()))
    }

    pub(super) fn end(&self, handle: u64) {
        if let Some(found) = self.handles.hold().get_mut(&handle) {
            found.outstanding -= 1;
        }
    }

    pub(super) fn queue(&self, job: Job) {
        self.waiting.hold().push_back(job);
    }

    pub(super) fn next(&self) -> Option<Job> {
        self.waiting.hold().pop_front()
    }

    pub(super) fn next_of(&self, handle: u64) -> Option<Job> {
        let mut waiting = self.waiting.hold();
        let at = waiting.iter().position(|job| job.handle == handle)?;
        waiting.remove(at)
    }
}

fn unknown(handle: u64) -> Broken {
    ("V-INJ-01", format!("there is no injection handle {handle:#x}"))
}
