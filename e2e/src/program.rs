//! A program that connects, listens, sends and receives.

use std::net::SocketAddr;
use wfp_sim::{Connect, ConnectSpec, DatagramSocket, Engine, Listener};

/// A running program.
pub struct Program {
    process: nt_sim::Process,
    own: wfp_sim::Process,
    path: String,
}

impl Program {
    pub(crate) fn new(process: nt_sim::Process, own: wfp_sim::Process, path: String) -> Self {
        Self { process, own, path }
    }

    /// Its process id.
    pub fn pid(&self) -> u64 {
        u64::from(self.process.pid())
    }

    /// Its process in the kernel.
    pub fn process(&self) -> &nt_sim::Process {
        &self.process
    }

    /// Its NT path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Connects by TCP to an address such as `192.0.2.1:443`, as a thread of the program.
    ///
    /// # Panics
    /// When the address does not parse.
    pub fn connect(&self, engine: &Engine, remote: &str) -> Connect {
        self.connect_with(engine, ConnectSpec::to(remote.parse().expect("an address")))
    }

    /// Connects by TCP as `spec` says.
    pub fn connect_with(&self, engine: &Engine, spec: ConnectSpec) -> Connect {
        self.process.enter(|| engine.tcp_connect(&self.own, spec))
    }

    /// Opens a UDP socket.
    pub fn udp(&self, engine: &Engine, is_v6: bool) -> DatagramSocket {
        let any: SocketAddr = if is_v6 { "[::]:0" } else { "0.0.0.0:0" }.parse().expect("an address");
        engine.udp_open(&self.own, any)
    }

    /// Opens a UDP socket at an address such as `0.0.0.0:53`, at which packets arrive.
    ///
    /// # Panics
    /// When the address does not parse, or may not be used.
    pub fn udp_at(&self, engine: &Engine, local: &str) -> DatagramSocket {
        let socket = engine.udp_open(&self.own, local.parse().expect("an address"));
        assert!(socket.bind(), "{local} is bound");
        socket
    }

    /// Listens by TCP at an address such as `0.0.0.0:80`.
    ///
    /// # Panics
    /// When the address does not parse, or may not be listened at.
    pub fn listen(&self, engine: &Engine, local: &str) -> Listener {
        let listener = engine.tcp_listen(&self.own, local.parse().expect("an address"));
        assert_eq!(listener.error(), None, "{local} is listened at");
        listener
    }

    /// Opens a raw socket for a protocol.
    pub fn raw(&self, engine: &Engine, protocol: u8, is_v6: bool) -> DatagramSocket {
        engine.raw_open(&self.own, protocol, is_v6)
    }

    /// Opens a socket for ICMP echo.
    pub fn icmp(&self, engine: &Engine, is_v6: bool) -> DatagramSocket {
        engine.icmp_open(&self.own, is_v6)
    }

    /// Ends it for the kernel alone: its sockets are still closing.
    pub fn kill_leaving_sockets(&self) {
        self.process.kill();
    }

    /// Ends it: the kernel closes its handles, the filter engine its sockets.
    pub fn kill(self) {
        self.own.kill();
        self.process.kill();
    }
}
