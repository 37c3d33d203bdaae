//! Packet injection: what an injected packet meets, and what its driver is told.

mod harness;

use harness::*;
use nt_sys::fwps::*;
use nt_sys::status::*;
use nt_sys::types::{GUID, NTSTATUS};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use wfp_sim::{DatagramSocket, InjectedSend, InjectionTime, Knobs, LoopbackInjection, PacketFate, Sent};

const DNS: &str = "9.9.9.9:53";
const UNBOUND: &str = "0.0.0.0:0";
const BOUND: &str = "0.0.0.0:5353";
const NOT_ACCEPTED: i32 = 0xC000_021B_u32.cast_signed();

fn remote() -> SocketAddr {
    addr(DNS)
}

fn with(knobs: Knobs) -> Bench {
    Bench::with_knobs(knobs)
}

/// Deferred injections, which stay on their way until the host runs them.
fn deferred() -> Knobs {
    Knobs { injection_time: InjectionTime::Deferred, ..Knobs::default() }
}

/// A UDP header for `payload`, from the socket to DNS.
fn datagram(socket: &DatagramSocket, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("small");
    let ports = [socket.local_towards(remote()).port(), remote().port()];
    [&ports[0].to_be_bytes(), &ports[1].to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat()
}

/// What is held, with the packets of each, oldest first.
type Held = Arc<Mutex<Vec<(Context, Vec<Vec<u8>>)>>>;

/// A callout that holds every first packet and keeps a copy of its bytes, as it would inject them.
struct Keeper {
    injector: Injector,
    pool: Arc<Pool>,
    held: Held,
    /// What the engine said about each packet that was shown.
    states: Arc<Mutex<Vec<i32>>>,
    fake: Arc<Fake>,
}

impl Keeper {
    fn at(bench: &mut Bench, layer: GUID) -> Self {
        let injector = Injector::new(AF_INET);
        let (held, states): (Held, Arc<Mutex<Vec<i32>>>) = Default::default();
        let (keep, states_keep, own) = (Arc::clone(&held), Arc::clone(&states), injector.clone());
        let fake = bench.callout_at(100, layer, move |call| {
            if call.is_reauthorization() {
                return call.permit();
            }
            let list = List::lent(call.layer_data);
            states_keep.lock().unwrap().push(own.state(list));
            if own.is_mine(list) {
                return call.permit();
            }
            let is_inbound = call.seen.has(FWPS_METADATA_FIELD_IP_HEADER_SIZE);
            let headers = if is_inbound { call.seen.ip_header + call.seen.transport_header } else { 0 };
            list.retreat(headers).expect("retreated");
            let copy = list.read();
            list.advance(headers);
            keep.lock().unwrap().push((call.pend(), copy));
        });
        Self { injector, pool: Arc::new(Pool::new()), held, states, fake }
    }

    fn take(&self) -> (Context, Vec<Vec<u8>>) {
        self.held.lock().unwrap().remove(0)
    }

    fn make(&self, bytes: &[u8]) -> Own {
        self.pool.make(bytes).expect("a list")
    }

    fn finish(self, bench: &Bench) {
        self.injector.destroy();
        bench.host.run_deferred();
        assert_eq!(bench.engine.outstanding_packets(), 0);
        self.pool.free();
    }
}

/// What is needed to inject, without a callout.
struct Kit {
    injector: Injector,
    pool: Pool,
    socket: DatagramSocket,
}

impl Kit {
    fn new(bench: &Bench) -> Self {
        let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
        assert_eq!(socket.send(remote()), Sent::Sent);
        Self { injector: Injector::new(AF_INET), pool: Pool::new(), socket }
    }

    fn own(&self, payload: &[u8]) -> Own {
        self.pool.make(&datagram(&self.socket, payload)).expect("a list")
    }

    fn send(&self, own: Own) -> Result<(), NTSTATUS> {
        self.injector.send(self.socket.endpoint(), remote().ip(), own).map_err(|(own, status)| {
            own.free();
            status
        })
    }

    fn finish(self) {
        self.injector.destroy();
        self.pool.free();
    }
}

// E107: learn.microsoft.com "FwpsPendOperation0": what was held is gone, and may be injected
#[test]
fn a_held_datagram_that_is_injected_leaves_once() {
    each_knob(|mut bench| {
        let keeper = Keeper::at(&mut bench, CONNECT_V4);
        let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
        socket.send_many(remote(), &[b"one", b"two"]);
        let (context, packets) = keeper.take();
        context.complete();
        bench.host.run_deferred();
        assert_eq!(bench.engine.wire(), [], "completing alone sends nothing");
        for packet in &packets {
            let injected = keeper.injector.send(socket.endpoint(), remote().ip(), keeper.make(packet));
            assert!(injected.is_ok());
        }
        bench.host.run_deferred();
        assert_eq!(keeper.injector.completed(), [STATUS_SUCCESS; 2]);
        let wire = bench.engine.wire();
        let payloads: Vec<&[u8]> = wire.iter().map(|packet| &packet.payload[..]).collect();
        assert_eq!(payloads, [b"one", b"two"]);
        assert!(wire.iter().all(|packet| packet.is_injected));
        assert_eq!(socket.send_bytes(remote(), b"three"), Sent::Sent);
        drop(socket);
        keeper.finish(&bench);
    });
}

// R23: learn.microsoft.com "FwpsQueryPacketInjectionState0"
#[test]
fn an_injected_packet_is_known_to_the_handle_it_was_injected_with() {
    for (injected_send, states) in [(InjectedSend::ClassifiedAgain, vec![0, 1]), (InjectedSend::Passes, vec![0])] {
        let mut bench = with(Knobs { injected_send, ..Knobs::default() });
        let keeper = Keeper::at(&mut bench, CONNECT_V4);
        let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
        socket.send_bytes(remote(), b"held");
        let (context, packets) = keeper.take();
        context.complete();
        bench.host.run_deferred();
        assert!(keeper.injector.send(socket.endpoint(), remote().ip(), keeper.make(&packets[0])).is_ok());
        assert_eq!(*keeper.states.lock().unwrap(), states);
        keeper.finish(&bench);
    }
}

// learn.microsoft.com "FwpsQueryPacketInjectionState0": by others, and earlier by oneself; clones keep it
#[test]
fn a_packet_that_was_injected_twice_is_known_to_both() {
    let mut bench = Bench::new();
    let (first, second) = (Injector::new(AF_INET), Injector::new(AF_INET));
    let pool = Arc::new(Pool::new());
    let seen: Arc<Mutex<Vec<(i32, i32)>>> = Arc::default();
    let clone: Arc<Mutex<Option<List>>> = Arc::default();
    let (keep, keep_clone, one, two) = (Arc::clone(&seen), Arc::clone(&clone), first.clone(), second.clone());
    bench.callout_at(100, CONNECT_V4, move |call| {
        let list = List::lent(call.layer_data);
        keep.lock().unwrap().push((one.state(list), two.state(list)));
        if one.is_mine(list) && !two.is_mine(list) {
            let clone = list.clone_list().expect("a clone");
            assert_eq!((one.state(clone), two.state(clone)), (1, 2));
            *keep_clone.lock().unwrap() = Some(clone);
        }
        call.permit();
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    socket.send(remote());
    let own = pool.make(&datagram(&socket, b"first")).expect("a list");
    assert!(first.send(socket.endpoint(), remote().ip(), own).is_ok());
    assert_eq!(*seen.lock().unwrap(), [(0, 0), (1, 2)]);
    let clone = clone.lock().unwrap().take().expect("a clone");
    let bytes = clone.read().remove(0);
    second.send_list(socket.endpoint(), remote().ip(), clone);
    assert_eq!(seen.lock().unwrap()[2], (3, 1));
    assert_eq!(&bytes[8..], b"first");
    clone.free_clone();
    for injector in [first, second] {
        injector.destroy();
    }
    pool.free();
}

// E108: learn.microsoft.com "Processing Classify Callouts Asynchronously"
#[test]
fn completing_what_arrived_delivers_nothing_and_injecting_it_does() {
    each_knob(|mut bench| {
        let keeper = Keeper::at(&mut bench, ACCEPT_V4);
        let socket = bench.engine.udp_open(&bench.process, addr(BOUND));
        assert!(socket.bind());
        assert_eq!(socket.deliver(remote(), b"held"), PacketFate::Dropped);
        let (context, packets) = keeper.take();
        context.complete();
        assert!(keeper.injector.receive(keeper.make(&packets[0])).is_ok());
        bench.host.run_deferred();
        assert_eq!(keeper.injector.completed(), [STATUS_SUCCESS]);
        assert_eq!(socket.received(), [(remote(), b"held".to_vec())]);
        assert_eq!(*keeper.states.lock().unwrap(), [0, 1], "the injected copy is a new classify, and ours");
        assert!(keeper.fake.seen().iter().all(|seen| !seen.is_reauthorization()));
        assert_eq!(socket.deliver(remote(), b"next"), PacketFate::Passed);
        assert_eq!(keeper.fake.calls(), 2, "the flow is authorized");
        drop(socket);
        keeper.finish(&bench);
    });
}

// E108: learn.microsoft.com "Processing Classify Callouts Asynchronously"
#[test]
fn what_arrived_and_is_only_completed_is_gone() {
    let mut bench = Bench::new();
    let keeper = Keeper::at(&mut bench, ACCEPT_V4);
    let socket = bench.engine.udp_open(&bench.process, addr(BOUND));
    socket.deliver(remote(), b"held");
    keeper.take().0.complete();
    bench.host.run_deferred();
    assert_eq!(socket.received(), []);
    assert_eq!(keeper.fake.calls(), 1, "nothing is authorized again");
    drop(socket);
    keeper.finish(&bench);
}

// O10: reports say that loopback packets are not accepted; no page does
#[test]
fn a_loopback_packet_that_is_injected_inbound_arrives_or_is_refused() {
    for (loopback_injection, status) in
        [(LoopbackInjection::Delivered, STATUS_SUCCESS), (LoopbackInjection::NotAccepted, NOT_ACCEPTED)]
    {
        let mut bench = with(Knobs { loopback_injection, ..Knobs::default() });
        let keeper = Keeper::at(&mut bench, ACCEPT_V4);
        let server = bench.engine.udp_open(&bench.process, addr("127.0.0.1:5353"));
        assert!(server.bind());
        let client = bench.engine.udp_open(&bench.process, addr(UNBOUND));
        assert_eq!(client.send_bytes(addr("127.0.0.1:5353"), b"inside"), Sent::Sent);
        let (context, packets) = keeper.take();
        context.complete();
        bench.host.run_deferred();
        assert!(keeper.injector.receive(keeper.make(&packets[0])).is_ok());
        assert_eq!(keeper.injector.completed(), [status]);
        assert_eq!(server.received().len(), usize::from(status == STATUS_SUCCESS));
        drop((server, client));
        keeper.finish(&bench);
    }
}

// The inbound half of an injected loopback packet: its handle knows it
#[test]
fn an_injected_loopback_packet_is_known_at_both_ends() {
    let mut bench = Bench::new();
    let injector = Injector::new(AF_INET);
    let pool = Pool::new();
    let states: Arc<Mutex<Vec<(u16, i32)>>> = Arc::default();
    for layer in [CONNECT_V4, ACCEPT_V4] {
        let (keep, own) = (Arc::clone(&states), injector.clone());
        bench.callout_at(100, layer, move |call| {
            keep.lock().unwrap().push((call.seen.layer, own.state(List::lent(call.layer_data))));
            call.permit();
        });
    }
    let server = bench.engine.udp_open(&bench.process, addr("127.0.0.1:5353"));
    assert!(server.bind());
    let client = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    let to = addr("127.0.0.1:5353");
    let ports = [client.local_towards(to).port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let own = pool.make(&[&ports[..], &[0, 9, 0, 0], b"x"].concat()).expect("a list");
    assert!(injector.send(client.endpoint(), to.ip(), own).is_ok());
    assert_eq!(*states.lock().unwrap(), [(48, 1), (44, 3)]);
    assert_eq!(server.received().len(), 1);
    injector.destroy();
    pool.free();
}

// learn.microsoft.com "FwpsInjectTransportSendAsync1": on failure the completion function is not called
#[test]
fn a_refused_injection_is_never_completed() {
    let bench = Bench::new();
    let kit = Kit::new(&bench);
    let own = kit.own(b"x");
    bench.host.fail_nth(0);
    assert_eq!(kit.send(own), Err(STATUS_INSUFFICIENT_RESOURCES));
    bench.host.run_deferred();
    assert_eq!(kit.injector.completed(), []);
    kit.finish();
}

// learn.microsoft.com "FWPS_INJECT_COMPLETE0": the status is in the list
#[test]
fn an_injection_that_fails_on_its_way_says_so_in_its_list() {
    let bench = Bench::new();
    let kit = Kit::new(&bench);
    let own = kit.own(b"x");
    bench.host.fail_nth(1);
    assert_eq!(kit.send(own), Ok(()));
    assert_eq!(kit.injector.completed(), [STATUS_INSUFFICIENT_RESOURCES]);
    assert_eq!(bench.engine.wire().len(), 1, "only what the application sent");
    kit.finish();
}

// R21: the endpoint may be gone
#[test]
fn a_packet_for_a_closed_socket_completes_with_an_error() {
    let bench = Bench::new();
    let kit = Kit::new(&bench);
    kit.socket.close();
    assert_eq!(kit.send(kit.own(b"late")), Ok(()));
    assert_eq!(kit.injector.completed(), [STATUS_NOT_FOUND]);
    kit.finish();
}

// A foreign callout may block what was injected
#[test]
fn an_injected_packet_that_is_blocked_does_not_leave() {
    let mut bench = Bench::new();
    let kit = Kit::new(&bench);
    bench.callout_at(100, CONNECT_V4, |call| call.block());
    assert_eq!(kit.send(kit.own(b"x")), Ok(()));
    assert_eq!(kit.injector.completed(), [NOT_ACCEPTED]);
    assert_eq!(bench.engine.wire().len(), 1);
    kit.finish();
}

// R46: learn.microsoft.com "FwpsInjectionHandleDestroy0" waits for what is pending
#[test]
fn destroying_a_handle_waits_for_what_was_injected_with_it() {
    let bench = with(deferred());
    let kit = Kit::new(&bench);
    for payload in [b"1", b"2"] {
        assert_eq!(kit.send(kit.own(payload)), Ok(()));
    }
    assert_eq!((kit.injector.completed().len(), bench.engine.outstanding_packets()), (0, 2));
    kit.injector.destroy();
    assert_eq!(kit.injector.completed(), [STATUS_SUCCESS; 2]);
    assert_eq!(bench.host.run_deferred(), 2, "the work is there, and finds nothing to do");
    assert_eq!(bench.engine.wire().len(), 3);
    kit.pool.free();
}

// R20: bug check 0x1D3, WFP_INVALID_OPERATION
#[test]
fn an_inbound_list_of_two_packets_is_reported() {
    let bench = Bench::new();
    let kit = Kit::new(&bench);
    let (one, two) = (kit.own(b"1"), kit.own(b"2"));
    one.chain(&two);
    assert_eq!(violation(|| drop(kit.injector.receive(one))), "V-INJ-02");
}

// R22: learn.microsoft.com "Inline Injection of TCP Packets from WFP"
#[test]
fn injecting_inside_the_classify_of_the_same_flow_is_reported() {
    let mut bench = Bench::new();
    let injector = Injector::new(AF_INET);
    let pool = Pool::new();
    let port: Arc<Mutex<Option<u16>>> = Arc::default();
    let local = Arc::clone(&port);
    bench.callout_at(100, CONNECT_V4, move |call| {
        call.permit();
        let port = local.lock().unwrap().expect("a port");
        let header = [&port.to_be_bytes()[..], &[0, 53, 0, 8, 0, 0]].concat();
        drop(injector.send(call.seen.endpoint, remote().ip(), pool.make(&header).expect("a list")));
    });
    let socket = bench.engine.udp_open(&bench.process, addr(UNBOUND));
    *port.lock().unwrap() = Some(socket.local_towards(remote()).port());
    assert_eq!(violation(|| socket.send(remote())), "V-INJ-04");
    drop(socket);
}

// learn.microsoft.com "FwpsInjectionHandleCreate0", "FwpsInjectionHandleDestroy0"
#[test]
fn a_handle_is_used_for_what_it_was_made_and_while_it_is_there() {
    let bench = Bench::new();
    assert_eq!(Injector::create(99, FWPS_INJECTION_TYPE_TRANSPORT).err(), Some(STATUS_INVALID_PARAMETER));
    drop(bench);
    for (kinds, family) in [(FWPS_INJECTION_TYPE_TRANSPORT, AF_INET6), (FWPS_INJECTION_TYPE_STREAM, AF_INET)] {
        let bench = Bench::new();
        let kit = Kit::new(&bench);
        let injector = Injector::create(family, kinds).expect("a handle");
        let own = kit.own(b"x");
        let misuse = || drop(injector.send_as(AF_INET, kit.socket.endpoint(), remote().ip(), own, None));
        assert_eq!(violation(misuse), "V-INJ-01");
    }
    let bench = Bench::new();
    let kit = Kit::new(&bench);
    let own = kit.own(b"x");
    kit.injector.destroy();
    assert_eq!(violation(|| kit.send(own)), "V-INJ-01");
}

// learn.microsoft.com "FwpsInjectionHandleDestroy0": it waits, so not from what it waits for
#[test]
fn destroying_a_handle_from_a_completion_function_is_reported() {
    let bench = Bench::with(at_passive());
    let kit = Kit::new(&bench);
    let own = kit.own(b"x");
    let handle = Some(kit.injector.handle);
    let misuse = || drop(kit.injector.send_as(AF_INET, kit.socket.endpoint(), remote().ip(), own, handle));
    assert_eq!(violation(misuse), "V-INJ-05");
}

// A list belongs to the stack until its completion function is called
#[test]
fn a_list_that_is_on_its_way_is_left_alone() {
    for (misuse, rule) in [
        (
            (|kit, list| kit.injector.send_list(kit.socket.endpoint(), remote().ip(), list)) as fn(&Kit, List),
            "V-INJ-03",
        ),
        (|_, list| list.free(), "V-NBL-04"),
    ] {
        let bench = with(deferred());
        let kit = Kit::new(&bench);
        let own = kit.own(b"x");
        let list = own.list;
        assert_eq!(kit.send(own), Ok(()));
        assert_eq!(violation(|| misuse(&kit, list)), rule);
    }
}

// V-INJ-06: the stack would send or receive nonsense
#[test]
fn what_is_not_a_packet_is_reported() {
    let bench = Bench::new();
    let kit = Kit::new(&bench);
    let own = kit.pool.make(b"nonsense, and more of it").expect("a list");
    assert_eq!(violation(|| kit.send(own)), "V-INJ-06");
}

// V-INJ-06: what arrives begins with its IP header
#[test]
fn a_packet_without_its_ip_header_does_not_arrive() {
    let bench = Bench::new();
    let kit = Kit::new(&bench);
    let own = kit.own(b"no IP header");
    assert_eq!(violation(|| drop(kit.injector.receive(own))), "V-INJ-06");
}

#[test]
fn a_handle_that_is_left_over_is_reported() {
    let leave = || {
        let bench = Bench::new();
        let _injector = Injector::new(AF_INET);
        drop(bench);
    };
    assert_eq!(violation(leave), "V-INJ-07");
}
