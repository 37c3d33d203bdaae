//! Waiting, and what runs meanwhile.
//!
//! A thread of the test that waits drives the machine: it runs due DPCs and work items, as other processors and worker threads
//! would, and when nothing is left to run it moves virtual time to the next event. A system thread only sleeps until something
//! changes. When nothing can ever change, the wait is reported instead of hanging the test.
//!
//! A thread of the test counts as one that may still act once it has called the kernel, or [`attach`].
//!
//! Known limit: work pumped inside a wait finishes before that wait can return, so a work item that waits for the very thread
//! below it on the stack is reported as a hang, though Windows would run the two side by side.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nt_sys::types::DISPATCH_LEVEL;

use crate::clock::{self, SECOND};
use crate::global::Global;
use crate::{io, ke, point, ps, rules, thread, verifier};

/// How long a thread that is not blocked may take before it counts as one that never will be.
const HANG: Duration = Duration::from_secs(5);
/// How long other threads of the test get to act before virtual time moves on.
const PATIENCE: Duration = Duration::from_millis(20);
/// Virtual time after which a wait without timeout counts as one that never ends.
const HORIZON: u64 = 600 * SECOND;

static BELL: Mutex<Bell> = Mutex::new(Bell { changes: 0, system_asleep: 0, test_asleep: 0 });
static RUNG: Condvar = Condvar::new();

/// Rung when the machine's state changed in a way that could end a wait.
///
/// Invariant: whoever sleeps is counted, and ringing counts everybody as awake at once, not when the scheduler gets there; so
/// "every system thread sleeps" is never true while one has a change to look at.
struct Bell {
    changes: u64,
    system_asleep: usize,
    test_asleep: usize,
}

/// Timeouts of sleeping system threads, with how many have the same.
static DEADLINES: Global<BTreeMap<u64, usize>> = Global::new(BTreeMap::new());

/// Says that something changed that a waiting thread may look for.
pub(crate) fn notify() {
    let mut bell = bell();
    bell.changes += 1;
    let is_heard = bell.system_asleep + bell.test_asleep > 0;
    bell.system_asleep = 0;
    bell.test_asleep = 0;
    // Not under the lock, which whoever wakes needs first; and not for nobody, because the host would be asked all the same.
    drop(bell);
    if is_heard {
        RUNG.notify_all();
    }
}

/// Makes the calling thread known: time does not move on by itself before it had a chance to act.
pub(crate) fn attach() {
    thread::Thread::with(|thread| thread.id());
}

/// Earliest timeout of a sleeping system thread.
pub(crate) fn next_deadline() -> Option<u64> {
    DEADLINES.lock().keys().next().copied()
}

/// Waits until `ready` says so (true) or virtual time reaches `deadline` (false).
pub(crate) fn until(deadline: Option<u64>, what: &str, mut ready: impl FnMut() -> bool) -> bool {
    let _deadline = thread::is_system().then(|| deadline.map(Deadline::announce)).flatten();
    let horizon = clock::now().saturating_add(HORIZON);
    let mut patience = PATIENCE;
    loop {
        // Who waits leaves the others their turn, whether or not the machine has heard of them.
        point::give_way();
        let seen = bell().changes;
        if verifier::stopped() {
            ps::exit_if_system_thread();
            return true;
        }
        run_due_dpcs();
        if ready() {
            return true;
        }
        if deadline.is_some_and(|deadline| deadline <= clock::now()) {
            return false;
        }
        if thread::is_system() {
            sleep(seen, Duration::MAX);
            continue;
        }
        if pump_one() || !quiesce(seen) {
            continue;
        }
        if others_may_act() && sleep(seen, patience) {
            continue;
        }
        let next = [clock::next_event(), deadline].into_iter().flatten().min();
        match next {
            Some(next) if deadline.is_some() || next <= horizon => clock::move_to(next),
            _ if others_may_act() && patience < HANG => patience = HANG,
            _ => {
                verifier::report(rules::HANG, format!("{what}: nothing that is left to run can end this wait"));
                return true;
            }
        }
    }
}

/// Runs everything that is due now, until every system thread waits.
pub(crate) fn settle() {
    loop {
        let seen = bell().changes;
        if verifier::stopped() || (!pump_one() && quiesce(seen) && seen == bell().changes) {
            return;
        }
    }
}

/// Lets every system thread get to its next wait, or to its end.
pub(crate) fn settle_threads() {
    loop {
        let seen = bell().changes;
        if verifier::stopped() || quiesce(seen) {
            return;
        }
    }
}

/// Sleeps until no system thread is left, or none moves any more.
pub(crate) fn for_system_threads() {
    notify();
    loop {
        let seen = bell().changes;
        if ps::system_threads() == 0 || !sleep(seen, HANG) {
            return;
        }
    }
}

/// A DPC interrupts every thread below `DISPATCH_LEVEL`, so none is due when such a thread goes on.
fn run_due_dpcs() {
    if !thread::is_system() && thread::irql() < DISPATCH_LEVEL {
        while ke::dpc::run_one() {}
    }
}

/// Runs one due DPC or work item on the calling thread.
fn pump_one() -> bool {
    ke::dpc::run_one() || io::work::run_one()
}

/// Returns true when every system thread sleeps; otherwise false after something changed.
fn quiesce(seen: u64) -> bool {
    if bell().is_idle() {
        return true;
    }
    if !sleep(seen, HANG) && !bell().is_idle() {
        verifier::report(rules::HANG, format!("a system thread has neither waited nor ended for {HANG:?}"));
    }
    false
}

/// Whether the test has other threads that are not asleep in the kernel.
fn others_may_act() -> bool {
    thread::present().saturating_sub(ps::system_threads() + bell().test_asleep) > 1
}

fn bell() -> MutexGuard<'static, Bell> {
    BELL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bell {
    /// Whether every system thread sleeps.
    fn is_idle(&self) -> bool {
        self.system_asleep >= ps::system_threads()
    }
}

/// Sleeps until something changed after `seen`; a thread of the test also wakes when the last system thread falls asleep.
/// False when `limit` of real time passed instead.
#[cfg(feature = "shuttle")]
fn sleep(seen: u64, _limit: Duration) -> bool {
    // Explored threads share one host thread, so nobody really sleeps; and there is no real time, only turns.
    const TURNS: usize = 100;
    (0..TURNS).any(|_| {
        point::give_way();
        bell().changes != seen
    })
}

/// Sleeps until something changed after `seen`; a thread of the test also wakes when the last system thread falls asleep.
/// False when `limit` of real time passed instead.
#[cfg(not(feature = "shuttle"))]
fn sleep(seen: u64, limit: Duration) -> bool {
    let system = thread::is_system();
    let started = std::time::Instant::now();
    let mut bell = bell();
    let was_idle = bell.is_idle();
    if bell.changes != seen {
        return true;
    }
    if system {
        bell.system_asleep += 1;
        RUNG.notify_all();
    } else {
        bell.test_asleep += 1;
    }
    loop {
        let left = limit.saturating_sub(started.elapsed());
        bell = RUNG.wait_timeout(bell, left).unwrap_or_else(PoisonError::into_inner).0;
        if bell.changes != seen {
            return true;
        }
        let settled = !system && !was_idle && bell.is_idle();
        if settled || started.elapsed() >= limit {
            if system {
                bell.system_asleep -= 1;
            } else {
                bell.test_asleep -= 1;
            }
            return settled;
        }
    }
}

/// A timeout of a system thread, known to the clock while the thread sleeps.
struct Deadline(u64);

impl Deadline {
    fn announce(time: u64) -> Self {
        *DEADLINES.lock().entry(time).or_default() += 1;
        Self(time)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut deadlines = DEADLINES.lock();
        if let Some(count) = deadlines.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                deadlines.remove(&self.0);
            }
        }
    }
}
