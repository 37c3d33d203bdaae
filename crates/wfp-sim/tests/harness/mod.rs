//! What every test of the engine starts from: a booted engine on a test host, sessions and fake callouts that speak to it
//! through the C symbols alone, and a process with sockets.
//!
//! Invariant: dropping a [`Bench`] gives back what the test did not, in the order a driver would, so that the engine's own
//! check at shutdown only finds what the test left on purpose.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

mod callout;
mod filter;
mod packet;
mod session;

pub use callout::{Answer, Call, ClassifyHandle, Context, Fake, Seen, associate, dissociate, pend, unregister};
pub use filter::{FilterDraft, Operand, Weight, filter};
pub use packet::{Injector, List, Own, Pool, in_one_piece, read, scribble};
pub use session::{Common, Session};

use nt_sys::fwpm::*;
use nt_sys::types::GUID;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wfp_sim::{
    ClassifyIrql, Config, Connect, ConnectSpec, Engine, Host, Knobs, Listener, Process, ProcessSpec, TestHost,
    Violation,
};

pub const CONNECT_V4: GUID = FWPM_LAYER_ALE_AUTH_CONNECT_V4;
pub const ACCEPT_V4: GUID = FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4;
pub const ACCEPT_V6: GUID = FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6;
pub const CLOSURE_V4: GUID = FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4;
pub const CONNECT_V6: GUID = FWPM_LAYER_ALE_AUTH_CONNECT_V6;

/// Where connects go unless the test cares.
pub const REMOTE: &str = "93.184.216.34:443";

/// The process id of [`Bench::listen`].
pub const SERVER: u32 = 80;

/// A booted engine.
pub struct Bench {
    pub session: Session,
    fakes: Vec<Arc<Fake>>,
    sessions: Vec<Session>,
    pub process: Process,
    pub engine: Engine,
    pub host: Arc<TestHost>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with_knobs(knobs: Knobs) -> Self {
        Self::with(Config { knobs, ..Config::default() })
    }

    pub fn with(config: Config) -> Self {
        let host = TestHost::new();
        let engine = Engine::boot(config, host.clone());
        session::forget_closed();
        // A violation in an earlier part of the test leaves the thread at its level.
        host.set_irql(0);
        let process = engine.process(ProcessSpec::new(4711, r"\Device\HarddiskVolume3\Program Files\Curl\curl.exe"));
        let session = Session::open(0).expect("a session");
        Self { session, fakes: Vec::new(), sessions: Vec::new(), process, engine, host }
    }

    /// Another session that the bench closes at the end.
    pub fn session(&mut self, flags: u32) -> Session {
        let session = Session::open(flags).expect("a session");
        self.sessions.push(session);
        session
    }

    /// A registered callout, not yet added.
    pub fn registered(&mut self, answer: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> Arc<Fake> {
        self.registered_with(0, answer)
    }

    pub fn registered_with(&mut self, flags: u32, answer: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> Arc<Fake> {
        let fake = Fake::register(fresh_key(), flags, answer).expect("a registered callout");
        self.fakes.push(Arc::clone(&fake));
        fake
    }

    /// A callout that is registered and added at `layer`.
    pub fn callout(&mut self, layer: GUID, answer: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> Arc<Fake> {
        let fake = self.registered(answer);
        self.session.add_callout(fake.key, layer).expect("an added callout");
        fake
    }

    /// A callout with a terminating filter in a sublayer of its own that weighs `weight`.
    pub fn callout_at(
        &mut self,
        weight: u16,
        layer: GUID,
        answer: impl Fn(&mut Call<'_>) + Send + Sync + 'static,
    ) -> Arc<Fake> {
        let fake = self.callout(layer, answer);
        let sublayer = self.session.add_sublayer(weight).expect("a sublayer");
        self.session.add(&filter(layer).at(sublayer).terminating(fake.key)).expect("a filter");
        fake
    }

    /// A callout that watches `layer` and decides nothing.
    pub fn watch(&mut self, layer: GUID) -> Arc<Fake> {
        let fake = self.callout(layer, |_| {});
        self.session.add(&filter(layer).inspection(fake.key)).expect("a filter");
        fake
    }

    pub fn connect(&self) -> Connect {
        self.connect_to(REMOTE)
    }

    /// A listener of a process of its own.
    pub fn listen(&self, local: &str) -> Listener {
        let server = self.engine.process(ProcessSpec::new(SERVER, r"\Device\HarddiskVolume3\Server\httpd.exe"));
        self.engine.tcp_listen(&server, addr(local))
    }

    pub fn connect_to(&self, remote: &str) -> Connect {
        self.engine.tcp_connect(&self.process, ConnectSpec::to(addr(remote)))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() || self.engine.has_crashed() {
            return;
        }
        for session in self.sessions.drain(..) {
            session.close_if_open();
        }
        self.session.close_if_open();
        for fake in self.fakes.drain(..) {
            fake.unregister_if_registered();
        }
    }
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A key that no other object has.
pub fn fresh_key() -> GUID {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    GUID::from_u128(0x7465_7374_0000_0000_0000_0000_0000_0000 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// The rule that `body` breaks.
pub fn violation<R>(body: impl FnOnce() -> R) -> &'static str {
    let broken = catch_unwind(AssertUnwindSafe(|| drop(body()))).expect_err("a violation");
    broken.downcast::<Violation>().expect("a violation, not another panic").rule
}

/// Every setting of the knobs.
pub fn each_knob(mut test: impl FnMut(Bench)) {
    for knobs in Knobs::all() {
        test(Bench::with_knobs(knobs));
    }
}

pub fn at_passive() -> Config {
    Config { classify_irql: ClassifyIrql::Passive, ..Config::default() }
}
