//! Classify handles (learn.microsoft.com "FwpsAcquireClassifyHandle0", "FwpsPendClassify0", "FwpsCompleteClassify0",
//! "FwpsReleaseClassifyHandle0").
//!
//! Invariants: a handle exists from its acquisition until it is released and, if it was pended, completed; a classify is
//! pended only while it runs, by those it called, with the filter and the record that it gave them. The rules carry names:
//!
//! | rule | |
//! |---|---|
//! | V-HDL-01 | a handle or classify context was used that is not there, or is no longer |
//! | V-HDL-02 | a handle was not released |
//! | V-HDL-03 | pended outside its classify, twice, or with the filter or record of another |

use super::callouts::Registered;
use super::frames;
use super::suspend::Suspension;
use crate::machine::Machine;
use crate::sync::Lock;
use nt_sys::status::*;
use nt_sys::types::NTSTATUS;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// The handles that are out.
#[derive(Default)]
pub(crate) struct Handles(Mutex<HashMap<u64, Handle>>);

struct Handle {
    /// The classify context that it was acquired with; never used for another classify.
    context: u64,
    callout: Arc<Registered>,
    suspension: Option<Arc<Suspension>>,
    is_acquired: bool,
    is_pended: bool,
}

/// What the innermost classify says about a classify context.
struct Running {
    callout: Arc<Registered>,
    suspension: Option<Arc<Suspension>>,
    is_given: bool,
    may_act: bool,
}

impl Handles {
    pub fn acquired(&self) -> usize {
        self.0.hold().len()
    }

    /// Classifies that are pended.
    pub fn pended(&self) -> usize {
        self.0.hold().values().filter(|handle| handle.is_pended).count()
    }

    pub fn acquire(&self, machine: &Machine, context: u64) -> Result<u64, NTSTATUS> {
        let Some(running) = running(context, None) else {
            machine.bugcheck("V-HDL-01", format!("classify context {context:#x} is not of the running classify"));
        };
        if machine.host.should_fail("FwpsAcquireClassifyHandle0") {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        running.callout.handles.fetch_add(1, Ordering::SeqCst);
        let handle = Handle {
            context,
            callout: running.callout,
            suspension: running.suspension,
            is_acquired: true,
            is_pended: false,
        };
        let number = machine.new_handle();
        self.0.hold().insert(number, handle);
        Ok(number)
    }

    /// Pends the classify that is running; `filter` and `out` are what it was given.
    pub fn pend(&self, machine: &Machine, number: u64, filter: u64, out: usize) -> Result<(), NTSTATUS> {
        let found = self.0.hold().get(&number).map(|handle| (handle.context, handle.is_pended));
        let Some((context, is_pended)) = found else {
            machine.bugcheck("V-HDL-01", format!("pended with {number:#x}, which is no classify handle"));
        };
        let running = running(context, Some((filter, out))).filter(|running| running.is_given && !is_pended);
        let Some(running) = running else {
            machine.bugcheck("V-HDL-03", format!("pended {number:#x} outside its classify, twice, or as another"));
        };
        let Some(suspension) = running.suspension else { return Err(STATUS_FWP_CANNOT_PEND) };
        if !running.may_act {
            machine.bugcheck("V-CLS-06", "pended without the right to set the action".into());
        }
        if machine.host.should_fail("FwpsPendClassify0") {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        frames::innermost(|frame| frame.map(|frame| frame.is_classify_pended = true));
        running.callout.pends.fetch_add(1, Ordering::SeqCst);
        suspension.pend();
        if let Some(handle) = self.0.hold().get_mut(&number) {
            handle.is_pended = true;
        }
        Ok(())
    }

    /// Completes a pended classify; without an answer it is indicated again.
    pub fn complete(&self, machine: &Arc<Machine>, number: u64, has_answer: bool) {
        if machine.host.spin_locks_held() > 0 {
            machine.bugcheck("V-PEND-05", format!("classify {number:#x} completed with a spin lock held"));
        }
        let found = self.change(number, |handle| {
            std::mem::take(&mut handle.is_pended).then(|| (Arc::clone(&handle.callout), handle.suspension.clone()))
        });
        let Some(Some((callout, Some(suspension)))) = found else {
            machine.bugcheck("V-PEND-01", format!("classify {number:#x} completed twice, or never pended"));
        };
        callout.pends.fetch_sub(1, Ordering::SeqCst);
        suspension.complete(machine, !has_answer);
    }

    pub fn release(&self, machine: &Machine, number: u64) {
        let was_acquired = self.change(number, |handle| std::mem::take(&mut handle.is_acquired));
        if was_acquired != Some(true) {
            machine.bugcheck("V-HDL-01", format!("classify handle {number:#x} released twice, or never acquired"));
        }
    }

    /// Changes a handle, and forgets it when nobody has it any more.
    fn change<R>(&self, number: u64, change: impl FnOnce(&mut Handle) -> R) -> Option<R> {
        let mut handles = self.0.hold();
        let handle = handles.get_mut(&number)?;
        let result = change(handle);
        let gone = if handle.is_acquired || handle.is_pended { None } else { handles.remove(&number) };
        drop(handles);
        if let Some(gone) = gone {
            gone.callout.handles.fetch_sub(1, Ordering::SeqCst);
        }
        Some(result)
    }
}

fn running(context: u64, given: Option<(u64, usize)>) -> Option<Running> {
    frames::innermost(|frame| {
        let frame = frame.filter(|frame| frame.classify_context == context)?;
        Some(Running {
            callout: Arc::clone(&frame.callout),
            suspension: frame.suspension.clone(),
            is_given: given == Some((frame.filter_id, frame.out)),
            may_act: frame.may_act,
        })
    })
}
