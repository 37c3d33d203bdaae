//! The net buffer lists that callouts are shown, and the ones that drivers make.

mod harness;

use harness::*;
use nt_sys::fwps::*;
use nt_sys::status::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use wfp_sim::{Config, PacketFate, Protection, Sent};

const DNS: &str = "9.9.9.9:53";
const DNS_V6: &str = "[2620:fe::fe]:53";
const UNBOUND: &str = "0.0.0.0:0";
const UNBOUND_V6: &str = "[::]:0";
const BOUND: &str = "0.0.0.0:5353";
const BOUND_V6: &str = "[::]:5353";

/// Each seed cuts and places packets in another way.
const SEEDS: std::ops::Range<u64> = 1..40;

fn seeded(seed: u64) -> Bench {
    Bench::with(Config { seed, ..Config::default() })
}

/// The rule that a callout breaks that does this with the packet of the first datagram that is sent.
fn broken_by(misuse: impl Fn(List) + Send + Sync + 'static) -> &'static str {
    let mut bench = Bench::new();
    bench.callout_at(100, CONNECT_V4, move |call| {
        call.permit();
        misuse(List::lent(call.layer_data));
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    let rule = violation(|| socket.send_bytes(addr(DNS), b"payload"));
    drop(socket);
    rule
}

// R18: learn.microsoft.com "Data Offset Positions"
#[test]
fn a_packet_that_leaves_begins_at_its_transport_header() {
    for seed in SEEDS {
        let mut bench = seeded(seed);
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        for layer in [CONNECT_V4, CONNECT_V6] {
            let keep = Arc::clone(&seen);
            bench.callout_at(100, layer, move |call| {
                assert!(call.seen.has(FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE));
                assert!(!call.seen.has(FWPS_METADATA_FIELD_IP_HEADER_SIZE));
                assert_eq!(call.seen.transport_header, 8);
                keep.lock().unwrap().extend(List::lent(call.layer_data).read());
                call.permit();
            });
        }
        for (local, remote) in [(UNBOUND, DNS), (UNBOUND_V6, DNS_V6)] {
            let socket = bench.engine.udp_open(&bench.process, addr(local));
            assert_eq!(socket.send_bytes(addr(remote), b"payload"), Sent::Sent);
        }
        let wire = bench.engine.wire();
        for (seen, wired) in seen.lock().unwrap().iter().zip(&wire) {
            assert_eq!(seen, &wired.bytes[wired.bytes.len() - 15..], "seed {seed}");
            assert_eq!(&seen[8..], b"payload");
        }
    }
}

// R18: learn.microsoft.com "Data Offset Positions", "Packet Indication Format"
#[test]
fn a_packet_that_arrives_begins_behind_its_headers_which_lie_before_it() {
    let sizes: Arc<Mutex<Vec<u32>>> = Arc::default();
    let pieces: Arc<Mutex<Vec<usize>>> = Arc::default();
    for seed in SEEDS {
        let mut bench = seeded(seed);
        for layer in [ACCEPT_V4, ACCEPT_V6] {
            let (sizes, pieces) = (Arc::clone(&sizes), Arc::clone(&pieces));
            bench.callout_at(100, layer, move |call| {
                let list = List::lent(call.layer_data);
                let headers = call.seen.ip_header + call.seen.transport_header;
                assert_eq!(list.read(), [b"payload"], "seed {seed}");
                list.retreat(headers).expect("retreated");
                let [whole] = &list.read()[..] else { panic!("one packet") };
                let version = if call.seen.layer == FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4 { 4 } else { 6 };
                assert_eq!((whole[0] >> 4, whole.len()), (version, headers as usize + 7));
                list.advance(headers);
                assert_eq!(list.read(), [b"payload"]);
                sizes.lock().unwrap().push(call.seen.ip_header);
                pieces.lock().unwrap().push(list.pieces());
                call.permit();
            });
        }
        for (local, remote) in [(BOUND, DNS), (BOUND_V6, DNS_V6)] {
            let socket = bench.engine.udp_open(&bench.process, addr(local));
            assert_eq!(socket.deliver(addr(remote), b"payload"), PacketFate::Passed);
        }
    }
    let sizes = sizes.lock().unwrap();
    assert!([20, 24, 40, 48].iter().all(|size| sizes.contains(size)), "options and extensions happen: {sizes:?}");
    let pieces = pieces.lock().unwrap();
    assert!([1, 2, 3].iter().all(|count| pieces.contains(count)), "several pieces happen: {pieces:?}");
}

// R18: a packet without payload has headers all the same
#[test]
fn an_empty_datagram_has_headers_before_it() {
    for seed in SEEDS {
        let mut bench = seeded(seed);
        bench.callout_at(100, ACCEPT_V4, |call| {
            let list = List::lent(call.layer_data);
            let headers = call.seen.ip_header + call.seen.transport_header;
            list.retreat(headers).expect("retreated");
            assert_eq!(list.read()[0].len(), headers as usize);
            list.advance(headers);
            call.permit();
        });
        let socket = bench.engine.udp_open(&bench.process, addr(BOUND));
        assert_eq!(socket.deliver(addr(DNS), b""), PacketFate::Passed);
        assert_eq!(socket.received(), [(addr(DNS), Vec::new())]);
    }
}

// R20: learn.microsoft.com "Packet Indication Format"
#[test]
fn datagrams_that_are_sent_at_once_are_one_list() {
    let mut bench = Bench::new();
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let fake = bench.callout_at(100, CONNECT_V4, move |call| {
        *keep.lock().unwrap() = List::lent(call.layer_data).read();
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    assert_eq!(socket.send_many(addr(DNS), &[b"one", b"two", b"three"]), Sent::Sent);
    assert_eq!(fake.calls(), 1);
    let payloads: Vec<Vec<u8>> = seen.lock().unwrap().iter().map(|packet| packet[8..].to_vec()).collect();
    assert_eq!(payloads, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    assert_eq!(bench.engine.wire().len(), 3);
}

// learn.microsoft.com "NdisGetDataBuffer"
#[test]
fn data_in_several_pieces_needs_storage() {
    let (whole, cut): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
    for seed in SEEDS {
        let mut bench = seeded(seed);
        let (whole, cut) = (Arc::clone(&whole), Arc::clone(&cut));
        bench.callout_at(100, CONNECT_V4, move |call| {
            let list = List::lent(call.layer_data);
            let buffer = list.buffers()[0];
            let is_whole = in_one_piece(buffer, 8 + 7);
            assert_eq!(is_whole, list.pieces() == 1, "seed {seed}");
            if is_whole { &whole } else { &cut }.store(true, Ordering::SeqCst);
            assert!(!in_one_piece(buffer, 8 + 7 + 1), "that much is not there");
            call.permit();
        });
        bench.engine.udp_open(&bench.process, addr(UNBOUND)).send_bytes(addr(DNS), b"payload");
    }
    assert!(whole.load(Ordering::SeqCst) && cut.load(Ordering::SeqCst));
}

// learn.microsoft.com "NdisRetreatNetBufferDataStart": what is not there is allocated, and freed by the advance
#[test]
fn a_retreat_finds_room_or_makes_it() {
    for seed in SEEDS {
        let mut bench = seeded(seed);
        bench.callout_at(100, CONNECT_V4, move |call| {
            let list = List::lent(call.layer_data);
            let (before, pieces) = (list.read(), list.pieces());
            list.retreat(20).expect("retreated");
            assert_eq!(&list.read()[0][20..], &before[0][..], "seed {seed}");
            list.advance(20);
            assert_eq!((list.read(), list.pieces()), (before, pieces));
            call.permit();
        });
        let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
        assert_eq!(socket.send_bytes(addr(DNS), b"payload"), Sent::Sent);
    }
}

// learn.microsoft.com "NdisRetreatNetBufferDataStart": NDIS_STATUS_RESOURCES
#[test]
fn a_retreat_can_fail() {
    let mut bench = Bench::new();
    let host = Arc::clone(&bench.host);
    bench.callout_at(100, ACCEPT_V4, move |call| {
        let list = List::lent(call.layer_data);
        host.fail_nth(0);
        assert_eq!(list.retreat(28), Err(STATUS_INSUFFICIENT_RESOURCES));
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(BOUND));
    assert_eq!(socket.deliver(addr(DNS), b"x"), PacketFate::Passed);
}

// learn.microsoft.com "NdisAdvanceNetBufferDataStart"
#[test]
fn a_retreat_without_its_advance_is_reported() {
    assert_eq!(broken_by(|list| list.retreat(20).expect("retreated")), "V-NBL-01");
    assert_eq!(broken_by(|list| list.advance(8)), "V-NBL-01");
    assert_eq!(broken_by(|list| list.advance(99)), "V-NBL-09");
}

// learn.microsoft.com "Types of Callouts": a callout that inspects does not modify
#[test]
fn writing_into_a_packet_of_the_stack_is_reported() {
    assert_eq!(broken_by(scribble), "V-NBL-08");
}

// learn.microsoft.com "FwpsFreeNetBufferList0", "FwpsInjectTransportSendAsync1"
#[test]
fn giving_away_a_list_of_the_stack_is_reported() {
    assert_eq!(broken_by(List::free), "V-NBL-02");
    assert_eq!(broken_by(List::free_clone), "V-NBL-02");
    assert_eq!(broken_by(List::dereference), "V-NBL-03");
}

// learn.microsoft.com "FwpsAllocateCloneNetBufferList0", "FwpsReferenceNetBufferList0"
#[test]
fn a_clone_shows_the_same_bytes_and_goes_before_the_classify_ends() {
    let mut bench = Bench::new();
    bench.callout_at(100, CONNECT_V4, |call| {
        let list = List::lent(call.layer_data);
        let clone = list.clone_list().expect("a clone");
        assert_eq!(clone.read(), list.read());
        clone.free_clone();
        list.reference();
        list.dereference();
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    assert_eq!(socket.send_bytes(addr(DNS), b"payload"), Sent::Sent);
    assert_eq!((bench.engine.outstanding_packets(), bench.engine.warnings()), (0, vec![]));
}

// R19: learn.microsoft.com "FwpsAllocateCloneNetBufferList0", remarks
#[test]
fn a_clone_that_waits_is_warned_of_and_keeps_its_bytes() {
    let mut bench = Bench::new();
    let kept: Arc<Mutex<Option<List>>> = Arc::default();
    let keep = Arc::clone(&kept);
    bench.callout_at(100, CONNECT_V4, move |call| {
        *keep.lock().unwrap() = Some(List::lent(call.layer_data).clone_list().expect("a clone"));
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    socket.send_bytes(addr(DNS), b"payload");
    assert_eq!(bench.engine.warnings()[0].rule, "V-NBL-07");
    assert_eq!(bench.engine.outstanding_packets(), 2, "the clone, and what it was made of");
    let clone = kept.lock().unwrap().take().expect("a clone");
    assert_eq!(&clone.read()[0][8..], b"payload");
    clone.free_clone();
    assert_eq!(bench.engine.outstanding_packets(), 0);
}

// Use after the classify: what was lent is poison, and no list any more
#[test]
fn a_list_is_gone_when_its_classify_is_over() {
    let mut bench = Bench::new();
    let kept: Arc<Mutex<Option<List>>> = Arc::default();
    let keep = Arc::clone(&kept);
    bench.callout_at(100, CONNECT_V4, move |call| {
        *keep.lock().unwrap() = Some(List::lent(call.layer_data));
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    socket.send_bytes(addr(DNS), b"payload");
    let list = kept.lock().unwrap().take().expect("a list");
    assert_eq!(violation(|| list.clone_list()), "V-NBL-05");
}

// learn.microsoft.com "FwpsAllocateNetBufferAndNetBufferList0", "FwpsFreeNetBufferList0"
#[test]
fn a_list_of_a_driver_is_freed_once_and_before_its_pool() {
    let bench = Bench::new();
    let pool = Pool::new();
    let own = pool.make(b"bytes").expect("a list");
    assert_eq!((own.list.read(), bench.engine.outstanding_packets()), (vec![b"bytes".to_vec()], 1));
    own.free();
    assert_eq!(bench.engine.outstanding_packets(), 0);
    pool.free();
    drop(bench);
    for (misuse, rule) in [
        (
            (|own, _| {
                own.list.free();
                own.list.free()
            }) as fn(&Own, &Pool),
            "V-NBL-03",
        ),
        (|own, _| own.list.free_clone(), "V-NBL-03"),
        (
            |own, _| {
                own.list.clone_list().expect("a clone");
                own.list.free()
            },
            "V-NBL-04",
        ),
        (|_, pool| pool.free(), "V-NBL-06"),
    ] {
        let bench = Bench::new();
        let pool = Pool::new();
        let own = pool.make(b"bytes").expect("a list");
        assert_eq!(violation(|| misuse(&own, &pool)), rule);
        drop(bench);
    }
}

// What a driver forgets is found when the platform shuts down.
#[test]
fn lists_and_pools_that_are_left_over_are_reported() {
    let leave_list = || {
        let bench = Bench::new();
        std::mem::forget(Pool::new().make(b"bytes").expect("a list"));
        drop(bench);
    };
    assert_eq!(violation(leave_list), "V-NBL-10");
    let leave_pool = || {
        let bench = Bench::new();
        let _pool = Pool::new();
        drop(bench);
    };
    assert_eq!(violation(leave_pool), "V-NBL-10");
}

// learn.microsoft.com "FwpsGetPacketListSecurityInformation0"
#[test]
fn a_packet_tells_what_ipsec_did_with_it() {
    let mut bench = Bench::new();
    let seen: Arc<Mutex<Vec<u32>>> = Arc::default();
    let keep = Arc::clone(&seen);
    bench.callout_at(100, ACCEPT_V4, move |call| {
        keep.lock().unwrap().push(List::lent(call.layer_data).ipsec());
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(BOUND));
    let cases = [Protection::None, Protection::Transport, Protection::Tunnel, Protection::DeTunneled];
    for (number, protection) in cases.into_iter().enumerate() {
        socket.deliver_protected(addr(&format!("198.51.100.{number}:7")), b"x", protection);
    }
    assert_eq!(*seen.lock().unwrap(), [0, 0x3, 0x5, 0x25]);
}
