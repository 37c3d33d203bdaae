//! The verdict cache, and what is decided and reported without asking.

use e2e::{Connect, Machine, Outcome, Program, Sent, Service, WSAEACCES, every_setting, every_system};
use nt_sys::status::STATUS_SUCCESS;
use wire::batch;
use wire::command::{Forget, ForgetHead};
use wire::ioctl;
use wire::request::{Because, RequestFlags};
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Answer, Scope, Verdict};
use zerocopy::IntoBytes;

/// UDP and ICMP are decided at once.
const TCP_ONLY: Settings = Settings { hold: Holds::CONNECT_TCP.bits(), ..Settings::INITIAL };
const WEB: &str = "192.0.2.1:443";
const OTHER_PORT: &str = "192.0.2.1:80";
const OTHER_REMOTE: &str = "[2001:db8::1]:443";
const BLOCKED: Outcome = Outcome::Refused(WSAEACCES);

/// Has the service decide one connection of `program`, to be remembered.
fn decide(machine: &Machine, program: &Program, service: &Service, remote: &str, answer: Answer) -> Connect {
    let (connect, request) = machine.hold(program, service, remote);
    service.submit(&[Answer { request: request.id(), ..answer }]);
    machine.settle();
    connect
}

fn remember(verdict: Verdict, scope: Scope, lifetime_ms: u32) -> Answer {
    Answer { scope, lifetime_ms, ..Answer::once(Default::default(), verdict) }
}

/// Forgets what the driver was told, of all programs or of one.
fn forget(service: &Service, path: Option<&str>) {
    let path: Vec<u8> = path.unwrap_or_default().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let what = if path.is_empty() { Forget::ALL } else { Forget::PROGRAM };
    let head = ForgetHead { what, path_bytes: path.len() as u32 };
    assert_eq!(service.call(ioctl::FORGET, &[head.as_bytes(), &path].concat(), 0), (STATUS_SUCCESS, vec![]));
}

#[test]
fn a_verdict_for_a_remote_is_not_asked_for_again() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let (program, other) = (machine.program("node.exe"), machine.program("curl.exe"));
        for (verdict, outcome) in [(Verdict::PERMIT, Outcome::Connected), (Verdict::BLOCK, BLOCKED)] {
            forget(&service, None);
            decide(&machine, &program, &service, WEB, remember(verdict, Scope::REMOTE, 0));
            for _ in 0..3 {
                assert_eq!(machine.connect(&program, WEB).outcome(), outcome);
            }
            for (program, remote) in [(&program, OTHER_PORT), (&program, OTHER_REMOTE), (&other, WEB)] {
                machine.hold(program, &service, remote);
            }
        }
        let stats = service.stats();
        assert_eq!((stats.cache_permitted, stats.cache_blocked), (3, 3));
    });
}

#[test]
fn a_verdict_for_a_program_holds_wherever_it_connects() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let (program, other) = (machine.program("node.exe"), machine.program("curl.exe"));
        decide(&machine, &program, &service, WEB, remember(Verdict::BLOCK, Scope::PROGRAM, 0));
        for remote in [WEB, OTHER_PORT, OTHER_REMOTE] {
            assert_eq!(machine.connect(&program, remote).outcome(), BLOCKED);
        }
        machine.hold(&other, &service, WEB);
        assert_eq!(service.stats().cache_blocked, 3);
    });
}

#[test]
fn a_remembered_verdict_expires() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        decide(&machine, &program, &service, WEB, remember(Verdict::PERMIT, Scope::REMOTE, 1_000));
        machine.advance(990);
        assert_eq!(machine.connect(&program, WEB).outcome(), Outcome::Connected);
        machine.advance(20);
        machine.hold(&program, &service, WEB);
    });
}

#[test]
fn new_rules_end_what_was_remembered() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        decide(&machine, &program, &service, WEB, remember(Verdict::PERMIT, Scope::PROGRAM, 0));
        service.configure(Settings { deadline_ms: 5_000, ..Settings::INITIAL });
        assert_eq!(machine.connect(&program, WEB).outcome(), Outcome::Connected, "the rules are the same");
        service.configure(Settings { epoch: 1, ..Settings::INITIAL });
        machine.hold(&program, &service, WEB);
    });
}

/// The rules change while the question is on its way: its answer holds for this connection and no other.
#[test]
fn an_answer_under_old_rules_is_not_remembered() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, WEB);
        service.configure(Settings { epoch: 1, ..Settings::INITIAL });
        let answer = remember(Verdict::PERMIT, Scope::PROGRAM, 0);
        service.submit(&[Answer { request: request.id(), ..answer }]);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Connected);
        machine.hold(&program, &service, WEB);
    });
}

#[test]
fn one_program_or_all_can_be_forgotten() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let (program, other) = (machine.program("node.exe"), machine.program("curl.exe"));
        for program in [&program, &other] {
            decide(&machine, program, &service, WEB, remember(Verdict::PERMIT, Scope::PROGRAM, 0));
        }
        forget(&service, Some(program.path()));
        assert_eq!(machine.connect(&other, WEB).outcome(), Outcome::Connected);
        machine.hold(&program, &service, WEB);
        forget(&service, None);
        machine.hold(&other, &service, WEB);
        assert_eq!(service.stats().cached, 0);
    });
}

/// R26: what the settings do not hold is decided at once and reported.
#[test]
fn udp_and_icmp_are_decided_at_once_and_reported() {
    every_setting(|options| {
        for (fallback, verdict, sent) in [
            (Fallback::PERMIT, Verdict::PERMIT, Sent::Sent),
            (Fallback::BLOCK, Verdict::BLOCK, Sent::Refused(WSAEACCES)),
        ] {
            let machine = Machine::with_driver(options);
            let service = machine.service(Settings { fallback_outbound: fallback, ..TCP_ONLY });
            let program = machine.program("node.exe");
            for (remote, is_v6) in [("9.9.9.9:53", false), ("[2001:db8::53]:53", true)] {
                let udp = program.udp(machine.engine(), is_v6);
                assert_eq!(udp.send(remote.parse().unwrap()), sent);
                let icmp = program.icmp(machine.engine(), is_v6);
                assert_eq!(icmp.echo(remote.parse().unwrap(), 7), sent);
                machine.settle();
                let reports = service.take();
                let protocols: Vec<u8> = reports.iter().map(|report| report.fixed.protocol).collect();
                assert_eq!(protocols, if is_v6 { [17, 58] } else { [17, 1] });
                for report in &reports {
                    let fixed = report.fixed;
                    assert_eq!(fixed.flags(), RequestFlags::empty());
                    assert_eq!((fixed.verdict, fixed.because), (verdict, Because::FALLBACK));
                    assert_eq!((fixed.id.0, fixed.deadline_ms, fixed.process_id), (0, 0, program.pid()));
                    assert_eq!((report.path.as_str(), report.remote().ip()), (program.path(), remote_ip(remote)));
                }
            }
            assert_eq!(service.stats().held, 0);
        }
    });
}

fn remote_ip(remote: &str) -> std::net::IpAddr {
    remote.parse::<std::net::SocketAddr>().unwrap().ip()
}

/// A block for the program holds for what cannot be held, too.
#[test]
fn a_remembered_verdict_decides_udp_and_is_reported() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(TCP_ONLY);
        let program = machine.program("node.exe");
        decide(&machine, &program, &service, WEB, remember(Verdict::BLOCK, Scope::PROGRAM, 0));
        let udp = program.udp(machine.engine(), false);
        assert_eq!(udp.send("9.9.9.9:53".parse().unwrap()), Sent::Refused(WSAEACCES));
        machine.settle();
        let report = service.take_one();
        assert_eq!((report.fixed.verdict, report.fixed.because), (Verdict::BLOCK, Because::CACHED));
    });
}

/// D34: reports are bounded; the oldest are dropped, and the service is told how many.
#[test]
fn reports_that_nobody_takes_are_dropped_and_counted() {
    every_system(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(TCP_ONLY);
        let program = machine.program("node.exe");
        let udp = program.udp(machine.engine(), false);
        for port in 1..=1_500_u16 {
            assert_eq!(udp.send(([9, 9, 9, 9], port).into()), Sent::Sent);
        }
        machine.settle();
        assert_eq!((service.stats().queued, service.stats().dropped_reports), (1_024, 476));
        let (_, output) = service.park().result().expect("there are reports");
        assert_eq!(batch::requests(&output).unwrap().0.dropped_reports, 476);
        let left = service.take();
        assert_eq!(left.last().unwrap().fixed.remote_port, 1_500);
        assert_eq!(service.stats().queued, 0);
    });
}

/// R30, D34: a UDP flow that was idle is over, and its next packet is a new operation.
#[test]
fn a_udp_flow_is_reported_again_after_it_was_idle() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(TCP_ONLY);
        let program = machine.program("node.exe");
        let udp = program.udp(machine.engine(), false);
        let remote = "9.9.9.9:53".parse().unwrap();
        for _ in 0..3 {
            assert_eq!(udp.send(remote), Sent::Sent);
        }
        machine.settle();
        assert_eq!(service.take().len(), 1);
        machine.advance(61_000);
        assert_eq!(udp.send(remote), Sent::Sent);
        machine.settle();
        assert_eq!(service.take().len(), 1);
    });
}
