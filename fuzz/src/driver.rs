//! What programs, services and the filter engine do to the driver, in any order: calls with good and bad bytes, connections,
//! packets, answers, cancels, closes, deaths, time.
//!
//! The emulators look for what Windows would not forgive; this looks for what a person would not: a connection that nobody
//! ends, books that do not balance.

use crate::bytes::Bytes;
use e2e::{ClassifyIrql, Connect, Knobs, Machine, Options, Outcome, Program, Sent, Service};
use nt_sim::Io;
use wire::batch;
use wire::ioctl;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Answer, AnswersHead, Outcome as Fate, RequestId, Scope, Verdict};
use zerocopy::IntoBytes;

/// Longer runs find nothing that several short ones do not.
const STEPS: usize = 96;
const CLIENTS: usize = 2;
const PROGRAMS: [&str; 2] = ["node.exe", "chrome.exe"];
const REMOTES: [&str; 4] = ["192.0.2.1:443", "192.0.2.2:53", "[2001:db8::1]:443", "127.0.0.1:80"];
const CODES: [u32; 6] =
    [ioctl::HELLO, ioctl::NEXT_REQUESTS, ioctl::SUBMIT_VERDICTS, ioctl::CONFIGURE, ioctl::FORGET, ioctl::STATS];
/// `FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE`.
const POLICY_CHANGE: u32 = 1;
/// Longer than any deadline below, and than a verdict waits for its reauthorize.
const LONG: u64 = 10_000;

/// The machine and everything on it.
struct Run<'a> {
    bytes: Bytes<'a>,
    machine: Machine,
    clients: Vec<Option<Service>>,
    programs: Vec<Option<Program>>,
    connects: Vec<Connect>,
    /// Calls that may be parked, each with its control code.
    calls: Vec<(u32, Io)>,
    ids: Vec<RequestId>,
}

/// Boots a machine, does to it what the bytes say, and takes it down.
///
/// # Panics
/// When the driver breaks a rule of Windows, or a promise of ours.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let machine = Machine::with_driver(options(&mut bytes));
    let clients = (0..CLIENTS).map(|_| Some(machine.client())).collect();
    let programs = PROGRAMS.iter().map(|name| Some(machine.program(name))).collect();
    let ids = vec![RequestId(0)];
    let mut run = Run { bytes, machine, clients, programs, connects: Vec::new(), calls: Vec::new(), ids };
    for _ in 0..STEPS {
        if run.bytes.is_empty() {
            break;
        }
        run.step();
    }
    run.finish();
}

fn options(bytes: &mut Bytes<'_>) -> Options {
    Options {
        knobs: bytes.pick(&Knobs::all()),
        irql: bytes.pick(&[ClassifyIrql::Passive, ClassifyIrql::Dispatch, ClassifyIrql::Seeded]),
        value_count: bytes.pick(&[41, 32, 36, 37]),
        bfe_running: bytes.below(8) != 1,
        seed: u64::from(bytes.byte()),
        ..Options::default()
    }
}

impl Run<'_> {
    fn step(&mut self) {
        match self.bytes.below(18) {
            0..=2 => self.connect(),
            3 => self.send(),
            4 => self.hello(),
            5 => self.take(),
            6..=8 => self.answer(),
            9 => self.park(),
            10 => self.cancel(),
            11 => self.close_socket(),
            12 => self.any_call(),
            13 => self.machine.advance(u64::from(self.bytes.byte()) * 20),
            14 => self.configure(),
            15 => self.reopen(),
            16 => self.restart_program(),
            _ => self.engine(),
        }
        self.machine.settle();
    }

    fn connect(&mut self) {
        let (program, remote) = (self.bytes.below(PROGRAMS.len() as u8), self.bytes.pick(&REMOTES));
        if let Some(program) = &self.programs[usize::from(program)] {
            self.connects.push(program.connect(self.machine.engine(), remote));
        }
    }

    fn send(&mut self) {
        let (program, remote) = (self.bytes.below(PROGRAMS.len() as u8), self.bytes.pick(&REMOTES));
        let count = self.bytes.below(3);
        if let Some(program) = &self.programs[usize::from(program)] {
            let socket = program.udp(self.machine.engine(), remote.starts_with('['));
            for _ in 0..=count {
                let sent = socket.send(remote.parse().expect("an address"));
                assert!(matches!(sent, Sent::Sent | Sent::Lost | Sent::Refused(_)), "{sent:?}");
            }
        }
    }

    fn client(&mut self) -> Option<&Service> {
        let which = usize::from(self.bytes.below(CLIENTS as u8));
        self.clients[which].as_ref()
    }

    fn settings(&mut self) -> Settings {
        let bytes = &mut self.bytes;
        Settings {
            fallback_outbound: bytes.pick(&[Fallback::PERMIT, Fallback::BLOCK, Fallback::LAST]),
            fallback_inbound: bytes.pick(&[Fallback::PERMIT, Fallback::BLOCK, Fallback::LAST]),
            hold: bytes.short() & Holds::all().bits(),
            deadline_ms: bytes.pick(&[500, 10, 3_000]),
            max_pended: 4,
            max_pended_per_process: bytes.pick(&[3, 1, 4]),
            max_cached: bytes.pick(&[8, 0, 64]),
            epoch: u32::from(bytes.below(3)),
            ..Settings::INITIAL
        }
    }

    fn hello(&mut self) {
        let (settings, version) = (self.settings(), if self.bytes.below(8) == 1 { 1 } else { wire::VERSION });
        if let Some(client) = self.client() {
            client.hello(version, settings);
        }
    }

    fn configure(&mut self) {
        let settings = self.settings();
        if let Some(client) = self.client() {
            client.call(ioctl::CONFIGURE, settings.as_bytes(), 0);
        }
    }

    /// Everything that waits now, if this client may have it.
    fn take(&mut self) {
        let mut found = Vec::new();
        if let Some(client) = self.client() {
            let call = client.park();
            match call.result() {
                Some((_, output)) => read(&output, &mut found),
                None => drop(call.cancel()),
            }
        }
        self.ids.extend(found);
    }

    fn answer(&mut self) {
        let newest = self.ids.len() - 1;
        let back = usize::from(self.bytes.below(8)).min(newest);
        let answer = Answer {
            request: self.ids[newest - back],
            verdict: self.bytes.pick(&[Verdict::PERMIT, Verdict::BLOCK, Verdict::PERMIT, Verdict(7)]),
            scope: self.bytes.pick(&[Scope::OPERATION, Scope::REMOTE, Scope::PROGRAM]),
            reserved: 0,
            lifetime_ms: self.bytes.pick(&[0, 1, 2_000]),
        };
        let input = [AnswersHead { count: 1, reserved: 0 }.as_bytes(), answer.as_bytes()].concat();
        if let Some(client) = self.client() {
            let (_, output) = client.call(ioctl::SUBMIT_VERDICTS, &input, input.len());
            let fate = output.last().map(|fate| Fate(*fate));
            assert!(fate.is_none_or(|fate| [Fate::ACCEPTED, Fate::STALE, Fate::MALFORMED].contains(&fate)), "{fate:?}");
        }
    }

    fn park(&mut self) {
        if let Some(call) = self.client().map(Service::park) {
            self.calls.push((ioctl::NEXT_REQUESTS, call));
        }
    }

    fn cancel(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let which = usize::from(self.bytes.byte()) % self.calls.len();
        let (code, call) = self.calls.swap_remove(which);
        match call.result() {
            Some((_, output)) if code == ioctl::NEXT_REQUESTS => read(&output, &mut self.ids),
            Some(_) => {}
            None => drop(call.cancel()),
        }
    }

    fn close_socket(&mut self) {
        if !self.connects.is_empty() {
            let which = usize::from(self.bytes.byte()) % self.connects.len();
            self.connects.swap_remove(which).close();
        }
    }

    /// A call as no service of ours would make it.
    fn any_call(&mut self) {
        let code = self.bytes.pick(&CODES) ^ u32::from(self.bytes.below(16) == 1);
        let (length, room) = (usize::from(self.bytes.byte()), usize::from(self.bytes.short()));
        let input = self.bytes.take(length);
        let which = usize::from(self.bytes.below(CLIENTS as u8));
        if let Some(client) = &self.clients[which] {
            self.calls.push((code, client.ioctl(code, input, room)));
        }
    }

    /// A service goes, in good order or not; another comes.
    fn reopen(&mut self) {
        let which = usize::from(self.bytes.below(CLIENTS as u8));
        let dies = self.bytes.below(2) == 1;
        match self.clients[which].take() {
            Some(client) if dies => client.kill(),
            Some(client) => client.close(),
            None => self.clients[which] = Some(self.machine.client()),
        }
    }

    fn restart_program(&mut self) {
        let which = usize::from(self.bytes.below(PROGRAMS.len() as u8));
        match self.programs[which].take() {
            Some(program) => program.kill(),
            None => self.programs[which] = Some(self.machine.program(PROGRAMS[which])),
        }
    }

    fn engine(&mut self) {
        match self.bytes.below(3) {
            0 => drop(self.machine.engine().reauthorize_all(POLICY_CHANGE)),
            1 => self.machine.engine().bfe_stop(),
            _ => self.machine.engine().bfe_start(),
        }
    }

    /// Nobody answers any more: what is held ends by itself, and the machine ends with nothing left.
    fn finish(mut self) {
        for client in self.clients.iter().flatten() {
            client.stats();
        }
        for client in self.clients.iter_mut().filter_map(Option::take) {
            client.close();
        }
        self.machine.advance(LONG);
        self.machine.settle();
        for connect in &self.connects {
            assert_ne!(connect.outcome(), Outcome::Pending, "a connection that nobody ends");
        }
        for (_, call) in &self.calls {
            assert!(call.result().is_some(), "a call that nobody ends");
        }
        let witness = self.machine.client();
        let stats = witness.stats();
        assert_eq!((stats.pended, stats.attached), (0, 0), "{stats:?}");
        witness.close();
        drop((self.connects, self.calls, self.programs));
        self.machine.shutdown();
    }
}

fn read(output: &[u8], ids: &mut Vec<RequestId>) {
    let Ok((_, requests)) = batch::requests(output) else { return };
    ids.extend(requests.map(|view| view.expect("the driver writes whole requests").request.id));
}
