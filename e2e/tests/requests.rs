//! What a request tells the service about a connection.

use e2e::{ConnectSpec, Machine, Outcome, every_setting, every_system};
use nt_sys::fwps::{
    FWPS_FIELD_ALE_AUTH_CONNECT_ALE_APP_ID, FWPS_FIELD_ALE_AUTH_CONNECT_ALE_USER_ID,
    FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_ADDRESS, FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_INTERFACE,
    FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL, FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_ADDRESS,
    FWPS_METADATA_FIELD_COMPLETION_HANDLE, FWPS_METADATA_FIELD_PROCESS_ID, FWPS_METADATA_FIELD_PROCESS_PATH,
    FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE,
};
use std::net::SocketAddr;
use wire::request::{Because, Direction, FAMILY_V4, FAMILY_V6, RequestFlags};
use wire::settings::Settings;
use wire::verdict::Verdict;

const TCP: u8 = 6;

/// D01, learn.microsoft.com "Data Field Identifiers", "FWPS_INCOMING_METADATA_VALUES0"; D31, D32: the emulated engine
/// poisons what is behind a value when the classify returns, and the request is read long after.
#[test]
fn a_request_carries_everything_that_the_decision_needs() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { deadline_ms: 7_000, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        for (family, local, remote) in
            [(FAMILY_V4, "10.0.0.9:5000", "192.0.2.1:443"), (FAMILY_V6, "[fd00::9]:5000", "[2001:db8::1]:443")]
        {
            let local: SocketAddr = local.parse().unwrap();
            let spec = ConnectSpec::to(remote.parse().unwrap()).from(local);
            let connect = program.connect_with(machine.engine(), spec);
            machine.settle();
            machine.advance(30);

            let request = service.take_one();
            assert_eq!(request.path, program.path());
            assert_eq!(request.sid, program.process().sid_bytes());
            assert_eq!(request.remote().to_string(), remote);
            let fixed = request.fixed;
            assert_eq!(fixed.process_id, program.pid());
            assert_eq!(fixed.process_start_key, program.process().start_key());
            assert_eq!(SocketAddr::new(fixed.local_ip(), fixed.local_port), local);
            assert_eq!((fixed.family, fixed.direction, fixed.protocol), (family, Direction::OUTBOUND, TCP));
            assert_eq!(fixed.flags(), RequestFlags::HELD);
            assert_eq!((fixed.verdict, fixed.because), (Verdict::default(), Because::HELD));
            assert_eq!((fixed.waited_ms, fixed.deadline_ms), (30, 6_970));
            assert_ne!((fixed.interface_luid, fixed.program), (0, 0));
            assert_ne!((fixed.interface_index, fixed.compartment), (0, 0));
            assert_eq!(fixed.remote_scope, 0);

            service.answer(&request, Verdict::PERMIT);
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Connected);
        }
    });
}

/// D33, learn.microsoft.com "FWP_CONDITION_FLAG_IS_LOOPBACK".
#[test]
fn a_loopback_connection_is_held_and_marked() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        for remote in ["127.0.0.1:8080", "[::1]:8080"] {
            let (connect, request) = machine.hold(&program, &service, remote);
            assert_eq!(request.fixed.flags(), RequestFlags::HELD | RequestFlags::LOOPBACK);
            service.answer(&request, Verdict::PERMIT);
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Connected);
        }
    });
}

/// D33, learn.microsoft.com "Metadata Fields": FWPS_METADATA_FIELD_REMOTE_SCOPE_ID.
#[test]
fn a_link_local_remote_comes_with_its_scope() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (_connect, request) = machine.hold(&program, &service, "[fe80::7%3]:443");
        assert_eq!((request.fixed.remote_ip().to_string(), request.fixed.remote_scope), ("fe80::7".to_owned(), 3));
    });
}

/// D33, learn.microsoft.com "Dual-Stack Sockets": a mapped address is IPv4 to the filter engine.
#[test]
fn a_mapped_address_is_asked_about_as_ipv4() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, "[::ffff:192.0.2.1]:443");
        assert_eq!((request.fixed.family, request.remote().to_string()), (FAMILY_V4, "192.0.2.1:443".to_owned()));
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Connected);
    });
}

/// D30, D31, R34: endpoints of the kernel have no path, and old systems leave more out.
#[test]
fn a_connection_of_which_little_is_known_is_held_all_the_same() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let mut spec = ConnectSpec::to("192.0.2.1:443".parse().unwrap());
        spec.omit_metadata = FWPS_METADATA_FIELD_PROCESS_PATH | FWPS_METADATA_FIELD_PROCESS_ID;
        spec.empty_fields = [
            FWPS_FIELD_ALE_AUTH_CONNECT_ALE_APP_ID,
            FWPS_FIELD_ALE_AUTH_CONNECT_ALE_USER_ID,
            FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_ADDRESS,
            FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_INTERFACE,
        ]
        .iter()
        .fold(0, |bits, field| bits | 1 << field);
        let connect = program.connect_with(machine.engine(), spec);
        machine.settle();

        let request = service.take_one();
        let fixed = request.fixed;
        assert_eq!((request.path.as_str(), request.sid.as_slice()), ("", &[][..]));
        assert_eq!((fixed.process_id, fixed.program, fixed.interface_luid), (0, 0, 0));
        assert!(fixed.local_ip().is_unspecified());
        assert_eq!(request.remote().to_string(), "192.0.2.1:443");
        assert_eq!(fixed.flags(), RequestFlags::HELD | RequestFlags::PROCESS_GONE, "no process has the id 0");
        service.answer(&request, Verdict::BLOCK);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Refused(e2e::WSAEACCES));
    });
}

/// D31, R14, learn.microsoft.com "ALE Reauthorization": any value may be FWP_EMPTY, any metadata absent.
#[test]
fn whatever_one_value_is_missing_the_connection_ends_in_the_verdict_or_the_fallback() {
    every_system(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        for remote in ["192.0.2.1:443", "[2001:db8::1]:443"] {
            let fields = (0..options.value_count).map(|field| (1_u64 << field, 0));
            for (empty_fields, omit_metadata) in fields.chain((0..u32::BITS).map(|bit| (0, 1_u32 << bit))) {
                let mut spec = ConnectSpec::to(remote.parse().unwrap());
                (spec.empty_fields, spec.omit_metadata) = (empty_fields, omit_metadata);
                let connect = program.connect_with(machine.engine(), spec);
                machine.settle();
                let request = service.take_one();
                let outcome = if request.is_held() {
                    service.answer(&request, Verdict::BLOCK);
                    machine.settle();
                    Outcome::Refused(e2e::WSAEACCES)
                } else {
                    Outcome::Connected
                };
                assert_eq!(connect.outcome(), outcome, "without {empty_fields:#x} {omit_metadata:#x}");
            }
        }
    });
}

/// R1, R14: what is needed to hold a connection and find it again is missing, so the fallback answers at once.
#[test]
fn a_connection_that_could_not_be_found_again_is_decided_at_once() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let field = |field: usize| (1_u64 << field, 0);
        for (empty_fields, omit_metadata) in [
            field(FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_ADDRESS),
            field(FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL),
            (0, FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE),
            (0, FWPS_METADATA_FIELD_COMPLETION_HANDLE),
        ] {
            let mut spec = ConnectSpec::to("192.0.2.1:443".parse().unwrap());
            (spec.empty_fields, spec.omit_metadata) = (empty_fields, omit_metadata);
            let connect = program.connect_with(machine.engine(), spec);
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Connected);
            let report = service.take_one();
            assert!(!report.is_held());
            assert_eq!((report.fixed.verdict, report.fixed.because), (Verdict::PERMIT, Because::FALLBACK));
        }
        assert_eq!(service.stats().held, 0);
    });
}

/// D30, learn.microsoft.com "FWPS_CLASSIFY_FN3": a classify runs in the context of any thread.
#[test]
fn the_process_is_that_of_the_connection_and_not_of_the_thread() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let other = machine.program("other.exe");
        let connect = other.process().enter(|| program.connect(machine.engine(), "192.0.2.1:443"));
        machine.settle();
        let request = service.take_one();
        assert_eq!(request.fixed.process_id, program.pid());
        assert_eq!(request.fixed.process_start_key, program.process().start_key());
        assert_eq!(request.path, program.path());
        drop(connect);
    });
}

/// R35: a process may be gone, or its id be another's, by the time its request is delivered.
#[test]
fn a_request_says_when_its_process_is_gone() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let connect = machine.connect(&program, "192.0.2.1:443");
        program.kill_leaving_sockets();
        let request = service.take_one();
        assert_eq!(request.fixed.flags(), RequestFlags::HELD | RequestFlags::PROCESS_GONE);
        assert_eq!(request.fixed.process_start_key, 0);
        drop(connect);
    });
}
