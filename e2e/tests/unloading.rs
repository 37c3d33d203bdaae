//! Loading and unloading, in every state, again and again.
//!
//! Neighbours: `faults` lets each call of a load fail.

use e2e::{Machine, Options, Outcome, Service, WSAEACCES, every_setting};
use nt_sys::se::{GENERIC_READ, GENERIC_WRITE};
use nt_sys::status::STATUS_CANCELLED;
use wire::settings::{Fallback, Settings};
use wire::verdict::Verdict;

const REMOTES: [&str; 2] = ["192.0.2.1:443", "[2001:db8::1]:443"];
const BLOCK: Settings = Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL };

/// Nothing of the driver is left: no callout, filter, session, pended operation or byte.
fn assert_gone(machine: &Machine) {
    let left = machine.engine().snapshot();
    assert_eq!((left.callouts.len(), left.filters.len(), left.providers, left.sessions), (0, 0, 0, 0));
    assert_eq!((left.pended, machine.kernel().all_pool_bytes()), (0, 0));
}

/// D19: the traffic goes on without it.
#[test]
fn an_idle_driver_unloads() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("node.exe");
        let before = machine.connect(&program, REMOTES[0]);
        assert!(machine.unload());
        assert_gone(&machine);
        assert_eq!(before.outcome(), Outcome::Connected);
        assert_eq!(machine.connect(&program, REMOTES[1]).outcome(), Outcome::Connected);
    });
}

/// D19, D20, learn.microsoft.com "DriverUnload": an open handle defers the unload, and its closing does it.
#[test]
fn an_open_handle_defers_the_unload_until_it_is_closed() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK);
        let program = machine.program("node.exe");
        let (delivered, _request) = machine.hold(&program, &service, REMOTES[0]);
        let queued = machine.connect(&program, REMOTES[1]);
        assert!(!machine.unload(), "the handle is open");
        let refused = machine.kernel().open(service.process(), wire::DEVICE_PATH, GENERIC_READ | GENERIC_WRITE);
        assert!(refused.is_err(), "no new handle meanwhile");
        assert_eq!(service.stats().pended, 2, "the service goes on until it closes");
        service.close();
        machine.settle();
        assert_gone(&machine);
        let refused = Outcome::Refused(WSAEACCES);
        assert_eq!((delivered.outcome(), queued.outcome()), (refused, refused));
    });
}

/// D19, D20: parked calls come back when the service dies, and the driver goes.
#[test]
fn a_deferred_unload_gives_parked_calls_back() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK);
        let parked = [service.park(), service.park()];
        assert!(!machine.unload());
        service.kill();
        machine.settle();
        assert!(parked.iter().all(|call| call.result() == Some((STATUS_CANCELLED, vec![]))));
        assert_gone(&machine);
    });
}

/// D19: the verdict is given, its reauthorization has not run. The filters stay until it has.
#[test]
fn an_unload_waits_for_the_reauthorizations_of_what_was_decided() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK);
        let program = machine.program("node.exe");
        let (permitted, request) = machine.hold(&program, &service, REMOTES[0]);
        let (released, _request) = machine.hold(&program, &service, REMOTES[1]);
        service.answer(&request, Verdict::PERMIT);
        service.close();
        assert!(machine.unload());
        assert_eq!((permitted.outcome(), released.outcome()), (Outcome::Connected, Outcome::Refused(WSAEACCES)));
        assert_gone(&machine);
    });
}

/// D19: live flows outlive the driver, and the driver live flows.
#[test]
fn live_flows_survive_an_unload_and_a_reload() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK);
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, REMOTES[0]);
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        service.close();
        assert!(machine.unload());
        assert_eq!(connect.flow().packet(e2e::Direction::Inbound), e2e::PacketFate::Passed);
        machine.load().unwrap();
        assert_eq!(connect.flow().packet(e2e::Direction::Outbound), e2e::PacketFate::Passed);
        assert_eq!(connect.outcome(), Outcome::Connected);
    });
}

/// D24: nothing grows, whatever went on in between.
#[test]
fn a_hundred_cycles_with_traffic_leave_nothing_behind() {
    let machine = Machine::boot(Options { seed: 24, ..Options::default() });
    let program = machine.program("node.exe");
    for cycle in 0..100 {
        machine.load().unwrap();
        let service: Service = machine.service(BLOCK);
        let (answered, request) = machine.hold(&program, &service, REMOTES[cycle % 2]);
        let (held, _request) = machine.hold(&program, &service, REMOTES[(cycle + 1) % 2]);
        let (closed, _request) = machine.hold(&program, &service, REMOTES[0]);
        closed.close();
        service.answer(&request, Verdict::PERMIT);
        if cycle % 3 == 0 {
            service.kill()
        } else {
            service.close()
        }
        machine.settle();
        assert_eq!((answered.outcome(), held.outcome()), (Outcome::Connected, Outcome::Refused(WSAEACCES)));
        assert!(machine.unload());
        assert_gone(&machine);
    }
}
