//! What can be seen from outside: the driver's events.

use e2e::{Machine, Options, every_system};
use nt_sim::TraceEvent;
use nt_sys::types::GUID;
use wire::settings::Settings;
use wire::verdict::Verdict;

/// The provider, by the id that TraceLogging makes of its name.
const PROVIDER: GUID = GUID::from_u128(0xdcb4cc3e_6289_5f60_d558_5d4ef37f5e8c);
const ALL: u8 = 0;
const WARNINGS: u8 = 3;

/// More than a tick of the driver's timer.
const SOON: u64 = 100;

fn listening(options: Options, level: u8) -> Machine {
    let machine = Machine::boot(options);
    machine.kernel().listen(PROVIDER, level);
    assert_eq!(machine.load(), Ok(()));
    machine
}

fn events(machine: &Machine, name: &str) -> Vec<TraceEvent> {
    let all = machine.kernel().trace_events();
    assert!(all.iter().all(|event| event.provider == "Tollgate.Driver"));
    all.into_iter().filter(|event| event.name == name).collect()
}

#[test]
fn who_listens_sees_a_service_come_and_go_and_how_connections_leave() {
    every_system(|options| {
        let machine = listening(options, ALL);
        machine.advance(SOON);
        assert_eq!(events(&machine, "FiltersUp").len(), 1);
        let service = machine.service(Settings { deadline_ms: 1_000, ..Settings::INITIAL });
        let attached = events(&machine, "ServiceAttached");
        assert_eq!(attached.iter().map(|event| event.number("ProcessId")).collect::<Vec<_>>(), [Some(service.pid())]);

        let program = machine.program("node.exe");
        let (_answered, request) = machine.hold(&program, &service, "192.0.2.1:443");
        machine.advance(SOON);
        service.answer(&request, Verdict::PERMIT);
        let _late = machine.connect(&program, "192.0.2.2:443");
        machine.advance(1_200);
        let _detached = machine.connect(&program, "192.0.2.3:443");
        service.close();
        let held: u64 = events(&machine, "ConnectionsHeld").iter().filter_map(|event| event.number("Count")).sum();
        assert_eq!(held, 3);
        let released = events(&machine, "ConnectionsReleased");
        let doors: Vec<_> = released.iter().map(|event| (event.text("Door"), event.number("Count"))).collect();
        assert_eq!(doors, [(Some("verdict"), Some(1)), (Some("deadline"), Some(1)), (Some("detach"), Some(1))]);
        assert_eq!(events(&machine, "ServiceDetached").len(), 1);
        assert!(machine.unload());
        assert_eq!(events(&machine, "FiltersDown").len(), 1);
        machine.shutdown();
    });
}

#[test]
fn limits_are_warnings() {
    let machine = listening(Options::default(), WARNINGS);
    let service = machine.service(Settings { max_pended: 1, max_pended_per_process: 1, ..Settings::INITIAL });
    let program = machine.program("node.exe");
    let connects = ["192.0.2.1:443", "192.0.2.2:443", "192.0.2.3:443"].map(|remote| machine.connect(&program, remote));
    machine.advance(SOON);
    let limited = events(&machine, "LimitHit");
    assert_eq!(limited.iter().map(|event| event.number("Count")).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(machine.kernel().trace_events().len(), 1, "nothing else is that important");
    drop(connects);
    drop(service);
}

#[test]
fn who_begins_to_listen_late_hears_what_has_been() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    let program = machine.program("node.exe");
    let _connect = machine.connect(&program, "192.0.2.1:443");
    machine.advance(SOON);
    assert_eq!(machine.kernel().trace_events().len(), 0, "nobody listens");
    machine.kernel().listen(PROVIDER, ALL);
    machine.advance(SOON);
    assert_eq!(events(&machine, "ServiceAttached").len(), 1);
    assert_eq!(events(&machine, "ConnectionsHeld")[0].number("HeldNow"), Some(1));
    machine.kernel().ignore(PROVIDER);
    let heard = machine.kernel().trace_events().len();
    drop(service);
    machine.advance(SOON);
    assert_eq!(machine.kernel().trace_events().len(), heard);
}

/// It runs without events when there is no memory for them.
#[test]
fn a_driver_that_cannot_tell_events_loads_all_the_same() {
    let mut hit = false;
    for n in 1..100 {
        let machine = Machine::boot(Options::default());
        machine.kernel().fail_nth_call(n);
        let loaded = machine.load();
        if machine.kernel().fault_hit() == Some("EtwRegister") {
            hit = true;
            assert_eq!(loaded, Ok(()));
        }
        machine.kernel().fail_nth_call(0);
    }
    assert!(hit);
}
