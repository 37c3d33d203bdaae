//! Classify with a cached verdict: the driver's own classify function, as it is registered with the filter engine.
//!
//! Inside the number: entering the driver, reading the values, the clock, both spin lock operations with all their checks
//! in the emulated kernel, hashing, the cache, the answer. Not inside: the emulated engine's part, which makes the values.

use crate::fill::{self, WIDEST, remote};
use crate::heap::allocations;
use crate::indication::Indication;
use crate::table::{Row, Table, time};
use crate::timing::p50;
use nt::lock::SpinLock;
use nt_sys::fwps::FWP_ACTION_PERMIT;
use std::collections::HashMap;
use std::net::SocketAddr;

const SIZES: [u32; 3] = [1, 1_000, 1_000_000];
const WORKING_SET: u32 = 64;
/// So few of the newest that all of them are in the cache still.
const NEWEST: u32 = 60_000;
const BATCHES: usize = 20_000;

/// Nanoseconds per call.
struct Cached {
    /// For a working set that the processor's cache holds.
    near: f64,
    /// For ends all over the cache of verdicts.
    far: f64,
    /// Allocations in one call for each of the working set.
    allocated: u64,
}

/// Measures for every size of the cache.
pub fn measure(table: &mut Table) {
    let measured = SIZES.map(|size| {
        let Cached { near, far, allocated } = cached(size);
        table.add(Row {
            what: format!("classify, one of {size} cached verdicts, p50"),
            measured: time(near),
            baseline: format!("spin lock + HashMap {}", time(baseline(size))),
            goal: "<= 100 ns",
            is_met: near <= 100.0,
        });
        (near, far, allocated)
    });
    let [(smallest, ..), _, (largest, far, _)] = measured;
    let allocated: u64 = measured.iter().map(|(.., allocated)| allocated).sum();
    table.add(Row {
        what: "  the last over the first".into(),
        measured: format!("{:.2}x", largest / smallest),
        baseline: String::new(),
        goal: "<= 1.5x",
        is_met: largest / smallest <= 1.5,
    });
    table.add(Row {
        what: "  allocations".into(),
        measured: allocated.to_string(),
        baseline: String::new(),
        goal: "0",
        is_met: allocated == 0,
    });
    table.add(Row {
        what: "  the last, each call to another end: all memory is cold, mean".into(),
        measured: time(far),
        baseline: String::new(),
        goal: "",
        is_met: true,
    });
}

fn cached(size: u32) -> Cached {
    let machine = fill::machine();
    let service = machine.service(WIDEST);
    let program = machine.program(r"google\chrome\application\chrome.exe");
    fill::cache(&machine, &service, &program, size);
    let callouts = machine.engine().snapshot().callouts;
    let connect = callouts.iter().find(|callout| callout.name.as_deref() == Some("Tollgate outbound IPv4"));
    let function =
        connect.and_then(|callout| machine.engine().classify_function(callout.id)).expect("it is registered");
    let indication =
        |n: u32| Indication::new(program.path(), program.pid(), remote(n % size), 0x1_0000_0000 + u64::from(n));

    let working_set: Vec<_> = (0..WORKING_SET).map(indication).collect();
    let near = p50(BATCHES, &working_set, |indication| indication.classify(function));
    let before = allocations();
    let permitted = working_set.iter().filter(|indication| indication.classify(function) == FWP_ACTION_PERMIT).count();
    let allocated = allocations() - before;
    assert_eq!(permitted, working_set.len(), "the calls are answered");
    // A prime stride goes everywhere, and never to a neighbour; only among the newest, which no set has forgotten.
    let everywhere: Vec<_> = (0..NEWEST).map(|n| indication(n * 7_919 % NEWEST)).collect();
    let far = p50(1, &everywhere, |indication| indication.classify(function));
    let stats = service.stats();
    let calls = u64::from(WORKING_SET) * (BATCHES as u64 + 1);
    assert!(stats.cache_permitted >= calls, "from the cache: {stats:?}");
    service.close();
    Cached { near, far, allocated }
}

/// What anybody would write first: a hash map with the whole key behind the same spin lock.
fn baseline(size: u32) -> f64 {
    const PROGRAM: &str = r"\device\harddiskvolume3\program files\google\chrome\application\chrome.exe";
    let path: Vec<u8> = PROGRAM.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let key = |n: u32| -> (Vec<u8>, SocketAddr) { (path.clone(), remote(n % size)) };
    let map: SpinLock<HashMap<_, bool>> = SpinLock::new((0..size).map(|n| (key(n), true)).collect());
    let working_set: Vec<_> = (0..WORKING_SET).map(key).collect();
    p50(BATCHES, &working_set, |key| map.lock().get(key).copied())
}
