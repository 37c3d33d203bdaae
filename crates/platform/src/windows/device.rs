//! The driver's device: calls to `\\.\Tollgate`, some of them parked.
//!
//! The handle is opened for overlapped I/O and bound to a completion port. A few `NEXT_REQUESTS` calls are parked on it
//! at all times, so that the driver always has somewhere to put requests while an earlier batch is being decided; their
//! completions arrive at the port. All other calls wait on an event of their own and stay away from the port.
//!
//! Invariants: a parked call belongs to the kernel from [`Device::park`] until its completion is taken from the port;
//! [`Device`] is not gone before all of them are back, or they are leaked. Neighbours: `crate::message` has the bytes,
//! `service_manager` knows whether the driver is stopping.

use super::service_manager::{self, Handle};
use super::{last_error, os_error};
use crate::driver_service::{self, DriverError, State};
use crate::enforcer::{Attached, Enforcer, EnforcerError, Forgotten, Next};
use crate::message;
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OVERLAPPED;
use windows_sys::Win32::System::IO as io_sys;
use windows_sys::Win32::System::Threading::CreateEventW;
use wire::ioctl;
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{Answer, Outcome};
use zerocopy::IntoBytes;

/// How many calls are parked at once: while one batch is decided, the driver can fill the others.
const PARKED: u32 = 4;
/// Room for about a hundred requests. The system keeps a copy of it in nonpaged pool for each parked call.
const BATCH_BYTES: usize = 32 * 1024;
/// How often a waiting call looks whether the driver was asked to stop. Windows unloads a driver only when the last
/// handle to its device is closed, and tells the holder nothing (learn.microsoft.com "Writing an Unload Routine").
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long dropping waits for cancelled calls before it leaks their buffers.
const CANCEL_PATIENCE_MS: u32 = 5_000;

/// Opens this machine's enforcement point: the driver's device.
pub fn open() -> Result<Box<dyn Enforcer>, EnforcerError> {
    Ok(Box::new(Device::open()?))
}

struct Device {
    // Dropped in this order: the port outlives the handle whose packets it takes.
    handle: OwnedHandle,
    port: OwnedHandle,
    parked: Mutex<Parked>,
    /// Events of calls that are over, for the next ones.
    events: Mutex<Vec<OwnedHandle>>,
    watched: Mutex<Watch>,
}

/// How many calls are parked, and how many there should be.
#[derive(Default)]
struct Parked {
    now: u32,
    wanted: u32,
}

/// When the service manager was asked last.
struct Watch {
    /// `None` when the service manager does not know the driver: then its stopping shows only by failing calls.
    service: Option<Handle>,
    looked: Instant,
}

/// One parked call. The kernel writes to both parts until it completes.
#[repr(C)]
struct Call {
    /// First, so that its address is the call's.
    overlapped: io_sys::OVERLAPPED,
    buffer: Vec<u8>,
}

/// What came out of the port.
enum Packet {
    Completed(Box<Call>, Result<usize, u32>),
    Interrupted,
    TimedOut,
}

impl Device {
    fn open() -> Result<Self, EnforcerError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(FILE_FLAG_OVERLAPPED)
            .open(wire::DEVICE_PATH)
            .map_err(explain_open)?;
        let handle = OwnedHandle::from(file);
        // SAFETY: `CreateIoCompletionPort` needs a handle opened for overlapped I/O and not yet bound to a port: `handle`
        // is new. Null asks for a new port.
        let port = unsafe { io_sys::CreateIoCompletionPort(handle.as_raw_handle(), ptr::null_mut(), 0, 1) };
        if port.is_null() {
            return Err(os("CreateIoCompletionPort", last_error()));
        }
        // SAFETY: `port` is a new handle that nobody else owns.
        let port = unsafe { OwnedHandle::from_raw_handle(port) };
        let watched = Watch { service: service_manager::open_for_query().ok(), looked: Instant::now() };
        Ok(Self { handle, port, parked: Mutex::default(), events: Mutex::default(), watched: Mutex::new(watched) })
    }

    /// Makes one call and waits for its end. The driver completes all but `NEXT_REQUESTS` at once.
    fn call(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, u32> {
        let event = self.event()?;
        // SAFETY: an `OVERLAPPED` is integers and pointers; all zero is its initial value.
        let mut overlapped: io_sys::OVERLAPPED = unsafe { std::mem::zeroed() };
        // The low bit keeps the completion away from the port (learn.microsoft.com GetQueuedCompletionStatus).
        overlapped.hEvent = event.as_raw_handle().map_addr(|address| address | 1);
        // SAFETY: `DeviceIoControl` needs
        // 1. an open device handle: `self.handle`;
        // 2. buffers of the lengths it is told: both come from slices;
        // 3. for an overlapped handle, buffers and `OVERLAPPED` that stay in place until the call completes: they are
        //    borrowed or owned by this function, which does not return before `GetOverlappedResult` says so below.
        let ok = unsafe {
            io_sys::DeviceIoControl(
                self.handle.as_raw_handle(),
                code,
                input.as_ptr().cast(),
                len32(input),
                output.as_mut_ptr().cast(),
                len32(output),
                ptr::null_mut(),
                &raw mut overlapped,
            )
        };
        if ok == win::FALSE {
            match last_error() {
                win::ERROR_IO_PENDING => {}
                code => return Err(code),
            }
        }
        let mut bytes = 0;
        // SAFETY: `GetOverlappedResult` needs the handle and the `OVERLAPPED` of a call that was started, as it was
        // above, and room for a length. TRUE makes it wait on the event.
        let ok = unsafe {
            io_sys::GetOverlappedResult(self.handle.as_raw_handle(), &raw const overlapped, &raw mut bytes, win::TRUE)
        };
        let result = if ok == win::FALSE { Err(last_error()) } else { Ok(bytes as usize) };
        lock(&self.events).push(event);
        result
    }

    /// An event that no call waits on. Starting a call resets it.
    fn event(&self) -> Result<OwnedHandle, u32> {
        let idle = lock(&self.events).pop();
        if let Some(event) = idle {
            return Ok(event);
        }
        // SAFETY: `CreateEventW` takes null for default security and for no name.
        let event = unsafe { CreateEventW(ptr::null(), win::TRUE, win::FALSE, ptr::null()) };
        if event.is_null() {
            return Err(last_error());
        }
        // SAFETY: `event` is a new handle that nobody else owns.
        Ok(unsafe { OwnedHandle::from_raw_handle(event) })
    }

    /// Parks calls until there are as many as wanted. `spare` becomes a buffer of the first.
    fn fill(&self, spare: &mut Vec<u8>) -> Result<(), EnforcerError> {
        let mut parked = lock(&self.parked);
        while parked.now < parked.wanted {
            self.park(std::mem::take(spare)).map_err(|code| failed("NEXT_REQUESTS", code))?;
            parked.now += 1;
        }
        Ok(())
    }

    fn park(&self, mut buffer: Vec<u8>) -> Result<(), u32> {
        buffer.resize(BATCH_BYTES, 0);
        // SAFETY: an `OVERLAPPED` is integers and pointers; all zero is its initial value.
        let overlapped = unsafe { std::mem::zeroed() };
        let mut call = Box::new(Call { overlapped, buffer });
        let (output, output_len) = (call.buffer.as_mut_ptr(), len32(&call.buffer));
        let call = Box::into_raw(call);
        // SAFETY: `DeviceIoControl` needs
        // 1. an open device handle: `self.handle`;
        // 2. an output buffer of the length it is told: both are of `call.buffer`;
        // 3. buffer and `OVERLAPPED` that stay in place until the call completes: `call` is in no `Box` from here until
        //    `take` gets it back from the port, and `OVERLAPPED` is its first field.
        let ok = unsafe {
            io_sys::DeviceIoControl(
                self.handle.as_raw_handle(),
                ioctl::NEXT_REQUESTS,
                ptr::null(),
                0,
                output.cast(),
                output_len,
                ptr::null_mut(),
                call.cast(),
            )
        };
        // A call that succeeds at once goes through the port as well; one that fails at once does not, unless its status
        // is a warning, which the driver has none of.
        let code = if ok == win::FALSE { last_error() } else { win::ERROR_IO_PENDING };
        if code == win::ERROR_IO_PENDING {
            return Ok(());
        }
        // SAFETY: `call` came from `Box::into_raw` above, and a call that was not started leaves nothing at the port.
        drop(unsafe { Box::from_raw(call) });
        Err(code)
    }

    /// Takes one packet from the port.
    fn take(&self, patience_ms: u32) -> Result<Packet, u32> {
        let (mut bytes, mut key, mut overlapped) = (0, 0, ptr::null_mut());
        // SAFETY: `GetQueuedCompletionStatus` needs an open port, `self.port`, and room for its three results.
        let ok = unsafe {
            io_sys::GetQueuedCompletionStatus(
                self.port.as_raw_handle(),
                &raw mut bytes,
                &raw mut key,
                &raw mut overlapped,
                patience_ms,
            )
        };
        let code = if ok == win::FALSE { last_error() } else { win::NO_ERROR };
        if overlapped.is_null() {
            return match code {
                win::NO_ERROR => Ok(Packet::Interrupted),
                win::WAIT_TIMEOUT => Ok(Packet::TimedOut),
                code => Err(code),
            };
        }
        // SAFETY: `Box::from_raw` needs a pointer from `Box::into_raw` that is taken back once:
        // 1. packets with an `OVERLAPPED` come from calls on `self.handle` only, and of those only `park` lets its calls
        //    reach the port; what it passes is the address of a `Call` from `Box::into_raw`;
        // 2. each call puts one packet into the port, and the kernel is done with it then.
        let call = unsafe { Box::from_raw(overlapped.cast::<Call>()) };
        lock(&self.parked).now -= 1;
        Ok(Packet::Completed(call, if code == win::NO_ERROR { Ok(bytes as usize) } else { Err(code) }))
    }

    /// Asks the service manager, at most every [`LOOK_EVERY`], whether the driver should stop.
    fn is_stopping(&self) -> bool {
        let mut watched = lock(&self.watched);
        if watched.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        watched.looked = Instant::now();
        let state = watched.service.as_ref().map(Handle::state);
        matches!(state, Some(Ok(State::Stopping | State::Stopped)))
    }
}

impl Enforcer for Device {
    fn attach(&self, settings: &Settings) -> Result<Attached, EnforcerError> {
        let mut reply = [0; message::HELLO_REPLY_BYTES];
        let len =
            self.call(ioctl::HELLO, message::hello(settings).as_bytes(), &mut reply).map_err(|code| match code {
                win::ERROR_ACCESS_DENIED => EnforcerError::AccessDenied,
                code => failed("HELLO", code),
            })?;
        let attached = message::read_hello(&reply[..len])?;
        lock(&self.parked).wanted = attached.max_parked.min(PARKED);
        self.fill(&mut Vec::new())?;
        Ok(attached)
    }

    fn next(&self, batch: &mut Vec<u8>, patience: Duration) -> Result<Next, EnforcerError> {
        let began = Instant::now();
        self.fill(batch)?;
        batch.clear();
        loop {
            if self.is_stopping() {
                return Err(EnforcerError::Gone);
            }
            let left = patience.saturating_sub(began.elapsed());
            match self.take(millis(left.min(LOOK_EVERY))).map_err(|code| os("GetQueuedCompletionStatus", code))? {
                Packet::Completed(call, result) => {
                    let len = result.map_err(|code| failed("NEXT_REQUESTS", code))?;
                    *batch = call.buffer;
                    batch.truncate(len);
                    return Ok(Next::Batch);
                }
                Packet::Interrupted => return Ok(Next::Interrupted),
                Packet::TimedOut if began.elapsed() >= patience => return Ok(Next::TimedOut),
                Packet::TimedOut => {}
            }
        }
    }

    fn interrupt(&self) {
        // SAFETY: `PostQueuedCompletionStatus` needs an open port, `self.port`; `take` knows a packet without
        // `OVERLAPPED` for what it is. It fails only when memory is exhausted; the next request then ends the wait.
        unsafe { io_sys::PostQueuedCompletionStatus(self.port.as_raw_handle(), 0, 0, ptr::null()) };
    }

    fn submit(&self, answers: &[Answer]) -> Result<Vec<Outcome>, EnforcerError> {
        let mut reply = vec![0; message::outcomes_bytes(answers)];
        let len = self
            .call(ioctl::SUBMIT_VERDICTS, &message::submit(answers), &mut reply)
            .map_err(|code| failed("SUBMIT_VERDICTS", code))?;
        message::read_outcomes(&reply[..len], answers)
    }

    fn configure(&self, settings: &Settings) -> Result<(), EnforcerError> {
        self.call(ioctl::CONFIGURE, settings.as_bytes(), &mut []).map_err(|code| failed("CONFIGURE", code))?;
        Ok(())
    }

    fn forget(&self, what: Forgotten<'_>) -> Result<(), EnforcerError> {
        self.call(ioctl::FORGET, &message::forget(what), &mut []).map_err(|code| failed("FORGET", code))?;
        Ok(())
    }

    fn stats(&self) -> Result<Stats, EnforcerError> {
        let mut reply = [0; message::STATS_BYTES];
        let len = self.call(ioctl::STATS, &[], &mut reply).map_err(|code| failed("STATS", code))?;
        message::read_stats(&reply[..len])
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: `CancelIoEx` needs an open handle, `self.handle`; null means all its calls.
        unsafe { io_sys::CancelIoEx(self.handle.as_raw_handle(), ptr::null()) };
        while lock(&self.parked).now > 0 {
            match self.take(CANCEL_PATIENCE_MS) {
                Ok(Packet::Completed(..) | Packet::Interrupted) => {}
                // A driver that keeps cancelled calls keeps their memory, too: better lost than written to after free.
                Ok(Packet::TimedOut) | Err(_) => return,
            }
        }
    }
}

/// Why the device did not open. Without a device, the service manager knows whether there should be one.
fn explain_open(error: io::Error) -> EnforcerError {
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(win::ERROR_ACCESS_DENIED) => EnforcerError::AccessDenied,
        Some(win::ERROR_FILE_NOT_FOUND | win::ERROR_PATH_NOT_FOUND) => {
            match driver_service::status().map(|status| status.state) {
                Err(DriverError::NotInstalled) => EnforcerError::NotInstalled,
                Ok(State::Running) => {
                    EnforcerError::Os { call: "opening the device of a running driver", source: error }
                }
                Ok(State::Stopped | State::Starting | State::Stopping) | Err(_) => EnforcerError::NotRunning,
            }
        }
        _ => EnforcerError::Os { call: "opening the driver's device", source: error },
    }
}

/// What a failed call says. These codes come when the driver completes what it holds to unload, when it has detached us
/// for that (`ERROR_BAD_COMMAND` is `STATUS_INVALID_DEVICE_STATE`), and when there is no driver behind the handle any
/// more.
fn failed(call: &'static str, code: u32) -> EnforcerError {
    match code {
        win::ERROR_OPERATION_ABORTED
        | win::ERROR_ACCESS_DENIED
        | win::ERROR_BAD_COMMAND
        | win::ERROR_INVALID_HANDLE
        | win::ERROR_FILE_NOT_FOUND
        | win::ERROR_NOT_READY
        | win::ERROR_DEV_NOT_EXIST
        | win::ERROR_NO_SUCH_DEVICE
        | win::ERROR_DEVICE_NOT_CONNECTED
        | win::ERROR_DEVICE_REMOVED => EnforcerError::Gone,
        code => os(call, code),
    }
}

fn os(call: &'static str, code: u32) -> EnforcerError {
    EnforcerError::Os { call, source: os_error(code) }
}

/// The data, also after a panic elsewhere: no guard is held while its data is inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn len32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Rounded up, so that a wait does not end before its time.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u32::MAX - 1)
}
