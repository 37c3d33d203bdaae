//! Packets that IPsec has to do with (R24, learn.microsoft.com "FWPS_PACKET_LIST_INBOUND_IPSEC_INFORMATION0").

use e2e::{Machine, PacketFate, Protection, every_setting};
use wire::request::Because;
use wire::settings::{Fallback, Settings};
use wire::verdict::Verdict;

const PEERS: [&str; 2] = ["192.0.2.7:500", "[2001:db8::7]:500"];
const BLOCK: Settings = Settings { fallback_inbound: Fallback::BLOCK, ..Settings::INITIAL };

/// A packet in its tunnel comes again without it: it passes, and nobody is asked twice.
#[test]
fn a_packet_in_its_tunnel_passes_and_is_not_asked_about() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK);
        let program = machine.program("vpn.exe");
        for peer in PEERS {
            let peer: std::net::SocketAddr = peer.parse().unwrap();
            let socket = program.udp_at(machine.engine(), if peer.is_ipv6() { "[::]:4500" } else { "0.0.0.0:4500" });
            assert_eq!(socket.deliver_protected(peer, b"outer", Protection::Tunnel), PacketFate::Passed);
            machine.settle();
            assert_eq!((service.take().len(), service.stats().held), (0, 0));
        }
    });
}

/// A copy of a secured packet would come without its protection: it is decided at once, and reported.
#[test]
fn a_secured_packet_is_never_held() {
    every_setting(|options| {
        for (fallback, fate, verdict) in [
            (Fallback::BLOCK, PacketFate::Dropped, Verdict::BLOCK),
            (Fallback::PERMIT, PacketFate::Passed, Verdict::PERMIT),
        ] {
            let machine = Machine::with_driver(options);
            let service = machine.service(Settings { fallback_inbound: fallback, ..Settings::INITIAL });
            let program = machine.program("smb.exe");
            // What has come out of a tunnel was secured in it.
            for (at, protection) in [("0.0.0.0:445", Protection::Transport), ("0.0.0.0:446", Protection::DeTunneled)] {
                let socket = program.udp_at(machine.engine(), at);
                assert_eq!(socket.deliver_protected(PEERS[0].parse().unwrap(), b"x", protection), fate);
                machine.settle();
                let report = service.take_one();
                let said = (report.is_held(), report.fixed.because, report.fixed.verdict);
                assert_eq!(said, (false, Because::FALLBACK, verdict));
            }
            assert_eq!(service.stats().packets_kept, 0);
        }
    });
}
