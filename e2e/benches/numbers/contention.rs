//! Two processors classify at the same time, each its own flows, with cached verdicts.
//!
//! Two threads call the driver's own classify function; beside it the same with a spin lock around one hash map, and with a
//! map for each thread, which is what two processors of this machine give when nothing is shared. Rounds of one thread and
//! of two take turns. A round is short, and counts only if no thread of it was taken off its processor: one that waits for
//! a thread that does not run measures the host's scheduler. What a round of two takes is what passes from the first start
//! to the last end.

use crate::fill::{self, WIDEST, remote};
use crate::indication::Indication;
use crate::table::{Row, Table, time};
use crate::timing::median;
use nt::lock::SpinLock;
use std::collections::HashMap;
use std::hint::{black_box, spin_loop};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: u32 = 2;
/// Verdicts cached, and ends that each thread goes through.
const CACHED: u32 = 1_000;
const WORKING_SET: u32 = 64;
/// How often a thread goes through its ends in one round: a hundred microseconds and more.
const LAPS: usize = 20;
const ROUNDS: usize = 3_000;
/// How much of a round's time a thread must have had its processor.
const UNDISTURBED: f64 = 0.97;

/// Measures.
pub fn measure(table: &mut Table) {
    let (ours, one_map, own_maps) = (driver(), locked_map(1), locked_map(THREADS));
    let scaling = ours.alone / ours.together;
    table.add(Row {
        what: "2 threads classify disjoint flows, cached: over one thread, p50".into(),
        measured: format!("{scaling:.2}x"),
        baseline: format!("spin lock + HashMap {:.2}x", one_map.alone / one_map.together),
        goal: ">= 1.70x",
        is_met: scaling >= 1.7,
    });
    for (what, cost, baseline) in [
        ("  a call of one thread alone", ours.alone, one_map.alone),
        ("  a call of two, all calls over the time", ours.together, one_map.together),
    ] {
        table.add(Row {
            what: what.into(),
            measured: time(cost),
            baseline: format!("spin lock + HashMap {}", time(baseline)),
            goal: "",
            is_met: true,
        });
    }
    table.add(Row {
        what: "  what this machine gives two threads that share nothing".into(),
        measured: String::new(),
        baseline: format!("a map each {:.2}x", own_maps.alone / own_maps.together),
        goal: "",
        is_met: true,
    });
    table.add(Row {
        what: format!("  rounds of {ROUNDS} that ran undisturbed, alone and together"),
        measured: format!("{}, {}", ours.counted.0, ours.counted.1),
        baseline: format!("{}, {}", one_map.counted.0, one_map.counted.1),
        goal: "",
        is_met: true,
    });
}

/// Nanoseconds for a call: of one thread alone, and of two at once, where all calls share the time.
struct Cost {
    alone: f64,
    together: f64,
    /// Rounds that counted.
    counted: (usize, usize),
}

/// What a thread did in a round.
#[derive(Clone, Copy)]
struct Stint {
    start: Duration,
    end: Duration,
    on_processor: Duration,
}

impl Stint {
    fn is_undisturbed(&self) -> bool {
        self.on_processor.as_secs_f64() >= UNDISTURBED * (self.end - self.start).as_secs_f64()
    }
}

fn driver() -> Cost {
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
        move || flows.iter().for_each(|flow| _ = black_box(flow.classify(function)))
    });
    let stats = service.stats();
    let calls = (ROUNDS * LAPS) as u64 * u64::from(WORKING_SET) * u64::from(1 + THREADS);
    assert!(stats.cache_permitted >= calls, "from the cache: {stats:?}");
    service.close();
    rounds
}

/// What anybody would write first: `count` hash maps, each behind a spin lock.
fn locked_map(count: u32) -> Cost {
    const PROGRAM: &str = r"\device\harddiskvolume3\program files\google\chrome\application\chrome.exe";
    let program: Vec<u8> = PROGRAM.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let key = |n: u32| (program.clone(), remote(n));
    let map = || -> SpinLock<HashMap<_, bool>> { SpinLock::new((0..CACHED).map(|n| (key(n), true)).collect()) };
    let maps: Vec<_> = (0..count).map(|_| Box::new(Apart(map()))).collect();
    rounds(|thread| {
        let keys: Vec<_> = (0..WORKING_SET).map(|n| key(n * THREADS + thread)).collect();
        let map = &maps[(thread % count) as usize].0;
        move || keys.iter().for_each(|key| _ = black_box(map.lock().get(key).copied()))
    })
}

/// On cache lines of its own.
#[repr(align(128))]
struct Apart<T>(T);

/// Rounds of one thread and of two in turns. `prepare` makes what a thread does in one lap, on that thread.
fn rounds<L: FnMut()>(prepare: impl Fn(u32) -> L + Sync) -> Cost {
    let (ready, left) = (AtomicU32::new(0), AtomicU32::new(0));
    let origin = Instant::now();
    let stint = |lap: &mut L| {
        let (before, start) = (on_processor(), origin.elapsed());
        (0..LAPS).for_each(|_| lap());
        let (end, after) = (origin.elapsed(), on_processor());
        Stint { start, end, on_processor: after - before }
    };
    // Both count up what has begun and what is done, and wait for the other.
    let meet = |counter: &AtomicU32, round: usize| {
        counter.fetch_add(1, Ordering::AcqRel);
        while counter.load(Ordering::Acquire) < (round as u32 + 1) * THREADS {
            spin_loop();
        }
    };
    let (alone, together) = thread::scope(|scope| {
        let (ready, left, prepare) = (&ready, &left, &prepare);
        let other = scope.spawn(move || {
            let mut lap = prepare(1);
            let rounds = (0..ROUNDS).map(|round| {
                meet(ready, round);
                let stint = stint(&mut lap);
                meet(left, round);
                stint
            });
            rounds.collect::<Vec<_>>()
        });
        let mut lap = prepare(0);
        let (mut alone, mut first) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            alone.push(stint(&mut lap));
            meet(ready, round);
            first.push(stint(&mut lap));
            meet(left, round);
        }
        let second = other.join().expect("no panic");
        (alone, first.into_iter().zip(second).collect::<Vec<_>>())
    });
    let calls = f64::from(WORKING_SET) * LAPS as f64;
    let alone: Vec<_> = alone.iter().filter(|stint| stint.is_undisturbed()).collect();
    let together: Vec<_> =
        together.iter().filter(|(one, other)| one.is_undisturbed() && other.is_undisturbed()).collect();
    let counted = (alone.len(), together.len());
    assert!(counted.0 > 100 && counted.1 > 100, "this machine has no time for two threads at once: {counted:?}");
    let per_call = |took: Duration, calls: f64| took.as_nanos() as f64 / calls;
    Cost {
        alone: median(alone.iter().map(|stint| per_call(stint.end - stint.start, calls))),
        together: median(together.iter().map(|(one, other)| {
            per_call(one.end.max(other.end) - one.start.min(other.start), calls * f64::from(THREADS))
        })),
        counted,
    }
}

/// How long this thread has run so far.
fn on_processor() -> Duration {
    let mut time = MaybeUninit::uninit();
    // SAFETY: the place is valid for writing.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(failed, 0, "every Linux has this clock");
    // SAFETY: the call has filled it in.
    let libc::timespec { tv_sec, tv_nsec } = unsafe { time.assume_init() };
    Duration::new(tv_sec.cast_unsigned(), tv_nsec as u32)
}
