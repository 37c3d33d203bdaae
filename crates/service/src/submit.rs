//! Answers on their way to the enforcement point.
//!
//! Invariants: what is added is submitted until the enforcement point says what became of it, or refuses for good; threads
//! that submit at the same time do not wait for each other. Neighbours: `session` and `gate` decide, and hear the outcome.

use platform::enforcer::{Enforcer, EnforcerError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::verdict::{Answer, MAX_ANSWERS, Outcome, RequestId};

/// How long to wait before answers that could not be submitted are submitted again.
pub const RETRY_AFTER: Duration = Duration::from_millis(20);
/// How many times in a row submitting may fail.
const MAX_FAILURES: u32 = 50;

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in force.
    Accepted,
    /// Its request was gone.
    Stale,
}

/// Why nothing more can be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The enforcement point says.
    #[error(transparent)]
    Enforcer(#[from] EnforcerError),
    /// Our fault: an answer that the driver does not understand.
    #[error("the driver did not understand our answer to request {:#x}", .0.0)]
    BadAnswer(RequestId),
}

/// Submits decisions.
pub struct Submitter<T> {
    enforcer: Arc<dyn Enforcer>,
    queue: Mutex<Queue<T>>,
}

struct Queue<T> {
    waiting: VecDeque<T>,
    failures: u32,
    is_closed: bool,
}

impl<T> Submitter<T> {
    /// Submits to `enforcer`.
    pub fn new(enforcer: Arc<dyn Enforcer>) -> Self {
        Self { enforcer, queue: Mutex::new(Queue { waiting: VecDeque::new(), failures: 0, is_closed: false }) }
    }

    /// Takes decisions, to be submitted next. Gives back what it did not take: all, once it is closed.
    pub fn add(&self, decisions: Vec<T>) -> Vec<T> {
        let mut queue = self.queue();
        if queue.is_closed {
            return decisions;
        }
        queue.waiting.extend(decisions);
        Vec::new()
    }

    /// Whether nothing waits to be submitted.
    pub fn is_empty(&self) -> bool {
        self.queue().waiting.is_empty()
    }

    /// Takes nothing more. Gives back what waits.
    pub fn close(&self) -> Vec<T> {
        let mut queue = self.queue();
        queue.is_closed = true;
        queue.waiting.drain(..).collect()
    }

    /// Submits what waits, each as `answer` says, and tells what became of it. What the enforcement point does not take
    /// for a passing reason stays for the next time.
    pub fn submit(
        &self,
        mut answer: impl FnMut(&T) -> Answer,
        mut told: impl FnMut(T, Fate),
    ) -> Result<(), SubmitError> {
        loop {
            let some: Vec<T> = {
                let mut queue = self.queue();
                let count = queue.waiting.len().min(MAX_ANSWERS as usize);
                queue.waiting.drain(..count).collect()
            };
            if some.is_empty() {
                return Ok(());
            }
            let answers: Vec<Answer> = some.iter().map(&mut answer).collect();
            match self.enforcer.submit(&answers) {
                Ok(outcomes) => {
                    self.queue().failures = 0;
                    let mut bad = None;
                    // One without an outcome was not understood either.
                    let outcomes = outcomes.into_iter().map(Some).chain(std::iter::repeat(None));
                    for ((outcome, answer), decision) in outcomes.zip(&answers).zip(some) {
                        let is_accepted = outcome == Some(Outcome::ACCEPTED);
                        if !is_accepted && outcome != Some(Outcome::STALE) {
                            bad.get_or_insert(answer.request);
                        }
                        told(decision, if is_accepted { Fate::Accepted } else { Fate::Stale });
                    }
                    if let Some(request) = bad {
                        return Err(SubmitError::BadAnswer(request));
                    }
                }
                Err(error) => return self.put_back(some, error, told),
            }
        }
    }

    fn put_back(&self, some: Vec<T>, error: EnforcerError, mut told: impl FnMut(T, Fate)) -> Result<(), SubmitError> {
        let mut queue = self.queue();
        if queue.is_closed {
            drop(queue);
            some.into_iter().for_each(|decision| told(decision, Fate::Stale));
            return Err(error.into());
        }
        for decision in some.into_iter().rev() {
            queue.waiting.push_front(decision);
        }
        let passes = matches!(error, EnforcerError::Os { .. }) && queue.failures < MAX_FAILURES;
        queue.failures += 1;
        if passes { Ok(()) } else { Err(error.into()) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
