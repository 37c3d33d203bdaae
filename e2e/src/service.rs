//! A service that speaks the wire, byte by byte, over the emulated device.

use nt_sim::{File, Io, Kernel};
use nt_sys::se::{GENERIC_READ, GENERIC_WRITE};
use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::NTSTATUS;
use std::net::SocketAddr;
use wfp_sim::{Connect, ConnectSpec, Engine};
use wire::batch::{self, MIN_BATCH_BYTES};
use wire::hello::{Hello, HelloOutcome, HelloReply};
use wire::ioctl;
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{Answer, AnswersHead, Outcome, OutcomesHead, RequestId, Verdict};
use zerocopy::{FromBytes, IntoBytes};

/// How much a batch may hold.
const BATCH_BYTES: usize = 16 * MIN_BATCH_BYTES;

/// A request or report with what it says about the program and the user.
#[derive(Clone, Debug)]
pub struct Request {
    /// The fixed part.
    pub fixed: wire::request::Request,
    /// The program path.
    pub path: String,
    /// The user's SID.
    pub sid: Vec<u8>,
}

impl Request {
    /// Its id.
    pub fn id(&self) -> RequestId {
        self.fixed.id
    }

    /// Where it goes.
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.fixed.remote_ip(), self.fixed.remote_port)
    }

    /// Whether it waits for an answer.
    pub fn is_held(&self) -> bool {
        self.fixed.flags().contains(wire::request::RequestFlags::HELD)
    }
}

/// A process with the device open.
pub struct Service {
    file: File,
    process: nt_sim::Process,
    own: wfp_sim::Process,
}

impl Service {
    pub(crate) fn open(kernel: &Kernel, process: nt_sim::Process, own: wfp_sim::Process) -> Self {
        let file = kernel.open(&process, wire::DEVICE_PATH, GENERIC_READ | GENERIC_WRITE);
        Self { file: file.expect("the device opens"), process, own }
    }

    /// Its process id.
    pub fn pid(&self) -> u64 {
        u64::from(self.process.pid())
    }

    /// Its process in the kernel.
    pub fn process(&self) -> &nt_sim::Process {
        &self.process
    }

    /// Sends any control code with any bytes.
    pub fn ioctl(&self, code: u32, input: &[u8], output_len: usize) -> Io {
        self.process.enter(|| self.file.ioctl(code, input, output_len))
    }

    /// A call that must not park: its status and output.
    ///
    /// # Panics
    /// When it parks.
    pub fn call(&self, code: u32, input: &[u8], output_len: usize) -> (NTSTATUS, Vec<u8>) {
        self.ioctl(code, input, output_len).result().expect("the call does not park")
    }

    /// Says hello with the given version.
    pub fn hello(&self, version: u16, settings: Settings) -> (NTSTATUS, Option<HelloReply>) {
        let hello = Hello { version, reserved: [0; 3], process_id: self.pid(), settings };
        let (status, output) = self.call(ioctl::HELLO, hello.as_bytes(), size_of::<HelloReply>());
        (status, HelloReply::read_from_bytes(&output).ok())
    }

    /// Attaches.
    ///
    /// # Panics
    /// When the driver does not take it.
    pub fn attach(&self, settings: Settings) {
        let (status, reply) = self.hello(wire::VERSION, settings);
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(reply.expect("a whole reply").outcome, HelloOutcome::ATTACHED);
    }

    /// Parks a `NEXT_REQUESTS` call.
    pub fn park(&self) -> Io {
        self.ioctl(ioctl::NEXT_REQUESTS, &[], BATCH_BYTES)
    }

    /// Takes everything that waits now. Parks nothing.
    pub fn take(&self) -> Vec<Request> {
        let mut all = Vec::new();
        loop {
            let call = self.park();
            let Some((status, output)) = call.result() else {
                call.cancel();
                return all;
            };
            assert_eq!(status, STATUS_SUCCESS);
            all.extend(requests(&output));
        }
    }

    /// Takes the one request that waits.
    ///
    /// # Panics
    /// When there is not exactly one.
    pub fn take_one(&self) -> Request {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Takes the one request that waits, which must be held.
    ///
    /// # Panics
    /// When there is not exactly one, or it is not held.
    pub fn take_held(&self) -> Request {
        let request = self.take_one();
        assert!(request.is_held(), "{request:?}");
        request
    }

    /// Submits answers and gives what became of each.
    ///
    /// # Panics
    /// When the call itself fails.
    pub fn submit(&self, answers: &[Answer]) -> Vec<Outcome> {
        let head = AnswersHead { count: answers.len() as u32, reserved: 0 };
        let mut input = head.as_bytes().to_vec();
        input.extend_from_slice(answers.as_bytes());
        let (status, output) = self.call(ioctl::SUBMIT_VERDICTS, &input, size_of::<OutcomesHead>() + answers.len());
        assert_eq!(status, STATUS_SUCCESS);
        output[size_of::<OutcomesHead>()..].iter().map(|outcome| Outcome(*outcome)).collect()
    }

    /// Answers one request, to be remembered for nothing else.
    pub fn answer(&self, request: &Request, verdict: Verdict) -> Outcome {
        self.submit(&[Answer::once(request.id(), verdict)])[0]
    }

    /// Replaces the settings.
    ///
    /// # Panics
    /// When the driver does not take them.
    pub fn configure(&self, settings: Settings) {
        assert_eq!(self.call(ioctl::CONFIGURE, settings.as_bytes(), 0).0, STATUS_SUCCESS);
    }

    /// Reads the counters.
    ///
    /// # Panics
    /// When the call fails, or the books do not balance.
    pub fn stats(&self) -> Stats {
        let (status, output) = self.call(ioctl::STATS, &[], size_of::<Stats>());
        assert_eq!(status, STATUS_SUCCESS);
        let stats = Stats::read_from_bytes(&output).expect("whole counters");
        assert!(stats.balances(), "{stats:?}");
        stats
    }

    /// Connects, as the service itself.
    pub fn connect(&self, engine: &Engine, remote: &str) -> Connect {
        let spec = ConnectSpec::to(remote.parse().expect("an address"));
        self.process.enter(|| engine.tcp_connect(&self.own, spec))
    }

    /// Closes the handle in good order.
    pub fn close(self) {
        self.file.close();
    }

    /// Dies, with its handle open.
    pub fn kill(self) {
        let Self { file, process, own } = self;
        own.kill();
        process.kill();
        // The kernel has closed the handle.
        std::mem::forget(file);
    }
}

/// What a parked call brought.
///
/// # Panics
/// When it is still parked, or failed.
pub fn read_batch(call: &Io) -> Vec<Request> {
    let (status, output) = call.result().expect("the call is answered");
    assert_eq!(status, STATUS_SUCCESS);
    requests(&output)
}

fn requests(output: &[u8]) -> Vec<Request> {
    let (_, requests) = batch::requests(output).expect("a batch");
    requests
        .map(|view| {
            let view = view.expect("a whole request");
            let units: Vec<u16> =
                view.path.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            Request { fixed: view.request, path: String::from_utf16_lossy(&units), sid: view.sid.to_vec() }
        })
        .collect()
}
