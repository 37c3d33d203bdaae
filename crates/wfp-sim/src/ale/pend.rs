//! Pending the authorization of a flow, and completing it (learn.microsoft.com "FwpsPendOperation0",
//! "FwpsCompleteOperation0", "Processing Classify Callouts Asynchronously").
//!
//! Invariants: a context is given out once, and comes back once; the flow is authorized again when its last context has come
//! back and its first classify has returned. A context that does not exist any more is a use after free.

use super::flow::{Flow, Phase};
use super::{Ale, reauthorize};
use crate::classify::Registered;
use crate::classify::frames::{self, PendAttempt};
use crate::config::CloseWhilePended;
use crate::machine::Machine;
use crate::sync::Lock;
use nt_sys::status::*;
use nt_sys::types::NTSTATUS;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A context that is out.
pub(super) struct Pended {
    flow: Arc<Flow>,
    callout: Arc<Registered>,
}

/// What the running classify may do with a completion handle.
enum Permission {
    Pend(Arc<Flow>, Arc<Registered>),
    CannotPend,
    NoRight,
    NotMine,
}

impl Ale {
    /// Pends the operation of the running classify; hands out the completion context.
    pub fn pend(&self, machine: &Machine, handle: u64) -> Result<u64, NTSTATUS> {
        let permission = frames::innermost(|frame| match frame {
            Some(frame) if frame.completion == handle => match (&frame.flow, frame.may_act) {
                _ if frame.is_reauthorization => {
                    frame.pends = PendAttempt::Failed;
                    Permission::CannotPend
                }
                (Some(flow), true) => Permission::Pend(Arc::clone(flow), Arc::clone(&frame.callout)),
                _ => Permission::NoRight,
            },
            _ => Permission::NotMine,
        });
        let (flow, callout) = match permission {
            Permission::Pend(flow, callout) => (flow, callout),
            Permission::CannotPend => return Err(STATUS_FWP_CANNOT_PEND),
            Permission::NoRight => machine.bugcheck("V-CLS-06", "pended without the right to set the action".into()),
            Permission::NotMine => {
                machine.bugcheck("V-CLS-09", format!("completion handle {handle:#x} is not of the running classify"))
            }
        };
        if machine.host.should_fail("FwpsPendOperation0") {
            frames::innermost(|frame| frame.map(|frame| frame.pends = PendAttempt::Failed));
            let is_stack = machine.draw() & 1 == 0;
            return Err(if is_stack { STATUS_FWP_TCPIP_NOT_READY } else { STATUS_INSUFFICIENT_RESOURCES });
        }
        frames::innermost(|frame| frame.map(|frame| frame.pends = PendAttempt::Pended));
        {
            let mut progress = flow.progress();
            progress.outstanding += 1;
            progress.pended_by.push(callout.id);
        }
        callout.pends.fetch_add(1, Ordering::SeqCst);
        machine.totals.pended.add();
        let context = machine.new_handle();
        self.pended.hold().insert(context, Pended { flow, callout });
        Ok(context)
    }

    /// Takes a completion context back.
    pub fn complete(&self, machine: &Arc<Machine>, context: u64) {
        if machine.host.spin_locks_held() > 0 {
            machine.bugcheck("V-PEND-05", format!("context {context:#x} completed with a spin lock held"));
        }
        let pended = self.pended.hold().remove(&context);
        let Some(Pended { flow, callout }) = pended else {
            machine.bugcheck("V-PEND-01", format!("context {context:#x} completed twice, or never given out"));
        };
        callout.pends.fetch_sub(1, Ordering::SeqCst);
        machine.totals.completed.add();
        let next = flow.give_back();
        match next {
            Next::Nothing => {}
            Next::Reauthorize => reauthorize::schedule(machine, &flow),
            Next::Orphan => match machine.config.knobs.close_while_pended {
                CloseWhilePended::Tolerant => {}
                CloseWhilePended::ReauthAnyway => reauthorize::schedule(machine, &flow),
                CloseWhilePended::Hazard => {
                    machine
                        .bugcheck("V-PEND-01", format!("context {context:#x} completed after its socket was closed"));
                }
            },
        }
    }
}

/// What follows when a context has come back.
enum Next {
    /// Others are out, or the classify that pended is still on some stack.
    Nothing,
    Reauthorize,
    /// The socket is gone.
    Orphan,
}

impl Flow {
    fn give_back(&self) -> Next {
        let mut progress = self.progress();
        progress.outstanding -= 1;
        match progress.phase {
            _ if progress.outstanding > 0 => Next::Nothing,
            Phase::Held => {
                progress.phase = Phase::Scheduled;
                Next::Reauthorize
            }
            Phase::Orphaned => {
                progress.phase = Phase::Ended;
                Next::Orphan
            }
            _ => Next::Nothing,
        }
    }
}
