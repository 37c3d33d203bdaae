//! Reauthorizations that others cause: by a change of policy, an interface, a socket option.

use e2e::{
    Connect, Direction, Machine, Options, Outcome, PacketFate, Program, Rival, Rule, Service, WSAEACCES, every_setting,
};
use nt_sys::fwp::{
    FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE, FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE,
};
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Scope, Verdict};

const REMOTES: [&str; 2] = ["192.0.2.1:443", "[2001:db8::1]:443"];

fn connected(machine: &Machine, service: &Service, program: &Program, remote: &str) -> Connect {
    let (connect, request) = machine.hold(program, service, remote);
    service.answer(&request, Verdict::PERMIT);
    machine.settle();
    assert_eq!(connect.outcome(), Outcome::Connected);
    connect
}

/// D10, R10, R11, R13, learn.microsoft.com "ALE Reauthorization": the filters were not there when the flow began.
#[test]
fn a_flow_that_lived_before_the_driver_goes_on() {
    every_setting(|options| {
        let machine = Machine::boot(options);
        let program = machine.program("node.exe");
        let flows = REMOTES.map(|remote| machine.connect(&program, remote));
        machine.load().unwrap();
        let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        for flow in &flows {
            assert_eq!(flow.outcome(), Outcome::Connected);
            assert_eq!(flow.flow().packet(Direction::Inbound), PacketFate::Passed);
            assert_eq!(
                flow.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE),
                PacketFate::Passed
            );
            assert_eq!(flow.flow().packet(Direction::Outbound), PacketFate::Passed);
        }
        let stats = service.stats();
        assert_eq!((stats.held, stats.foreign_reauthorized, stats.orphaned), (0, 4, 0));
    });
}

/// D10: of a flow that was permitted this is known, and it stays permitted; it is never asked about again.
#[test]
fn a_change_of_policy_does_not_end_a_permitted_flow() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        for (remote, direction) in REMOTES.into_iter().zip([Direction::Outbound, Direction::Inbound]) {
            let connect = connected(&machine, &service, &program, remote);
            let rival = Rival::lighter(Rule::Permit);
            assert_eq!(connect.flow().packet(direction), PacketFate::Passed);
            drop(rival);
            assert_eq!(connect.flow().packet(direction), PacketFate::Passed);
            assert_eq!(connect.outcome(), Outcome::Connected);
        }
        assert_eq!(service.take().len(), 0);
        assert_eq!(service.stats().foreign_reauthorized, 4);
    });
}

/// D10, R16: what the service says of a program holds for its live flows at their next reauthorization.
#[test]
fn a_cached_block_ends_a_live_flow_when_it_is_reauthorized() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let flow = connected(&machine, &service, &program, REMOTES[0]);
        let (blocked, request) = machine.hold(&program, &service, "192.0.2.9:443");
        service.submit(&[Answer { scope: Scope::PROGRAM, ..Answer::once(request.id(), Verdict::BLOCK) }]);
        machine.settle();
        assert_eq!(blocked.outcome(), Outcome::Refused(WSAEACCES));
        // What was said about this very flow goes before what was said about its program, until the rules change.
        assert_eq!(flow.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE), PacketFate::Passed);
        new_epoch_with_program_blocked(&machine, &service, &program);
        assert_eq!(flow.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE), PacketFate::Dropped);
        assert_eq!(flow.outcome(), Outcome::Reset);
    });
}

fn new_epoch_with_program_blocked(machine: &Machine, service: &Service, program: &Program) {
    service.configure(Settings { epoch: 1, ..Settings::INITIAL });
    let (_connect, request) = machine.hold(program, service, "192.0.2.9:443");
    service.submit(&[Answer { scope: Scope::PROGRAM, ..Answer::once(request.id(), Verdict::BLOCK) }]);
    machine.settle();
}

/// D10, R11: a held connection is no live flow. It stays held, whoever reauthorizes it for whatever reason.
#[test]
fn a_held_connection_stays_held_when_policy_changes() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        for (remote, verdict) in REMOTES.into_iter().zip([Verdict::PERMIT, Verdict::BLOCK]) {
            let (connect, request) = machine.hold(&program, &service, remote);
            let rival = Rival::lighter(Rule::Permit);
            for _ in 0..3 {
                connect.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE);
                assert_eq!(connect.outcome(), Outcome::Pending);
            }
            assert_eq!(service.take().len(), 0, "it is not asked about twice");
            service.answer(&request, verdict);
            machine.settle();
            assert_eq!(connect.outcome() == Outcome::Connected, verdict == Verdict::PERMIT);
            drop(rival);
        }
        let stats = service.stats();
        assert_eq!((stats.foreign_reauthorized, stats.claimed, stats.orphaned), (6, 2, 0));
        let callouts = machine.engine().snapshot().callouts;
        let (absorbed, permitted) =
            callouts.iter().fold((0, 0), |sums, one| (sums.0 + one.counts.absorbed, sums.1 + one.counts.permit));
        assert_eq!((absorbed, permitted), (8, 1), "held twice, asked six times in between, and one verdict permits");
    });
}

/// D10, R12: a rival took the right meanwhile. The verdict is consumed all the same, and only a block has an effect.
#[test]
fn a_verdict_is_consumed_even_without_the_right_to_set_the_action() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        for (verdict, outcome) in [(Verdict::PERMIT, Outcome::Connected), (Verdict::BLOCK, Outcome::Refused(WSAEACCES))]
        {
            let (connect, request) = machine.hold(&program, &service, REMOTES[0]);
            let rival = Rival::heavier(Rule::PermitForGood);
            service.answer(&request, verdict);
            machine.settle();
            assert_eq!(connect.outcome(), outcome);
            drop(rival);
        }
        let stats = service.stats();
        assert_eq!((stats.claimed, stats.unclaimed), (2, 0));
    });
}

/// D11: another product held the connection and has completed it. It cannot be pended any more, so the fallback answers.
#[test]
fn a_completion_of_somebody_else_is_answered_by_the_fallback() {
    every_setting(|options| {
        for (fallback, outcome) in
            [(Fallback::PERMIT, Outcome::Connected), (Fallback::BLOCK, Outcome::Refused(WSAEACCES))]
        {
            let machine = Machine::with_driver(options);
            let service = machine.service(Settings { fallback_outbound: fallback, ..Settings::INITIAL });
            let program = machine.program("node.exe");
            let rival = Rival::heavier(Rule::Pend);
            let connect = machine.connect(&program, REMOTES[0]);
            assert_eq!((connect.outcome(), rival.held()), (Outcome::Pending, 1));
            assert_eq!(service.take().len(), 0, "two must not pend one operation");
            rival.complete();
            machine.settle();
            assert_eq!(connect.outcome(), outcome);
            let stats = service.stats();
            assert_eq!((stats.held, stats.orphaned), (0, 1));
        }
    });
}

/// D10: without a service nothing is known of any flow.
#[test]
fn without_a_service_live_flows_are_left_alone() {
    every_setting(|options: Options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("node.exe");
        let flows = REMOTES.map(|remote| machine.connect(&program, remote));
        let rival = Rival::lighter(Rule::Permit);
        for flow in &flows {
            assert_eq!(flow.flow().packet(Direction::Outbound), PacketFate::Passed);
        }
        drop(rival);
        assert_eq!(machine.client().stats().foreign_reauthorized, 2);
    });
}
