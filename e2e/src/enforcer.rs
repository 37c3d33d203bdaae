//! The emulated device as the service's enforcement point.
//!
//! Invariant: it is `platform`'s Windows one with another way to make a call; `platform::message` makes and reads the bytes.
//! Neighbours: `service::session` is the caller, on a thread of its own.

use nt_sim::{File, Io, Kernel, Process, ProcessSpec};
use nt_sys::se::{GENERIC_READ, GENERIC_WRITE};
use nt_sys::status::{NT_SUCCESS, STATUS_CANCELLED};
use platform::enforcer::{Attached, Enforcer, EnforcerError, Forgotten, Next};
use platform::message;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::batch::MIN_BATCH_BYTES;
use wire::ioctl;
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{Answer, Outcome};
use zerocopy::IntoBytes;

const BATCH_BYTES: usize = 16 * MIN_BATCH_BYTES;

/// An open device, in a process with the id of this one.
pub struct Device {
    file: File,
    process: Process,
    waiting: Arc<Mutex<Waiting>>,
}

/// Tells a device's owner that the driver is stopping, as a service manager would.
#[derive(Clone)]
pub struct Plug(Arc<Mutex<Waiting>>);

/// The call that waits for requests, and whether it was interrupted.
#[derive(Default)]
struct Waiting {
    call: Option<Arc<Io>>,
    is_interrupted: bool,
    is_gone: bool,
}

impl Plug {
    /// Every wait for requests fails from now on.
    pub fn pull(&self) {
        let call = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.is_gone = true;
            waiting.call.clone()
        };
        if let Some(call) = call {
            call.cancel();
        }
    }
}

impl Device {
    pub(crate) fn open(kernel: &Kernel) -> Self {
        let spec = ProcessSpec::new(r"\device\harddiskvolume3\program files\tollgate\tollgate.exe");
        let process = kernel.process(spec.pid(std::process::id()));
        let file = kernel.open(&process, wire::DEVICE_PATH, GENERIC_READ | GENERIC_WRITE);
        Self { file: file.expect("the device opens"), process, waiting: Arc::default() }
    }

    /// What tells that the driver is stopping.
    pub fn plug(&self) -> Plug {
        Plug(self.waiting.clone())
    }

    fn start(&self, code: u32, input: &[u8], output_len: usize) -> Io {
        self.process.enter(|| self.file.ioctl(code, input, output_len))
    }

    fn call(&self, name: &'static str, code: u32, input: &[u8], output_len: usize) -> Result<Vec<u8>, EnforcerError> {
        let (status, output) = self.start(code, input, output_len).wait();
        if NT_SUCCESS(status) {
            return Ok(output);
        }
        Err(EnforcerError::Os { call: name, source: io::Error::other(format!("status {status:#x}")) })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enforcer for Device {
    fn attach(&self, settings: &Settings) -> Result<Attached, EnforcerError> {
        let hello = message::hello(settings);
        message::read_hello(&self.call("HELLO", ioctl::HELLO, hello.as_bytes(), message::HELLO_REPLY_BYTES)?)
    }

    /// Patience has no end here: it is for submitting again what a call could not, and on this device every call is made.
    fn next(&self, batch: &mut Vec<u8>, _patience: Duration) -> Result<Next, EnforcerError> {
        batch.clear();
        let call = {
            let mut waiting = self.waiting();
            if std::mem::take(&mut waiting.is_interrupted) {
                return Ok(Next::Interrupted);
            }
            if waiting.is_gone {
                return Err(EnforcerError::Gone);
            }
            let call = Arc::new(self.start(ioctl::NEXT_REQUESTS, &[], BATCH_BYTES));
            waiting.call = Some(Arc::clone(&call));
            call
        };
        let (status, output) = call.wait();
        let mut waiting = self.waiting();
        waiting.call = None;
        if NT_SUCCESS(status) {
            *batch = output;
            return Ok(Next::Batch);
        }
        if status == STATUS_CANCELLED && std::mem::take(&mut waiting.is_interrupted) {
            return Ok(Next::Interrupted);
        }
        Err(EnforcerError::Gone)
    }

    fn interrupt(&self) {
        let call = {
            let mut waiting = self.waiting();
            waiting.is_interrupted = true;
            waiting.call.clone()
        };
        if let Some(call) = call {
            call.cancel();
        }
    }

    fn submit(&self, answers: &[Answer]) -> Result<Vec<Outcome>, EnforcerError> {
        let (input, room) = (message::submit(answers), message::outcomes_bytes(answers));
        let reply = self.call("SUBMIT_VERDICTS", ioctl::SUBMIT_VERDICTS, &input, room)?;
        message::read_outcomes(&reply, answers)
    }

    fn configure(&self, settings: &Settings) -> Result<(), EnforcerError> {
        self.call("CONFIGURE", ioctl::CONFIGURE, settings.as_bytes(), 0).map(drop)
    }

    fn forget(&self, what: Forgotten<'_>) -> Result<(), EnforcerError> {
        self.call("FORGET", ioctl::FORGET, &message::forget(what), 0).map(drop)
    }

    fn stats(&self) -> Result<Stats, EnforcerError> {
        message::read_stats(&self.call("STATS", ioctl::STATS, &[], message::STATS_BYTES)?)
    }
}
