//! One overlapped operation at a time: started, waited for, given up.
//!
//! Invariants: an operation is over before [`Operation::run`] returns, so what it writes to may live on the stack.
//! Neighbours: `ipc` moves bytes with it.

use super::security::done;
use super::{last_error, os_error};
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::time::Duration;
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::System::IO as io_sys;
use windows_sys::Win32::System::Threading as thread;

/// Something to wait for; stays set once it is.
#[derive(Debug)]
pub(super) struct Event(OwnedHandle);

impl Event {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: `CreateEventW` takes null for no access of its own and for no name; TRUE makes it stay set.
        let event = unsafe { thread::CreateEventW(ptr::null(), win::TRUE, win::FALSE, ptr::null()) };
        if event.is_null() {
            return Err(os_error(last_error()));
        }
        // SAFETY: `event` is a new handle that nobody else owns.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(event) }))
    }

    pub(super) fn set(&self) {
        // SAFETY: `SetEvent` needs an event's handle with the right to set it: ours has all rights.
        unsafe { thread::SetEvent(self.0.as_raw_handle()) };
    }
}

/// How an operation ended.
#[derive(Debug)]
pub(super) enum End {
    /// With so many bytes.
    Done(usize),
    /// It was given up, because the other event was set.
    Stopped,
    /// It was given up, because it took too long.
    TimedOut,
}

/// Runs one operation after another; each user has one of their own.
#[derive(Debug)]
pub(super) struct Operation(Event);

impl Operation {
    pub(super) fn new() -> io::Result<Self> {
        Event::new().map(Self)
    }

    /// Starts an operation on `handle` and waits for its end, for `stop`, or for `patience`; `None` is for ever.
    ///
    /// # Safety
    /// `start` starts at most one operation, on `handle`, with the `OVERLAPPED` it is given, and returns what the call
    /// returned. What the operation reads or writes stays in place until `run` returns.
    pub(super) unsafe fn run(
        &mut self,
        handle: &OwnedHandle,
        stop: &Event,
        patience: Option<Duration>,
        start: impl FnOnce(*mut io_sys::OVERLAPPED) -> windows_sys::core::BOOL,
    ) -> io::Result<End> {
        // SAFETY: an `OVERLAPPED` is integers and pointers; all zero is its initial value.
        let mut overlapped: io_sys::OVERLAPPED = unsafe { std::mem::zeroed() };
        overlapped.hEvent = self.0.0.as_raw_handle();
        if start(&raw mut overlapped) == win::FALSE {
            match last_error() {
                win::ERROR_IO_PENDING => {}
                code => return Err(os_error(code)),
            }
        }
        let both = [self.0.0.as_raw_handle(), stop.0.as_raw_handle()];
        let milliseconds = patience
            .map_or(thread::INFINITE, |patience| u32::try_from(patience.as_millis()).unwrap_or(thread::INFINITE - 1));
        // SAFETY: `WaitForMultipleObjects` needs as many open handles as it is told: two, both borrowed.
        let woken = unsafe { thread::WaitForMultipleObjects(2, both.as_ptr(), win::FALSE, milliseconds) };
        if woken != win::WAIT_OBJECT_0 {
            // SAFETY: `CancelIoEx` needs the handle and the `OVERLAPPED` of the operation; it may have ended already.
            unsafe { io_sys::CancelIoEx(handle.as_raw_handle(), &raw const overlapped) };
        }
        let mut bytes = 0;
        // SAFETY: `GetOverlappedResult` needs the handle and the `OVERLAPPED` of an operation that was started, and room
        // for a length. TRUE makes it wait for the end, which has come or was asked for.
        let ok = unsafe {
            io_sys::GetOverlappedResult(handle.as_raw_handle(), &raw const overlapped, &raw mut bytes, win::TRUE)
        };
        match (done(ok), woken) {
            // It may have ended before it could be given up.
            (Ok(()), _) => Ok(End::Done(bytes as usize)),
            (Err(error), win::WAIT_OBJECT_0) => Err(error),
            (Err(_), win::WAIT_TIMEOUT) => Ok(End::TimedOut),
            (Err(_), _) => Ok(End::Stopped),
        }
    }
}
