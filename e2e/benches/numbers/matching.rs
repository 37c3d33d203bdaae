//! Matching a verdict to its operation, by the number of held operations: in the state machine alone, and through the
//! device. Beside it the way of the article that this project started from: one lock, one list, walked from its head until
//! addresses, ports, protocol and process are the same.

use crate::fill::{self, WIDEST};
use crate::table::{Row, Table, time};
use crate::timing::p50;
use gate::{Ability, Action, Flow, FlowKey, Gate, Instant, Memory, Once, OutOfMemory, Owner, Packets, Room};
use nt::lock::SpinLock;
use std::collections::{LinkedList, VecDeque};
use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use wire::request::{Address, Direction, FAMILY_V4};
use wire::verdict::{Answer, Outcome, RequestId, Verdict};

const SIZES: [u32; 3] = [10, 1_000, 100_000];
const HANDLE: u64 = 1;
const NOW: Instant = Instant::from_millis(1);

/// Measures for every number of held operations.
pub fn measure(table: &mut Table) {
    let alone = SIZES.map(|held| {
        let ours = in_gate(held, VecDeque::pop_back);
        table.add(Row {
            what: format!("answer one of {held} held, complete, reauthorize, hold: gate alone"),
            measured: time(ours),
            baseline: format!("list walk, only finding {}", time(list_walk(held))),
            goal: "",
            is_met: true,
        });
        ours
    });
    flatness(table, alone[SIZES.len() - 1] / alone[0]);
    table.add(Row {
        what: "  the last, the oldest each time: all memory is cold".into(),
        measured: time(in_gate(SIZES[SIZES.len() - 1], VecDeque::pop_front)),
        baseline: String::new(),
        goal: "",
        is_met: true,
    });
    let through = SIZES.map(|held| {
        let ours = through_device(held);
        table.add(Row {
            what: format!("answer one of {held} held, through device and engine"),
            measured: time(ours),
            baseline: String::new(),
            goal: "",
            is_met: true,
        });
        ours
    });
    flatness(table, through[SIZES.len() - 1] / through[0]);
}

fn flatness(table: &mut Table, factor: f64) {
    table.add(Row {
        what: "  the last over the first".into(),
        measured: format!("{factor:.2}x"),
        baseline: String::new(),
        goal: "<= 1.5x",
        is_met: factor <= 1.5,
    });
}

/// Ids with the numbers of their flows, the oldest first.
type Held = VecDeque<(RequestId, u32)>;

/// Memory from the heap.
enum Heap {}

impl Memory for Heap {
    type Slab<T> = Vec<T>;
    type Shared<T> = Arc<T>;
    type Once<T> = Place<T>;

    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, OutOfMemory> {
        Ok((0..len).map(|_| make()).collect())
    }

    fn shared<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
        Ok(Arc::new(value))
    }
}

/// A place on the heap that is filled once.
struct Place<T>(OnceLock<T>);

impl<T> Once<T> for Place<T> {
    fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self) -> Option<&T> {
        self.0.get()
    }

    fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }
}

/// TCP connects have none.
#[derive(Debug, Default)]
struct NoPackets;

impl Packets for NoPackets {
    fn count(&self) -> u32 {
        0
    }

    fn bytes(&self) -> u32 {
        0
    }

    fn append(&mut self, _more: Self) {}
}

/// Answers the operation that `next` takes, and holds it again as the newest.
fn in_gate(held: u32, next: fn(&mut Held) -> Option<(RequestId, u32)>) -> f64 {
    let mut gate: Gate<u64, NoPackets, Heap> = Gate::new([1, 2], WIDEST).expect("memory");
    let mut room = Room::new(gate.settings(), &WIDEST).expect("memory");
    gate.attach(NOW, Owner { process_id: 1, handle: HANDLE }, WIDEST, &mut room).expect("nobody is attached");
    let mut ids: Held = (0..held).map(|n| (hold(&mut gate, n), n)).collect();
    p50(3_000, &[(); 32], |()| {
        let (id, n) = next(&mut ids).expect("never empty");
        assert_eq!(gate.handle_answer(NOW, HANDLE, &Answer::once(id, Verdict::PERMIT)), Outcome::ACCEPTED);
        let completion = gate.poll_completion(NOW).expect("it is decided");
        gate.handle_completed(completion.ticket);
        gate.reauthorize(NOW, &flow(n), true);
        ids.push_back((hold(&mut gate, n), n));
    })
}

fn hold(gate: &mut Gate<u64, NoPackets, Heap>, n: u32) -> RequestId {
    let Action::Pend(id) = gate.classify(NOW, &flow(n), Ability::Hold { packet_bytes: 0 }) else { panic!("not held") };
    gate.handle_pended(NOW, id, id.0, NoPackets).expect("it waits for its operation");
    id
}

fn flow(n: u32) -> Flow<'static> {
    Flow {
        key: FlowKey {
            family: FAMILY_V4,
            direction: Direction::OUTBOUND,
            protocol: 6,
            endpoint: 0x1000 + u64::from(n),
            remote: Address::v4(n.to_be_bytes()),
            remote_port: 443,
        },
        own_endpoint: 0x1000 + u64::from(n),
        compartment: 1,
        local: Address::v4([10, 0, 0, 2]),
        local_port: n as u16,
        process_id: 4242,
        program: b"\\\0p\0r\0o\0g\0r\0a\0m\0",
        user: &[],
        interface_luid: 0,
        interface_index: 0,
        remote_scope: 0,
        loopback: false,
    }
}

/// The mean over operations evenly spread through the list.
fn list_walk(held: u32) -> f64 {
    let list: SpinLock<LinkedList<Flow<'_>>> = SpinLock::new((0..held).map(flow).collect());
    let wanted: Vec<_> = (0..held).step_by((held as usize / 10).max(1)).map(flow).collect();
    p50(50, &wanted, |wanted| {
        let name = |flow: &Flow<'_>| {
            (flow.key.remote, flow.key.remote_port, flow.local_port, flow.key.protocol, flow.process_id)
        };
        black_box(list.lock().iter().any(|flow| name(flow) == name(wanted)))
    })
}

/// One call for one answer: the request, the lock, the record, the completion, the engine's reauthorization.
fn through_device(held: u32) -> f64 {
    const ANSWERED: usize = 2_000;
    let machine = fill::machine();
    let service = machine.service(WIDEST);
    let program = machine.program("node.exe");
    let connects = fill::hold(&machine, &program, 0..held + ANSWERED as u32);
    let mut ids: Vec<_> = service.take().iter().map(e2e::Request::id).collect();
    assert_eq!(ids.len(), connects.len());
    let answered = p50(ANSWERED, &[()], |()| {
        let id = ids.pop().expect("more are held than are answered");
        assert_eq!(service.submit(&[Answer::once(id, Verdict::PERMIT)]), [Outcome::ACCEPTED]);
    });
    service.kill();
    answered
}
