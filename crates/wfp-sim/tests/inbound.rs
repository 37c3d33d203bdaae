//! Listeners, and what comes to them.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::types::GUID;
use std::sync::{Arc, Mutex};
use wfp_sim::{
    AcceptEndpoint, Config, ConnectSpec, Direction, Knobs, Outcome, PacketFate, ProcessSpec, SynFate, SynRetransmit,
    WSAEACCES, WSAETIMEDOUT,
};

const PEER: &str = "198.51.100.7:40000";
const WEB: &str = "0.0.0.0:80";
const POLICY_CHANGE: u32 = FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE;

const SERVER_LAYERS: [GUID; 7] = [
    FWPM_LAYER_ALE_BIND_REDIRECT_V4,
    FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4,
    FWPM_LAYER_ALE_AUTH_LISTEN_V4,
    ACCEPT_V4,
    FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4,
    CLOSURE_V4,
    FWPM_LAYER_ALE_RESOURCE_RELEASE_V4,
];

fn with(knobs: Knobs) -> Bench {
    Bench::with_knobs(knobs)
}

/// Contexts that a callout has pended, oldest first.
type Held = Arc<Mutex<Vec<Context>>>;

fn hold_all(bench: &mut Bench, layer: GUID) -> (Held, Arc<Fake>) {
    let held = Held::default();
    let keep = Arc::clone(&held);
    let fake = bench.callout_at(100, layer, move |call| {
        let context = call.pend();
        keep.lock().unwrap().push(context);
    });
    (held, fake)
}

// E77: learn.microsoft.com "TCP Packet Flows"
// E89: learn.microsoft.com "ALE Endpoint Lifetime Management"
#[test]
fn a_server_passes_its_layers_in_order() {
    let mut bench = Bench::new();
    let record = Arc::new(Mutex::new(Vec::new()));
    for layer in SERVER_LAYERS {
        let into = Arc::clone(&record);
        let fake = bench.callout(layer, move |call| {
            into.lock().unwrap().push((call.seen.layer, call.seen.endpoint, call.seen.parent()));
        });
        bench.session.add(&filter(layer).inspection(fake.key)).unwrap();
    }
    let listener = bench.listen(WEB);
    let accept = listener.syn_from(addr(PEER));
    assert_eq!((accept.fate(), listener.accepted()), (SynFate::Established, vec![addr(PEER)]));
    let connection = listener.accept().unwrap();
    let (parent, child) = (listener.endpoint(), connection.endpoint());
    connection.close();
    assert_eq!(accept.fate(), SynFate::Closed);
    listener.close();
    assert_eq!(
        *record.lock().unwrap(),
        [
            (FWPS_LAYER_ALE_BIND_REDIRECT_V4, parent, None),
            (FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V4, parent, None),
            (FWPS_LAYER_ALE_AUTH_LISTEN_V4, parent, None),
            (FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4, child, Some(parent)),
            (FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4, child, Some(parent)),
            (FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V4, child, Some(parent)),
            (FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V4, parent, None),
            (FWPS_LAYER_ALE_RESOURCE_RELEASE_V4, parent, None),
        ]
    );
}

// E77: learn.microsoft.com "Metadata Fields at Each Filtering Layer", "Data Offset Positions", FWPS_FIELDS_ALE_AUTH_RECV_ACCEPT
#[test]
fn a_syn_is_indicated_with_its_headers_and_where_it_arrived() {
    for (layer, local, peer, ip_header) in
        [(ACCEPT_V4, WEB, PEER, 20..=24), (ACCEPT_V6, "[::]:80", "[2001:db8::7]:40000", 40..=48)]
    {
        let mut bench = Bench::new();
        let fake = bench.watch(layer);
        let listener = bench.listen(local);
        listener.syn_from(addr(peer));
        let seen = &fake.seen()[0];
        assert!(seen.has_packet && !seen.is_reauthorization());
        assert_eq!((seen.pid, seen.value_count), (u64::from(SERVER), FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_MAX));
        let metadata = FWPS_METADATA_FIELD_FLOW_HANDLE
            | FWPS_METADATA_FIELD_IP_HEADER_SIZE
            | FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE
            | FWPS_METADATA_FIELD_COMPARTMENT_ID
            | FWPS_METADATA_FIELD_COMPLETION_HANDLE
            | FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE
            | FWPS_METADATA_FIELD_PROCESS_PATH;
        assert!(seen.has(metadata) && !seen.has(FWPS_METADATA_FIELD_PACKET_DIRECTION));
        assert!(ip_header.contains(&seen.ip_header) && seen.transport_header == 24);
        let number = |at: usize| seen.numbers[at];
        assert_eq!(number(FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_LOCAL_PORT), Some(80));
        assert_eq!(number(FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_REMOTE_PORT), Some(40000));
        assert_eq!(number(FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_PROTOCOL), Some(6));
        assert!(number(FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_ARRIVAL_INTERFACE_INDEX).is_some());
        assert_ne!(number(FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_SUB_INTERFACE_INDEX), Some(0));
    }
}

// NTDDI guards of the header
#[test]
fn older_systems_have_fewer_values() {
    for (value_count, expected) in [(32, 32), (36, 35), (37, 35), (41, 39)] {
        let mut bench = Bench::with(Config { value_count, ..Config::default() });
        let fake = bench.watch(ACCEPT_V4);
        bench.listen(WEB).syn_from(addr(PEER));
        assert_eq!(fake.seen()[0].value_count, expected);
    }
}

// learn.microsoft.com "Metadata Fields at Each Filtering Layer": the tag of the service that a host process runs
#[test]
fn a_service_host_has_a_tag() {
    let mut bench = Bench::new();
    let fake = bench.watch(ACCEPT_V4);
    let host = ProcessSpec { service_tag: Some(77), ..ProcessSpec::new(9, r"\Device\svchost.exe") };
    let process = bench.engine.process(host);
    let listener = bench.engine.tcp_listen(&process, addr(WEB));
    listener.syn_from(addr(PEER));
    bench.listen("0.0.0.0:81").syn_from(addr(PEER));
    let has_tag = fake.seen().iter().map(|seen| seen.has(FWPS_METADATA_FIELD_SUB_PROCESS_TAG)).collect::<Vec<_>>();
    assert_eq!(has_tag, [true, false]);
}

// E88, the part of listen: ebpf-for-windows socket_tests
#[test]
fn a_blocked_listener_is_forbidden() {
    for layer in [FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4, FWPM_LAYER_ALE_AUTH_LISTEN_V4] {
        let mut bench = Bench::new();
        let closure = bench.watch(CLOSURE_V4);
        let fake = bench.watch(ACCEPT_V4);
        bench.session.add(&filter(layer).block()).unwrap();
        let listener = bench.listen(WEB);
        assert_eq!(listener.error(), Some(WSAEACCES));
        assert_eq!(listener.syn_from(addr(PEER)).fate(), SynFate::Dropped);
        assert_eq!(fake.calls(), 0);
        listener.close();
        assert_eq!(closure.calls(), usize::from(layer == FWPM_LAYER_ALE_AUTH_LISTEN_V4));
    }
}

// learn.microsoft.com "TCP Packet Flows": what is blocked is discarded, and its peer hears nothing
#[test]
fn a_blocked_syn_gets_no_answer() {
    each_knob(|mut bench| {
        let discarded = bench.watch(FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4_DISCARD);
        let established = bench.watch(FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4);
        let block = bench.session.add(&filter(ACCEPT_V4).block()).unwrap();
        let listener = bench.listen(WEB);
        let accept = listener.syn_from(addr(PEER));
        assert_eq!((accept.fate(), established.calls(), discarded.calls()), (SynFate::Dropped, 0, 1));
        assert_eq!(discarded.seen()[0].discard_filter, block);
        assert!(bench.engine.flows().is_empty() && listener.accepted().is_empty());
        bench.session.delete(block).unwrap();
        accept.retransmit();
        assert_eq!(accept.fate(), SynFate::Established);
    });
}

// learn.microsoft.com "Windows Sockets 2", listen: a full queue
#[test]
fn a_full_listener_answers_nobody() {
    let mut bench = Bench::new();
    let fake = bench.watch(ACCEPT_V4);
    let listener = bench.listen(WEB);
    listener.set_backlog(1);
    let first = listener.syn_from(addr(PEER));
    let second = listener.syn_from(addr("198.51.100.8:40000"));
    assert_eq!((first.fate(), second.fate(), fake.calls()), (SynFate::Established, SynFate::Dropped, 1));
    let _connection = listener.accept().unwrap();
    second.retransmit();
    assert_eq!(second.fate(), SynFate::Established);
}

// E108: learn.microsoft.com "FwpsCompleteOperation0", "Processing Classify Callouts Asynchronously"
#[test]
fn a_completed_syn_that_is_not_injected_is_lost() {
    each_knob(|mut bench| {
        let (held, fake) = hold_all(&mut bench, ACCEPT_V4);
        let listener = bench.listen(WEB);
        let accept = listener.syn_from(addr(PEER));
        assert_eq!(accept.fate(), SynFate::Held);
        assert_eq!(bench.engine.snapshot().listeners[0].held, 1);
        held.lock().unwrap().remove(0).complete();
        bench.host.run_deferred();
        assert_eq!((accept.fate(), fake.calls()), (SynFate::Dropped, 1), "and nothing is authorized again");
        accept.retransmit();
        assert_eq!((accept.fate(), fake.calls()), (SynFate::Held, 2), "the peer tries once more");
        held.lock().unwrap().remove(0).complete();
        bench.host.run_deferred();
        assert_eq!(bench.engine.snapshot().flows, 0);
    });
}

/// A SYN as its callout keeps it: how to complete it, and the packet from its IP header on.
type KeptSyn = Arc<Mutex<Vec<(Context, Vec<u8>)>>>;

/// Holds and copies every SYN at `layer`, and permits what `injector` injected.
fn keep_syns(bench: &mut Bench, layer: GUID, injector: &Injector) -> (KeptSyn, Arc<Fake>) {
    let kept = KeptSyn::default();
    let (keep, own) = (Arc::clone(&kept), injector.clone());
    let fake = bench.callout_at(100, layer, move |call| {
        let list = List::lent(call.layer_data);
        if own.is_mine(list) {
            return call.permit();
        }
        let headers = call.seen.ip_header + call.seen.transport_header;
        list.retreat(headers).unwrap();
        let packet = list.read().remove(0);
        list.advance(headers);
        keep.lock().unwrap().push((call.pend(), packet));
    });
    (kept, fake)
}

// E108: learn.microsoft.com "Processing Classify Callouts Asynchronously"; WFP samples, inspect
#[test]
fn a_syn_that_is_injected_again_is_a_new_one_and_goes_on() {
    for (layer, local, peer, family) in
        [(ACCEPT_V4, WEB, PEER, AF_INET), (ACCEPT_V6, "[::]:80", "[2001:db8::7]:40000", AF_INET6)]
    {
        each_knob(|mut bench| {
            let (injector, pool) = (Injector::new(family), Pool::new());
            let (kept, fake) = keep_syns(&mut bench, layer, &injector);
            let listener = bench.listen(local);
            let accept = listener.syn_from(addr(peer));
            assert_eq!(accept.fate(), SynFate::Held);
            let (context, packet) = kept.lock().unwrap().remove(0);
            context.complete();
            assert!(injector.receive(pool.make(&packet).unwrap()).is_ok());
            bench.host.run_deferred();
            assert_eq!((accept.fate(), listener.accepted()), (SynFate::Established, vec![addr(peer)]));
            let seen = fake.seen();
            assert_eq!((seen.len(), injector.completed().as_slice()), (2, &[0][..]));
            assert!(seen.iter().all(|one| !one.is_reauthorization()), "it is not authorized again, but another");
            assert_ne!(seen[0].flow, seen[1].flow);
            injector.destroy();
            bench.host.run_deferred();
            assert_eq!(bench.engine.outstanding_packets(), 0);
            pool.free();
        });
    }
}

// The same for the accepting half of loopback, where injection is accepted at all (O10).
#[test]
fn the_client_of_a_held_accept_is_connected_when_its_syn_goes_on() {
    let mut bench = Bench::new();
    let (injector, pool) = (Injector::new(AF_INET), Pool::new());
    let (kept, _) = keep_syns(&mut bench, ACCEPT_V4, &injector);
    let listener = bench.listen(WEB);
    let connect = bench.connect_to("127.0.0.1:80");
    assert_eq!(connect.outcome(), Outcome::Pending);
    let (context, packet) = kept.lock().unwrap().remove(0);
    context.complete();
    assert!(injector.receive(pool.make(&packet).unwrap()).is_ok());
    assert_eq!((connect.outcome(), listener.accepted()), (Outcome::Connected, vec![connect.local()]));
    injector.destroy();
    pool.free();
}

// E98 for RECV_ACCEPT: completed before the classify has returned
#[test]
fn a_classify_may_complete_the_syn_that_it_has_just_pended() {
    each_knob(|mut bench| {
        let fake = bench.callout_at(1, ACCEPT_V4, |call| call.pend().complete());
        let listener = bench.listen(WEB);
        let accept = listener.syn_from(addr(PEER));
        bench.host.run_deferred();
        assert_eq!((accept.fate(), fake.calls()), (SynFate::Dropped, 1));
    });
}

// O8: no page says whether a retransmitted SYN is indicated while the first is held
#[test]
fn a_syn_that_is_sent_again_is_indicated_or_not() {
    for (syn_retransmit, calls) in [(SynRetransmit::Indicated, 3), (SynRetransmit::Absorbed, 1)] {
        let mut bench = with(Knobs { syn_retransmit, ..Knobs::default() });
        let first = Mutex::new(None);
        let held = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&held);
        let fake = bench.callout_at(1, ACCEPT_V4, move |call| {
            let mut first = first.lock().unwrap();
            if first.is_none() {
                *first = Some(());
                *keep.lock().unwrap() = Some(call.pend());
            } else {
                call.absorb();
            }
        });
        let listener = bench.listen(WEB);
        let accept = listener.syn_from(addr(PEER));
        accept.retransmit();
        accept.retransmit();
        assert_eq!((accept.fate(), fake.calls()), (SynFate::Held, calls));
        let seen = fake.seen();
        let five_tuple =
            FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_LOCAL_ADDRESS..=FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_REMOTE_PORT;
        assert!(seen.iter().all(|one| one.numbers[five_tuple.clone()] == seen[0].numbers[five_tuple.clone()]));
        assert!(seen.iter().all(|one| one.parent() == seen[0].parent() && !one.is_reauthorization()));
        held.lock().unwrap().take().unwrap().complete();
    }
}

// O9: no page says which endpoint a SYN is authorized for
#[test]
fn a_syn_is_authorized_for_its_own_endpoint_or_the_listener() {
    for accept_endpoint in [AcceptEndpoint::Child, AcceptEndpoint::Listener] {
        let mut bench = with(Knobs { accept_endpoint, ..Knobs::default() });
        let fake = bench.watch(ACCEPT_V4);
        let established = bench.watch(FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4);
        let listener = bench.listen(WEB);
        listener.syn_from(addr(PEER));
        let connection = listener.accept().unwrap();
        let (parent, child) = (listener.endpoint(), connection.endpoint());
        let seen = &fake.seen()[0];
        let expected = if accept_endpoint == AcceptEndpoint::Child { (child, Some(parent)) } else { (parent, None) };
        assert_eq!((seen.endpoint, seen.parent()), expected);
        let seen = &established.seen()[0];
        assert_eq!((seen.endpoint, seen.parent()), (child, Some(parent)));
        let direction = seen.numbers[FWPS_FIELD_ALE_FLOW_ESTABLISHED_DIRECTION];
        assert_eq!(direction, Some(u64::from(FWP_DIRECTION_INBOUND)));
    }
}

// E84: learn.microsoft.com "Filtering Condition Flags"
#[test]
fn loopback_is_authorized_at_both_ends() {
    for (address, client_layer, server_layer, established) in [
        ("127.0.0.1:80", CONNECT_V4, ACCEPT_V4, FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4),
        ("10.0.0.2:80", CONNECT_V4, ACCEPT_V4, FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4),
        ("[::1]:80", CONNECT_V6, ACCEPT_V6, FWPM_LAYER_ALE_FLOW_ESTABLISHED_V6),
    ] {
        let mut bench = Bench::new();
        let (client, server) = (bench.watch(client_layer), bench.watch(server_layer));
        let established = bench.watch(established);
        let listener = bench.listen(if address.starts_with('[') { "[::]:80" } else { WEB });
        let connect = bench.connect_to(address);
        assert_eq!(connect.outcome(), Outcome::Connected);
        let connection = listener.accept().unwrap();
        assert_eq!(connection.peer(), connect.local());
        let (client, server) = (client.seen().remove(0), server.seen().remove(0));
        for seen in [&client, &server] {
            assert_ne!(seen.flags() & u64::from(FWP_CONDITION_FLAG_IS_LOOPBACK), 0);
        }
        assert!(client.pid != server.pid && client.endpoint != server.endpoint && client.flow != server.flow);
        let established: Vec<u64> = established.seen().iter().map(|seen| seen.flow).collect();
        assert_eq!(established, [client.flow, server.flow]);
    }
}

// E84: each end is decided for itself
#[test]
fn a_permit_at_one_end_of_loopback_does_not_exempt_the_other() {
    let mut bench = Bench::new();
    let established = bench.watch(FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4);
    let block = bench.session.add(&filter(ACCEPT_V4).block()).unwrap();
    let listener = bench.listen(WEB);
    let connect = bench.connect_to("127.0.0.1:80");
    assert_eq!((connect.outcome(), established.calls()), (Outcome::Pending, 0), "nobody answers");
    bench.session.delete(block).unwrap();
    connect.retransmit();
    assert_eq!((connect.outcome(), established.calls()), (Outcome::Connected, 2));
    assert_eq!(listener.accepted(), [connect.local()]);

    bench.session.add(&filter(CONNECT_V4).block()).unwrap();
    assert_eq!(bench.connect_to("127.0.0.1:80").outcome(), Outcome::Refused(WSAEACCES));
    assert_eq!(listener.accepted().len(), 1);
}

// Windows sends three SYNs, and gives up after 21 seconds
#[test]
fn a_connect_that_nobody_answers_times_out() {
    let mut bench = Bench::new();
    let (held, _) = hold_all(&mut bench, ACCEPT_V4);
    let _listener = bench.listen(WEB);
    let connect = bench.connect_to("127.0.0.1:80");
    bench.host.advance_ms(21_000);
    connect.retransmit();
    assert_eq!(connect.outcome(), Outcome::Refused(WSAETIMEDOUT));
    held.lock().unwrap().remove(0).complete();
}

// A held half of loopback outlives the other half, under every knob.
#[test]
fn the_client_of_a_held_accept_may_close() {
    each_knob(|mut bench| {
        let (held, _) = hold_all(&mut bench, ACCEPT_V4);
        let listener = bench.listen(WEB);
        let connect = bench.connect_to("127.0.0.1:80");
        connect.close();
        held.lock().unwrap().remove(0).complete();
        bench.host.run_deferred();
        assert_eq!((connect.outcome(), listener.accepted().len()), (Outcome::Closed, 0));
        assert_eq!(bench.engine.snapshot().flows, 0);
    });
}

/// A callout that permits first and answers later authorizations as told, and a connection that it permitted.
fn live(bench: &mut Bench, again: Answer) -> (wfp_sim::Accept, wfp_sim::Listener, Arc<Fake>) {
    let fake = bench.callout_at(
        100,
        ACCEPT_V4,
        move |call| if call.is_reauthorization() { again(call) } else { call.permit() },
    );
    let listener = bench.listen(WEB);
    (listener.syn_from(addr(PEER)), listener, fake)
}

// E102, E103 at RECV_ACCEPT: learn.microsoft.com "ALE Reauthorization": where the flow was authorized, either direction
#[test]
fn the_first_packet_after_a_change_of_policy_is_authorized_where_the_flow_was() {
    for (direction, expected) in
        [(Direction::Outbound, FWP_DIRECTION_OUTBOUND), (Direction::Inbound, FWP_DIRECTION_INBOUND)]
    {
        let mut bench = Bench::new();
        let connects = bench.watch(CONNECT_V4);
        let (accept, _listener, fake) = live(&mut bench, |call| call.permit());
        bench.session.add(&filter(ACCEPT_V4)).unwrap();
        for _ in 0..2 {
            assert_eq!(accept.flow().unwrap().packet(direction), PacketFate::Passed);
        }
        let seen = fake.seen();
        assert_eq!((seen.len(), connects.calls()), (2, 0), "once for each change");
        assert_eq!((seen[1].reason(), seen[1].direction), (POLICY_CHANGE, expected));
        assert!(seen[1].is_reauthorization() && seen[1].has_packet && seen[1].flow == seen[0].flow);
        let arrival = seen[1].types[FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_ARRIVAL_INTERFACE_INDEX];
        assert_eq!(arrival == FWP_EMPTY, direction == Direction::Outbound);
        assert_eq!(seen[1].has(FWPS_METADATA_FIELD_IP_HEADER_SIZE), direction == Direction::Inbound);
        let remote = FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_REMOTE_ADDRESS;
        assert_eq!(seen[1].numbers[remote], seen[0].numbers[remote], "addresses are of the flow, not of the packet");
    }
}

// E104 at RECV_ACCEPT: learn.microsoft.com "TCP Packet Flows"
#[test]
fn a_blocked_reauthorization_resets_the_connection() {
    let mut bench = Bench::new();
    let discarded = bench.watch(FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4_DISCARD);
    let (accept, listener, _) = live(&mut bench, |call| call.block());
    let connection = listener.accept().unwrap();
    bench.session.add(&filter(ACCEPT_V4)).unwrap();
    assert_eq!(connection.flow().packet(Direction::Inbound), PacketFate::Dropped);
    assert_eq!((accept.fate(), discarded.calls()), (SynFate::Reset, 1));
    assert!(!connection.flow().is_live());
}

// E105, E106 at RECV_ACCEPT
#[test]
fn only_a_change_at_its_layer_has_a_flow_authorized_again() {
    let mut bench = Bench::new();
    let (accept, _listener, fake) = live(&mut bench, |call| call.permit());
    bench.session.add(&filter(CONNECT_V4).block()).unwrap();
    assert_eq!(accept.flow().unwrap().packet(Direction::Inbound), PacketFate::Passed);
    assert_eq!(fake.calls(), 1);
    bench.session.add(&filter(ACCEPT_V4).action(FWP_ACTION_CONTINUE)).unwrap();
    assert_eq!(accept.flow().unwrap().packet(Direction::Inbound), PacketFate::Passed);
    assert_eq!(fake.calls(), 2);
}

// E95 at RECV_ACCEPT: learn.microsoft.com "FwpsPendOperation0"
#[test]
fn a_live_connection_cannot_be_pended() {
    let mut bench = Bench::new();
    let (accept, _listener, _) = live(&mut bench, |call| {
        assert_eq!(call.pend_only(), Err(nt_sys::status::STATUS_FWP_CANNOT_PEND));
        call.permit();
    });
    bench.session.add(&filter(ACCEPT_V4)).unwrap();
    assert_eq!(accept.flow().unwrap().packet(Direction::Inbound), PacketFate::Passed);
}

// E91 for accepted connections: learn.microsoft.com "Processing Flow Delete Callouts"
#[test]
fn a_connection_gives_its_contexts_back_once() {
    let mut bench = Bench::new();
    let fake = bench.watch(FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4);
    let listener = bench.listen(WEB);
    let accept = listener.syn_from(addr(PEER));
    associate(accept.flow().unwrap().id(), FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4, fake.id, 7);
    listener.accept().unwrap().close();
    listener.close();
    assert_eq!(fake.flow_deletes(), [7]);
}

// The restart of the base filtering engine concerns neither what is held nor what lives.
#[test]
fn held_operations_survive_a_restart_of_the_engine() {
    each_knob(|mut bench| {
        let (accepts, _) = hold_all(&mut bench, ACCEPT_V4);
        let connects = Held::default();
        let keep = Arc::clone(&connects);
        bench.callout_at(101, CONNECT_V4, move |call| {
            if call.is_reauthorization() { call.permit() } else { keep.lock().unwrap().push(call.pend()) }
        });
        let listener = bench.listen(WEB);
        let accept = listener.syn_from(addr(PEER));
        let connect = bench.engine.tcp_connect(&bench.process, ConnectSpec::to(addr(REMOTE)));
        bench.engine.bfe_stop();
        bench.engine.bfe_start();
        assert_eq!((accept.fate(), connect.outcome()), (SynFate::Held, Outcome::Pending));
        for held in [&accepts, &connects] {
            let contexts = std::mem::take(&mut *held.lock().unwrap());
            contexts.into_iter().for_each(Context::complete);
        }
        bench.host.run_deferred();
        assert_eq!((accept.fate(), connect.outcome()), (SynFate::Dropped, Outcome::Connected));
        accept.retransmit();
        assert_eq!(accept.fate(), SynFate::Established, "the filters went with their session");
    });
}

// E45 to E55 at RECV_ACCEPT: learn.microsoft.com "Filter Arbitration": the same table as for what goes out
#[test]
fn sublayers_arbitrate_about_syns_too() {
    let permit: Answer = |call| call.permit();
    let permit_hard: Answer = |call| call.permit_hard();
    let block: Answer = |call| {
        if call.seen.has_right || call.seen.action == FWP_ACTION_PERMIT {
            call.block();
        }
    };
    let block_soft: Answer = |call| call.block_soft();
    let permit_if_may: Answer = |call| {
        if call.seen.has_right {
            call.permit();
        }
    };
    for (heavier, lighter, fate) in [
        (permit, permit_if_may, SynFate::Established),
        (permit, block, SynFate::Dropped),
        (permit_hard, permit_if_may, SynFate::Established),
        (permit_hard, block, SynFate::Dropped),
        (block_soft, permit_if_may, SynFate::Established),
        (block, permit_if_may, SynFate::Dropped),
    ] {
        each_knob(|mut bench| {
            bench.callout_at(200, ACCEPT_V4, heavier);
            bench.callout_at(100, ACCEPT_V4, lighter);
            let listener = bench.listen(WEB);
            assert_eq!(listener.syn_from(addr(PEER)).fate(), fate);
        });
    }
    // A filter's block does not veto what is permitted for good.
    let mut bench = Bench::new();
    bench.callout_at(200, ACCEPT_V4, permit_hard);
    let light = bench.session.add_sublayer(100).unwrap();
    bench.session.add(&filter(ACCEPT_V4).at(light).block()).unwrap();
    let listener = bench.listen(WEB);
    assert_eq!(listener.syn_from(addr(PEER)).fate(), SynFate::Established);
}

// R28: whoever holds a SYN has taken the right from those after it
#[test]
fn a_syn_that_one_product_holds_is_nobody_elses_to_hold() {
    let mut bench = Bench::new();
    let (held, _) = hold_all(&mut bench, ACCEPT_V4);
    let lighter = bench.callout_at(1, ACCEPT_V4, |_| {});
    let listener = bench.listen(WEB);
    let accept = listener.syn_from(addr(PEER));
    assert_eq!((accept.fate(), lighter.seen()[0].has_right), (SynFate::Held, false));
    held.lock().unwrap().remove(0).complete();
    assert_eq!(accept.fate(), SynFate::Dropped);
}
