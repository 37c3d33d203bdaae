//! The whole way of a first authorization through the driver, for each layer and protocol: answered from the cache, and
//! held until the request waits for the service.
//!
//! Measured through the emulated filter engine, because what is held has a packet and a completion handle, which only an
//! engine can make. So the same is done on a machine without the driver, too. The difference is what the driver adds, with
//! what the engine does for it: looking filters up, making the values, pending. An inbound connection that is held costs less
//! than one that nobody asks about, because its handshake comes later.
//!
//! Allocations are those of pool: the driver has no other memory.

use crate::fill::{self, WIDEST};
use crate::table::{Row, Table, time};
use crate::timing::median;
use e2e::{ClassifyIrql, ConnectSpec, Knobs, Machine, Options, Program, ReauthMode, Service};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;
use wire::settings::{Holds, Settings};
use wire::verdict::{Answer, Scope, Verdict};

const EACH: u32 = 2_000;
const PAYLOAD: [u8; 64] = [0x55; 64];

/// A layer and a protocol.
#[derive(Clone, Copy)]
struct Path {
    is_inbound: bool,
    is_v6: bool,
    protocol: Protocol,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

/// Of one authorization.
#[derive(Clone, Copy)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

/// Measures.
pub fn measure(table: &mut Table) {
    for is_inbound in [false, true] {
        for is_v6 in [false, true] {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
                one(table, Path { is_inbound, is_v6, protocol });
            }
        }
    }
}

fn one(table: &mut Table, path: Path) {
    let bare = path.bare();
    let (cached, held) = (path.cached(), path.held());
    for (how, cost, goal) in [("cached", cached, "0 allocations"), ("held", held, "")] {
        table.add(Row {
            what: format!("{}, {how}: the whole, p50, allocations", path.name()),
            measured: format!("{}, {:.1}", time(cost.nanoseconds), cost.allocations),
            baseline: format!("the engine alone {}", time(bare.nanoseconds)),
            goal,
            is_met: cost.allocations == 0.0,
        });
    }
}

impl Path {
    fn name(self) -> String {
        let layer = if self.is_inbound { "AUTH_RECV_ACCEPT" } else { "AUTH_CONNECT" };
        format!("{layer}_V{} {:?}", if self.is_v6 { 6 } else { 4 }, self.protocol)
    }

    /// The engine, with nobody to ask.
    fn bare(self) -> Cost {
        let machine = Machine::boot(Options {
            knobs: Knobs { reauth_mode: ReauthMode::Inline, ..Knobs::default() },
            irql: ClassifyIrql::Passive,
            real_counter: true,
            ..Options::default()
        });
        let program = machine.program("node.exe");
        self.run(&machine, &program, 0)
    }

    /// With a verdict for the program.
    fn cached(self) -> Cost {
        let machine = fill::machine();
        let service = attach(&machine);
        let program = machine.program("node.exe");
        self.run_times(&machine, &program, EACH, 1, || {
            let requests = service.take();
            let first = requests.iter().find(|request| request.is_held()).expect("it is held");
            service.submit(&[Answer { scope: Scope::PROGRAM, ..Answer::once(first.id(), Verdict::PERMIT) }]);
            machine.settle();
        });
        let before = service.stats().cache_permitted;
        let cost = self.run(&machine, &program, 0);
        let stats = service.stats();
        assert!(stats.cache_permitted - before >= u64::from(EACH), "from the cache: {stats:?}");
        service.close();
        cost
    }

    fn held(self) -> Cost {
        let machine = fill::machine();
        let service = attach(&machine);
        let program = machine.program("node.exe");
        let cost = self.run(&machine, &program, 0);
        let stats = service.stats();
        assert_eq!(stats.held, u64::from(EACH), "{stats:?}");
        service.close();
        cost
    }

    fn run(self, machine: &Machine, program: &Program, from: u32) -> Cost {
        let before = nt_sim::allocation_count();
        let nanoseconds = self.run_times(machine, program, from, EACH, || ());
        Cost { nanoseconds, allocations: (nt_sim::allocation_count() - before) as f64 / f64::from(EACH) }
    }

    /// Authorizes `count` times, each time with another remote end; then does `then` while all of them are there; gives the
    /// median.
    fn run_times(self, machine: &Machine, program: &Program, from: u32, count: u32, then: impl FnOnce()) -> f64 {
        let engine = machine.engine();
        let ends = (from..from + count).map(|n| self.remote(n));
        // What an operation gives is kept until all are timed: dropping it is not part of it.
        match (self.protocol, self.is_inbound) {
            (Protocol::Tcp, false) => timed(ends, |end| program.connect_with(engine, ConnectSpec::to(end)), then),
            (Protocol::Tcp, true) => {
                let listener = program.listen(engine, if self.is_v6 { "[::]:80" } else { "0.0.0.0:80" });
                // Nobody accepts.
                listener.set_backlog(EACH as usize + 1);
                timed(ends, |end| listener.syn_from(end), then)
            }
            (Protocol::Udp, false) => {
                let socket = program.udp(engine, self.is_v6);
                timed(ends, |end| socket.send_bytes(end, &PAYLOAD), then)
            }
            (Protocol::Udp, true) => {
                let socket = program.udp_at(engine, if self.is_v6 { "[::]:53" } else { "0.0.0.0:53" });
                timed(ends, |end| socket.deliver(end, &PAYLOAD), then)
            }
            (Protocol::Icmp, false) => {
                let socket = program.icmp(engine, self.is_v6);
                timed(ends, |end| socket.echo_bytes(end, 7, &PAYLOAD), then)
            }
            (Protocol::Icmp, true) => {
                let socket = program.icmp(engine, self.is_v6);
                timed(ends, |end| socket.deliver_echo(end, 7, &PAYLOAD), then)
            }
        }
    }

    fn remote(self, n: u32) -> SocketAddr {
        let port = if self.protocol == Protocol::Icmp { 0 } else { 5_353 };
        match self.is_v6 {
            true => (Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n + 1)), port).into(),
            false => (Ipv4Addr::from_bits(0x0B00_0001 + n), port).into(),
        }
    }
}

fn attach(machine: &Machine) -> Service {
    let max_packet_bytes = *Settings::PACKET_BYTES.end();
    machine.service(Settings { hold: Holds::all().bits(), max_packet_bytes, ..WIDEST })
}

fn timed<R>(
    ends: impl Iterator<Item = SocketAddr>,
    mut operation: impl FnMut(SocketAddr) -> R,
    then: impl FnOnce(),
) -> f64 {
    let mut kept = Vec::new();
    let median = median(ends.map(|end| {
        let start = Instant::now();
        kept.push(operation(end));
        start.elapsed().as_nanos() as f64
    }));
    then();
    median
}
