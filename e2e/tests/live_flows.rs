//! A change of policy reaches the flows that live already.

use e2e::{Connect, Direction, Machine, Options, Outcome, PacketFate, Program, Request, Service, every_setting};
use nt::wfp::engine::Session;
use wire::request::RequestFlags;
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Outcome as Fate, Scope, Verdict};

const REMOTES: [&str; 2] = ["192.0.2.1:443", "[2001:db8::1]:443"];
const EPOCH: Settings = Settings { epoch: 1, ..Settings::INITIAL };

fn connected(machine: &Machine, service: &Service, program: &Program, remote: &str, scope: Scope) -> Connect {
    let (connect, request) = machine.hold(program, service, remote);
    service.submit(&[Answer { scope, lifetime_ms: 0, ..Answer::once(request.id(), Verdict::PERMIT) }]);
    machine.settle();
    assert_eq!(connect.outcome(), Outcome::Connected);
    connect
}

/// A packet of the flow, which passes; the question that it brings about.
fn question(machine: &Machine, service: &Service, flow: &Connect) -> Request {
    assert_eq!(flow.flow().packet(Direction::Inbound), PacketFate::Passed, "nobody waits for the answer");
    machine.settle();
    let question = service.take_one();
    assert!(question.fixed.flags().contains(RequestFlags::LIVE) && !question.is_held(), "{question:?}");
    question
}

fn is_quiet(machine: &Machine, service: &Service, flow: &Connect) {
    for direction in [Direction::Outbound, Direction::Inbound] {
        assert_eq!(flow.flow().packet(direction), PacketFate::Passed);
    }
    machine.settle();
    assert_eq!(service.take().len(), 0, "nothing is asked");
}

/// R16, learn.microsoft.com "ALE Reauthorization": a change of filters has the engine look at every live flow once.
#[test]
fn a_new_epoch_asks_about_each_live_flow_once() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let flows = REMOTES.map(|remote| connected(&machine, &service, &program, remote, Scope::OPERATION));
        let rechecked = service.stats().rechecked;
        service.configure(EPOCH);
        machine.settle();
        assert_eq!(service.stats().rechecked, rechecked + 1);
        for (flow, remote) in flows.iter().zip(REMOTES) {
            let asked = question(&machine, &service, flow);
            assert_eq!((asked.remote(), asked.path.as_str()), (remote.parse().unwrap(), program.path()));
            is_quiet(&machine, &service, flow);
            assert_eq!(service.answer(&asked, Verdict::PERMIT), Fate::ACCEPTED);
            machine.settle();
            is_quiet(&machine, &service, flow);
        }
        let stats = service.stats();
        assert_eq!((stats.live_asked, stats.rechecked), (2, rechecked + 1), "a permit changes nothing");
    });
}

/// Item by item: the flow that is blocked now, and no other, ends with its next packet.
#[test]
fn a_flow_that_is_blocked_now_ends_with_its_next_packet() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let [blocked, permitted] =
            REMOTES.map(|remote| connected(&machine, &service, &program, remote, Scope::OPERATION));
        service.configure(EPOCH);
        machine.settle();
        let [first, second] = [&blocked, &permitted].map(|flow| question(&machine, &service, flow));
        service.answer(&first, Verdict::BLOCK);
        service.answer(&second, Verdict::PERMIT);
        machine.settle();
        assert_eq!(blocked.outcome(), Outcome::Connected, "a flow that is silent has nothing to be blocked");
        assert_eq!(blocked.flow().packet(Direction::Outbound), PacketFate::Dropped);
        assert_eq!(blocked.outcome(), Outcome::Reset);
        is_quiet(&machine, &service, &permitted);
    });
}

/// A verdict that was cached under another epoch is no verdict: neither for the live flow nor for the next connection.
#[test]
fn a_stale_cached_verdict_is_not_used_for_a_live_flow() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let flow = connected(&machine, &service, &program, REMOTES[0], Scope::REMOTE);
        service.configure(EPOCH);
        machine.settle();
        let asked = question(&machine, &service, &flow);
        service.submit(&[Answer { scope: Scope::REMOTE, lifetime_ms: 0, ..Answer::once(asked.id(), Verdict::BLOCK) }]);
        machine.settle();
        assert_eq!(flow.flow().packet(Direction::Outbound), PacketFate::Dropped);
        let again = machine.connect(&program, REMOTES[0]);
        assert_eq!(again.outcome(), Outcome::Refused(e2e::WSAEACCES), "the answer went into the cache too");
    });
}

/// D10, R10: flows that lived before the driver come in by the same way.
#[test]
fn a_flow_from_before_the_driver_is_asked_about() {
    every_setting(|options| {
        let machine = Machine::boot(options);
        let program = machine.program("node.exe");
        let flows = REMOTES.map(|remote| machine.connect(&program, remote));
        machine.load().unwrap();
        let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        machine.settle();
        for flow in &flows {
            let asked = question(&machine, &service, flow);
            service.answer(&asked, Verdict::BLOCK);
            machine.settle();
            assert_eq!(flow.flow().packet(Direction::Inbound), PacketFate::Dropped);
            assert_eq!(flow.outcome(), Outcome::Reset);
        }
    });
}

/// Questions need no answer, and have no effect when they get none.
#[test]
fn a_question_that_nobody_answers_costs_the_flow_nothing() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        let flow = connected(&machine, &service, &program, REMOTES[0], Scope::OPERATION);
        service.configure(Settings { epoch: 1, fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        machine.settle();
        question(&machine, &service, &flow);
        machine.advance(60_000);
        is_quiet(&machine, &service, &flow);
        service.close();
        machine.advance(60_000);
        assert_eq!(flow.flow().packet(Direction::Outbound), PacketFate::Passed);
    });
}

/// An answer from before a change counts for nothing after it.
#[test]
fn an_answer_under_an_older_epoch_does_not_stay() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let flow = connected(&machine, &service, &program, REMOTES[0], Scope::OPERATION);
        service.configure(EPOCH);
        machine.settle();
        let late = question(&machine, &service, &flow);
        service.configure(Settings { epoch: 2, ..EPOCH });
        machine.settle();
        service.answer(&late, Verdict::PERMIT);
        machine.settle();
        let asked = question(&machine, &service, &flow);
        assert_ne!(asked.id(), late.id());
        service.answer(&asked, Verdict::BLOCK);
        machine.settle();
        assert_eq!(flow.flow().packet(Direction::Outbound), PacketFate::Dropped);
    });
}

/// More flows than questions fit: all are asked about in the end.
#[test]
fn every_live_flow_is_asked_about_in_the_end() {
    const FLOWS: usize = 1_500;
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    let program = machine.program("node.exe");
    let _permits_the_program = connected(&machine, &service, &program, REMOTES[0], Scope::PROGRAM);
    let flows: Vec<_> =
        (0..FLOWS).map(|n| machine.connect(&program, &format!("198.51.{}.{}:443", n / 250, n % 250 + 1))).collect();
    service.configure(EPOCH);
    machine.settle();
    let mut asked = std::collections::HashSet::new();
    for _round in 0..4 {
        for flow in &flows {
            assert_eq!(flow.flow().packet(Direction::Inbound), PacketFate::Passed);
        }
        machine.settle();
        for question in service.take() {
            assert!(question.fixed.flags().contains(RequestFlags::LIVE), "{question:?}");
            asked.insert(question.remote());
            service.answer(&question, Verdict::PERMIT);
        }
        machine.advance(1_000);
    }
    assert_eq!(asked.len(), FLOWS);
}

/// D25, R40: while the base filtering engine is down nothing can be told; when it is back everything is looked at.
#[test]
fn a_change_while_the_filter_engine_is_down_reaches_live_flows_when_it_is_back() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let flow = connected(&machine, &service, &program, REMOTES[0], Scope::OPERATION);
        machine.engine().bfe_stop();
        machine.settle();
        service.configure(EPOCH);
        machine.settle();
        assert_eq!(flow.flow().packet(Direction::Inbound), PacketFate::Passed);
        assert_eq!(service.take().len(), 0);
        machine.engine().bfe_start();
        machine.advance(2_000);
        let asked = question(&machine, &service, &flow);
        service.answer(&asked, Verdict::BLOCK);
        machine.settle();
        assert_eq!(flow.flow().packet(Direction::Outbound), PacketFate::Dropped);
    });
}

/// R16, R42, learn.microsoft.com "Object Management": one transaction at a time in the whole system. While somebody else has
/// it nobody can be told, and that must not keep those who wait for an answer.
#[test]
fn while_others_hold_the_filter_engine_connections_are_asked_about_as_ever() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { deadline_ms: 2_000, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        let flow = connected(&machine, &service, &program, REMOTES[0], Scope::OPERATION);
        let mut other = Session::open(nt::name!("Other"), 0).unwrap();
        let transaction = other.begin().unwrap();
        service.configure(Settings { deadline_ms: 2_000, ..EPOCH });
        let (connect, request) = machine.hold(&program, &service, REMOTES[1]);
        assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Connected);
        drop(transaction);
        machine.advance(1_000);
        question(&machine, &service, &flow);
    });
}

/// The same on the way in: connections that were accepted, and packets from whom packets came before.
#[test]
fn flows_that_came_in_are_asked_about_too() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("server.exe");
        let (listener, inbox) =
            (program.listen(machine.engine(), "0.0.0.0:80"), program.udp_at(machine.engine(), "[::]:53"));
        let (peer, asker) = ("192.0.2.7:40000".parse().unwrap(), "[2001:db8::7]:40000".parse().unwrap());
        let _accept = listener.syn_from(peer);
        inbox.deliver(asker, b"query");
        machine.settle();
        for request in service.take() {
            service.answer(&request, Verdict::PERMIT);
        }
        machine.settle();
        let connection = listener.accept().expect("a connection");
        service.configure(EPOCH);
        machine.settle();
        assert_eq!(connection.flow().packet(Direction::Inbound), PacketFate::Passed);
        assert_eq!(inbox.deliver(asker, b"again"), PacketFate::Passed);
        machine.settle();
        let questions = service.take();
        let asked: Vec<_> = questions.iter().map(|question| (question.remote(), question.fixed.direction)).collect();
        let inbound = wire::request::Direction::INBOUND;
        assert_eq!(asked, [(peer, inbound), (asker, inbound)]);
        for question in &questions {
            service.answer(question, Verdict::BLOCK);
        }
        machine.settle();
        assert_eq!(connection.flow().packet(Direction::Inbound), PacketFate::Dropped);
        assert_eq!(inbox.deliver(asker, b"blocked"), PacketFate::Dropped);
        assert!(!connection.flow().is_live());
        assert_eq!(inbox.received().len(), 2);
    });
}

/// Each look at live flows is a transaction, and a classify of every flow; rules that change without end do not become that.
#[test]
fn rules_that_change_without_end_have_live_flows_looked_at_now_and_then() {
    const CHANGES: u32 = 100;
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    machine.settle();
    let before = service.stats().rechecked;
    for epoch in 1..=CHANGES {
        service.configure(Settings { epoch, ..Settings::INITIAL });
        machine.settle();
    }
    let at_once = service.stats().rechecked - before;
    assert!((1..=8).contains(&at_once), "{at_once} looks");
    machine.advance(1_000);
    let later = service.stats().rechecked - before - at_once;
    assert_eq!(later, 1, "the last change is looked at, once");
    let program = machine.program("node.exe");
    let flow = connected(&machine, &service, &program, REMOTES[0], Scope::OPERATION);
    service.configure(Settings { epoch: CHANGES + 1, ..Settings::INITIAL });
    machine.settle();
    assert!(question(&machine, &service, &flow).id().0 != 0, "and then at once again");
}
