//! What the benchmarks share: flows, a gate with a service, and the median of many short runs.

use gate::{Ability, Action, Flow, FlowKey, Gate, Instant, Memory, OutOfMemory, Owner, Room};
use std::hint::black_box;
use wire::request::{Address, Direction, FAMILY_V4};
use wire::settings::Settings;
use wire::verdict::RequestId;

/// A path of ordinary length (75 characters), as `FWPM_CONDITION_ALE_APP_ID` carries it.
pub const PROGRAM: &str = r"\device\harddiskvolume3\program files\google\chrome\application\chrome.exe";
/// The service's handle.
pub const HANDLE: u64 = 1;

/// Memory from the heap.
pub enum Heap {}

impl Memory for Heap {
    type Slab<T> = Vec<T>;

    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, OutOfMemory> {
        Ok((0..len).map(|_| make()).collect())
    }
}

/// A gate with an attached service and the widest limits.
pub fn gate() -> Gate<u64, Heap> {
    let limits = Settings {
        max_pended: *Settings::PENDED.end(),
        max_pended_per_process: *Settings::PENDED.end(),
        max_cached: *Settings::CACHED.end(),
        ..Settings::INITIAL
    };
    let mut gate = Gate::new([1, 2], limits).expect("memory");
    let mut room = Room::new(gate.settings(), &limits).expect("memory");
    gate.attach(Instant::default(), Owner { process_id: 1, handle: HANDLE }, limits, &mut room)
        .expect("nobody attached");
    gate
}

/// The n-th flow of a program.
pub fn flow(n: u32, program: &[u8]) -> Flow<'_> {
    Flow {
        key: FlowKey {
            family: FAMILY_V4,
            direction: Direction::OUTBOUND,
            protocol: 6,
            compartment: 1,
            endpoint: 0x1000 + u64::from(n),
            remote: Address::v4(n.to_be_bytes()),
            remote_port: 443,
        },
        local: Address::v4([10, 0, 0, 2]),
        local_port: n as u16,
        process_id: 4242,
        program,
        user: &[],
        interface_luid: 0,
        interface_index: 0,
        remote_scope: 0,
        loopback: false,
    }
}

/// Holds a flow.
pub fn pend(gate: &mut Gate<u64, Heap>, now: Instant, flow: &Flow<'_>) -> RequestId {
    let Action::Pend(id) = gate.classify(now, flow, Ability::Hold) else { panic!("not held") };
    gate.handle_pended(now, id, id.0).expect("it waits for its operation");
    id
}

/// Nanoseconds per call: the median of many batches of one call per item.
pub fn p50<T, R>(items: &[T], mut call: impl FnMut(&T) -> R) -> f64 {
    let mut batches: Vec<f64> = (0..5_000)
        .map(|_| {
            let start = std::time::Instant::now();
            for item in items {
                black_box(call(black_box(item)));
            }
            start.elapsed().as_nanos() as f64 / items.len() as f64
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}
