//! Two processors classify at the same time, each its own flows, with cached verdicts.
//!
//! Two threads call the driver's own classify function; beside it, the same with a spin lock around a hash map. A round is
//! short, so that in many of them nothing else runs on either processor; rounds of one thread and of two take turns, so
//! that the machine's other work falls on both. What a round of two takes is what passes from the first start to the last
//! end.

use crate::fill::{self, WIDEST, remote};
use crate::indication::Indication;
use crate::table::{Row, Table, time};
use crate::timing::median;
use nt::lock::SpinLock;
use std::collections::HashMap;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

const THREADS: u32 = 2;
/// Verdicts cached, and ends that each thread goes through.
const CACHED: u32 = 1_000;
const WORKING_SET: u32 = 64;
/// How often a thread goes through its ends in one round: some hundred microseconds.
const LAPS: usize = 50;
const ROUNDS: usize = 2_000;

/// Nanoseconds for one call of one thread alone, and of two at once: of all calls together.
struct Cost {
    alone: f64,
    together: f64,
}

impl Cost {
    /// How much more is done by two.
    fn scaling(&self) -> f64 {
        self.alone / self.together
    }
}

/// Measures.
pub fn measure(table: &mut Table) {
    let (ours, baseline) = (driver(), locked_map());
    for (what, ours, baseline, goal) in [
        (
            "2 threads classify disjoint flows, cached: over one thread, p50",
            ours.middle(),
            baseline.middle(),
            ">= 1.70x",
        ),
        ("  the same, of the quietest tenth of the rounds", ours.quiet(), baseline.quiet(), ""),
    ] {
        table.add(Row {
            what: what.into(),
            measured: format!("{:.2}x", ours.scaling()),
            baseline: format!("spin lock + HashMap {:.2}x", baseline.scaling()),
            goal,
            is_met: ours.scaling() >= 1.7,
        });
        table.add(Row {
            what: "    a call, alone and together".into(),
            measured: format!("{}, {}", time(ours.alone), time(ours.together)),
            baseline: format!("{}, {}", time(baseline.alone), time(baseline.together)),
            goal: "",
            is_met: true,
        });
    }
}

/// What every round took, per call.
struct Rounds {
    alone: Vec<f64>,
    together: Vec<f64>,
}

impl Rounds {
    fn middle(&self) -> Cost {
        let [alone, together] = [&self.alone, &self.together].map(|rounds| median(rounds.iter().copied()));
        Cost { alone, together }
    }

    /// The median of the fastest tenth.
    fn quiet(&self) -> Cost {
        let [alone, together] = [&self.alone, &self.together].map(|rounds| {
            let mut rounds = rounds.clone();
            rounds.sort_by(f64::total_cmp);
            rounds[rounds.len() / 20]
        });
        Cost { alone, together }
    }
}

fn driver() -> Rounds {
    let machine = fill::machine();
    let service = machine.service(WIDEST);
    let program = machine.program(r"google\chrome\application\chrome.exe");
    fill::cache(&machine, &service, &program, CACHED);
    let callouts = machine.engine().snapshot().callouts;
    let connect = callouts.iter().find(|callout| callout.name.as_deref() == Some("Tollgate outbound IPv4"));
    let function =
        connect.and_then(|callout| machine.engine().classify_function(callout.id)).expect("it is registered");
    let (path, process) = (program.path().to_owned(), program.pid());
    let rounds = rounds(|thread| {
        let ends = (0..WORKING_SET).map(|n| n * THREADS + thread);
        let flows: Vec<_> =
            ends.map(|n| Indication::new(&path, process, remote(n), 0x1_0000_0000 + u64::from(n))).collect();
        move || flows.iter().for_each(|flow| drop(black_box(flow.classify(function))))
    });
    let stats = service.stats();
    let calls = (ROUNDS * LAPS) as u64 * u64::from(WORKING_SET) * u64::from(1 + THREADS);
    assert!(stats.cache_permitted >= calls, "from the cache: {stats:?}");
    service.close();
    rounds
}

fn locked_map() -> Rounds {
    const PROGRAM: &str = r"\device\harddiskvolume3\program files\google\chrome\application\chrome.exe";
    let program: Vec<u8> = PROGRAM.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let key = |n: u32| (program.clone(), remote(n));
    let map: SpinLock<HashMap<_, bool>> = SpinLock::new((0..CACHED).map(|n| (key(n), true)).collect());
    rounds(|thread| {
        let keys: Vec<_> = (0..WORKING_SET).map(|n| key(n * THREADS + thread)).collect();
        let map = &map;
        move || keys.iter().for_each(|key| drop(black_box(map.lock().get(key).copied())))
    })
}

/// Rounds of one thread and of two in turns. `prepare` makes what a thread does in one lap, on that thread.
fn rounds<L: FnMut()>(prepare: impl Fn(u32) -> L + Sync) -> Rounds {
    let (ready, left) = (AtomicU32::new(0), AtomicU32::new(0));
    let calls = f64::from(WORKING_SET) * LAPS as f64;
    let origin = Instant::now();
    let lap_times = |lap: &mut L| {
        let start = origin.elapsed();
        (0..LAPS).for_each(|_| lap());
        (start, origin.elapsed())
    };
    thread::scope(|scope| {
        // Both count up what has begun and what is done, and wait for the other.
        let meet = |counter: &AtomicU32, round: usize| {
            counter.fetch_add(1, Ordering::AcqRel);
            while counter.load(Ordering::Acquire) < (round as u32 + 1) * THREADS {
                spin_loop();
            }
        };
        let (ready, left, prepare) = (&ready, &left, &prepare);
        let other = scope.spawn(move || {
            let mut lap = prepare(1);
            let rounds = (0..ROUNDS).map(|round| {
                meet(ready, round);
                let times = lap_times(&mut lap);
                meet(left, round);
                times
            });
            rounds.collect::<Vec<_>>()
        });
        let mut lap = prepare(0);
        let mut alone = Vec::new();
        let mut first = Vec::new();
        for round in 0..ROUNDS {
            let (start, end) = lap_times(&mut lap);
            alone.push((end - start).as_nanos() as f64 / calls);
            meet(ready, round);
            first.push(lap_times(&mut lap));
            meet(left, round);
        }
        let second = other.join().expect("no panic");
        let together = first.iter().zip(&second).map(|(one, other)| {
            let took = one.1.max(other.1) - one.0.min(other.0);
            took.as_nanos() as f64 / (calls * f64::from(THREADS))
        });
        Rounds { together: together.collect(), alone }
    })
}
