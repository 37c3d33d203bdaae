//! Datagrams: what leaves, what arrives, and which of them are authorized.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use wfp_sim::{Knobs, PacketFate, SecondPacket, Sent, WSAEACCES};

const DNS: &str = "9.9.9.9:53";
const UNBOUND: &str = "0.0.0.0:0";

fn received(list: Vec<(SocketAddr, Vec<u8>)>) -> Vec<Vec<u8>> {
    list.into_iter().map(|(_, payload)| payload).collect()
}

#[test]
fn what_is_sent_leaves_with_its_bytes() {
    let bench = Bench::new();
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    assert_eq!(socket.send_bytes(addr(DNS), b"who is it"), Sent::Sent);
    let wire = bench.engine.wire();
    let [packet] = &wire[..] else { panic!("{wire:?}") };
    assert_eq!((packet.protocol, packet.remote), (17, addr(DNS)));
    assert_eq!(packet.local, socket.local_towards(addr(DNS)));
    assert_eq!(packet.payload, b"who is it");
    assert_eq!(packet.bytes.len(), 20 + 8 + 9);
    assert!(!packet.is_injected);
}

#[test]
fn what_is_blocked_does_not_leave() {
    let mut bench = Bench::new();
    bench.callout_at(100, CONNECT_V4, |call| call.block());
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    assert_eq!(socket.send_bytes(addr(DNS), b"x"), Sent::Refused(WSAEACCES));
    assert_eq!(bench.engine.wire(), []);
}

// E78: learn.microsoft.com "UDP Packet Flows", "ALE Stateful Filtering"
#[test]
fn an_answer_to_an_outbound_flow_is_not_authorized() {
    let mut bench = Bench::new();
    let accept = bench.watch(ACCEPT_V4);
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    socket.send(addr(DNS));
    assert_eq!(socket.deliver(addr(DNS), b"answer"), PacketFate::Passed);
    assert_eq!(accept.calls(), 0);
    assert_eq!(socket.received(), [(addr(DNS), b"answer".to_vec())]);
}

// E78: learn.microsoft.com "UDP Packet Flows", "ALE Stateful Filtering"
#[test]
fn the_first_datagram_of_a_peer_is_authorized_where_it_arrives() {
    let mut bench = Bench::new();
    let (connect, accept) = (bench.watch(CONNECT_V4), bench.watch(ACCEPT_V4));
    let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:5353"));
    assert!(socket.bind());
    for remote in ["198.51.100.1:7", "198.51.100.1:7", "198.51.100.2:7"] {
        assert_eq!(socket.deliver(addr(remote), b"x"), PacketFate::Passed);
    }
    assert_eq!(socket.send(addr("198.51.100.1:7")), Sent::Sent);
    let seen = accept.seen();
    assert_eq!(seen.len(), 2, "one for each peer");
    assert_eq!(connect.calls(), 0, "an answer to an inbound flow is not authorized");
    assert!(seen.iter().all(|seen| !seen.is_reauthorization() && seen.has_packet));
    assert!(seen.iter().all(|seen| seen.has(FWPS_METADATA_FIELD_IP_HEADER_SIZE)));
    assert!(seen.iter().all(|seen| seen.transport_header == 8));
    assert_eq!(socket.received().len(), 3);
}

// E78: learn.microsoft.com "UDP Packet Flows"
#[test]
fn a_datagram_that_is_blocked_where_it_arrives_is_not_received() {
    let mut bench = Bench::new();
    bench.callout_at(100, ACCEPT_V4, |call| call.block());
    let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:5353"));
    assert_eq!(socket.deliver(addr(DNS), b"x"), PacketFate::Dropped);
    assert_eq!(socket.received(), []);
}

// E81: learn.microsoft.com "ALE Stateful Filtering"
#[test]
fn an_idle_inbound_flow_is_over_after_a_minute() {
    let mut bench = Bench::new();
    let accept = bench.watch(ACCEPT_V4);
    let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:5353"));
    socket.deliver(addr(DNS), b"1");
    bench.host.advance_ms(59_000);
    socket.deliver(addr(DNS), b"2");
    assert_eq!(accept.calls(), 1);
    bench.host.advance_ms(60_000);
    socket.deliver(addr(DNS), b"3");
    assert_eq!(accept.calls(), 2);
}

// E82: learn.microsoft.com "ALE Multicast and Broadcast Traffic"
#[test]
fn anybody_may_answer_a_multicast_for_four_seconds() {
    let mut bench = Bench::new();
    let accept = bench.watch(ACCEPT_V4);
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    assert_eq!(socket.send_bytes(addr("239.255.255.250:1900"), b"search"), Sent::Sent);
    bench.host.advance_ms(3_999);
    assert_eq!(socket.deliver(addr("10.0.0.9:1900"), b"here"), PacketFate::Passed);
    assert_eq!(accept.calls(), 0);
    bench.host.advance_ms(1);
    assert_eq!(socket.deliver(addr("10.0.0.9:1900"), b"late"), PacketFate::Passed);
    assert_eq!(accept.calls(), 1);
}

// E83: learn.microsoft.com "ALE Stateful Filtering"
#[test]
fn an_echo_reply_belongs_to_the_flow_of_its_request() {
    let mut bench = Bench::new();
    let (connect, accept) = (bench.watch(CONNECT_V4), bench.watch(ACCEPT_V4));
    let socket = bench.engine.icmp_open(&bench.process, false);
    let host = addr("9.9.9.9:0");
    assert_eq!(socket.echo_bytes(host, 7, b"ping"), Sent::Sent);
    assert_eq!(socket.deliver_echo_reply(host, 7, b"ping"), PacketFate::Passed);
    assert_eq!((connect.calls(), accept.calls()), (1, 0));
    socket.deliver_echo_reply(host, 8, b"pong");
    assert_eq!(accept.calls(), 1, "no request had that identifier");
    assert_eq!(received(socket.received()), [b"ping", b"pong"]);
    let wire = bench.engine.wire();
    assert_eq!((wire[0].protocol, wire[0].bytes[20], &wire[0].payload[..]), (1, 8, &b"ping"[..]));
}

// E83: learn.microsoft.com "ALE Stateful Filtering"
#[test]
fn an_icmp_error_is_not_authorized() {
    let mut bench = Bench::new();
    let accept = bench.watch(ACCEPT_V4);
    let socket = bench.engine.icmp_open(&bench.process, false);
    assert_eq!(socket.deliver_unreachable(addr("9.9.9.9:0")), PacketFate::Passed);
    assert_eq!(accept.calls(), 0);
}

// E83, inbound: learn.microsoft.com "ALE Layers"
#[test]
fn an_echo_request_is_authorized_with_its_type_and_code() {
    let mut bench = Bench::new();
    let (v4, v6) = (bench.watch(ACCEPT_V4), bench.watch(ACCEPT_V6));
    bench.engine.icmp_open(&bench.process, false).deliver_echo(addr("9.9.9.9:0"), 7, b"hello");
    bench.engine.icmp_open(&bench.process, true).deliver_echo(addr("[2620:fe::fe]:0"), 7, b"hello");
    for (fake, protocol, kind) in [(v4, 1, 8), (v6, 58, 128)] {
        let [seen] = &fake.seen()[..] else { panic!("one classify") };
        assert_eq!(seen.numbers[FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_PROTOCOL], Some(protocol));
        assert_eq!(seen.numbers[FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_LOCAL_PORT], Some(kind));
        assert_eq!(seen.numbers[FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_REMOTE_PORT], Some(0));
        assert!(seen.has(FWPS_METADATA_FIELD_ICMP_ID_AND_SEQUENCE));
    }
}

// learn.microsoft.com "WFP Layer Requirements and Restrictions"
#[test]
fn a_raw_socket_is_authorized_by_its_first_packet() {
    let mut bench = Bench::new();
    let connect = bench.watch(CONNECT_V4);
    let socket = bench.engine.raw_open(&bench.process, 47, false);
    assert_eq!(socket.send_bytes(addr("9.9.9.9:0"), b"\0\0\x08\0tunnel"), Sent::Sent);
    let seen = connect.seen();
    assert_eq!(seen[0].numbers[FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL], Some(47));
    assert!(seen[0].has_packet && seen[0].transport_header == 0);
    assert_ne!(seen[0].flags() & u64::from(FWP_CONDITION_FLAG_IS_RAW_ENDPOINT), 0);
    assert_eq!(bench.engine.wire()[0].payload, b"\0\0\x08\0tunnel");
}

// E84, for datagrams: learn.microsoft.com "Filtering Condition Flags"
#[test]
fn a_loopback_datagram_is_authorized_at_both_ends() {
    let mut bench = Bench::new();
    let (connect, accept) = (bench.watch(CONNECT_V4), bench.watch(ACCEPT_V4));
    let server = bench.engine.udp_open(&bench.process, addr("127.0.0.1:5353"));
    assert!(server.bind());
    let client = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    assert_eq!(client.send_bytes(addr("127.0.0.1:5353"), b"inside"), Sent::Sent);
    for (fake, endpoint) in [(&connect, client.endpoint()), (&accept, server.endpoint())] {
        let [seen] = &fake.seen()[..] else { panic!("one classify") };
        assert_eq!(seen.endpoint, endpoint);
        assert_ne!(seen.flags() & u64::from(FWP_CONDITION_FLAG_IS_LOOPBACK), 0);
    }
    let from = client.local_towards(addr("127.0.0.1:5353"));
    assert_eq!(server.received(), [(from, b"inside".to_vec())]);
    assert_eq!(server.send_bytes(from, b"answer"), Sent::Sent);
    assert_eq!((connect.calls(), accept.calls()), (1, 1), "the answer belongs to both flows");
    assert_eq!(received(client.received()), [b"answer"]);
    assert_eq!(bench.engine.wire(), [], "it never left the machine");
}

// E102, E103 for datagrams: learn.microsoft.com "ALE Reauthorization"
#[test]
fn a_change_of_policy_shows_the_next_packet_of_either_direction() {
    let mut bench = Bench::new();
    let seen_bytes: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&seen_bytes);
    let fake = bench.callout_at(100, CONNECT_V4, move |call| {
        keep.lock().unwrap().extend(List::lent(call.layer_data).read());
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    socket.send_bytes(addr(DNS), b"first");
    let change = |bench: &Bench| {
        bench.session.add(&filter(CONNECT_V4).action(FWP_ACTION_CONTINUE)).unwrap();
    };
    change(&bench);
    assert_eq!(socket.deliver(addr(DNS), b"in"), PacketFate::Passed);
    change(&bench);
    assert_eq!(socket.send_bytes(addr(DNS), b"out"), Sent::Sent);
    assert_eq!(socket.send_bytes(addr(DNS), b"once more"), Sent::Sent);
    let seen = fake.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!((seen[1].direction, seen[2].direction), (1, 0));
    assert!(seen[1..].iter().all(|seen| seen.is_reauthorization() && seen.reason() == 1));
    let bytes = seen_bytes.lock().unwrap();
    assert_eq!(bytes[1], b"in", "an arriving packet begins behind its headers");
    assert_eq!(&bytes[2][8..], b"out", "a leaving packet begins at its transport header");
}

// E104 for datagrams: learn.microsoft.com "ALE Reauthorization"
#[test]
fn a_flow_that_is_blocked_again_starts_anew() {
    let mut bench = Bench::new();
    let accept = bench.watch(ACCEPT_V4);
    let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:5353"));
    socket.deliver(addr(DNS), b"1");
    let id = bench.session.add(&filter(ACCEPT_V4).block()).unwrap();
    assert_eq!(socket.deliver(addr(DNS), b"2"), PacketFate::Dropped);
    bench.session.delete(id).unwrap();
    assert_eq!(socket.deliver(addr(DNS), b"3"), PacketFate::Passed);
    let seen = accept.seen();
    assert_eq!(seen.last().map(Seen::is_reauthorization), Some(false));
    assert_eq!(received(socket.received()), [b"1", b"3"]);
}

// O4: nobody says; either way the first stays held, in its place.
#[test]
fn a_second_packet_that_is_absorbed_leaves_the_first_held() {
    for (second_packet, asked) in [(SecondPacket::Absorb, 1), (SecondPacket::ClassifyAgain, 2)] {
        let mut bench = Bench::with_knobs(Knobs { second_packet, ..Knobs::default() });
        let held: Arc<Mutex<Option<Context>>> = Arc::default();
        let keep = Arc::clone(&held);
        let fake = bench.callout_at(100, CONNECT_V4, move |call| {
            let mut held = keep.lock().unwrap();
            match (call.is_reauthorization(), &*held) {
                (true, _) => call.permit(),
                (false, None) => *held = Some(call.pend()),
                (false, Some(_)) => call.absorb(),
            }
        });
        let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
        assert_eq!(socket.send_bytes(addr(DNS), b"first"), Sent::Lost);
        assert_eq!(socket.send_bytes(addr(DNS), b"second"), Sent::Lost);
        assert_eq!(fake.calls(), asked);
        let context = held.lock().unwrap().take().expect("held");
        context.complete();
        assert_eq!(fake.calls(), asked + 1, "the first is authorized again");
        assert_eq!(socket.send_bytes(addr(DNS), b"third"), Sent::Sent);
        assert_eq!(fake.calls(), asked + 1, "and lives in its place");
        assert_eq!(bench.engine.wire().len(), 1);
    }
}

// E87 for datagrams: an IPv4 address inside IPv6 is IPv4
#[test]
fn a_mapped_address_leaves_by_ipv4() {
    let mut bench = Bench::new();
    let connect = bench.watch(CONNECT_V4);
    let socket = bench.engine.udp_open(&bench.process, addr("[::]:0"));
    assert_eq!(socket.send_bytes(addr("[::ffff:9.9.9.9]:53"), b"mapped"), Sent::Sent);
    assert_eq!(connect.calls(), 1);
    assert_eq!(bench.engine.wire()[0].bytes[0] >> 4, 4);
}
