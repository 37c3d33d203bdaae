//! The right to set the action, and filter engines that refuse to pend.

use e2e::{AfterHardBlock, Machine, Outcome, PacketFate, Rival, Rule, SynFate, WSAEACCES, every_setting};
use wire::request::Because;
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Scope, Verdict};

const REMOTES: [&str; 2] = ["192.0.2.1:443", "[2001:db8::1]:443"];

/// D08, R1, learn.microsoft.com "Types of Callouts": who lacks FWPS_RIGHT_ACTION_WRITE must not pend.
#[test]
fn a_connection_that_a_heavier_filter_permitted_for_good_is_not_held() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        let _rival = Rival::heavier(Rule::PermitForGood);
        for remote in REMOTES {
            assert_eq!(machine.connect(&program, remote).outcome(), Outcome::Connected);
        }
        assert_eq!(service.take().len(), 0);
        let stats = service.stats();
        assert_eq!((stats.held, stats.without_right), (0, 2));
    });
}

/// D08, learn.microsoft.com "Filter Arbitration": a block of a heavier sublayer stands.
#[test]
fn a_connection_that_a_heavier_filter_blocked_is_not_held() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let _rival = Rival::heavier(Rule::Block);
        for remote in REMOTES {
            assert_eq!(machine.connect(&program, remote).outcome(), Outcome::Refused(WSAEACCES));
        }
        let asked = if options.knobs.after_hard_block == AfterHardBlock::Stop { 0 } else { 2 };
        let stats = service.stats();
        assert_eq!((stats.held, stats.without_right), (0, asked));
    });
}

/// D09, R12, learn.microsoft.com "Filter Arbitration": a block can always be returned, and vetoes a hard permit.
#[test]
fn a_cached_block_vetoes_a_permit_for_good() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (_held, request) = machine.hold(&program, &service, REMOTES[0]);
        service.submit(&[Answer { scope: Scope::PROGRAM, ..Answer::once(request.id(), Verdict::BLOCK) }]);
        machine.settle();
        let _rival = Rival::heavier(Rule::PermitForGood);
        for remote in REMOTES {
            assert_eq!(machine.connect(&program, remote).outcome(), Outcome::Refused(WSAEACCES));
        }
        let others = machine.program("curl.exe");
        assert_eq!(machine.connect(&others, REMOTES[0]).outcome(), Outcome::Connected, "of it nothing is known");
    });
}

/// D08: lighter sublayers are asked too, and a block there stands beside our permit.
#[test]
fn a_lighter_filter_still_blocks_what_the_service_permits() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let _rival = Rival::lighter(Rule::Block);
        let (connect, request) = machine.hold(&program, &service, REMOTES[0]);
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Refused(WSAEACCES));
    });
}

/// D07, R2, learn.microsoft.com "FwpsPendOperation0": STATUS_FWP_TCPIP_NOT_READY, STATUS_INSUFFICIENT_RESOURCES.
#[test]
fn a_connection_that_cannot_be_pended_is_answered_by_the_fallback() {
    every_setting(|options| {
        for (fallback, outcome) in
            [(Fallback::PERMIT, Outcome::Connected), (Fallback::BLOCK, Outcome::Refused(WSAEACCES))]
        {
            let machine = Machine::with_driver(options);
            let service = machine.service(Settings { fallback_outbound: fallback, ..Settings::INITIAL });
            let program = machine.program("node.exe");
            machine.kernel().fail_nth_call(1);
            let connect = machine.connect(&program, REMOTES[0]);
            assert_eq!(machine.kernel().fault_hit(), Some("FwpsPendOperation0"));
            machine.kernel().fail_nth_call(0);
            assert_eq!(connect.outcome(), outcome);
            let stats = service.stats();
            assert_eq!((stats.held, stats.doors.pend_failed, stats.pended), (1, 1, 0));
            let (_next, request) = machine.hold(&program, &service, REMOTES[1]);
            assert_eq!(request.fixed.because, Because::HELD);
        }
    });
}

/// D08, R12: the same rules on the way in. Without the right nothing is held; a cached block vetoes.
#[test]
fn what_comes_in_is_not_held_when_a_heavier_filter_has_decided() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { fallback_inbound: Fallback::BLOCK, ..Settings::INITIAL });
        let program = machine.program("httpd.exe");
        let listener = program.listen(machine.engine(), "0.0.0.0:80");
        let socket = program.udp_at(machine.engine(), "[::]:53");
        let syn = |peer: &str| {
            let accept = listener.syn_from(peer.parse().unwrap());
            machine.settle();
            accept
        };
        let rival = Rival::heavier(Rule::PermitForGood);
        assert_eq!(syn("192.0.2.7:1").fate(), SynFate::Established);
        assert_eq!(socket.deliver("[2001:db8::7]:1".parse().unwrap(), b"query"), PacketFate::Passed);
        assert_eq!((service.take().len(), service.stats().held), (0, 0));
        drop(rival);
        let held = syn("192.0.2.8:1");
        let request = service.take_held();
        service.submit(&[Answer { scope: Scope::PROGRAM, ..Answer::once(request.id(), Verdict::BLOCK) }]);
        machine.settle();
        assert_eq!(held.fate(), SynFate::Dropped);
        let _rival = Rival::heavier(Rule::PermitForGood);
        assert_eq!(syn("192.0.2.9:1").fate(), SynFate::Dropped, "vetoed");
    });
}

/// D08: a permit of ours is one voice. What a lighter filter blocks meanwhile does not come in, and leaves nothing behind.
#[test]
fn a_lighter_filter_still_blocks_what_would_come_in() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("httpd.exe");
        let listener = program.listen(machine.engine(), "0.0.0.0:80");
        let accept = listener.syn_from("192.0.2.7:1".parse().unwrap());
        machine.settle();
        let request = service.take_held();
        let _rival = Rival::lighter(Rule::Block);
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_ne!(accept.fate(), SynFate::Established);
        assert_eq!((service.stats().kept_packets, machine.engine().outstanding_packets()), (0, 0));
    });
}
