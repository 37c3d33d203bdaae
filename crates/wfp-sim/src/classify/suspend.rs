//! An indication that callouts may pend with a classify handle, and what follows it.
//!
//! Invariants: what follows runs once, after the indication has returned and everybody who pended it has completed; completed
//! without an answer, it is indicated again first (learn.microsoft.com "FwpsCompleteClassify0").
//! Neighbours: `handles` has the handles; `ale` says what is indicated and what follows.

use super::frames;
use crate::config::ReauthMode;
use crate::machine::Machine;
use crate::sync::Lock;
use std::sync::{Arc, Mutex};

type Indicate = Box<dyn Fn(&Arc<Suspension>) + Send + Sync>;
type Then = Box<dyn FnOnce() + Send>;

/// One such indication.
pub(crate) struct Suspension {
    state: Mutex<State>,
    indicate: Indicate,
    then: Mutex<Option<Then>>,
}

#[derive(Default)]
struct State {
    pends: usize,
    is_indicated: bool,
    again: bool,
}

impl Suspension {
    /// Indicates, and goes on with `then`, now or when it is completed.
    pub fn run(indicate: impl Fn(&Arc<Self>) + Send + Sync + 'static, then: impl FnOnce() + Send + 'static) {
        let suspension = Arc::new(Self {
            state: Mutex::default(),
            indicate: Box::new(indicate),
            then: Mutex::new(Some(Box::new(then))),
        });
        suspension.go();
    }

    pub(super) fn pend(&self) {
        self.state.hold().pends += 1;
    }

    /// One of those who pended is done; `again` has it indicated once more.
    pub(super) fn complete(self: &Arc<Self>, machine: &Arc<Machine>, again: bool) {
        let is_over = {
            let mut state = self.state.hold();
            state.pends -= 1;
            state.again |= again;
            state.pends == 0 && !state.is_indicated
        };
        if !is_over {
            return;
        }
        let is_inline = match machine.config.knobs.reauth_mode {
            ReauthMode::Inline => true,
            ReauthMode::Deferred => false,
            ReauthMode::DeferredInClassify => !frames::is_in_classify(),
        };
        if is_inline {
            return self.resume();
        }
        let this = Arc::clone(self);
        machine.host.defer(Box::new(move || this.resume()));
    }

    fn resume(self: &Arc<Self>) {
        let again = self.state.hold().again;
        if again { self.go() } else { self.finish() }
    }

    fn go(self: &Arc<Self>) {
        loop {
            {
                let mut state = self.state.hold();
                state.is_indicated = true;
                state.again = false;
            }
            (self.indicate)(self);
            let mut state = self.state.hold();
            state.is_indicated = false;
            if state.pends > 0 {
                return;
            }
            if !state.again {
                break;
            }
        }
        self.finish();
    }

    fn finish(&self) {
        let then = self.then.hold().take();
        if let Some(then) = then {
            then();
        }
    }
}
