//! The classifies on the stack of the running thread.
//!
//! Invariant: a frame is pushed right before a classify function is called and popped right after, also when it unwinds.

use super::callouts::Registered;
use super::suspend::Suspension;
use crate::ale::Flow;
use std::cell::RefCell;
use std::sync::Arc;

/// One call of a classify function.
pub(crate) struct Frame {
    pub callout: Arc<Registered>,
    pub flow: Option<Arc<Flow>>,
    /// The handle by which this call may pend; zero where it may not.
    pub completion: u64,
    /// What it was given: the classify context, the filter, the record to answer in.
    pub classify_context: u64,
    pub filter_id: u64,
    pub out: usize,
    /// Its classify itself, where that can be pended.
    pub suspension: Option<Arc<Suspension>>,
    pub is_classify_pended: bool,
    pub is_reauthorization: bool,
    /// It was called with the right to set the action.
    pub may_act: bool,
    pub pends: PendAttempt,
}

/// What a classify function did about pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendAttempt {
    None,
    Failed,
    Pended,
}

#[cfg(not(feature = "shuttle"))]
thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

#[cfg(feature = "shuttle")]
shuttle::thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = RefCell::new(Vec::new());
}

/// Keeps a frame on the stack.
pub(crate) struct Entered(());

pub(crate) fn enter(frame: Frame) -> Entered {
    FRAMES.with(|frames| frames.borrow_mut().push(frame));
    Entered(())
}

impl Drop for Entered {
    fn drop(&mut self) {
        let frame = FRAMES.with(|frames| frames.borrow_mut().pop());
        drop(frame);
    }
}

/// Looks at the innermost frame.
pub(crate) fn innermost<R>(look: impl FnOnce(Option<&mut Frame>) -> R) -> R {
    FRAMES.with(|frames| look(frames.borrow_mut().last_mut()))
}

pub(crate) fn is_in_classify() -> bool {
    FRAMES.with(|frames| !frames.borrow().is_empty())
}

/// Whether `callout` is running on this thread.
pub(crate) fn is_in_callout(id: u32) -> bool {
    FRAMES.with(|frames| frames.borrow().iter().any(|frame| frame.callout.id == id))
}

/// Whether a classify of `flow` is running on this thread.
pub(crate) fn is_in_flow(id: u64) -> bool {
    FRAMES.with(|frames| frames.borrow().iter().any(|frame| frame.flow.as_ref().is_some_and(|flow| flow.id == id)))
}
