//! Every call that can fail fails once, in every scenario.
//!
//! Both emulators ask one counter at each call that Windows may refuse for want of resources, so one number names every
//! failure. A scenario runs with its first such call failing, then with its second, and so on until a run reaches no more.
//! Each run must break no rule of the emulators, leave nothing behind at shutdown, and give every connection an outcome:
//! its own verdict or, where the failure kept the driver from holding it, the fallback. A packet leaves, or arrives, once or
//! not at all, and not at all without a permit.
//!
//! Neighbours: `races` has the same invariant with threads; `e2e::Machine::shutdown` is where the emulators look for leaks.

use e2e::{
    Accept, ClassifyIrql, Connect, ConnectSpec, DatagramSocket, Direction, Knobs, Listener, Machine, Options, Outcome,
    PacketFate, Program, ReauthMode, Request, SecondPacket, Service, SynFate, WSAEACCES,
};
use nt_sys::fwp::FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE;
use nt_sys::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wire::hello::HelloOutcome;
use wire::ioctl;
use wire::request::RequestFlags;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::Verdict;
use zerocopy::IntoBytes;

const DEADLINE_MS: u32 = 5_000;
/// Longer than the driver waits before it tries again what failed.
const RETRIED_MS: u64 = 1_000;

/// One run of a scenario.
struct Run {
    machine: Machine,
    /// Which call fails.
    n: u64,
}

impl Run {
    /// From here on calls are counted.
    fn arm(&self) {
        self.machine.kernel().fail_nth_call(self.n);
    }

    /// Whether a call has failed.
    fn has_failed(&self) -> bool {
        self.machine.kernel().fault_hit().is_some()
    }

    fn load(&self) {
        assert_eq!(self.machine.load(), Ok(()));
    }

    /// A call of the service that may fail only because a call of the driver failed; then it is made again.
    fn retry(&self, call: impl Fn() -> i32) {
        let status = call();
        if status != STATUS_SUCCESS {
            assert!(self.has_failed(), "{status:#x}");
            assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
            assert_eq!(call(), STATUS_SUCCESS);
        }
    }

    /// Takes what waits, which is all of `connects` unless a call has failed.
    fn take(&self, service: &Service, connects: usize) -> Vec<Request> {
        self.machine.settle();
        let requests = service.take();
        assert!(requests.len() == connects || self.has_failed(), "{requests:?}");
        for request in &requests {
            let is_gone = request.fixed.flags().contains(RequestFlags::PROCESS_GONE);
            assert!(is_gone == (request.fixed.process_start_key == 0) && (!is_gone || self.has_failed()));
        }
        requests
    }

    /// The verdict has come through; or the fallback, if a call has failed.
    fn expect(&self, connect: &Connect, verdict: Verdict, fallback: Verdict) {
        let outcome = connect.outcome();
        let is_own = outcome == outcome_of(verdict);
        assert!(is_own || self.has_failed() && outcome == outcome_of(fallback), "{outcome:?}");
    }
}

fn outcome_of(verdict: Verdict) -> Outcome {
    if verdict == Verdict::PERMIT { Outcome::Connected } else { Outcome::Refused(WSAEACCES) }
}

/// Settings whose fallback is not `verdict`, so that the two can be told apart.
fn settings_against(verdict: Verdict) -> (Settings, Verdict) {
    let (fallback_outbound, fallback) = match verdict {
        Verdict::PERMIT => (Fallback::BLOCK, Verdict::BLOCK),
        _ => (Fallback::PERMIT, Verdict::PERMIT),
    };
    let fallback_inbound = fallback_outbound;
    (Settings { fallback_outbound, fallback_inbound, deadline_ms: DEADLINE_MS, ..Settings::INITIAL }, fallback)
}

/// The machines that every scenario runs on.
fn machines() -> [Options; 3] {
    let with = |reauth_mode, irql| Options {
        knobs: Knobs { reauth_mode, second_packet: SecondPacket::ClassifyAgain, ..Knobs::default() },
        irql,
        ..Options::default()
    };
    [
        with(ReauthMode::Inline, ClassifyIrql::Passive),
        with(ReauthMode::Deferred, ClassifyIrql::Dispatch),
        with(ReauthMode::DeferredInClassify, ClassifyIrql::Seeded),
    ]
}

/// Runs a scenario with each of its fallible calls failing in turn.
fn fail_every_call(name: &str, bfe_running: bool, scenario: impl Fn(&Run)) {
    let mut failed: BTreeMap<&str, u32> = BTreeMap::new();
    for options in machines() {
        for n in 1.. {
            let run = Run { machine: Machine::boot(Options { bfe_running, ..options }), n };
            scenario(&run);
            assert!(run.machine.unload(), "every handle is closed");
            let hit = run.machine.kernel().fault_hit();
            run.machine.shutdown();
            let Some(call) = hit else { break };
            *failed.entry(call).or_default() += 1;
        }
    }
    println!("{name}: {} calls failed, {failed:?}", failed.values().sum::<u32>());
    assert!(!failed.is_empty(), "the scenario has a call that can fail");
}

#[test]
fn a_load_that_fails_leaves_nothing_and_the_next_one_works() {
    fail_every_call("load", true, |run| {
        run.arm();
        load_twice_if_needed(run);
        holds_and_permits(run);
    });
}

#[test]
fn a_load_without_the_base_filtering_engine_recovers_when_it_comes() {
    fail_every_call("load, then the filter engine starts", false, |run| {
        run.arm();
        load_twice_if_needed(run);
        run.machine.engine().bfe_start();
        run.machine.advance(RETRIED_MS);
        holds_and_permits(run);
    });
}

fn load_twice_if_needed(run: &Run) {
    if run.machine.load().is_err() {
        assert!(run.has_failed(), "a load fails only because a call of it failed");
        let (kernel, left) = (run.machine.kernel(), run.machine.engine().snapshot());
        assert_eq!((left.sessions, left.callouts.len(), left.filters.len()), (0, 0, 0), "in the filter engine");
        assert_eq!(kernel.all_pool_bytes(), 0);
        assert_eq!(kernel.device_sddl(r"\Device\Tollgate"), None);
        run.load();
    }
}

/// A connection is held and permitted. The calls of this may fail too.
fn holds_and_permits(run: &Run) {
    let (settings, fallback) = settings_against(Verdict::PERMIT);
    let service = run.machine.client();
    run.retry(|| service.hello(wire::VERSION, settings).0);
    decide(run, &service, Verdict::PERMIT, fallback);
    service.close();
}

/// One connection is held, told and decided.
fn decide(run: &Run, service: &Service, verdict: Verdict, fallback: Verdict) {
    let program = run.machine.program("node.exe");
    let connect = program.connect(run.machine.engine(), "192.0.2.1:443");
    for request in run.take(service, 1) {
        service.answer(&request, verdict);
    }
    run.machine.settle();
    run.expect(&connect, verdict, fallback);
}

#[test]
fn an_attach_that_fails_changes_nothing_and_the_next_one_works() {
    fail_every_call("attach with larger limits", true, |run| {
        run.load();
        let service = run.machine.client();
        let larger = Settings { max_pended: 6_000, max_cached: 20_000, ..Settings::INITIAL };
        run.arm();
        let (status, reply) = service.hello(wire::VERSION, larger);
        if status != STATUS_SUCCESS {
            assert!(run.has_failed());
            assert_eq!((status, service.stats().attached), (STATUS_INSUFFICIENT_RESOURCES, 0));
            service.attach(larger);
        } else {
            assert_eq!(reply.map(|reply| reply.outcome), Some(HelloOutcome::ATTACHED));
        }
        decide(run, &service, Verdict::PERMIT, Verdict::PERMIT);
        service.close();
    });
}

#[test]
fn a_decided_connection_gets_its_verdict_or_the_fallback() {
    for verdict in [Verdict::PERMIT, Verdict::BLOCK] {
        fail_every_call(&format!("hold, answer {verdict:?}"), true, |run| {
            run.load();
            let (settings, fallback) = settings_against(verdict);
            let service = run.machine.service(settings);
            run.arm();
            decide(run, &service, verdict, fallback);
            service.close();
        });
    }
}

#[test]
fn a_connection_nobody_decides_gets_the_fallback_at_its_deadline() {
    fail_every_call("deadline", true, |run| {
        run.load();
        let (settings, fallback) = settings_against(Verdict::PERMIT);
        let service = run.machine.service(settings);
        let program = run.machine.program("node.exe");
        run.arm();
        let connect = program.connect(run.machine.engine(), "[2001:db8::1]:443");
        run.take(&service, 1);
        run.machine.advance(u64::from(DEADLINE_MS) + RETRIED_MS);
        assert_eq!(connect.outcome(), outcome_of(fallback));
        service.close();
    });
}

#[test]
fn a_service_that_dies_leaves_no_connection_held() {
    fail_every_call("service killed", true, |run| {
        run.load();
        let (settings, fallback) = settings_against(Verdict::PERMIT);
        let service = run.machine.service(settings);
        let program = run.machine.program("node.exe");
        run.arm();
        let connects =
            ["192.0.2.1:443", "192.0.2.2:443", "[2001:db8::1]:443"].map(|to| program.connect(run.machine.engine(), to));
        run.take(&service, connects.len());
        let parked = service.park();
        service.kill();
        run.machine.settle();
        assert!(!parked.is_pending());
        for connect in &connects {
            assert_eq!(connect.outcome(), outcome_of(fallback));
        }
        holds_and_permits(run);
    });
}

#[test]
fn settings_that_do_not_fit_change_nothing() {
    fail_every_call("configure with larger limits", true, |run| {
        run.load();
        let (settings, fallback) = settings_against(Verdict::BLOCK);
        let service = run.machine.service(settings);
        let program = run.machine.program("node.exe");
        run.arm();
        let connect = program.connect(run.machine.engine(), "192.0.2.1:443");
        let requests = run.take(&service, 1);
        let larger = Settings { max_pended: 6_000, max_cached: 20_000, epoch: 1, ..settings };
        let configure = || service.call(ioctl::CONFIGURE, larger.as_bytes(), 0).0;
        run.retry(|| {
            let status = configure();
            assert_eq!(service.stats().epoch, u32::from(status == STATUS_SUCCESS));
            status
        });
        for request in &requests {
            service.answer(request, Verdict::BLOCK);
        }
        run.machine.settle();
        run.expect(&connect, Verdict::BLOCK, fallback);
        service.close();
    });
}

#[test]
fn a_foreign_reauthorize_changes_no_outcome() {
    fail_every_call("foreign reauthorize", true, |run| {
        run.load();
        let (settings, fallback) = settings_against(Verdict::PERMIT);
        let service = run.machine.service(settings);
        let program = run.machine.program("node.exe");
        run.arm();
        let [live, held] = ["192.0.2.1:443", "192.0.2.2:443"].map(|to| program.connect(run.machine.engine(), to));
        let requests = run.take(&service, 2);
        let (first, second) = requests.split_at(requests.len().min(1));
        answer_all(&service, first);
        run.machine.settle();
        for connect in [&live, &held] {
            connect.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE);
        }
        assert!(held.outcome() == Outcome::Pending || run.has_failed());
        answer_all(&service, second);
        run.machine.settle();
        run.expect(&live, Verdict::PERMIT, fallback);
        run.expect(&held, Verdict::PERMIT, fallback);
        service.close();
    });
}

fn answer_all(service: &Service, requests: &[Request]) {
    for request in requests {
        service.answer(request, Verdict::PERMIT);
    }
}

#[test]
fn filters_come_back_with_the_base_filtering_engine() {
    fail_every_call("filter engine restarted", true, |run| {
        run.load();
        let (settings, fallback) = settings_against(Verdict::BLOCK);
        let service = run.machine.service(settings);
        let program = run.machine.program("node.exe");
        run.arm();
        let connect = program.connect(run.machine.engine(), "192.0.2.1:443");
        let requests = run.take(&service, 1);
        run.machine.engine().bfe_stop();
        run.machine.settle();
        run.machine.engine().bfe_start();
        run.machine.advance(RETRIED_MS);
        assert_eq!(service.stats().filtering, 1);
        for request in &requests {
            service.answer(request, Verdict::BLOCK);
        }
        run.machine.settle();
        run.expect(&connect, Verdict::BLOCK, fallback);
        decide(run, &service, Verdict::BLOCK, fallback);
        service.close();
    });
}

#[test]
fn an_unload_releases_what_is_held() {
    fail_every_call("unload with connections held", true, |run| {
        run.load();
        let (settings, fallback) = settings_against(Verdict::PERMIT);
        let service = run.machine.service(settings);
        let program = run.machine.program("node.exe");
        run.arm();
        let connects = ["192.0.2.1:443", "[2001:db8::1]:443"].map(|to| program.connect(run.machine.engine(), to));
        run.take(&service, connects.len());
        assert!(!run.machine.unload(), "the service has the device open");
        service.close();
        run.machine.settle();
        for connect in &connects {
            assert_eq!(connect.outcome(), outcome_of(fallback));
        }
        let gone = run.machine.engine().snapshot();
        assert_eq!((gone.sessions, gone.callouts.len(), gone.filters.len()), (0, 0, 0));
    });
}

/// Packets that came through: those that were sent, which all were permitted, or blocked. Some of them may be lost only
/// because a call failed.
fn expect_packets<T: AsRef<[u8]> + PartialEq>(run: &Run, came: &[T], sent: &[&[u8]], verdict: Verdict) {
    assert!(came.iter().all(|payload| sent.contains(&payload.as_ref())));
    assert!(came.iter().enumerate().all(|(n, payload)| !came[..n].contains(payload)), "nothing comes twice");
    let all = if verdict == Verdict::PERMIT { sent.len() } else { 0 };
    assert!(came.len() == all || run.has_failed(), "{} of {all}", came.len());
    assert_eq!(run.machine.engine().outstanding_packets(), 0);
}

#[test]
fn first_packets_leave_once_or_not_at_all() {
    for verdict in [Verdict::PERMIT, Verdict::BLOCK] {
        fail_every_call(&format!("first packets, answer {verdict:?}"), true, |run| {
            run.load();
            let (settings, _) = settings_against(verdict);
            let service = run.machine.service(settings);
            let program = run.machine.program("dig.exe");
            let (udp, remote) = (program.udp(run.machine.engine(), false), "192.0.2.53:53".parse().unwrap());
            let (ping, peer) = (program.icmp(run.machine.engine(), true), "[2001:db8::1]:0".parse().unwrap());
            run.arm();
            udp.send_many(remote, &[b"one", b"two"]);
            ping.echo_bytes(peer, 7, b"three");
            for request in run.take(&service, 2) {
                service.answer(&request, verdict);
            }
            run.machine.settle();
            let wire = run.machine.engine().wire();
            let came: Vec<_> = wire.iter().map(|packet| &packet.payload).collect();
            expect_packets(run, &came, &[b"one", b"two", b"three"], verdict);
            run.machine.advance(RETRIED_MS + 2_000);
            assert_eq!(service.stats().kept_packets, 0);
            service.close();
        });
    }
}

#[test]
fn what_comes_in_arrives_once_or_not_at_all() {
    for verdict in [Verdict::PERMIT, Verdict::BLOCK] {
        fail_every_call(&format!("inbound, answer {verdict:?}"), true, |run| {
            run.load();
            let (settings, _) = settings_against(verdict);
            let service = run.machine.service(settings);
            let program = run.machine.program("server.exe");
            let listener = program.listen(run.machine.engine(), "[::]:80");
            let inbox = program.udp_at(run.machine.engine(), "0.0.0.0:53");
            run.arm();
            let accept = listener.syn_from("[2001:db8::7]:40000".parse().unwrap());
            inbox.deliver("192.0.2.7:40000".parse().unwrap(), b"query");
            for request in run.take(&service, 2) {
                service.answer(&request, verdict);
            }
            run.machine.settle();
            let came: Vec<_> = inbox.received().into_iter().map(|(_, payload)| payload).collect();
            expect_packets(run, &came, &[b"query"], verdict);
            let fate = if verdict == Verdict::PERMIT { SynFate::Established } else { SynFate::Dropped };
            assert!(accept.fate() == fate || accept.fate() != SynFate::Held && run.has_failed());
            assert_eq!(service.stats().kept_packets, 0);
            service.close();
        });
    }
}

#[test]
fn an_unload_releases_packets_that_are_held() {
    fail_every_call("unload with packets held", true, |run| {
        run.load();
        let service = run.machine.service(Settings::INITIAL);
        let program = run.machine.program("server.exe");
        let (udp, remote) = (program.udp(run.machine.engine(), false), "192.0.2.53:53".parse().unwrap());
        let inbox = program.udp_at(run.machine.engine(), "0.0.0.0:53");
        run.arm();
        udp.send_bytes(remote, b"out");
        inbox.deliver("192.0.2.7:40000".parse().unwrap(), b"in");
        run.take(&service, 2);
        assert!(!run.machine.unload(), "the service has the device open");
        service.close();
        run.machine.settle();
        let wire = run.machine.engine().wire();
        let came: Vec<_> = wire.iter().map(|packet| &packet.payload).collect();
        expect_packets(run, &came, &[b"out"], Verdict::PERMIT);
        let came: Vec<_> = inbox.received().into_iter().map(|(_, payload)| payload).collect();
        expect_packets(run, &came, &[b"in"], Verdict::PERMIT);
    });
}

#[test]
fn sockets_that_close_while_they_are_held_or_completed_end() {
    fail_every_call("closing", true, |run| {
        run.load();
        let service = run.machine.service(Settings { deadline_ms: DEADLINE_MS, ..Settings::INITIAL });
        let program = run.machine.program("node.exe");
        let engine = run.machine.engine();
        let slot: Arc<Mutex<Option<Connect>>> = Arc::default();
        let own = Arc::clone(&slot);
        let spec = ConnectSpec::to("192.0.2.1:443".parse().unwrap())
            .then(move |_| own.lock().unwrap().iter().for_each(Connect::close));
        let listener = program.listen(engine, "0.0.0.0:80");
        let udp = program.udp(engine, false);
        run.arm();
        let inside = program.connect_with(engine, spec);
        *slot.lock().unwrap() = Some(inside);
        let accept = listener.syn_from("192.0.2.7:40000".parse().unwrap());
        udp.send("192.0.2.53:53".parse().unwrap());
        let requests = run.take(&service, 3);
        listener.close();
        udp.close();
        answer_all(&service, &requests);
        run.machine.advance(u64::from(DEADLINE_MS) + RETRIED_MS);
        assert_ne!(accept.fate(), SynFate::Held);
        assert!(slot.lock().unwrap().take().is_some_and(|connect| connect.outcome() != Outcome::Pending));
        let stats = service.stats();
        assert_eq!((stats.pended, stats.kept_packets, engine.snapshot().pended), (0, 0, 0));
        service.close();
    });
}

#[test]
fn a_new_epoch_reaches_live_flows_in_the_end() {
    fail_every_call("new epoch", true, |run| {
        run.load();
        let (settings, _) = settings_against(Verdict::BLOCK);
        let service = run.machine.service(settings);
        let program = run.machine.program("node.exe");
        let connect = program.connect(run.machine.engine(), "192.0.2.1:443");
        answer_all(&service, &run.take(&service, 1));
        run.machine.settle();
        assert_eq!(connect.outcome(), Outcome::Connected);
        let epoch = Settings { epoch: 1, ..settings };
        run.arm();
        run.retry(|| service.call(ioctl::CONFIGURE, epoch.as_bytes(), 0).0);
        run.machine.advance(RETRIED_MS);
        assert_eq!(connect.flow().packet(Direction::Inbound), PacketFate::Passed);
        run.machine.settle();
        let questions = service.take();
        assert_eq!(questions.len(), 1);
        service.answer(&questions[0], Verdict::BLOCK);
        run.machine.advance(RETRIED_MS);
        assert_eq!(connect.flow().packet(Direction::Outbound), PacketFate::Dropped);
        assert_eq!(connect.outcome(), Outcome::Reset);
        service.close();
    });
}

#[test]
fn further_packets_are_kept_or_lost() {
    fail_every_call("further packets", true, |run| {
        run.load();
        let (settings, _) = settings_against(Verdict::PERMIT);
        let service = run.machine.service(settings);
        let program = run.machine.program("game.exe");
        let (udp, remote) = (program.udp(run.machine.engine(), true), "[2001:db8::1]:27015".parse().unwrap());
        run.arm();
        for payload in [b"one", b"two"] {
            udp.send_bytes(remote, payload);
        }
        for request in run.take(&service, 1) {
            service.answer(&request, Verdict::PERMIT);
        }
        run.machine.settle();
        let wire = run.machine.engine().wire();
        let came: Vec<_> = wire.iter().map(|packet| &packet.payload).collect();
        expect_packets(run, &came, &[b"one", b"two"], Verdict::PERMIT);
        service.close();
    });
}

/// One operation of each kind that comes in, and a raw one that goes out.
struct Others {
    listener: Listener,
    accept: Accept,
    inbox: DatagramSocket,
    pinged: DatagramSocket,
    _tunnel: DatagramSocket,
}

impl Others {
    /// How many operations these are.
    const COUNT: usize = 4;

    fn start(run: &Run, program: &Program) -> Self {
        let engine = run.machine.engine();
        let listener = program.listen(engine, "0.0.0.0:80");
        let inbox = program.udp_at(engine, "[::]:53");
        let (pinged, tunnel) = (program.icmp(engine, false), program.raw(engine, 47, false));
        assert!(pinged.bind());
        run.arm();
        let accept = listener.syn_from("192.0.2.7:40000".parse().unwrap());
        inbox.deliver("[2001:db8::7]:40000".parse().unwrap(), b"query");
        pinged.deliver_echo("192.0.2.7:0".parse().unwrap(), 7, b"ping");
        tunnel.send_bytes("192.0.2.7:0".parse().unwrap(), b"inner");
        Self { listener, accept, inbox, pinged, _tunnel: tunnel }
    }

    fn expect(&self, run: &Run, verdict: Verdict) {
        let wire = run.machine.engine().wire();
        let left: Vec<_> = wire.iter().map(|packet| &packet.payload).collect();
        expect_packets(run, &left, &[b"inner"], verdict);
        for (socket, payload) in [(&self.inbox, &b"query"[..]), (&self.pinged, b"ping")] {
            let came: Vec<_> = socket.received().into_iter().map(|(_, payload)| payload).collect();
            expect_packets(run, &came, &[payload], verdict);
        }
        let fate = if verdict == Verdict::PERMIT { SynFate::Established } else { SynFate::Dropped };
        assert!(self.accept.fate() == fate || self.accept.fate() != SynFate::Held && run.has_failed());
        assert!(self.listener.accepted().len() <= 1);
    }
}

#[test]
fn what_comes_in_and_raw_packets_get_their_verdict_or_the_fallback() {
    for verdict in [Verdict::PERMIT, Verdict::BLOCK] {
        fail_every_call(&format!("TCP, UDP, ICMP in, raw out, answer {verdict:?}"), true, |run| {
            run.load();
            // The fallback is the same: what a failure keeps from being held has the same fate, or is lost.
            let (settings, _) =
                settings_against(if verdict == Verdict::PERMIT { Verdict::BLOCK } else { Verdict::PERMIT });
            let service = run.machine.service(settings);
            let program = run.machine.program("server.exe");
            let others = Others::start(run, &program);
            for request in run.take(&service, Others::COUNT) {
                service.answer(&request, verdict);
            }
            run.machine.settle();
            others.expect(run, verdict);
            service.close();
        });
    }
}

#[test]
fn what_comes_in_does_not_outlast_its_deadline_nor_its_service() {
    for dies in [false, true] {
        fail_every_call(&format!("TCP, UDP, ICMP in, raw out, service dies {dies}"), true, |run| {
            run.load();
            let service = run.machine.service(Settings { deadline_ms: DEADLINE_MS, ..Settings::INITIAL });
            let program = run.machine.program("server.exe");
            let others = Others::start(run, &program);
            run.take(&service, Others::COUNT);
            if dies {
                service.kill();
                run.machine.advance(RETRIED_MS);
                others.expect(run, Verdict::PERMIT);
            } else {
                run.machine.advance(u64::from(DEADLINE_MS) + RETRIED_MS);
                others.expect(run, Verdict::PERMIT);
                service.close();
            }
        });
    }
}

#[test]
fn what_comes_in_is_released_by_an_unload() {
    fail_every_call("unload with TCP, UDP, ICMP in and raw out held", true, |run| {
        run.load();
        let service = run.machine.service(Settings::INITIAL);
        let program = run.machine.program("server.exe");
        let others = Others::start(run, &program);
        run.take(&service, Others::COUNT);
        assert!(!run.machine.unload(), "the service has the device open");
        service.close();
        run.machine.settle();
        others.expect(run, Verdict::PERMIT);
    });
}

#[test]
fn both_halves_of_loopback_connect_in_the_end() {
    fail_every_call("loopback", true, |run| {
        run.load();
        let service = run.machine.service(Settings { hold: Holds::all().bits(), ..Settings::INITIAL });
        let engine = run.machine.engine();
        let (server, client) = (run.machine.program("httpd.exe"), run.machine.program("curl.exe"));
        let listener = server.listen(engine, "127.0.0.1:80");
        let inbox = server.udp_at(engine, "127.0.0.1:53");
        let socket = client.udp_at(engine, "127.0.0.1:4000");
        run.arm();
        let connect = client.connect(engine, "127.0.0.1:80");
        socket.send_bytes("127.0.0.1:53".parse().unwrap(), b"query");
        for _half in 0..2 {
            answer_all(&service, &run.take(&service, 2));
            run.machine.settle();
        }
        if connect.outcome() == Outcome::Pending {
            assert!(run.has_failed(), "its SYN was lost");
            connect.retransmit();
            answer_all(&service, &run.take(&service, 1));
            run.machine.settle();
        }
        assert_eq!((connect.outcome(), listener.accepted().len()), (Outcome::Connected, 1));
        let came: Vec<_> = inbox.received().into_iter().map(|(_, payload)| payload).collect();
        expect_packets(run, &came, &[b"query"], Verdict::PERMIT);
        service.close();
    });
}

#[test]
fn live_flows_of_every_kind_are_asked_about_in_the_end() {
    fail_every_call("questions about TCP, UDP and ICMP, in and out", true, |run| {
        run.load();
        let service = run.machine.service(Settings::INITIAL);
        let (engine, program) = (run.machine.engine(), run.machine.program("server.exe"));
        let listener = program.listen(engine, "0.0.0.0:80");
        let (udp, inbox) = (program.udp(engine, true), program.udp_at(engine, "0.0.0.0:53"));
        let (to, from) = ("[2001:db8::1]:53".parse().unwrap(), "192.0.2.7:40000".parse().unwrap());
        let accept = listener.syn_from(from);
        udp.send_bytes(to, b"one");
        inbox.deliver(from, b"one");
        answer_all(&service, &run.take(&service, 3));
        run.machine.settle();
        run.arm();
        run.retry(|| service.call(ioctl::CONFIGURE, Settings { epoch: 1, ..Settings::INITIAL }.as_bytes(), 0).0);
        run.machine.advance(RETRIED_MS);
        udp.send_bytes(to, b"two");
        inbox.deliver(from, b"two");
        assert_eq!(accept.flow().map(|flow| flow.packet(Direction::Inbound)), Some(PacketFate::Passed));
        run.machine.settle();
        let questions = service.take();
        assert_eq!(questions.len(), 3);
        for question in &questions {
            service.answer(question, Verdict::BLOCK);
        }
        run.machine.advance(RETRIED_MS);
        udp.send_bytes(to, b"three");
        inbox.deliver(from, b"three");
        assert_eq!(accept.flow().map(|flow| flow.packet(Direction::Inbound)), Some(PacketFate::Dropped));
        let wire = engine.wire();
        let left: Vec<_> = wire.iter().map(|packet| &packet.payload).collect();
        assert_eq!(left, [b"one", b"two"]);
        assert_eq!(inbox.received(), [(from, b"one".to_vec()), (from, b"two".to_vec())]);
        service.close();
    });
}
