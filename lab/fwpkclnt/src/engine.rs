//! The one engine of the driver host, and how a question becomes a classify.
//!
//! Invariants: the engine is booted once and never shut down; no lock is held while it runs, because it calls drivers.
//! Neighbours: `programs` remembers processes and sockets, `snapshot` shows the engine's state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use lab_sockets::{Address, Answer, Control, Operation, Question};
use nt_sys::fwp::FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE;
use wfp_sim::{Config, ConnectSpec, Engine, FlowHandle, Outcome, Process, Sent};

use crate::asker::Asker;
use crate::host::WineHost;
use crate::programs::{self, Socket};

const TCP: u8 = 6;
const UDP: u8 = 17;

static ENGINE: OnceLock<Engine> = OnceLock::new();

/// The engine, booted by the first use.
pub fn engine() -> &'static Engine {
    ENGINE.get_or_init(|| Engine::boot(Config::default(), Arc::new(WineHost::new())))
}

/// Whether the engine can decide about such a call.
pub fn can_decide(question: &Question) -> bool {
    matches!(question.protocol, TCP | UDP)
}

/// Has the engine decide, and tells `done`, now or later.
pub fn ask(asker: &Asker, question: &Question, done: impl FnOnce(Answer) + Send + 'static) {
    let process = programs::process(asker);
    match question.protocol {
        TCP => connect(&process, question, done),
        _ => send(&process, question, done),
    }
}

/// The asker has given up: its socket counts as closed.
pub fn abandon(pid: u32, endpoint: u64) {
    // Dropping a socket closes it, outside the table's lock.
    drop(programs::forget_socket(pid, endpoint));
}

/// Acts on the engine.
pub fn control(control: Control) {
    match control {
        Control::StopEngine => engine().bfe_stop(),
        Control::StartEngine => engine().bfe_start(),
        Control::Reauthorize => {
            engine().reauthorize_all(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE);
        }
    }
}

fn connect(process: &Process, question: &Question, done: impl FnOnce(Answer) + Send + 'static) {
    let mut spec = ConnectSpec::to(socket_addr(question.remote)).then(move |outcome| {
        done(match outcome {
            Outcome::Connected => Answer::Permit,
            Outcome::Pending | Outcome::Refused(_) | Outcome::Reset | Outcome::Closed => Answer::Block,
        });
    });
    spec.local = question.local.map(socket_addr);
    let connect = engine().tcp_connect(process, spec);
    drop(programs::remember_socket(process.pid(), question.endpoint, Socket::Tcp(connect)));
}

/// A packet that a driver holds is waited for: the program's own packet goes when the flow is permitted, and is lost when it
/// is not. What the driver injects in its place stays in the emulated network, so that the remote reads it once.
fn send(process: &Process, question: &Question, done: impl FnOnce(Answer) + Send + 'static) {
    let local = question.local.map_or_else(|| unspecified(question.remote), socket_addr);
    let socket = programs::udp_socket(process, question.endpoint, local);
    let remote = socket_addr(question.remote);
    if question.operation == Operation::Connect {
        socket.connect(remote);
    }
    let lived = socket.flow(remote).filter(FlowHandle::is_live).map(|flow| flow.id());
    let sent = socket.send(remote);
    // Nobody reads the emulated wire.
    drop(engine().take_wire());
    match sent {
        Sent::Sent => done(Answer::Permit),
        Sent::Refused(_) => done(Answer::Block),
        Sent::Lost => match socket.flow(remote).filter(|flow| Some(flow.id()) != lived) {
            Some(flow) => flow.then(|outcome| {
                done(if outcome == Outcome::Connected { Answer::Permit } else { Answer::Lose });
            }),
            None => done(Answer::Lose),
        },
    }
}

fn socket_addr(address: Address) -> SocketAddr {
    SocketAddr::new(address.ip, address.port)
}

fn unspecified(remote: Address) -> SocketAddr {
    let ip = match remote.ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, 0)
}
