//! What is done to the state machine, in any order, with a naive account beside it of what went in and came out.

use crate::bytes::Bytes;
use gate::{
    Ability, Action, Closing, Completion, Flow, FlowKey, GRACE_MS, Gate, Instant, Memory, Once, OutOfMemory, Outgoing,
    Owner, Packets, Pended, Reauthorized, Room, Then, Ticket,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use wire::request::{Address, Direction, FAMILY_V4, RequestFlags};
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Answer, Outcome, RequestId, Scope, Verdict};

const STEPS: usize = 400;
const SID: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
const PATHS: [&[u8]; 3] = [b"", b"a\0", b"b\0c\0"];
/// The process of the service.
const SERVICE: u64 = 100;

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

/// A place that is filled once.
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

/// Packets by number, each with its bytes.
#[derive(Debug, Default)]
struct Numbered(Vec<(u64, u32)>);

impl Packets for Numbered {
    fn count(&self) -> u32 {
        self.0.len() as u32
    }

    fn bytes(&self) -> u32 {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }

    fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        assert!(self.0.is_empty() || std::thread::panicking(), "packets dropped inside the gate: {self:?}");
    }
}

/// The gate and the account.
struct Run<'a> {
    bytes: Bytes<'a>,
    gate: Gate<u64, Numbered, Heap>,
    now: u64,
    owner: Option<Owner>,
    next: u64,
    /// Every id there was, in order.
    ids: Vec<RequestId>,
    /// Ids that were to be pended and are not handed in.
    pending: Vec<RequestId>,
    /// Ids that were answered with a block.
    blocked: BTreeSet<u64>,
    operations: BTreeSet<u64>,
    /// Kept packets, with the operation they belong to.
    packets: BTreeMap<u64, RequestId>,
    tickets: Vec<Ticket>,
}

/// Does to a gate what the bytes say, and ends it.
///
/// # Panics
/// When something comes out that is not in, or twice, or not at all, or against its verdict; when the books do not balance.
pub fn run(data: &[u8]) {
    let settings = Settings { max_pended: 6, max_pended_per_process: 4, max_cached: 64, ..Settings::INITIAL };
    let gate = Gate::new([1, 2], settings).expect("memory");
    let mut run = Run {
        bytes: Bytes::new(data),
        gate,
        now: 0,
        owner: None,
        next: 0,
        ids: vec![RequestId(0)],
        pending: Vec::new(),
        blocked: BTreeSet::new(),
        operations: BTreeSet::new(),
        packets: BTreeMap::new(),
        tickets: Vec::new(),
    };
    for _ in 0..STEPS {
        if run.bytes.is_empty() {
            break;
        }
        run.step();
        run.check();
    }
    run.finish();
}

impl Run<'_> {
    fn step(&mut self) {
        match self.bytes.below(20) {
            0..=3 => self.classify(),
            4 | 5 => self.hand_in(),
            6..=8 => self.answer(),
            9 | 10 => self.complete(),
            11 => self.give_back(),
            12 | 13 => self.reauthorize(),
            14 => self.deliver(),
            15 => self.time_passes(),
            16 => self.close(),
            17 => self.attach_or_detach(),
            18 => self.configure_or_forget(),
            _ => self.take_packets(),
        }
    }

    fn check(&mut self) {
        let stats = self.gate.stats(self.time());
        assert!(stats.balances(), "{stats:?}");
        assert_eq!(stats.kept_packets as usize, self.packets.len(), "{stats:?}");
        assert_eq!(stats.attached != 0, self.owner.is_some());
    }

    fn time(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn key(&mut self) -> FlowKey {
        let bytes = &mut self.bytes;
        let what = bytes.byte();
        FlowKey {
            family: FAMILY_V4,
            direction: if what & 1 == 0 { Direction::OUTBOUND } else { Direction::INBOUND },
            protocol: [6, 17][usize::from(what >> 1 & 1)],
            endpoint: 1 + u64::from(what >> 2 & 3),
            remote: Address::v4([1, 1, 1, what >> 4 & 1]),
            remote_port: [53, 443][usize::from(what >> 5 & 1)],
        }
    }

    fn packet(&mut self) -> Numbered {
        self.next += 1;
        Numbered(vec![(self.next, 100)])
    }

    fn classify(&mut self) {
        let key = self.key();
        let what = self.bytes.byte();
        let flow = flow(key, what);
        // A TCP connect has no packet; everything else has.
        let packet_bytes = if key.protocol == 6 && key.direction == Direction::OUTBOUND { 0 } else { 100 };
        let ability = if what & 0x40 == 0 { Ability::Hold { packet_bytes } } else { Ability::ReportOnly };
        // As the driver does: first without the lock.
        if what & 0x10 == 0 && self.gate.front().classify(self.time(), &flow, ability, 0).is_some() {
            return;
        }
        match self.gate.classify(self.time(), &flow, ability) {
            Action::Permit | Action::Block | Action::Absorb => {}
            Action::Pend(id) => {
                assert!(!self.ids.contains(&id), "an id used before");
                self.ids.push(id);
                self.pending.push(id);
            }
            Action::Join(id) => self.join(id),
        }
    }

    fn join(&mut self, id: RequestId) {
        assert!(self.ids.contains(&id), "an id never given");
        let packet = self.packet();
        let number = self.next;
        match self.gate.handle_joined(self.time(), id, packet) {
            Ok(()) => drop(self.packets.insert(number, id)),
            Err(mut back) => assert_eq!(std::mem::take(&mut back.0), [(number, 100)]),
        }
    }

    fn hand_in(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let which = usize::from(self.bytes.byte()) % self.pending.len();
        let id = self.pending.swap_remove(which);
        match self.bytes.below(4) {
            0 => drop(self.gate.handle_pend_failed(self.time(), id)),
            1 => self.pended(id, Numbered::default()),
            _ => {
                let packet = self.packet();
                self.pended(id, packet);
            }
        }
    }

    fn pended(&mut self, id: RequestId, packets: Numbered) {
        let numbers: Vec<u64> = packets.0.iter().map(|(number, _)| *number).collect();
        self.next += 1;
        let operation = self.next;
        match self.gate.handle_pended(self.time(), id, operation, packets) {
            Ok(Pended::Held | Pended::Ready) => {
                self.operations.insert(operation);
                self.packets.extend(numbers.into_iter().map(|number| (number, id)));
            }
            Err((back, mut packets)) => {
                assert_eq!((back, packets.0.len()), (operation, numbers.len()));
                packets.0.clear();
            }
        }
    }

    fn answer(&mut self) {
        let newest = self.ids.len() - 1;
        let request = self.ids[newest - usize::from(self.bytes.below(8)).min(newest)];
        let answer = Answer {
            request,
            verdict: self.bytes.pick(&[Verdict::PERMIT, Verdict::BLOCK, Verdict::PERMIT, Verdict(7)]),
            scope: self.bytes.pick(&[Scope::OPERATION, Scope::REMOTE, Scope::PROGRAM]),
            reserved: 0,
            lifetime_ms: self.bytes.pick(&[0, 1, 500, 5_000]),
        };
        let handle = if self.bytes.below(16) == 1 { 999 } else { self.owner.map_or(1, |owner| owner.handle) };
        let outcome = self.gate.handle_answer(self.time(), handle, &answer);
        if outcome == Outcome::ACCEPTED {
            assert!(self.gate.is_attached(handle) && answer.is_valid());
            if answer.verdict == Verdict::BLOCK {
                self.blocked.insert(request.0);
            }
        }
    }

    fn complete(&mut self) {
        let socket = self.bytes.below(8);
        let completion = match socket {
            1..=4 => self.gate.poll_completion_of(self.time(), u64::from(socket)),
            _ => self.gate.poll_completion(self.time()),
        };
        if let Some(completion) = completion {
            self.completed(completion);
        }
    }

    fn completed(&mut self, completion: Completion<u64, Numbered>) {
        assert!(self.operations.remove(&completion.operation), "an operation that is not in");
        self.tickets.push(completion.ticket);
        match completion.then {
            Then::Reauthorizes => {}
            Then::Inject(packets) => self.out(packets, true),
            Then::Drop(packets) => self.out(packets, false),
        }
    }

    fn out(&mut self, mut packets: Numbered, injected: bool) {
        for (number, _) in std::mem::take(&mut packets.0) {
            let id = self.packets.remove(&number).expect("a packet that is not in");
            assert!(!injected || !self.blocked.contains(&id.0), "a packet of a blocked operation is injected");
        }
    }

    fn give_back(&mut self) {
        if let Some(ticket) = self.tickets.pop() {
            self.gate.handle_completed(ticket);
        }
    }

    fn reauthorize(&mut self) {
        let key = self.key();
        let what = self.bytes.byte();
        if let Reauthorized::Waiting(id) = self.gate.reauthorize(self.time(), &flow(key, what), what & 0x40 == 0) {
            self.join(id);
        }
    }

    fn deliver(&mut self) {
        let mut out = Outgoing::default();
        if self.gate.next_request(self.time(), &mut out) {
            let request = out.request;
            let asks = request.flags().intersects(RequestFlags::HELD | RequestFlags::LIVE);
            assert_eq!(asks, request.id != RequestId(0), "{request:?}");
            if request.flags().contains(RequestFlags::LIVE) {
                assert!(!self.ids.contains(&request.id), "an id used before");
                self.ids.push(request.id);
            }
        }
        self.gate.take_dropped_reports();
        self.gate.poll_recheck();
    }

    fn time_passes(&mut self) {
        self.now += u64::from(self.bytes.short());
        self.gate.handle_timeout(self.time());
    }

    fn close(&mut self) {
        let what = self.bytes.byte();
        let parent = if what & 0x40 == 0 { None } else { Some(u64::from(what >> 3 & 7)) };
        let closing = Closing { endpoint: u64::from(what & 7), parent };
        self.gate.handle_closure(self.time(), closing);
        self.gate.is_closing_busy(closing);
    }

    fn settings(&mut self) -> Settings {
        let bytes = &mut self.bytes;
        let fallbacks = [Fallback::PERMIT, Fallback::BLOCK, Fallback::LAST];
        let max_pended = 1 + u32::from(bytes.below(12));
        let max_packet_bytes = bytes.pick(&[1_000, 0, 250]);
        Settings {
            fallback_outbound: bytes.pick(&fallbacks),
            fallback_inbound: bytes.pick(&fallbacks),
            hold: bytes.short() & Holds::all().bits(),
            deadline_ms: bytes.pick(&[10, 500, 20_000]),
            max_pended,
            max_pended_per_process: 1.max(max_pended / 2),
            max_cached: bytes.pick(&[64, 0, 8]),
            epoch: u32::from(bytes.below(3)),
            max_packet_bytes,
            max_packet_bytes_per_operation: max_packet_bytes,
        }
    }

    fn attach_or_detach(&mut self) {
        if let Some(owner) = self.owner.take() {
            self.gate.detach(self.time(), owner.handle);
            return;
        }
        let settings = self.settings();
        let owner = Owner { process_id: SERVICE, handle: 1 + u64::from(self.bytes.below(3)) };
        let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
        assert_eq!(self.gate.attach(self.time(), owner, settings, &mut room), Ok(()));
        self.owner = Some(owner);
    }

    fn configure_or_forget(&mut self) {
        match self.bytes.below(4) {
            0 => self.gate.forget_all(),
            1 => self.gate.forget_program(PATHS[1]),
            _ => {
                let settings = self.settings();
                let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
                self.gate.configure(self.time(), settings, &mut room);
            }
        }
    }

    fn take_packets(&mut self) {
        let released = self.gate.take_packets();
        self.out(released.inject, true);
        self.out(released.drop, false);
    }

    /// The gate is drained: everything comes out.
    fn finish(mut self) {
        self.gate.drain(self.time());
        for id in std::mem::take(&mut self.pending) {
            self.gate.handle_pend_failed(self.time(), id);
        }
        for _ in 0..=self.operations.len() {
            while let Some(ticket) = self.tickets.pop() {
                self.gate.handle_completed(ticket);
            }
            if let Some(completion) = self.gate.poll_completion(self.time()) {
                self.completed(completion);
            }
        }
        self.now += u64::from(GRACE_MS);
        self.gate.handle_timeout(self.time());
        self.take_packets();
        self.check();
        assert!(self.operations.is_empty(), "operations left: {:?}", self.operations);
        assert!(self.packets.is_empty(), "packets left: {:?}", self.packets);
        assert!(!self.gate.has_records());
    }
}

fn flow(key: FlowKey, what: u8) -> Flow<'static> {
    Flow {
        key,
        own_endpoint: key.endpoint + u64::from(what >> 7) * 10,
        compartment: 1,
        local: Address::v4([10, 0, 0, 1]),
        local_port: 50_000,
        process_id: [41, 42, SERVICE, 43][usize::from(what & 3)],
        program: PATHS[usize::from(what >> 2 & 3) % PATHS.len()],
        user: SID,
        interface_luid: 1,
        interface_index: 1,
        remote_scope: 0,
        loopback: what & 0x20 != 0,
    }
}
