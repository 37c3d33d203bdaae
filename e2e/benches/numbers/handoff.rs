//! Pend, verdict, reauthorize: an application's thread connects and sleeps, the service's thread wakes with the request,
//! decides, and the application's thread wakes connected. Beside it the bare way between two threads and back.
//!
//! Both sleep on condition variables of the host: the emulated kernel's wait for a request is one, and so is that of the
//! application. The driver completes the parked call on the application's thread, and the operation on the service's.

use crate::fill::{self, WIDEST, remote};
use crate::table::{Row, Table, time};
use crate::timing::median;
use e2e::ConnectSpec;
use nt_sys::status::STATUS_SUCCESS;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;
use wire::batch::MIN_BATCH_BYTES;
use wire::ioctl::NEXT_REQUESTS;
use wire::verdict::Verdict;

const ROUNDS: u32 = 5_000;

/// Measures both in turns, so that the machine's other work falls on both.
pub fn measure(table: &mut Table) {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        bare.push(bare_handoff());
        ours.push(through_driver());
    }
    let (bare, ours) = (median(bare.into_iter()), median(ours.into_iter()));
    table.add(Row {
        what: "connect, pend, verdict by a service thread, reauthorize, connected, p50".into(),
        measured: time(ours),
        baseline: format!("bare hand-off and back {}", time(bare)),
        goal: "<= 3x",
        is_met: ours <= 3.0 * bare,
    });
    table.add(Row {
        what: "  over the bare hand-off".into(),
        measured: format!("{:.2}x", ours / bare),
        baseline: String::new(),
        goal: "",
        is_met: true,
    });
}

/// A flag that a thread sleeps for.
#[derive(Default)]
struct Signal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn set(&self) {
        *self.is_set.lock().expect("no panic") = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let set = self.changed.wait_while(self.is_set.lock().expect("no panic"), |is_set| !*is_set);
        *set.expect("no panic") = false;
    }
}

fn bare_handoff() -> f64 {
    let (there, back) = (Signal::default(), Signal::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                there.wait();
                back.set();
            }
        });
        rounds(
            || (),
            |_| {
                there.set();
                back.wait();
            },
        )
    })
}

fn through_driver() -> f64 {
    let machine = fill::machine();
    let service = machine.service(WIDEST);
    let program = machine.program("node.exe");
    let parked = Signal::default();
    let p50 = thread::scope(|scope| {
        scope.spawn(|| {
            let mut decided = 0;
            while decided < ROUNDS {
                let call = service.ioctl(NEXT_REQUESTS, &[], MIN_BATCH_BYTES);
                parked.set();
                assert_eq!(call.wait().0, STATUS_SUCCESS);
                for request in e2e::read_batch(&call) {
                    service.answer(&request, Verdict::PERMIT);
                    decided += 1;
                }
            }
        });
        let connected = Arc::new(Signal::default());
        let ready = || parked.wait();
        rounds(ready, |n| {
            let done = Arc::clone(&connected);
            let spec = ConnectSpec::to(remote(n)).then(move |_| done.set());
            let connect = program.connect_with(machine.engine(), spec);
            connected.wait();
            connect
        })
    });
    service.close();
    p50
}

/// The median of all rounds; getting ready for one, and dropping what it gives, takes none of its time.
fn rounds<R>(ready: impl Fn(), mut round: impl FnMut(u32) -> R) -> f64 {
    median((0..ROUNDS).map(|n| {
        ready();
        let start = Instant::now();
        let kept = round(n);
        let took = start.elapsed().as_nanos() as f64;
        drop(kept);
        took
    }))
}
