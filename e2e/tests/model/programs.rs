//! What programs do, and what comes in for them.

use crate::reference::{Ability, GRE, TCP, UDP, Who};
use crate::world::{Flow, Kind, PROGRAMS, SOME_PACKET, Socket, State, World};
use e2e::{AcceptEndpoint, ConnectSpec, Direction, Outcome, PacketFate, Protection, SecondPacket, WSAEACCES};
use nt_sys::fwp::FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
const REMOTES: [&str; 3] = ["192.0.2.1", "192.0.2.2", "198.51.100.3"];
const REMOTES_V6: [&str; 3] = ["[2001:db8::1]", "[2001:db8::2]", "[fe80::3]"];
/// How many sockets there are at most.
const SOCKETS: usize = 14;

impl World {
    fn remote(&mut self, is_v6: bool, has_port: bool) -> SocketAddr {
        let host = if is_v6 { self.dice.pick(&REMOTES_V6) } else { self.dice.pick(&REMOTES) };
        let port = if has_port { 443 + self.dice.below(2) } else { 0 };
        format!("{host}:{port}").parse().expect("an address")
    }

    fn has_room_for_a_socket(&mut self) -> bool {
        if self.sockets.len() < SOCKETS {
            return true;
        }
        self.close_any();
        false
    }

    pub fn connect(&mut self) {
        if !self.has_room_for_a_socket() {
            return;
        }
        let (program, is_v6) = (self.dice.below(PROGRAMS as u64) as usize, self.dice.chance(30));
        let remote = self.remote(is_v6, true);
        self.note("connect", || format!("program{program} to {remote}"));
        let told = Arc::new(AtomicUsize::new(0));
        let teller = Arc::clone(&told);
        let spec = ConnectSpec::to(remote).then(move |_| {
            teller.fetch_add(1, Ordering::SeqCst);
        });
        let connect = self.program(program).connect_with(self.machine.engine(), spec);
        self.machine.settle();
        let serial = self.serial();
        let port = connect.local().port();
        let kind = Kind::Connect(connect, told, Outcome::Pending);
        let (received, flows, is_server) = (Vec::new(), Vec::new(), false);
        self.sockets.push(Socket { serial, kind, program, protocol: TCP, is_v6, port, is_server, flows, received });
        let at = self.sockets.len() - 1;
        let who = self.who(at, remote);
        let state = self.authorized(&who, Ability::Hold, Vec::new());
        let expected = match state {
            State::Held(_) => Outcome::Pending,
            State::Live { .. } => Outcome::Connected,
            State::Over => Outcome::Refused(WSAEACCES),
        };
        if let Kind::Connect(_, _, outcome) = &mut self.sockets[at].kind {
            *outcome = expected;
        }
        self.sockets[at].flows.push(Flow { who, state, accept: None, is_ghost: false });
    }

    pub fn open(&mut self) {
        if !self.has_room_for_a_socket() {
            return;
        }
        let (program, is_v6) = (self.dice.below(PROGRAMS as u64) as usize, self.dice.chance(30));
        let icmp = if is_v6 { ICMP_V6 } else { ICMP };
        let protocol = self.dice.pick(&[TCP, UDP, UDP, icmp, GRE]);
        // Without ports nothing tells two of them apart.
        let has_one = |socket: &Socket| (socket.protocol, socket.is_v6) == (protocol, is_v6);
        if matches!(protocol, ICMP | ICMP_V6 | GRE) && self.sockets.iter().any(has_one) {
            return;
        }
        let is_server = protocol == TCP || protocol != GRE && self.dice.chance(50);
        self.note("open", || format!("program{program} protocol {protocol} server {is_server}"));
        let serial = self.serial();
        let port = if matches!(protocol, TCP | UDP) { 5_000 + (serial % 40_000) as u16 } else { 0 };
        let local = format!("{}:{port}", if is_v6 { "[::]" } else { "0.0.0.0" });
        let (owner, engine) = (self.program(program), self.machine.engine());
        let kind = match protocol {
            TCP => Kind::Listener(owner.listen(engine, &local)),
            UDP => Kind::Datagram(owner.udp_at(engine, &local)),
            GRE => Kind::Datagram(owner.raw(engine, GRE, is_v6)),
            _ => Kind::Datagram(owner.icmp(engine, is_v6)),
        };
        if let Kind::Datagram(socket) = &kind {
            assert!(socket.bind());
        }
        let (received, flows) = (Vec::new(), Vec::new());
        self.sockets.push(Socket { serial, kind, program, protocol, is_v6, port, is_server, flows, received });
    }

    /// Takes some socket of these, and a flow of it.
    fn flow_of(&mut self, is_it: impl Fn(&Socket) -> bool) -> Option<(usize, usize)> {
        let all: Vec<usize> = (0..self.sockets.len()).filter(|at| is_it(&self.sockets[*at])).collect();
        if all.is_empty() {
            return None;
        }
        let at = self.dice.pick(&all);
        let socket = &self.sockets[at];
        let remote = self.remote(socket.is_v6, matches!(self.sockets[at].protocol, TCP | UDP));
        let who = self.who(at, remote);
        let flows = &mut self.sockets[at].flows;
        let flow = flows.iter().position(|flow| flow.who.key == who.key).unwrap_or_else(|| {
            flows.push(Flow { who, state: State::Over, accept: None, is_ghost: false });
            flows.len() - 1
        });
        Some((at, flow))
    }

    /// A packet of a datagram flow, out or in: the first, one more while it is held, or one of a live flow.
    pub fn datagram(&mut self) {
        let Some((at, flow)) = self.flow_of(|socket| matches!(socket.kind, Kind::Datagram(_))) else { return };
        let one = &self.sockets[at].flows[flow];
        let (who, now) = (one.who, self.now());
        let (is_live, is_held) = (one.is_live(now), one.is_held());
        // What a packet does that passes its held predecessor is told nowhere.
        if one.is_ghost || is_held && self.foreign().takes_the_right() {
            return;
        }
        let is_inbound = if is_live { self.dice.chance(50) } else { who.is_inbound() };
        let is_secured = who.protocol == UDP && is_inbound && !is_held && self.dice.chance(20);
        let (protection, ability) = match self.dice.below(3) {
            0 if is_secured => (Protection::Transport, Ability::ReportOnly),
            1 if is_secured => (Protection::DeTunneled, Ability::ReportOnly),
            _ if is_secured => (Protection::Tunnel, Ability::Pass),
            _ => (Protection::None, Ability::Hold),
        };
        let count = if who.protocol == UDP && !is_inbound && self.dice.chance(20) { 3 } else { 1 };
        let payloads: Vec<_> = (0..count).map(|_| self.payload()).collect();
        let kind = match (is_inbound, is_live, is_held) {
            (true, false, false) if is_secured => "first secured packet",
            (false, false, false) if count > 1 => "several first packets out",
            (false, false, false) => "first packet out",
            (true, false, false) => "first packet in",
            (_, false, true) => "further packet",
            (false, true, _) => "packet out of a live flow",
            (true, true, _) => "packet in of a live flow",
        };
        self.note(kind, || format!("{who:?} {protection:?} {payloads:?}"));
        self.exchange(at, &who, is_inbound, protection, &payloads);
        self.machine.settle();
        if is_live {
            if self.reauthorized(at, flow, false) {
                if is_inbound {
                    self.sockets[at].received.extend(payloads.into_iter().map(|payload| (who.remote(), payload)));
                } else {
                    self.wire.entry(who.key).or_default().extend(payloads);
                }
            }
        } else if is_held {
            let is_seen = self.knobs.second_packet == SecondPacket::ClassifyAgain && self.reference.filtering;
            self.join(at, flow, is_seen, payloads);
        } else {
            let state = self.authorized(&who, ability, payloads);
            self.sockets[at].flows[flow].state = state;
        }
    }

    fn join(&mut self, at: usize, flow: usize, is_seen: bool, payloads: Vec<Vec<u8>>) {
        let was_kept = self.read_stats().packets_kept > self.stats.packets_kept;
        let has_room = if self.reference.is_tight() { was_kept } else { self.reference.has_room() };
        assert!(!was_kept || self.reference.has_room(), "there is no room for anything");
        if let State::Held(record) = &mut self.sockets[at].flows[flow].state
            && is_seen
            && has_room
        {
            record.packets.extend(payloads);
        }
    }

    fn exchange(&mut self, at: usize, who: &Who, is_inbound: bool, protection: Protection, payloads: &[Vec<u8>]) {
        let Kind::Datagram(socket) = &self.sockets[at].kind else { return };
        let (is_icmp, remote) = (matches!(who.protocol, ICMP | ICMP_V6), who.remote());
        let all: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        match (is_inbound, is_icmp) {
            (true, true) if who.is_inbound() => drop(socket.deliver_echo(remote, 7, all[0])),
            (true, true) => drop(socket.deliver_echo_reply(remote, 7, all[0])),
            (true, false) => drop(socket.deliver_protected(remote, all[0], protection)),
            (false, true) => drop(socket.echo_bytes(remote, 7, all[0])),
            (false, false) => drop(socket.send_many(remote, &all)),
        }
    }

    /// A SYN comes in, or comes again.
    pub fn syn(&mut self) {
        let Some((at, flow)) = self.flow_of(|socket| matches!(socket.kind, Kind::Listener(_))) else { return };
        let one = &self.sockets[at].flows[flow];
        let (who, is_held, is_live) = (one.who, one.is_held(), matches!(one.state, State::Live { .. }));
        if is_held && self.foreign().takes_the_right() {
            return;
        }
        self.note(if is_held || is_live { "SYN again" } else { "SYN" }, || format!("{who:?}"));
        let Kind::Listener(listener) = &self.sockets[at].kind else { return };
        let accept = listener.syn_from(who.remote());
        self.machine.settle();
        if !is_held && !is_live {
            self.sockets[at].flows[flow].state = State::Over;
            let state = self.authorized(&who, Ability::Hold, Vec::new());
            self.sockets[at].flows[flow].state = state;
            self.sockets[at].flows[flow].accept = Some(accept);
        }
    }

    /// A peer gives up its SYN. Where a SYN has no socket of its own nobody is told.
    pub fn reset(&mut self) {
        if self.knobs.accept_endpoint != AcceptEndpoint::Child {
            return;
        }
        let is_syn = |flow: &Flow| flow.accept.is_some() && flow.is_held();
        if self.any_flow(is_syn).is_none() {
            self.syn();
            self.compare();
        }
        let Some((at, flow)) = self.any_flow(is_syn) else { return };
        let who = self.sockets[at].flows[flow].who;
        self.note("reset", || format!("{who:?}"));
        let one = &mut self.sockets[at].flows[flow];
        if let Some(accept) = &one.accept {
            accept.reset();
        }
        if let State::Held(record) = std::mem::replace(&mut one.state, State::Over) {
            self.old_ids.extend(record.id);
            self.doors.closure += 1;
        }
    }

    /// The server accepts a connection and closes it.
    pub fn accept(&mut self) {
        let Some((at, _)) = self.any_flow(|flow| flow.accept.is_some() && matches!(flow.state, State::Live { .. }))
        else {
            return;
        };
        let Kind::Listener(listener) = &self.sockets[at].kind else { return };
        let peer = listener.accept().map(|connection| connection.peer());
        self.note("accept and close", || format!("{peer:?}"));
        for flow in &mut self.sockets[at].flows {
            if Some(flow.who.remote()) == peer {
                flow.state = State::Over;
            }
        }
    }

    /// A packet of a live TCP flow comes by.
    pub fn packet(&mut self) {
        let live = |flow: &Flow| flow.who.protocol == TCP && matches!(flow.state, State::Live { .. });
        let Some((at, flow)) = self.any_flow(live) else { return };
        let who = self.sockets[at].flows[flow].who;
        let direction = self.dice.pick(&[Direction::Outbound, Direction::Inbound]);
        self.note("packet of a live connection", || format!("{who:?}"));
        let Some(handle) = self.handle(at, flow) else { panic!("it lives") };
        let fate = handle.packet(direction);
        let passes = self.reauthorized(at, flow, false);
        assert_eq!(fate == PacketFate::Passed, passes, "{who:?}");
    }

    fn handle(&self, at: usize, flow: usize) -> Option<e2e::FlowHandle> {
        let one = &self.sockets[at].flows[flow];
        match (&self.sockets[at].kind, &one.accept) {
            (Kind::Connect(connect, ..), _) => Some(connect.flow()),
            (_, Some(accept)) => accept.flow(),
            (Kind::Datagram(socket), _) => socket.flow(one.who.remote()),
            _ => None,
        }
    }

    /// Somebody else has a flow authorized again.
    pub fn reauthorize(&mut self) {
        let now = self.now();
        let any = |flow: &Flow| flow.is_held() || flow.is_live(now);
        let Some((at, flow)) = self.any_flow(any) else { return };
        // ICMP flows are not reached by an address, and the flow of a SYN that comes again is another one.
        let Some(handle) = self.handle(at, flow) else { return };
        let (who, is_held) = (self.sockets[at].flows[flow].who, self.sockets[at].flows[flow].is_held());
        if is_held && who.is_inbound() && who.protocol == TCP {
            return;
        }
        self.note(if is_held { "reauthorize held" } else { "reauthorize live" }, || format!("{who:?}"));
        let fate = handle.reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE);
        self.machine.settle();
        if is_held {
            assert_eq!(fate, PacketFate::Dropped);
            let is_seen = who.protocol != TCP && !who.is_inbound() && self.reference.filtering;
            self.join(at, flow, is_seen && !self.foreign().takes_the_right(), vec![SOME_PACKET.to_vec()]);
        } else {
            let passes = self.reauthorized(at, flow, true);
            assert_eq!(fate == PacketFate::Passed, passes, "{who:?}");
        }
    }

    pub fn close_any(&mut self) {
        if !self.sockets.is_empty() {
            let at = self.dice.below(self.sockets.len() as u64) as usize;
            let flows = format!("{:?}", self.sockets[at].flows);
            self.note("close", || flows);
            self.close(at);
        }
    }

    pub fn kill_program(&mut self) {
        let program = self.dice.below(PROGRAMS as u64) as usize;
        self.note("kill program", || format!("program{program}"));
        if let Some(killed) = self.programs[program].take() {
            killed.kill();
        }
        self.machine.settle();
        while let Some(at) = self.sockets.iter().position(|socket| socket.program == program) {
            self.close(at);
        }
        self.programs[program] = Some(self.machine.program(&crate::world::name_of(program)));
    }

    /// The service itself connects, and need not wait for itself.
    pub fn own_connect(&mut self) {
        let Some(service) = &self.service else { return };
        let connect = service.connect(self.machine.engine(), "192.0.2.1:443");
        let blocks = self.reference.filtering && self.foreign().blocks();
        let expected = if blocks { Outcome::Refused(WSAEACCES) } else { Outcome::Connected };
        assert_eq!(connect.outcome(), expected);
        drop(connect);
        self.note("connect of the service", String::new);
    }
}
