//! What is indicated for sockets, in which order and with which values.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::types::GUID;
use std::sync::{Arc, Mutex};
use wfp_sim::{
    ClassifyIrql, Config, ConnectSpec, Handshake, Host, Outcome, ProcessSpec, Sent, WSAEACCES, WSAECONNREFUSED,
};

const ALL_V4: [GUID; 7] = [
    FWPM_LAYER_ALE_BIND_REDIRECT_V4,
    FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4,
    FWPM_LAYER_ALE_CONNECT_REDIRECT_V4,
    FWPM_LAYER_ALE_AUTH_CONNECT_V4,
    FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4,
    FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4,
    FWPM_LAYER_ALE_RESOURCE_RELEASE_V4,
];

const DNS: &str = "9.9.9.9:53";
const UNBOUND: &str = "0.0.0.0:0";

/// Writes down at which layers, of those given, something is indicated.
fn record(bench: &mut Bench, layers: &[GUID]) -> Arc<Mutex<Vec<(u16, u64)>>> {
    let record = Arc::new(Mutex::new(Vec::new()));
    for &layer in layers {
        let into = Arc::clone(&record);
        let fake = bench.callout(layer, move |call| into.lock().unwrap().push((call.seen.layer, call.seen.endpoint)));
        bench.session.add(&filter(layer).inspection(fake.key)).unwrap();
    }
    record
}

fn layers(record: &Mutex<Vec<(u16, u64)>>) -> Vec<u16> {
    std::mem::take(&mut *record.lock().unwrap()).into_iter().map(|(layer, _)| layer).collect()
}

// E76: learn.microsoft.com "TCP Packet Flows"
// E89: learn.microsoft.com "ALE Endpoint Lifetime Management"
#[test]
fn a_connect_passes_its_layers_in_order() {
    let mut bench = Bench::new();
    let record = record(&mut bench, &ALL_V4);
    let connect = bench.connect();
    let endpoint = connect.endpoint();
    connect.close();
    let seen = record.lock().unwrap().clone();
    assert!(seen.iter().all(|(_, handle)| *handle == endpoint));
    assert_eq!(
        layers(&record),
        [
            FWPS_LAYER_ALE_BIND_REDIRECT_V4,
            FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V4,
            FWPS_LAYER_ALE_CONNECT_REDIRECT_V4,
            FWPS_LAYER_ALE_AUTH_CONNECT_V4,
            FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4,
            FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V4,
            FWPS_LAYER_ALE_RESOURCE_RELEASE_V4,
        ]
    );
}

// E76: a peer that refuses leaves no established flow
#[test]
fn a_refused_handshake_establishes_nothing() {
    let mut bench = Bench::new();
    let established = bench.watch(FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4);
    let spec = ConnectSpec { handshake: Handshake::Refused, ..ConnectSpec::to(addr(REMOTE)) };
    let connect = bench.engine.tcp_connect(&bench.process, spec);
    assert_eq!(connect.outcome(), Outcome::Refused(WSAECONNREFUSED));
    assert_eq!(established.calls(), 0);
}

// E78: learn.microsoft.com "UDP Packet Flows", "ALE Stateful Filtering"
#[test]
fn udp_is_authorized_once_for_each_peer() {
    let mut bench = Bench::new();
    let record = record(&mut bench, &[FWPM_LAYER_ALE_AUTH_CONNECT_V4, FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4]);
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    for remote in [DNS, DNS, DNS, "8.8.8.8:53"] {
        assert_eq!(socket.send(addr(remote)), Sent::Sent);
    }
    let pair = [FWPS_LAYER_ALE_AUTH_CONNECT_V4, FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4];
    assert_eq!(layers(&record), [pair, pair].concat());
}

// E79: ebpf-for-windows, comment on UDP connect
#[test]
fn connecting_udp_only_redirects() {
    let mut bench = Bench::new();
    let record = record(&mut bench, &[FWPM_LAYER_ALE_CONNECT_REDIRECT_V4, FWPM_LAYER_ALE_AUTH_CONNECT_V4]);
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    socket.connect(addr(DNS));
    assert_eq!(layers(&record), [FWPS_LAYER_ALE_CONNECT_REDIRECT_V4]);
    socket.send(addr(DNS));
    assert_eq!(layers(&record), [FWPS_LAYER_ALE_CONNECT_REDIRECT_V4, FWPS_LAYER_ALE_AUTH_CONNECT_V4]);
}

// E80: learn.microsoft.com "WFP Layer Requirements and Restrictions"
#[test]
fn only_protocols_without_a_handshake_are_authorized_with_a_packet() {
    let mut bench = Bench::new();
    let fake = bench.watch(CONNECT_V4);
    bench.connect();
    bench.engine.udp_open(&bench.process, addr(UNBOUND)).send(addr(DNS));
    let seen = fake.seen();
    assert_eq!(seen.iter().map(|seen| seen.has_packet).collect::<Vec<_>>(), [false, true]);
    assert!(seen[1].has(FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE));
}

// E81: learn.microsoft.com "ALE Stateful Filtering"
#[test]
fn an_idle_udp_flow_is_over_after_a_minute() {
    let mut bench = Bench::new();
    let fake = bench.watch(CONNECT_V4);
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    socket.send(addr(DNS));
    associate(fake.seen()[0].flow, FWPS_LAYER_ALE_AUTH_CONNECT_V4, fake.id, 9);
    bench.host.advance_ms(59_000);
    socket.send(addr(DNS));
    assert_eq!(fake.calls(), 1);
    bench.host.advance_ms(61_000);
    socket.send(addr(DNS));
    let seen = fake.seen();
    assert_eq!(seen.len(), 2);
    assert!(!seen[1].is_reauthorization() && seen[1].flow != seen[0].flow);
    assert_eq!(fake.flow_deletes(), [9]);
}

// E83: learn.microsoft.com "ALE Stateful Filtering"
#[test]
fn icmp_flows_are_told_apart_by_their_id() {
    let mut bench = Bench::new();
    let fake = bench.watch(CONNECT_V4);
    let socket = bench.engine.icmp_open(&bench.process, false);
    for id in [1, 1, 2] {
        assert_eq!(socket.echo(addr("9.9.9.9:0"), id), Sent::Sent);
    }
    let seen = fake.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].numbers[FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL], Some(1));
    assert_eq!(seen[0].numbers[FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_PORT], Some(8), "the type of an echo request");
    assert!(seen[0].has(FWPS_METADATA_FIELD_ICMP_ID_AND_SEQUENCE));
}

// E84, the outbound half: learn.microsoft.com "Filtering Condition Flags"
#[test]
fn traffic_to_this_machine_is_flagged() {
    let mut bench = Bench::new();
    let v4 = bench.watch(CONNECT_V4);
    let v6 = bench.watch(CONNECT_V6);
    for remote in ["127.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "[::1]:80", "[fd00::3]:80"] {
        bench.connect_to(remote);
    }
    let is_loopback = |fake: &Fake| {
        let flags = fake.seen().into_iter().map(|seen| seen.flags() & u64::from(FWP_CONDITION_FLAG_IS_LOOPBACK) != 0);
        flags.collect::<Vec<_>>()
    };
    assert_eq!(is_loopback(&v4), [true, true, false]);
    assert_eq!(is_loopback(&v6), [true, false]);
}

// E85: learn.microsoft.com "Filtering Condition Flags"
#[test]
fn an_unbound_socket_gets_a_port_and_no_address_yet() {
    let mut bench = Bench::new();
    let fake = bench.watch(FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4);
    bench.connect();
    bench.engine.tcp_connect(&bench.process, ConnectSpec::to(addr(REMOTE)).from(addr("10.0.0.2:5000")));
    let seen = fake.seen();
    let wildcard = u64::from(FWP_CONDITION_FLAG_IS_WILDCARD_BIND);
    assert_eq!(seen.iter().map(|seen| seen.flags() & wildcard != 0).collect::<Vec<_>>(), [true, false]);
    assert_eq!(seen[0].types[FWPS_FIELD_ALE_RESOURCE_ASSIGNMENT_IP_LOCAL_ADDRESS], FWP_EMPTY);
    assert_ne!(seen[0].numbers[FWPS_FIELD_ALE_RESOURCE_ASSIGNMENT_IP_LOCAL_PORT], Some(0));
    assert_eq!(seen[1].numbers[FWPS_FIELD_ALE_RESOURCE_ASSIGNMENT_IP_LOCAL_ADDRESS], Some(0x0A00_0002));
    assert_eq!(seen[1].numbers[FWPS_FIELD_ALE_RESOURCE_ASSIGNMENT_IP_LOCAL_PORT], Some(5000));
}

// E86: learn.microsoft.com "Metadata Fields at Each Filtering Layer", "Filtering Condition Flags"
#[test]
fn a_first_authorization_says_so() {
    let mut bench = Bench::new();
    let fake = bench.watch(CONNECT_V4);
    bench.connect_to("1.2.3.4:443");
    let seen = &fake.seen()[0];
    assert!(!seen.is_reauthorization());
    assert_eq!(seen.reason(), 0);
    assert!(!seen.has(FWPS_METADATA_FIELD_PACKET_DIRECTION));
    assert!(seen.has(FWPS_METADATA_FIELD_COMPLETION_HANDLE | FWPS_METADATA_FIELD_PROCESS_PATH));
    assert_eq!(seen.pid, u64::from(bench.process.pid()));
    assert_eq!(seen.numbers[FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_ADDRESS], Some(0x0102_0304), "in host order");
    assert_eq!(seen.numbers[FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_PORT], Some(443));
    assert_eq!(seen.types[FWPS_FIELD_ALE_AUTH_CONNECT_ARRIVAL_INTERFACE_INDEX], FWP_EMPTY);
}

// E87: ebpf-for-windows, comment on dual-stack sockets
#[test]
fn a_mapped_address_is_redirected_as_ipv6_and_authorized_as_ipv4() {
    let mut bench = Bench::new();
    let all = [
        FWPM_LAYER_ALE_CONNECT_REDIRECT_V4,
        FWPM_LAYER_ALE_CONNECT_REDIRECT_V6,
        FWPM_LAYER_ALE_AUTH_CONNECT_V4,
        FWPM_LAYER_ALE_AUTH_CONNECT_V6,
    ];
    let record = record(&mut bench, &all);
    bench.connect_to("[::ffff:9.9.9.9]:443");
    assert_eq!(layers(&record), [FWPS_LAYER_ALE_CONNECT_REDIRECT_V6, FWPS_LAYER_ALE_AUTH_CONNECT_V4]);
}

// E88, the part of bind and connect: ebpf-for-windows socket_tests; learn.microsoft.com "Windows Sockets Error Codes"
#[test]
fn what_is_blocked_is_forbidden() {
    for layer in [FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4, CONNECT_V4] {
        let bench = Bench::new();
        bench.session.add(&filter(layer).block()).unwrap();
        assert_eq!(bench.connect().outcome(), Outcome::Refused(WSAEACCES));
        let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
        assert_eq!(socket.send(addr(DNS)), Sent::Refused(WSAEACCES));
    }
}

// E89: learn.microsoft.com "ALE Endpoint Lifetime Management"
#[test]
fn a_udp_socket_is_reported_closed_once_whatever_its_peers() {
    let mut bench = Bench::new();
    let closure = bench.watch(FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4);
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    for peer in 1..=5 {
        socket.send(addr(&format!("9.9.9.{peer}:53")));
    }
    socket.close();
    assert_eq!(closure.seen().iter().map(|seen| seen.endpoint).collect::<Vec<_>>(), [socket.endpoint()]);
    assert!(bench.engine.flows().is_empty());
}

// E89: a blocked connect was authorized too
#[test]
fn a_blocked_connect_is_reported_closed_and_an_unbound_one_is_not() {
    let mut bench = Bench::new();
    let closure = bench.watch(FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4);
    let block = bench.session.add(&filter(CONNECT_V4).block()).unwrap();
    bench.connect().close();
    assert_eq!(closure.calls(), 1);
    bench.session.delete(block).unwrap();
    bench.session.add(&filter(FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4).block()).unwrap();
    bench.connect().close();
    assert_eq!(closure.calls(), 1);
}

// learn.microsoft.com "Metadata Fields at Each Filtering Layer": the system process has no path
#[test]
fn the_system_process_has_no_path() {
    let mut bench = Bench::new();
    let fake = bench.watch(CONNECT_V4);
    let system = bench.engine.process(ProcessSpec::system());
    bench.engine.tcp_connect(&system, ConnectSpec::to(addr(REMOTE)));
    assert_eq!(fake.seen()[0].pid, 4);
    assert!(!fake.seen()[0].has(FWPS_METADATA_FIELD_PROCESS_PATH));
}

// Field counts of Windows 7, 10, 10 1703 and 10 1809, from the NTDDI guards of the header
#[test]
fn older_systems_have_fewer_values() {
    for value_count in [32, 36, 37, 41] {
        let mut bench = Bench::with(Config { value_count, ..Config::default() });
        let fake = bench.watch(CONNECT_V6);
        bench.connect_to("[2001:db8::1]:443");
        assert_eq!(fake.seen()[0].value_count, value_count as usize);
    }
}

// V-CLS-09: what is not there holds poison
#[test]
fn what_is_not_provided_is_poison() {
    let mut bench = Bench::new();
    let fake = bench.watch(CONNECT_V4);
    let spec = ConnectSpec {
        omit_metadata: FWPS_METADATA_FIELD_PROCESS_ID,
        empty_fields: 1 << FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL,
        ..ConnectSpec::to(addr(REMOTE))
    };
    bench.engine.tcp_connect(&bench.process, spec);
    let seen = &fake.seen()[0];
    assert!(!seen.has(FWPS_METADATA_FIELD_PROCESS_ID));
    assert_eq!(seen.pid, 0xCCCC_CCCC_CCCC_CCCC);
    assert_eq!(seen.types[FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL], FWP_EMPTY);
}

// V-CLS-10: pointers of a classify die with it
#[cfg(not(miri))]
#[test]
fn what_a_classify_was_lent_is_poison_afterwards() {
    let mut bench = Bench::new();
    let kept = Arc::new(Mutex::new(0_usize));
    let keep = Arc::clone(&kept);
    bench.callout_at(1, CONNECT_V4, move |call| {
        *keep.lock().unwrap() = call.metadata.expose_provenance();
        call.permit();
    });
    bench.connect();
    let stale: *const u64 = std::ptr::with_exposed_provenance(*kept.lock().unwrap());
    assert_eq!(read(stale), 0xCCCC_CCCC_CCCC_CCCC);
}

/// Reads memory that a driver should not read any more; the engine keeps it for a while to make that visible.
#[cfg(not(miri))]
#[expect(unsafe_code, reason = "reads through a stale pointer, on purpose")]
fn read(stale: *const u64) -> u64 {
    // SAFETY: the latest arenas stay allocated, and this was the last.
    unsafe { stale.read() }
}

// learn.microsoft.com "FWPS_CALLOUT_CLASSIFY_FN0": callouts run at or below DISPATCH_LEVEL, and do not choose
#[test]
fn callouts_run_at_either_level() {
    for (classify_irql, expected) in
        [(ClassifyIrql::Passive, vec![0]), (ClassifyIrql::Dispatch, vec![2]), (ClassifyIrql::Seeded, vec![0, 2])]
    {
        let mut bench = Bench::with(Config { classify_irql, ..Config::default() });
        let levels = Arc::new(Mutex::new(Vec::new()));
        let (seen, host) = (Arc::clone(&levels), Arc::clone(&bench.host));
        bench.callout_at(1, CONNECT_V4, move |call| {
            seen.lock().unwrap().push(host.irql());
            call.permit();
        });
        for _ in 0..20 {
            bench.connect();
        }
        let mut levels = levels.lock().unwrap().clone();
        levels.sort_unstable();
        levels.dedup();
        assert_eq!(levels, expected);
        assert_eq!(bench.host.irql(), 0);
    }
}

// V-CLS-07: learn.microsoft.com "Callout Driver Programming Considerations"
#[test]
fn blocking_an_established_flow_kills_it_and_is_noted() {
    let mut bench = Bench::new();
    bench.callout_at(1, FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4, |call| call.block());
    assert_eq!(bench.connect().outcome(), Outcome::Refused(wfp_sim::WSAECONNABORTED));
    assert!(bench.engine.warnings().iter().any(|warning| warning.rule == "V-CLS-07"));
}
