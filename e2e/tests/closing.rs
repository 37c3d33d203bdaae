//! Sockets that close and processes that exit while they are held.

use e2e::{Connect, ConnectSpec, DatagramSocket, Knobs, Machine, Options, Outcome, ReauthMode, every_setting};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use wire::settings::Settings;
use wire::verdict::{Outcome as Fate, Verdict};

const REMOTES: [&str; 2] = ["192.0.2.1:443", "[2001:db8::1]:443"];

/// D16, R32: nobody promises that an operation can be completed after its socket is gone, so it is completed before.
#[test]
fn a_socket_that_closes_while_it_is_held_is_completed_before_it_is_gone() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        for remote in REMOTES {
            let (connect, request) = machine.hold(&program, &service, remote);
            connect.close();
            assert_eq!(machine.engine().snapshot().pended, 0, "when close returns, nothing is pended");
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Closed);
            assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
        }
        let stats = service.stats();
        assert_eq!((stats.doors.closure, stats.pended), (2, 0));
        machine.advance(3_000);
        let stats = service.stats();
        assert_eq!(stats.claimed + stats.unclaimed, 2, "no verdict waits for ever");
    });
}

/// D16: the kernel closes the sockets of a process that exits.
#[test]
fn a_process_that_exits_while_it_is_held_leaves_nothing() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (delivered, request) = machine.hold(&program, &service, REMOTES[0]);
        let queued = machine.connect(&program, REMOTES[1]);
        program.kill();
        machine.settle();
        assert_eq!((delivered.outcome(), queued.outcome()), (Outcome::Closed, Outcome::Closed));
        assert_eq!(service.take().len(), 0, "what was not asked yet is not asked any more");
        assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
        assert_eq!(service.stats().doors.closure, 2);
    });
}

/// D16, D17: the other order. The answer is on its way when the socket closes.
#[test]
fn a_socket_may_close_between_its_answer_and_its_reauthorize() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, REMOTES[0]);
        assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
        connect.close();
        machine.settle();
        assert_ne!(connect.outcome(), Outcome::Pending);
        machine.advance(3_000);
        let stats = service.stats();
        assert_eq!((stats.doors.verdict, stats.doors.closure, stats.claimed + stats.unclaimed), (1, 0, 1));
    });
}

/// D16: one closure, and only it, ends what its socket holds.
#[test]
fn the_closure_of_one_socket_releases_no_other() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (stays, request) = machine.hold(&program, &service, REMOTES[0]);
        let (closes, _) = machine.hold(&program, &service, REMOTES[0]);
        drop(closes);
        machine.settle();
        assert_eq!(stays.outcome(), Outcome::Pending);
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!(stays.outcome(), Outcome::Connected);
    });
}

/// R32: the other processor's part, played on one thread: the socket closes from inside the completion of its own operation.
/// Its closure waits until that has returned, whatever a completion means to a socket that is gone.
#[test]
fn a_socket_that_closes_inside_its_completion_waits_for_it() {
    every_setting(|options| {
        for verdict in [Verdict::PERMIT, Verdict::BLOCK] {
            let machine = Machine::with_driver(options);
            let service = machine.service(Settings::INITIAL);
            let program = machine.program("node.exe");
            for remote in REMOTES {
                let slot: Arc<Mutex<Option<Connect>>> = Arc::default();
                let own = Arc::clone(&slot);
                let spec = ConnectSpec::to(remote.parse().unwrap())
                    .then(move |_| own.lock().unwrap().iter().for_each(Connect::close));
                *slot.lock().unwrap() = Some(program.connect_with(machine.engine(), spec));
                machine.settle();
                service.answer(&service.take_held(), verdict);
                machine.settle();
                assert!(slot.lock().unwrap().take().is_some_and(|connect| connect.outcome() != Outcome::Pending));
            }
            assert_eq!(machine.engine().snapshot().pended, 0);
            let stats = service.stats();
            assert_eq!((stats.doors.verdict, stats.pended), (2, 0));
            if options.knobs.reauth_mode == ReauthMode::Inline {
                assert_eq!(stats.closures_held, 2);
            }
        }
    });
}

/// The same with threads: sockets close while others complete what they hold. Under every setting, also the one under which
/// a completion after the closure is a use after free.
#[test]
fn sockets_that_close_while_they_are_completed_end_after_it() {
    const SOCKETS: usize = 40;
    for (n, knobs) in Knobs::all().into_iter().enumerate().filter(|(n, _)| n % 3 == 0) {
        let machine = Machine::with_driver(Options { knobs, seed: n as u64, ..Options::default() });
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let connects: Vec<_> =
            (0..SOCKETS).map(|n| program.connect(machine.engine(), &format!("192.0.2.1:{}", 1_000 + n))).collect();
        let sockets: Vec<_> = (0..SOCKETS).map(|_| program.udp(machine.engine(), false)).collect();
        for socket in &sockets {
            socket.send("192.0.2.53:53".parse().unwrap());
        }
        let listener = program.listen(machine.engine(), "0.0.0.0:80");
        let accepts: Vec<_> =
            (0..SOCKETS).map(|n| listener.syn_from(([192, 0, 2, 7], 1_000 + n as u16).into())).collect();
        machine.settle();
        let requests = service.take();
        assert_eq!(requests.len(), 3 * SOCKETS);
        let start = &Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                connects.iter().for_each(Connect::close);
                sockets.iter().for_each(DatagramSocket::close);
                listener.close();
            });
            start.wait();
            for request in &requests {
                service.answer(request, Verdict::PERMIT);
            }
        });
        machine.advance(3_000);
        let stats = service.stats();
        assert_eq!((stats.pended, stats.kept_packets), (0, 0), "{stats:?}");
        assert_eq!(machine.engine().outstanding_packets(), 0);
        drop(accepts);
    }
}

/// R32: a socket that sent, and whose packet waits: both go.
#[test]
fn a_socket_that_closes_takes_its_packets_along() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("dig.exe");
        let socket = program.udp(machine.engine(), false);
        for remote in ["192.0.2.1:53", "192.0.2.2:53"] {
            socket.send(remote.parse().unwrap());
        }
        machine.settle();
        let requests = service.take();
        assert_eq!(requests.len(), 2);
        // One is decided and on its way when the socket closes.
        service.answer(&requests[0], Verdict::BLOCK);
        socket.close();
        machine.advance(3_000);
        assert_eq!(machine.engine().wire().len(), 0);
        let stats = service.stats();
        assert_eq!((stats.doors.closure, stats.packets_dropped, stats.kept_packets), (1, 2, 0));
    });
}
