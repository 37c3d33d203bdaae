//! The programs that have asked, and their sockets as the engine knows them.
//!
//! The hook tells of connects and sends, not of closes: a socket ends when its handle is used for another one or when
//! its process ends, which is watched.
//! Invariant: nothing is dropped under the table's lock, because dropping a socket calls drivers.

use core::ffi::c_void;
use core::ptr;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wfp_sim::{Connect, DatagramSocket, Process, ProcessSpec};
use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::System::Threading::{
    INFINITE, OpenProcess, PROCESS_SYNCHRONIZE, RegisterWaitForSingleObject, WT_EXECUTEONLYONCE,
};

use crate::asker::Asker;
use crate::engine::engine;

/// A socket as the engine knows it.
pub enum Socket {
    /// A connect, its connection or what is left of it.
    Tcp(#[expect(dead_code, reason = "kept because dropping it closes the emulated socket")] Connect),
    /// A socket that sends packets.
    Udp(Arc<DatagramSocket>, SocketAddr),
}

struct Program {
    process: Process,
    image: String,
    /// By handle.
    sockets: BTreeMap<u64, Socket>,
}

/// Programs by process id.
static PROGRAMS: Mutex<BTreeMap<u32, Program>> = Mutex::new(BTreeMap::new());

/// The engine's process for an asker.
pub fn process(asker: &Asker) -> Process {
    let (process, former) = {
        let mut programs = lock();
        if let Some(program) = programs.get(&asker.pid).filter(|program| program.image == asker.image) {
            return program.process.clone();
        }
        // Under the lock, so that two first questions of one process find the same; starting calls no driver.
        let process = engine().process(spec(asker));
        let program = Program { process: process.clone(), image: asker.image.clone(), sockets: BTreeMap::new() };
        (process, programs.insert(asker.pid, program))
    };
    end(former);
    watch(asker.pid);
    process
}

fn spec(asker: &Asker) -> ProcessSpec {
    let mut spec = ProcessSpec::new(asker.pid, &asker.image);
    if !asker.user.is_empty() {
        spec.sids = vec![asker.user.clone()];
    }
    spec
}

/// Keeps a socket, and gives back what its handle stood for before.
#[must_use = "the former socket is to be dropped outside every lock"]
pub fn remember_socket(pid: u32, endpoint: u64, socket: Socket) -> Option<Socket> {
    match lock().get_mut(&pid) {
        Some(program) => program.sockets.insert(endpoint, socket),
        // The process has ended meanwhile.
        None => Some(socket),
    }
}

/// Gives back what a handle stands for.
#[must_use = "the socket is to be dropped outside every lock"]
pub fn forget_socket(pid: u32, endpoint: u64) -> Option<Socket> {
    lock().get_mut(&pid)?.sockets.remove(&endpoint)
}

/// The UDP socket a handle stands for; another one when the handle was used for a socket bound elsewhere.
pub fn udp_socket(process: &Process, endpoint: u64, local: SocketAddr) -> Arc<DatagramSocket> {
    if let Some(Program { sockets, .. }) = lock().get(&process.pid())
        && let Some(Socket::Udp(socket, bound)) = sockets.get(&endpoint)
        && bound.is_ipv6() == local.is_ipv6()
        && (bound.port() == local.port() || bound.port() == 0)
    {
        return Arc::clone(socket);
    }
    let socket = Arc::new(engine().udp_open(process, local));
    drop(remember_socket(process.pid(), endpoint, Socket::Udp(Arc::clone(&socket), local)));
    socket
}

/// Has the process's end noticed.
fn watch(pid: u32) {
    // SAFETY: no condition; an unknown id gives null.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
    let mut wait = ptr::null_mut();
    let context = ptr::without_provenance(pid as usize);
    // Held until the handle is in the table, as the callback may come at once.
    let mut handles = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the handle is open and stays so, as it is closed in the callback; the callback lives as long as the image.
    let watched = !handle.is_null()
        && unsafe {
            RegisterWaitForSingleObject(&raw mut wait, handle, Some(ended), context, INFINITE, WT_EXECUTEONLYONCE)
        } != 0;
    if watched {
        handles.insert(pid, handle.expose_provenance());
        return;
    }
    drop(handles);
    end(lock().remove(&pid));
}

/// Handles of watched processes, by process id.
static WATCHED: Mutex<BTreeMap<u32, usize>> = Mutex::new(BTreeMap::new());

/// Called on a thread of Wine's pool when a watched process has ended.
unsafe extern "system" fn ended(context: *mut c_void, _timed_out: bool) {
    let pid = context.addr() as u32;
    let handle = WATCHED.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    if let Some(handle) = handle {
        // SAFETY: opened by `watch`; taken out of the table, so closed once.
        unsafe { CloseHandle(ptr::with_exposed_provenance_mut(handle)) };
    }
    end(lock().remove(&pid));
}

/// Ends a program's process in the engine, outside the table's lock.
fn end(program: Option<Program>) {
    if let Some(program) = program {
        program.process.kill();
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<u32, Program>> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}
