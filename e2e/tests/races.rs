//! Real threads race each other through the driver, in bounded steps and from printed seeds.
//!
//! Threads connect, send, are sent to, close and have flows reauthorized; listeners come and go under SYNs; services attach,
//! answer, answer again, cancel their calls, change the settings, close and die; time passes and deadlines with it; another
//! product's filters come and go; and at last the driver is unloaded under all that. Whatever the order: every connection gets one outcome, which is its own verdict
//! if the driver accepted an answer for it, and else its own verdict or the fallback; every packet leaves and arrives once or
//! never; no socket ends while an operation of it is being completed; the books balance; nothing leaks;
//! and no lock is held across a completion, which the emulators check at every one.
//!
//! Neighbours: `faults` has the same invariant with failing calls.

use e2e::{
    ClassifyIrql, CloseWhilePended, Connect, ConnectSpec, Knobs, Machine, Options, Outcome, Rival, Rule, Service,
    WSAEACCES,
};
use nt_sys::fwp::FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE;
use nt_sys::status::STATUS_SUCCESS;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ScopedJoinHandle};
use wire::command::{Forget, ForgetHead};
use wire::hello::HelloOutcome;
use wire::ioctl;
use wire::request::Direction;
use wire::settings::{Fallback, Settings};
use wire::stats::Stats;
use wire::verdict::{Answer, RequestId, Scope, Verdict};
use zerocopy::IntoBytes;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=12;
const CONNECTORS: usize = 3;
const SERVICES: usize = 2;
/// Connects of one thread: first while the driver is loaded, then while it is unloaded.
const CONNECTS: usize = 120;
const LATE_CONNECTS: usize = 40;
/// Ends of connections; each has a verdict of its own.
const REMOTES: u64 = 32;
const DEADLINE_MS: u64 = 40;
const TCP: u8 = 6;

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What the threads share.
struct World {
    machine: Machine,
    fallback: Verdict,
    /// Local ports of connections whose answer was accepted; each connection has a port of its own.
    accepted: Mutex<HashSet<u16>>,
    /// Threads that still connect.
    connecting: AtomicUsize,
    /// Datagrams.
    sent: AtomicU64,
}

impl World {
    fn new(seed: u64) -> Self {
        // A completion after its socket has gone is fatal in every second run: nobody says that it is not on Windows.
        let mut knobs = Knobs::all();
        knobs.retain(|knobs| (knobs.close_while_pended == CloseWhilePended::Hazard) == seed.is_multiple_of(2));
        let machine = Machine::with_driver(Options {
            knobs: knobs[(seed as usize * 7) % knobs.len()],
            irql: [ClassifyIrql::Seeded, ClassifyIrql::Passive, ClassifyIrql::Dispatch][seed as usize % 3],
            seed,
            ..Options::default()
        });
        let fallback = if seed.is_multiple_of(2) { Verdict::PERMIT } else { Verdict::BLOCK };
        let world = Self {
            machine,
            fallback,
            accepted: Mutex::default(),
            connecting: AtomicUsize::new(CONNECTORS),
            sent: AtomicU64::new(0),
        };
        // Settings stay in force when a service is gone: from here on the fallback is the one of this run.
        world.machine.service(world.settings(&mut Random(seed))).close();
        world
    }

    fn settings(&self, random: &mut Random) -> Settings {
        let fallback = if self.fallback == Verdict::PERMIT { Fallback::PERMIT } else { Fallback::BLOCK };
        let mut settings = Settings {
            fallback_outbound: fallback,
            fallback_inbound: fallback,
            max_packet_bytes: [0, 4_096, 8 << 20][random.below(3) as usize],
            deadline_ms: 10 + random.below(DEADLINE_MS - 10) as u32,
            max_pended: 16 + random.below(3) as u32 * 100,
            max_pended_per_process: 16,
            max_cached: [0, 64, 256][random.below(3) as usize],
            epoch: random.below(3) as u32,
            ..Settings::INITIAL
        };
        settings.max_packet_bytes_per_operation = settings.max_packet_bytes / 4;
        settings
    }

    fn is_racing(&self) -> bool {
        self.connecting.load(Ordering::SeqCst) > 0
    }
}

/// The n-th end, one half of them IPv6.
fn remote(n: u64) -> SocketAddr {
    let ip = if n.is_multiple_of(4) {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16))
    } else {
        IpAddr::from([192, 0, 2, n as u8])
    };
    SocketAddr::new(ip, 1000 + n as u16)
}

/// The verdict that every service has for an end.
fn verdict_on(remote: SocketAddr) -> Verdict {
    if (remote.port() / 2).is_multiple_of(2) { Verdict::PERMIT } else { Verdict::BLOCK }
}

fn outcome_of(verdict: Verdict) -> Outcome {
    if verdict == Verdict::PERMIT { Outcome::Connected } else { Outcome::Refused(WSAEACCES) }
}

/// A connection under way.
struct Attempt {
    connect: Connect,
    remote: SocketAddr,
    /// How often an outcome was told.
    told: Arc<AtomicUsize>,
}

impl Attempt {
    fn start(world: &World, program: &e2e::Program, random: &mut Random) -> Self {
        let remote = remote(random.below(REMOTES));
        let told = Arc::new(AtomicUsize::new(0));
        let teller = Arc::clone(&told);
        let spec = ConnectSpec::to(remote).then(move |_| {
            teller.fetch_add(1, Ordering::SeqCst);
        });
        Self { connect: program.connect_with(world.machine.engine(), spec), remote, told }
    }

    fn reauthorize(&self) {
        self.connect.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE);
    }

    fn outcome(&self) -> Outcome {
        let outcome = self.connect.outcome();
        assert_eq!(self.told.load(Ordering::SeqCst), 1, "{outcome:?} was told once");
        outcome
    }
}

/// Connects, and leaves open what it does not close.
fn connect(world: &World, random: &mut Random, count: usize) -> Vec<Attempt> {
    let program = world.machine.program("racer.exe");
    let mut open = Vec::new();
    for _ in 0..count {
        if random.one_in(3) {
            exchange(world, &program, random);
        }
        let attempt = Attempt::start(world, &program, random);
        match random.below(8) {
            0 => attempt.connect.close(),
            1 => attempt.reauthorize(),
            2 => world.machine.settle(),
            3 => thread::yield_now(),
            _ => {}
        }
        open.push(attempt);
        let any = random.below(open.len() as u64) as usize;
        match random.below(8) {
            0 => open[any].reauthorize(),
            1 => open[any].connect.close(),
            _ => {}
        }
    }
    open
}

/// Sends and is sent packets, and listens; closes all of it again, mostly while it is held. Every payload is another.
fn exchange(world: &World, program: &e2e::Program, random: &mut Random) {
    let engine = world.machine.engine();
    let remote = remote(random.below(REMOTES));
    let any = if remote.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = program.udp_at(engine, any);
    for _ in 0..1 + random.below(3) {
        let payload = world.sent.fetch_add(1, Ordering::SeqCst).to_le_bytes();
        if random.one_in(2) {
            socket.send_bytes(remote, &payload);
        } else {
            socket.deliver(remote, &payload);
        }
    }
    let listener = program.listen(engine, any);
    let accept = listener.syn_from(remote);
    match random.below(6) {
        0 => accept.reset(),
        1 => accept.retransmit(),
        2 => listener.close(),
        3 => world.machine.settle(),
        4 => thread::yield_now(),
        _ => {}
    }
    let received = socket.received();
    let payloads: HashSet<_> = received.iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads.len(), received.len(), "nothing arrives twice");
}

/// Attaches services one after the other, as long as anybody connects.
fn serve(world: &World, random: &mut Random) {
    while world.is_racing() {
        let service = world.machine.client();
        let (status, reply) = service.hello(wire::VERSION, world.settings(random));
        assert_eq!(status, STATUS_SUCCESS);
        if reply.is_some_and(|reply| reply.outcome == HelloOutcome::ATTACHED) {
            let mut known = Vec::new();
            for _ in 0..1 + random.below(30) {
                serve_once(world, &service, random, &mut known);
            }
        }
        if random.one_in(2) { service.kill() } else { service.close() }
    }
}

/// Takes a batch and answers most of it; sometimes does something rude instead. `known` has ids answered before.
fn serve_once(world: &World, service: &Service, random: &mut Random, known: &mut Vec<RequestId>) {
    let call = service.park();
    match random.below(8) {
        0 => {
            let (status, _) = service.call(ioctl::CONFIGURE, world.settings(random).as_bytes(), 0);
            assert_eq!(status, STATUS_SUCCESS);
        }
        1 => {
            let all = ForgetHead { what: Forget::ALL, path_bytes: 0 };
            assert_eq!(service.call(ioctl::FORGET, all.as_bytes(), 0).0, STATUS_SUCCESS);
        }
        2 => assert!(service.stats().balances()),
        _ => world.machine.settle(),
    }
    call.cancel();
    // Cancelled or not, the call comes back; what it brings along was delivered.
    if call.wait().0 != STATUS_SUCCESS {
        return;
    }
    for request in e2e::read_batch(&call).iter().filter(|request| request.is_held()) {
        if random.one_in(6) {
            continue;
        }
        let scope = [Scope::OPERATION, Scope::REMOTE][random.below(2) as usize];
        let answer = Answer {
            scope,
            lifetime_ms: random.below(3) as u32 * 10,
            ..Answer::once(request.id(), verdict_on(request.remote()))
        };
        let is_accepted = service.submit(&[answer])[0] == wire::verdict::Outcome::ACCEPTED;
        let is_connect = (request.fixed.protocol, request.fixed.direction) == (TCP, Direction::OUTBOUND);
        if is_accepted && is_connect {
            world.accepted.lock().expect("no panic").insert(request.fixed.local_port);
        }
        known.push(request.id());
    }
    if !known.is_empty() {
        let old = known[random.below(known.len() as u64) as usize];
        let again = service.submit(&[Answer::once(old, Verdict::PERMIT)]);
        assert_eq!(again, [wire::verdict::Outcome::STALE], "an answered request stays answered");
    }
}

/// Lets time pass, and other products change the policy.
fn disturb(world: &World, random: &mut Random) {
    let mut rival = None;
    while world.is_racing() {
        match random.below(4) {
            0 => rival = rival.is_none().then(|| Rival::lighter(Rule::Permit)),
            1 => drop(world.machine.engine().reauthorize_all(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE)),
            _ => world.machine.advance(1 + random.below(4)),
        }
    }
}

/// Every connection that was not closed had its verdict or the fallback.
fn verify(world: &World, open: &[Attempt], orphaned: u64) {
    let accepted = world.accepted.lock().expect("no panic");
    let mut lost = 0;
    for attempt in open {
        let (outcome, verdict) = (attempt.outcome(), verdict_on(attempt.remote));
        let is_closed = outcome == Outcome::Closed;
        let is_fallback = outcome == outcome_of(world.fallback);
        // Permitted by the fallback, and torn down when its end was blocked for all.
        let is_reset = outcome == Outcome::Reset && (verdict, world.fallback) == (Verdict::BLOCK, Verdict::PERMIT);
        assert!(is_closed || is_fallback || is_reset || outcome == outcome_of(verdict), "{verdict:?}: {attempt:?}");
        let is_accepted = accepted.contains(&attempt.connect.local().port());
        lost += u64::from(is_accepted && !is_closed && outcome != outcome_of(verdict));
    }
    // A verdict may only be lost to a reauthorization that came after its time.
    assert!(lost <= orphaned, "{lost} accepted verdicts did not come through");
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.connect.fmt(f)
    }
}

fn race(seed: u64) {
    let world = &World::new(seed);
    let unloading = &Barrier::new(CONNECTORS + 1);
    thread::scope(|scope| {
        let helpers: Vec<_> = (0..SERVICES as u64)
            .map(|n| scope.spawn(move || serve(world, &mut Random(seed << 8 | n))))
            .chain([scope.spawn(move || disturb(world, &mut Random(seed << 8 | 99)))])
            .collect();
        let connectors: Vec<_> = (0..CONNECTORS as u64)
            .map(|n| {
                scope.spawn(move || {
                    let mut random = Random(seed << 8 | (50 + n));
                    let open = connect(world, &mut random, CONNECTS);
                    world.connecting.fetch_sub(1, Ordering::SeqCst);
                    unloading.wait();
                    let late = connect(world, &mut random, LATE_CONNECTS);
                    (open, late)
                })
            })
            .collect();
        helpers.into_iter().for_each(join);
        let stats = settle_the_books(world);
        unloading.wait();
        assert!(world.machine.unload());
        for connector in connectors {
            let (open, late) = join(connector);
            world.machine.settle();
            verify(world, &open, stats.orphaned);
            for attempt in &late {
                let outcome = attempt.outcome();
                // Once our filters are gone everything connects.
                let asked = [outcome_of(world.fallback), outcome_of(verdict_on(attempt.remote))];
                let open = [Outcome::Closed, Outcome::Connected, Outcome::Reset];
                assert!(asked.contains(&outcome) || open.contains(&outcome), "{attempt:?}");
            }
        }
        let left = world.machine.engine().wire();
        let payloads: HashSet<_> = left.iter().map(|packet| &packet.payload).collect();
        assert_eq!(payloads.len(), left.len(), "nothing leaves twice");
        println!(
            "seed {seed}: {} held, {:?}, {} packets, {} closures held",
            stats.held, stats.doors, stats.packets_kept, stats.closures_held
        );
    });
}

/// What a thread gives; fails as the thread failed.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
}

/// With nobody connecting and no service, nothing is held any more.
fn settle_the_books(world: &World) -> Stats {
    world.machine.advance(u64::from(gate::GRACE_MS) + 10 * DEADLINE_MS);
    let observer = world.machine.client();
    let stats = observer.stats();
    assert_eq!((stats.pended, stats.queued, stats.attached), (0, 0, 0));
    assert_eq!((stats.kept_packets, stats.kept_bytes, world.machine.engine().outstanding_packets()), (0, 0, 0));
    assert_eq!(stats.claimed + stats.unclaimed, stats.doors.total() - stats.doors.pend_failed, "{stats:?}");
    observer.close();
    stats
}

#[test]
fn whatever_the_order_every_connection_gets_its_verdict_or_the_fallback() {
    for seed in SEEDS {
        race(seed);
    }
}
