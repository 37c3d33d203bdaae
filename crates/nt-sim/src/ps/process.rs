//! Processes.
//!
//! Invariant: a process object lives until the process has exited and the last reference is given back; its id is not reused
//! meanwhile. References of the machine itself are not counted: `references` are the drivers'.

use std::collections::BTreeMap;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use nt_sys::ke::DISPATCHER_HEADER;
use nt_sys::ps::EPROCESS;
use nt_sys::status::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use nt_sys::types::{APC_LEVEL, DISPATCH_LEVEL, HANDLE, NTSTATUS, PASSIVE_LEVEL};

use crate::global::{Global, Ptr};
use crate::ke::event;
use crate::memory::{self, Block};
use crate::se::Sid;
use crate::thread::Context;
use crate::{clock, fault, io, rules, thread, verifier, wait};

static PROCESSES: Global<BTreeMap<Ptr<EPROCESS>, Entry>> = Global::new(BTreeMap::new());
static NEXT_START_KEY: AtomicU64 = AtomicU64::new(1);
const SYSTEM_PID: u32 = 4;
/// Bytes of a process object; the head is what counts.
const OBJECT_BYTES: usize = 64;

struct Entry {
    block: Block,
    pid: u32,
    start_key: u64,
    create_time: i64,
    sids: Vec<Sid>,
    references: usize,
    exited: bool,
}

/// Who runs a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum User {
    /// The system account.
    System,
    /// An elevated administrator.
    Administrator,
    /// A user without rights.
    Standard,
}

impl User {
    /// The identifiers of the user and of the groups, the user's first.
    fn sids(self) -> Vec<Sid> {
        let (administrators, users) = (Sid::new(5, &[32, 544]), Sid::new(5, &[32, 545]));
        let account = |id| Sid::new(5, &[21, 1_111_111_111, 2_222_222_222, 3_333_333_333, id]);
        let own = match self {
            Self::System => vec![Sid::new(5, &[18]), administrators],
            Self::Administrator => vec![account(500), administrators, users],
            Self::Standard => vec![account(1001), users],
        };
        own.into_iter().chain([Sid::new(1, &[0])]).collect()
    }
}

/// A process to be made.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// Path of its program.
    pub image: String,
    /// Its id; none takes a free one.
    pub pid: Option<u32>,
    /// Who runs it.
    pub user: User,
}

impl ProcessSpec {
    /// A process of an administrator that runs `image`.
    pub fn new(image: &str) -> Self {
        Self { image: image.to_owned(), pid: None, user: User::Administrator }
    }

    /// With this id.
    pub fn pid(self, pid: u32) -> Self {
        Self { pid: Some(pid), ..self }
    }

    /// Run by this user.
    pub fn user(self, user: User) -> Self {
        Self { user, ..self }
    }
}

/// A process.
#[derive(Debug)]
pub struct Process {
    object: Ptr<EPROCESS>,
    pid: u32,
    start_key: u64,
    create_time: i64,
    image: String,
    sid: Sid,
}

impl Process {
    pub(crate) fn start(spec: ProcessSpec) -> Self {
        let sids = spec.user.sids();
        let sid = sids[0].clone();
        let create_time = (clock::SYSTEM_TIME_AT_BOOT + clock::since_boot()) as i64;
        let start_key = NEXT_START_KEY.fetch_add(1, Ordering::Relaxed);
        let mut processes = PROCESSES.lock();
        let taken = |pid: u32| processes.values().any(|entry| entry.pid == pid);
        let pid = spec.pid.unwrap_or_else(|| (1000..).step_by(4).find(|pid| !taken(*pid)).expect("ids do not run out"));
        assert!(!taken(pid), "process id {pid} is in use");
        let block = Block::allocate(OBJECT_BYTES, 0).expect("the host has memory");
        let object = block.start().cast::<EPROCESS>();
        // SAFETY: the block is fresh, aligned to 16 and larger than a head.
        unsafe {
            object.cast::<DISPATCHER_HEADER>().write(event::header(
                event::PROCESS,
                false,
                size_of::<DISPATCHER_HEADER>(),
            ))
        };
        let entry = Entry { block, pid, start_key, create_time, sids, references: 0, exited: false };
        processes.insert(Ptr(object), entry);
        Self { object: Ptr(object), pid, start_key, create_time, image: spec.image, sid }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its number since boot.
    pub fn start_key(&self) -> u64 {
        self.start_key
    }

    /// Its time of creation, in units of 100 ns since 1601.
    pub fn create_time(&self) -> i64 {
        self.create_time
    }

    /// Path of its program.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Identifier of its user, as text.
    pub fn sid(&self) -> String {
        self.sid.text()
    }

    /// Identifier of its user, as the kernel stores it.
    pub fn sid_bytes(&self) -> &[u8] {
        self.sid.bytes()
    }

    /// Its object; valid until it has exited and the last reference is gone.
    pub fn object(&self) -> *mut EPROCESS {
        self.object.0
    }

    /// Runs `f` as a thread of this process, at `PASSIVE_LEVEL`.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let context = Context::enter(PASSIVE_LEVEL, self.object.0);
        let result = f();
        if !context.is_balanced(PASSIVE_LEVEL) {
            let (irql, locks) = (thread::irql(), thread::held_spin_locks());
            verifier::report(rules::IRQL_NOT_RESTORED, format!("system call left IRQL {irql} and {locks} spin locks"));
        }
        result
    }

    /// Ends the process as NT does: its requests are cancelled, then its handles close, then its object dies with the last
    /// reference.
    pub fn kill(&self) {
        io::cancel_all_of(self.object);
        io::close_all_of(self.object);
        exit(self.object);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let running = PROCESSES.lock().get(&self.object).is_some_and(|entry| !entry.exited);
        if running && !verifier::stopped() && !std::thread::panicking() {
            self.kill();
        }
    }
}

fn exit(process: Ptr<EPROCESS>) {
    // SAFETY: an entry that has not exited keeps its block, which begins with a head.
    unsafe { event::signal(process.0.cast()) }.store(1, Ordering::SeqCst);
    if let Some(entry) = PROCESSES.lock().get_mut(&process) {
        entry.exited = true;
    }
    bury(process);
    wait::notify();
}

/// Frees the object when nothing holds it.
fn bury(process: Ptr<EPROCESS>) {
    let mut processes = PROCESSES.lock();
    let dead = processes.get(&process).is_some_and(|entry| entry.exited && entry.references == 0);
    let entry = if dead { processes.remove(&process) } else { None };
    drop(processes);
    if let Some(entry) = entry {
        memory::retire(entry.block);
    }
}

/// Makes the system process.
pub(crate) fn boot() -> Process {
    Process::start(ProcessSpec::new("System").pid(SYSTEM_PID).user(User::System))
}

/// Process of the calling thread.
pub(crate) fn current() -> *mut EPROCESS {
    let own = thread::process();
    if own.is_null() { system() } else { own }
}

/// The system process; null before boot.
fn system() -> *mut EPROCESS {
    let processes = PROCESSES.lock();
    processes.iter().find(|(_, entry)| entry.pid == SYSTEM_PID).map_or(null_mut(), |(process, _)| process.0)
}

/// Changes the references that drivers hold; none when there is no such process, or no reference to take back.
pub(crate) fn change_references(process: Ptr<EPROCESS>, by: isize) -> Option<isize> {
    let mut processes = PROCESSES.lock();
    let entry = processes.get_mut(&process)?;
    entry.references = entry.references.checked_add_signed(by)?;
    let left = entry.references;
    drop(processes);
    bury(process);
    Some(left as isize)
}

/// References that drivers hold, one line for each process.
pub(crate) fn live_references() -> Vec<String> {
    let processes = PROCESSES.lock();
    let held = processes.values().filter(|entry| entry.references != 0);
    held.map(|entry| format!("process {}: {} references", entry.pid, entry.references)).collect()
}

/// Identifiers that an access check of this process looks at.
pub(crate) fn sids(process: Ptr<EPROCESS>) -> Vec<Sid> {
    PROCESSES.lock().get(&process).map(|entry| entry.sids.clone()).unwrap_or_default()
}

pub(crate) fn reset() {
    memory::keep(PROCESSES.take());
}

/// Id of a process.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn PsGetProcessId(process: *mut EPROCESS) -> HANDLE {
    without_provenance_mut(read("PsGetProcessId", process, |entry| entry.pid as usize))
}

/// Number of a process.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn PsGetProcessStartKey(process: *mut EPROCESS) -> u64 {
    thread::require_irql("PsGetProcessStartKey", DISPATCH_LEVEL);
    read("PsGetProcessStartKey", process, |entry| entry.start_key)
}

/// Creation time of a process.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn PsGetProcessCreateTimeQuadPart(process: *mut EPROCESS) -> i64 {
    read("PsGetProcessCreateTimeQuadPart", process, |entry| entry.create_time)
}

/// Finds and references a process.
///
/// # Safety
/// `process` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn PsLookupProcessByProcessId(pid: HANDLE, process: *mut *mut EPROCESS) -> NTSTATUS {
    thread::require_irql("PsLookupProcessByProcessId", APC_LEVEL);
    if fault::should_fail("PsLookupProcessByProcessId") {
        return STATUS_INVALID_PARAMETER;
    }
    let mut processes = PROCESSES.lock();
    let found = processes.iter_mut().find(|(_, entry)| entry.pid as usize == pid.addr());
    let Some((object, entry)) = found else { return STATUS_INVALID_PARAMETER };
    entry.references += 1;
    // SAFETY: the caller's promise.
    unsafe { process.write(object.0) };
    STATUS_SUCCESS
}

fn read<T: Default>(function: &str, process: *mut EPROCESS, field: impl FnOnce(&Entry) -> T) -> T {
    let value = PROCESSES.lock().get(&Ptr(process)).map(field);
    value.unwrap_or_else(|| {
        verifier::report(rules::REFERENCE_DEAD, format!("{function} of {process:p}, which is no live process"));
        T::default()
    })
}
