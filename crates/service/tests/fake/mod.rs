//! An enforcement point that follows a script.
//!
//! Invariants: what it was told can be read afterwards through [`Fake::told`]; when its script is over it stops the
//! session if it was given a stopper, and else waits to be interrupted. Neighbours: `tests/session.rs`.

use platform::enforcer::{Attached, Enforcer, EnforcerError, Forgotten, Next};
use service::session::Stopper;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use wire::hello::Capabilities;
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{Answer, Outcome};

/// One return of `next`.
pub enum Step {
    Batch(Vec<u8>),
    Fail(EnforcerError),
}

/// How one `submit` goes; when none is left, every answer is accepted.
pub enum Submit {
    Outcomes(Vec<Outcome>),
    Fail(EnforcerError),
}

#[derive(Default)]
pub struct Told {
    pub settings: Option<Settings>,
    pub submitted: Vec<Vec<Answer>>,
    pub forgot_all: u32,
    pub patience: Vec<Duration>,
    pub detached: bool,
}

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    submits: VecDeque<Submit>,
    stopper: Option<Stopper>,
    interrupts: u32,
    is_waiting: bool,
    told: Told,
}

/// A handle to one; the session owns another.
#[derive(Clone, Default)]
pub struct Fake(Arc<(Mutex<State>, Condvar)>);

/// What the session owns. Dropping it is the detach.
struct Owned(Fake);

impl Fake {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let fake = Self::default();
        fake.state().steps.extend(steps);
        fake
    }

    pub fn submits(self, submits: impl IntoIterator<Item = Submit>) -> Self {
        self.state().submits.extend(submits);
        self
    }

    pub fn enforcer(&self) -> Box<dyn Enforcer> {
        Box::new(Owned(self.clone()))
    }

    /// Stops the session with `stopper` when the script is over.
    pub fn stop_at_end(&self, stopper: Stopper) {
        self.state().stopper = Some(stopper);
    }

    /// Waits until the session waits for requests.
    pub fn until_waiting(&self) {
        let state = self.0.1.wait_while(self.state(), |state| !state.is_waiting).unwrap();
        drop(state);
    }

    /// What it was told since it was made.
    pub fn told(&self) -> Told {
        std::mem::take(&mut self.state().told)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }
}

impl Enforcer for Owned {
    fn attach(&self, settings: &Settings) -> Result<Attached, EnforcerError> {
        self.0.state().told.settings = Some(*settings);
        Ok(Attached { version: wire::VERSION, capabilities: Capabilities::HOLD_CONNECT, max_parked: 4 })
    }

    fn next(&self, batch: &mut Vec<u8>, patience: Duration) -> Result<Next, EnforcerError> {
        let mut state = self.0.state();
        state.told.patience.push(patience);
        batch.clear();
        match state.steps.pop_front() {
            Some(Step::Batch(bytes)) => {
                *batch = bytes;
                return Ok(Next::Batch);
            }
            Some(Step::Fail(error)) => return Err(error),
            None => {}
        }
        if patience < Duration::from_secs(1) {
            return Ok(Next::TimedOut);
        }
        if let Some(stopper) = state.stopper.take() {
            drop(state);
            stopper.stop();
            state = self.0.state();
        }
        state.is_waiting = true;
        self.0.0.1.notify_all();
        state = self.0.0.1.wait_while(state, |state| state.interrupts == 0).unwrap();
        state.interrupts -= 1;
        state.is_waiting = false;
        Ok(Next::Interrupted)
    }

    fn interrupt(&self) {
        self.0.state().interrupts += 1;
        self.0.0.1.notify_all();
    }

    fn submit(&self, answers: &[Answer]) -> Result<Vec<Outcome>, EnforcerError> {
        let mut state = self.0.state();
        state.told.submitted.push(answers.to_vec());
        match state.submits.pop_front() {
            Some(Submit::Outcomes(outcomes)) => Ok(outcomes),
            Some(Submit::Fail(error)) => Err(error),
            None => Ok(vec![Outcome::ACCEPTED; answers.len()]),
        }
    }

    fn configure(&self, settings: &Settings) -> Result<(), EnforcerError> {
        self.0.state().told.settings = Some(*settings);
        Ok(())
    }

    fn forget(&self, what: Forgotten<'_>) -> Result<(), EnforcerError> {
        assert_eq!(what, Forgotten::All);
        self.0.state().told.forgot_all += 1;
        Ok(())
    }

    fn stats(&self) -> Result<Stats, EnforcerError> {
        Ok(Stats::default())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.state().told.detached = true;
    }
}
