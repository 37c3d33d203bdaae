//! Every ordering matters: a scheduler explores how threads interleave in the driver, call by call.
//!
//! Built with the feature `shuttle` only (docs.rs `shuttle`): between two calls of the kernel or of the filter engine any
//! other thread may go on (`nt_sim::point`), and the scheduler tries orderings at random and by priorities, from seeds. A
//! failure prints its schedule, which `SHUTTLE_SCHEDULE=... cargo test -p e2e --features shuttle --test orderings NAME`
//! repeats step by step.
//!
//! Each scene lets a few threads do one thing each to the same held operation. Whatever the order: every connection has one
//! outcome, told once; every call comes back once; the books balance; and the emulators find nothing left.
//!
//! Neighbours: `races` has real threads and many more of them.

use e2e::{ClassifyIrql, Connect, ConnectSpec, Knobs, Machine, Options, Outcome, Program, Service, WSAEACCES};
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{Config, Runner, thread};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, RequestId, Verdict};

/// Orderings of one scene in the test run, by each of the two schedulers; more by `ORDERINGS`.
const ORDERINGS: usize = 300;
/// How many times a priority changes within one ordering.
const DEPTH: usize = 3;

const DEADLINE_MS: u64 = 20;

/// Explores a scene.
fn explore(scene: fn()) {
    let config = || {
        let mut config = Config::new();
        // Tests boot whole machines on the stack of an explored thread.
        config.stack_size = 1 << 20;
        config
    };
    if let Ok(schedule) = std::env::var("SHUTTLE_SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config()).run(scene);
        return;
    }
    let orderings = std::env::var("ORDERINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(ORDERINGS);
    Runner::new(RandomScheduler::new(orderings), config()).run(scene);
    Runner::new(PctScheduler::new(DEPTH, orderings), config()).run(scene);
}

/// A machine with a service and a program. Fields drop in order: the machine is the last to go.
struct Scene {
    service: Service,
    program: Program,
    machine: Machine,
}

/// A connect whose outcomes are counted.
struct Attempt {
    connect: Connect,
    told: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        let mut random = shuttle::rand::thread_rng();
        let all = Knobs::all();
        let machine = Machine::with_driver(Options {
            knobs: all[random.gen_range(0..all.len())],
            irql: [ClassifyIrql::Seeded, ClassifyIrql::Passive, ClassifyIrql::Dispatch][random.gen_range(0..3)],
            seed: random.r#gen::<u64>() >> 1,
            ..Options::default()
        });
        let service = machine.service(Settings {
            fallback_outbound: Fallback::BLOCK,
            deadline_ms: DEADLINE_MS as u32,
            // Small tables: a machine is booted and verified for each ordering.
            max_pended: 16,
            max_pended_per_process: 16,
            max_cached: 16,
            ..Settings::INITIAL
        });
        let program = machine.program("racer.exe");
        Self { service, program, machine }
    }

    fn connect(&self, remote: &str) -> Attempt {
        let told = Arc::new(AtomicUsize::new(0));
        let teller = Arc::clone(&told);
        let spec = ConnectSpec::to(remote.parse().expect("an address")).then(move |_| {
            teller.fetch_add(1, Ordering::SeqCst);
        });
        Attempt { connect: self.program.connect_with(self.machine.engine(), spec), told }
    }

    /// A connect that is held, and its request.
    fn hold(&self, remote: &str) -> (Attempt, RequestId) {
        let attempt = self.connect(remote);
        self.machine.settle();
        let id = self.service.take_one().id();
        (attempt, id)
    }

    fn permit(&self, id: RequestId) -> bool {
        self.service.submit(&[Answer::once(id, Verdict::PERMIT)]) == [wire::verdict::Outcome::ACCEPTED]
    }

    /// Lets everything that is due run, and looks at the outcome and the books.
    fn end(self, attempt: Attempt, allowed: &[Outcome]) {
        self.machine.advance(u64::from(gate::GRACE_MS) + 2 * DEADLINE_MS);
        let outcome = attempt.connect.outcome();
        assert!(allowed.contains(&outcome), "{outcome:?}");
        assert_eq!(attempt.told.load(Ordering::SeqCst), 1, "{outcome:?} was told once");
        let stats = self.service.stats();
        assert_eq!((stats.pended, stats.kept_packets), (0, 0), "{stats:?}");
        drop(attempt);
        self.close();
    }

    fn close(self) {
        self.service.close();
        drop(self.program);
        self.machine.shutdown();
    }
}

/// Runs each on a thread of its own and waits for all.
macro_rules! together {
    ($($body:expr),+ $(,)?) => {
        thread::scope(|scope| {
            $(let _ = scope.spawn($body);)+
        })
    };
}

const BLOCKED: Outcome = Outcome::Refused(WSAEACCES);

#[test]
fn a_connection_that_is_answered_while_its_socket_closes() {
    explore(|| {
        let scene = Scene::new();
        let (attempt, id) = scene.hold("192.0.2.1:443");
        together!(|| _ = scene.permit(id), || attempt.connect.close());
        scene.end(attempt, &[Outcome::Connected, Outcome::Closed]);
    });
}

#[test]
fn a_connection_that_is_answered_twice() {
    explore(|| {
        let scene = Scene::new();
        let (attempt, id) = scene.hold("192.0.2.1:443");
        let accepted = AtomicUsize::new(0);
        let answer = || _ = accepted.fetch_add(usize::from(scene.permit(id)), Ordering::SeqCst);
        together!(answer, answer);
        assert_eq!(accepted.into_inner(), 1, "one of them decided");
        scene.end(attempt, &[Outcome::Connected]);
    });
}

#[test]
fn a_connection_that_is_answered_at_its_deadline() {
    explore(|| {
        let scene = Scene::new();
        let (attempt, id) = scene.hold("192.0.2.1:443");
        together!(|| _ = scene.permit(id), || scene.machine.advance(DEADLINE_MS + 50));
        scene.end(attempt, &[Outcome::Connected, BLOCKED]);
    });
}

#[test]
fn a_connection_that_closes_at_its_deadline() {
    explore(|| {
        let scene = Scene::new();
        let (attempt, _id) = scene.hold("192.0.2.1:443");
        together!(|| attempt.connect.close(), || scene.machine.advance(DEADLINE_MS + 50));
        scene.end(attempt, &[Outcome::Closed, BLOCKED]);
    });
}

#[test]
fn a_connection_that_comes_while_a_call_is_parked_and_cancelled() {
    explore(|| {
        let scene = Scene::new();
        let (attempt, brought) = thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let attempt = scene.connect("192.0.2.1:443");
                scene.machine.settle();
                attempt
            });
            let parking = scope.spawn(|| {
                let call = scene.service.park();
                call.cancel();
                let (status, _) = call.wait();
                if status == nt_sys::status::STATUS_SUCCESS { e2e::read_batch(&call).len() } else { 0 }
            });
            (connecting.join().expect("it connects"), parking.join().expect("it comes back"))
        });
        scene.machine.settle();
        assert_eq!(brought + scene.service.take().len(), 1, "the request was delivered once");
        scene.end(attempt, &[BLOCKED]);
    });
}

#[test]
fn a_connection_that_comes_while_the_service_goes() {
    explore(|| {
        let scene = Scene::new();
        let other = scene.machine.client();
        let Scene { service, program, machine } = scene;
        let scene = Scene { service: other, program, machine };
        let attempt = thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let attempt = scene.connect("192.0.2.1:443");
                scene.machine.settle();
                attempt
            });
            let leaving = scope.spawn(move || {
                let call = service.park();
                service.close();
                assert!(call.result().is_some(), "a call does not outlive its handle");
            });
            leaving.join().expect("it goes");
            connecting.join().expect("it connects")
        });
        scene.end(attempt, &[BLOCKED]);
    });
}

#[test]
fn a_connection_that_is_held_while_its_socket_closes_and_the_driver_unloads() {
    explore(|| {
        let scene = Scene::new();
        let (attempt, _id) = scene.hold("192.0.2.1:443");
        let Scene { service, program, machine } = scene;
        service.close();
        let late = thread::scope(|scope| {
            let late = scope.spawn(|| program.connect(machine.engine(), "192.0.2.2:443"));
            let _ = scope.spawn(|| attempt.connect.close());
            assert!(machine.unload(), "no handle is open");
            late.join().expect("it connects")
        });
        machine.settle();
        assert!([Outcome::Connected, BLOCKED].contains(&late.outcome()), "{late:?}");
        assert!([Outcome::Closed, BLOCKED].contains(&attempt.connect.outcome()), "{:?}", attempt.connect);
        drop((late, attempt, program));
        machine.shutdown();
    });
}

#[test]
fn a_first_packet_that_is_permitted_while_another_follows() {
    explore(|| {
        let scene = Scene::new();
        let engine = scene.machine.engine();
        let socket = scene.program.udp(engine, false);
        let remote = "192.0.2.1:53".parse().expect("an address");
        socket.send_bytes(remote, b"one");
        scene.machine.settle();
        let id = scene.service.take_held().id();
        together!(|| _ = scene.permit(id), || _ = socket.send_bytes(remote, b"two"));
        scene.machine.advance(u64::from(gate::GRACE_MS) + 2 * DEADLINE_MS);
        let wired = engine.wire().len();
        // The second may have been held anew, and nobody answered.
        assert!((1..=2).contains(&wired), "{wired} packets left, the first of them once");
        let stats = scene.service.stats();
        assert_eq!((stats.pended, stats.kept_packets), (0, 0), "{stats:?}");
        drop(socket);
        scene.close();
    });
}

#[test]
fn a_first_packet_that_is_permitted_while_its_socket_closes() {
    explore(|| {
        let scene = Scene::new();
        let socket = scene.program.udp(scene.machine.engine(), false);
        socket.send_bytes("192.0.2.1:53".parse().expect("an address"), b"one");
        scene.machine.settle();
        let id = scene.service.take_held().id();
        together!(|| _ = scene.permit(id), || socket.close());
        scene.machine.advance(u64::from(gate::GRACE_MS) + 2 * DEADLINE_MS);
        assert!(scene.machine.engine().wire().len() <= 1, "it left once, or with its socket");
        let stats = scene.service.stats();
        assert_eq!((stats.pended, stats.kept_packets), (0, 0), "{stats:?}");
        drop(socket);
        scene.close();
    });
}

#[test]
fn a_connection_that_comes_in_and_is_permitted_while_its_listener_closes() {
    explore(|| {
        let scene = Scene::new();
        let listener = scene.program.listen(scene.machine.engine(), "0.0.0.0:80");
        let accept = listener.syn_from("192.0.2.7:40000".parse().expect("an address"));
        scene.machine.settle();
        let id = scene.service.take_held().id();
        together!(|| _ = scene.permit(id), || listener.close());
        scene.machine.advance(u64::from(gate::GRACE_MS) + 2 * DEADLINE_MS);
        assert_ne!(accept.fate(), e2e::SynFate::Held);
        let stats = scene.service.stats();
        assert_eq!((stats.pended, stats.kept_packets), (0, 0), "{stats:?}");
        drop((accept, listener));
        scene.close();
    });
}
