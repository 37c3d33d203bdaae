//! A connection at the gate: held, told, answered.

use e2e::{Machine, Options, Outcome, WSAEACCES};
use wire::settings::Settings;
use wire::verdict::Verdict;

#[test]
fn a_connection_is_held_until_it_is_permitted() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    let program = machine.program("node.exe");
    let connect = program.connect(machine.engine(), "192.0.2.1:443");
    machine.settle();
    assert_eq!(connect.outcome(), Outcome::Pending);

    let request = service.take_one();
    assert_eq!(request.path, program.path());
    assert_eq!(request.remote().to_string(), "192.0.2.1:443");
    service.answer(&request, Verdict::PERMIT);
    machine.settle();
    assert_eq!(connect.outcome(), Outcome::Connected);

    drop(connect);
    service.close();
    drop(program);
    machine.shutdown();
}

#[test]
fn a_blocked_connection_fails_with_access_denied() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    let program = machine.program("node.exe");
    let connect = program.connect(machine.engine(), "[2001:db8::1]:443");
    machine.settle();
    let request = service.take_one();
    service.answer(&request, Verdict::BLOCK);
    machine.settle();
    assert_eq!(connect.outcome(), Outcome::Refused(WSAEACCES));

    drop(connect);
    service.close();
    drop(program);
    machine.shutdown();
}
