//! Threads on which the engine works: connections are classified side by side, as by a machine with several processors,
//! and never on Wine's one dispatch thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::thread;

/// As many as a small machine has processors.
const THREADS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

static JOBS: Mutex<VecDeque<Job>> = Mutex::new(VecDeque::new());
static ADDED: Condvar = Condvar::new();
static START: Once = Once::new();

/// Has a worker run `job` soon.
pub fn run(job: impl FnOnce() + Send + 'static) {
    START.call_once(|| {
        for _ in 0..THREADS {
            thread::spawn(work);
        }
    });
    JOBS.lock().unwrap_or_else(PoisonError::into_inner).push_back(Box::new(job));
    ADDED.notify_one();
}

fn work() {
    loop {
        let mut jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
        let job = loop {
            if let Some(job) = jobs.pop_front() {
                break job;
            }
            jobs = ADDED.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        };
        drop(jobs);
        job();
    }
}
