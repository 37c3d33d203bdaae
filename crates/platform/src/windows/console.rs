//! Being asked to stop: Ctrl-C, Ctrl-Break, the console window closed, logoff and shutdown.
//!
//! Neighbours: `linux::console` is the twin.

use super::{last_error, os_error};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use windows_sys::Win32::Foundation::{FALSE, TRUE};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::core::BOOL;

static STOP: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();
static ASKED: AtomicBool = AtomicBool::new(false);

/// Calls `stop`, from another thread, when the program is asked to end. Once per process. Who asks with Ctrl-C a second
/// time ends it at once.
pub fn on_stop(stop: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    if STOP.set(Box::new(stop)).is_err() {
        return Err(io::Error::other("a stop function is set already"));
    }
    // SAFETY: `SetConsoleCtrlHandler` needs a function of the right signature that stays valid: `handle` is a function
    // of this program, and may run on a thread of its own because what it touches is `Sync`.
    let ok = unsafe { SetConsoleCtrlHandler(Some(handle), TRUE) };
    if ok == FALSE { Err(os_error(last_error())) } else { Ok(()) }
}

unsafe extern "system" fn handle(event: u32) -> BOOL {
    let asked_before = ASKED.swap(true, Ordering::Relaxed);
    if let Some(stop) = STOP.get() {
        stop();
    }
    match event {
        // FALSE lets the default handler end the process.
        CTRL_C_EVENT | CTRL_BREAK_EVENT if asked_before => FALSE,
        CTRL_C_EVENT | CTRL_BREAK_EVENT => TRUE,
        // Close, logoff, shutdown: the process ends as soon as this returns, and after some seconds anyway
        // (learn.microsoft.com HandlerRoutine). `main` is detaching and ends it sooner.
        _ => loop {
            std::thread::park();
        },
    }
}
