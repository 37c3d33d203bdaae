//! A machine for measuring, and ways to fill it.

use e2e::{ClassifyIrql, Connect, ConnectSpec, Knobs, Machine, Options, Program, ReauthMode, Request, Service};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use wire::settings::Settings;
use wire::verdict::{Answer, Scope, Verdict};

/// How many connections are held at a time while the cache is filled.
const BATCH: u32 = 1_000;

/// The widest limits, and a deadline that no benchmark meets.
pub const WIDEST: Settings = Settings {
    deadline_ms: *Settings::DEADLINE_MS.end(),
    max_pended: *Settings::PENDED.end(),
    max_pended_per_process: *Settings::PENDED.end(),
    max_cached: *Settings::CACHED.end(),
    ..Settings::INITIAL
};

/// The driver on a machine with a real clock, where everything happens on the thread that caused it.
pub fn machine() -> Machine {
    Machine::with_driver(Options {
        knobs: Knobs { reauth_mode: ReauthMode::Inline, ..Knobs::default() },
        irql: ClassifyIrql::Passive,
        real_counter: true,
        ..Options::default()
    })
}

/// The n-th remote end.
pub fn remote(n: u32) -> SocketAddr {
    SocketAddrV4::new(Ipv4Addr::from_bits(0x0B00_0000 + n), 443).into()
}

/// Holds one connection to each of `remotes`.
pub fn hold(machine: &Machine, program: &Program, remotes: impl Iterator<Item = u32>) -> Vec<Connect> {
    remotes.map(|n| program.connect_with(machine.engine(), ConnectSpec::to(remote(n)))).collect()
}

/// Has `service` permit, and remember, one connection to each of the first `count` ends, the last first: what a full set
/// of the cache forgets is what came first.
pub fn cache(machine: &Machine, service: &Service, program: &Program, count: u32) {
    let mut left = count;
    while left > 0 {
        let from = left.saturating_sub(BATCH);
        let held = hold(machine, program, (from..left).rev());
        let requests = service.take();
        assert_eq!(requests.len(), held.len());
        service.submit(&requests.iter().map(remembered).collect::<Vec<_>>());
        left = from;
    }
    assert!(service.stats().cached >= count - count / 8, "most verdicts have found room");
}

fn remembered(request: &Request) -> Answer {
    Answer { scope: Scope::REMOTE, ..Answer::once(request.id(), Verdict::PERMIT) }
}
