//! Requests: built, dispatched, completed.
//!
//! Invariants: a request is in [`REQUESTS`] from its creation until it is completed and nobody pins it; its [`Completion`] is set
//! before it leaves. Its memory is then poisoned, so a driver that touches a request it gave back is found.

use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use nt_sys::io::{
    DEVICE_OBJECT, DRIVER_DISPATCH, FILE_OBJECT, IO_SECURITY_CONTEXT, IO_STACK_LOCATION, IO_TYPE_IRP, IRP,
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, METHOD_BUFFERED, METHOD_NEITHER,
    SL_PENDING_RETURNED,
};
use nt_sys::ps::EPROCESS;
use nt_sys::status::{NT_ERROR, STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING};
use nt_sys::types::{DISPATCH_LEVEL, NTSTATUS, PASSIVE_LEVEL, UserMode};

use super::{device, driver, file};
use crate::global::{Global, Ptr};
use crate::memory::{self, Block};
use crate::rules::{self, Rule};
use crate::thread::{self, Context};
use crate::{verifier, wait};

static REQUESTS: Global<BTreeMap<Ptr<IRP>, Entry>> = Global::new(BTreeMap::new());
/// Unwritten output bytes in a row that count as never written.
const UNWRITTEN: usize = 4;

struct Entry {
    /// The request with its stack location, and its buffers, the system buffer first.
    blocks: Vec<Block>,
    spec: Spec,
    /// Bytes of input.
    input: usize,
    done: Arc<Completion>,
    pins: usize,
    completed: bool,
}

/// What is asked of a driver.
#[derive(Clone, Copy)]
pub(super) struct Spec {
    pub(super) major: usize,
    pub(super) device: Ptr<DEVICE_OBJECT>,
    pub(super) file: Ptr<FILE_OBJECT>,
    pub(super) process: Ptr<EPROCESS>,
    /// I/O control code, or the desired access of a create.
    pub(super) code: u32,
    /// Bytes of output the caller has room for.
    pub(super) output: usize,
}

/// Where the result of a request appears.
#[derive(Debug, Default)]
pub(super) struct Completion(Mutex<Option<Done>>);

/// Result of a request.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) status: NTSTATUS,
    pub(super) information: usize,
    pub(super) output: Vec<u8>,
    marked_pending: bool,
}

impl Completion {
    /// A result that needed no driver.
    pub(super) fn immediate(status: NTSTATUS) -> Arc<Self> {
        let done = Done { status, information: 0, output: Vec::new(), marked_pending: false };
        Arc::new(Self(Mutex::new(Some(done))))
    }

    pub(super) fn get(&self) -> Option<Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, done: Done) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }

    /// Waits for the result.
    pub(super) fn wait(&self) -> Done {
        wait::until(None, "a request", || self.get().is_some());
        self.get().expect("the request is done, or the machine has stopped and the test with it")
    }
}

/// Sends a request to the driver of its device and verifies what its dispatch routine returns.
pub(super) fn send(spec: Spec, input: &[u8]) -> (Ptr<IRP>, Arc<Completion>) {
    let (request, entry) = build(spec, input);
    let done = Arc::clone(&entry.done);
    REQUESTS.lock().insert(request, entry);
    let Some(routine) = dispatch_routine(spec) else { return (request, done) };
    let context = Context::enter(PASSIVE_LEVEL, spec.process.0);
    // SAFETY: the driver's own routine, with a live device and request of it.
    let status = unsafe { routine(spec.device.0, request.0) };
    let (balanced, irql) = (context.is_balanced(PASSIVE_LEVEL), thread::irql());
    drop(context);
    if !balanced {
        let message = format!("dispatch of {:#x} returned at IRQL {irql}, or with a spin lock", spec.major);
        verifier::report(rules::IRP_DISPATCH_CHANGED_IRQL, message);
    }
    verify_return(request, &done, status);
    (request, done)
}

fn dispatch_routine(spec: Spec) -> Option<DRIVER_DISPATCH> {
    let driver = device::driver_of(spec.device)?;
    // SAFETY: a driver outlives its devices.
    let set = unsafe { (*driver.0).MajorFunction[spec.major] };
    Some(set.unwrap_or(driver::invalid_device_request))
}

fn build(spec: Spec, input: &[u8]) -> (Ptr<IRP>, Entry) {
    let size = size_of::<IRP>() + size_of::<IO_STACK_LOCATION>();
    let block = Block::allocate(size, 0).expect("the host has memory");
    let request = block.start().cast::<IRP>();
    let stack = block.start().wrapping_add(size_of::<IRP>()).cast::<IO_STACK_LOCATION>();
    let mut entry = Entry {
        blocks: vec![block],
        spec,
        input: input.len(),
        done: Arc::new(Completion::default()),
        pins: 0,
        completed: false,
    };
    // SAFETY: the block is fresh, large enough and aligned to 16; all-zero bytes are a value of the record.
    let irp = unsafe { &mut *request };
    // SAFETY: as above; the stack location follows the request.
    let location = unsafe { &mut *stack };
    irp.Type = IO_TYPE_IRP;
    irp.Size = size as u16;
    irp.StackCount = 1;
    irp.CurrentLocation = 1;
    irp.RequestorMode = UserMode;
    irp.Tail.Overlay.CurrentStackLocation = stack;
    irp.Tail.Overlay.OriginalFileObject = spec.file.0;
    location.MajorFunction = spec.major as u8;
    location.DeviceObject = spec.device.0;
    location.FileObject = spec.file.0;
    match spec.major {
        IRP_MJ_CREATE => {
            let block = Block::allocate(size_of::<IO_SECURITY_CONTEXT>(), 0).expect("the host has memory");
            let context = block.start().cast::<IO_SECURITY_CONTEXT>();
            // SAFETY: the block is fresh, large enough and aligned.
            unsafe { (*context).DesiredAccess = spec.code };
            location.Parameters.Create.SecurityContext = context.cast();
            entry.blocks.push(block);
        }
        IRP_MJ_DEVICE_CONTROL => set_buffers(&mut entry, irp, location, input),
        _ => {}
    }
    (Ptr(request), entry)
}

/// Gives a device control request its buffers (learn.microsoft.com "Buffer Descriptions for I/O Control Codes").
fn set_buffers(entry: &mut Entry, irp: &mut IRP, location: &mut IO_STACK_LOCATION, input: &[u8]) {
    let (code, output) = (entry.spec.code, entry.spec.output);
    let mut buffer = |size: usize| {
        if size == 0 {
            return null_mut();
        }
        let block = Block::allocate(size, 0).expect("the host has memory");
        let start = block.start();
        for at in 0..size {
            // SAFETY: the block is fresh and `size` long.
            unsafe { start.wrapping_add(at).write(input.get(at).copied().unwrap_or(unwritten(at))) };
        }
        entry.blocks.push(block);
        start.cast()
    };
    match code & 3 {
        METHOD_BUFFERED => irp.AssociatedIrp.SystemBuffer = buffer(input.len().max(output)),
        METHOD_NEITHER => {
            irp.UserBuffer = buffer(output);
            location.Parameters.DeviceIoControl.Type3InputBuffer = buffer(input.len());
        }
        _ => irp.AssociatedIrp.SystemBuffer = buffer(input.len()),
    }
    location.Parameters.DeviceIoControl.IoControlCode = code;
    location.Parameters.DeviceIoControl.InputBufferLength = input.len() as u32;
    location.Parameters.DeviceIoControl.OutputBufferLength = output as u32;
}

/// What an output byte holds until the driver writes it.
fn unwritten(at: usize) -> u8 {
    ((at as u32).wrapping_mul(0x9E37_79B1) >> 24) as u8 ^ 0x5A
}

/// Whether some of the output after the input's bytes was never written. A run that counts covers a multiple of its length, so
/// only those places are looked at first.
fn has_unwritten(output: &[u8], input: usize) -> bool {
    let is_unwritten = |at: usize| output.get(at) == Some(&unwritten(at));
    let starts_run = |from: usize| (from..from + UNWRITTEN).all(is_unwritten);
    (input.next_multiple_of(UNWRITTEN)..output.len())
        .step_by(UNWRITTEN)
        .any(|at| is_unwritten(at) && ((at + 1).saturating_sub(UNWRITTEN).max(input)..=at).any(starts_run))
}

/// learn.microsoft.com "Returning Status from Dispatch Routines", "IoMarkIrpPending".
fn verify_return(request: Ptr<IRP>, done: &Completion, returned: NTSTATUS) {
    let requests = REQUESTS.lock();
    let pending_mark = requests.get(&request).filter(|entry| !entry.completed).map(|_| is_marked(request));
    drop(requests);
    let done = done.get();
    let marked = pending_mark.or(done.as_ref().map(|done| done.marked_pending)).unwrap_or_default();
    let (rule, what) = match &done {
        _ if returned == STATUS_PENDING && !marked => (rules::IRP_NOT_MARKED, "was not marked pending".to_owned()),
        None if returned != STATUS_PENDING && !marked => (rules::IRP_FORGOTTEN, "was not completed".to_owned()),
        _ if returned != STATUS_PENDING && marked => (rules::IRP_MARKED_NOT_PENDING, "was marked pending".to_owned()),
        Some(done) if returned != STATUS_PENDING && done.status != returned => {
            (rules::IRP_STATUS_INCONSISTENT, format!("was completed with {:#x}", done.status))
        }
        _ => return,
    };
    verifier::report(rule, format!("dispatch returned {returned:#x}, but the request {what}"));
}

fn is_marked(request: Ptr<IRP>) -> bool {
    // SAFETY: callers hold the table's lock over a live request, whose stack location follows it.
    let control = unsafe { (*request.0.wrapping_add(1).cast::<IO_STACK_LOCATION>()).Control };
    control & SL_PENDING_RETURNED != 0
}

/// Completes a request.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IofCompleteRequest(request: *mut IRP, _boost: i8) {
    let irql = thread::irql();
    if irql > DISPATCH_LEVEL {
        verifier::report(rules::IRP_COMPLETED_TOO_HIGH, format!("request {request:p} completed at IRQL {irql}"));
    }
    if thread::held_spin_locks() != 0 {
        verifier::report(rules::IRP_COMPLETED_UNDER_LOCK, format!("request {request:p} completed under a spin lock"));
    }
    let mut requests = REQUESTS.lock();
    let Some(entry) = requests.get_mut(&Ptr(request)).filter(|entry| !entry.completed) else {
        drop(requests);
        return verifier::report(rules::IRP_COMPLETED_TWICE, format!("request {request:p} is not the driver's"));
    };
    entry.completed = true;
    let (done, broken) = judge(Ptr(request), entry);
    let (completion, spec, idle) = (Arc::clone(&entry.done), entry.spec, entry.pins == 0);
    completion.set(done);
    let entry = if idle { requests.remove(&Ptr(request)) } else { None };
    drop(requests);
    entry.into_iter().flat_map(|entry| entry.blocks).for_each(memory::retire);
    if spec.major == IRP_MJ_DEVICE_CONTROL {
        file::request_done(spec.file);
    }
    wait::notify();
    if let Some((rule, what)) = broken {
        verifier::report(rule, format!("request {request:p} ({:#x}) completed {what}", spec.major));
    }
}

/// The result of a request as its driver left it, and the rule it breaks.
fn judge(request: Ptr<IRP>, entry: &Entry) -> (Done, Option<(Rule, String)>) {
    let spec = entry.spec;
    // SAFETY: the caller holds the table's lock over a live request.
    let irp = unsafe { &*request.0 };
    let (status, information) = (irp.IoStatus.Status, irp.IoStatus.Information);
    let is_control = spec.major == IRP_MJ_DEVICE_CONTROL;
    let buffered = spec.code & 3 == METHOD_BUFFERED;
    let mut output = Vec::new();
    if is_control
        && buffered
        && !NT_ERROR(status)
        && let Some(buffer) = entry.blocks.get(1)
    {
        let length = information.min(spec.output);
        // SAFETY: the system buffer holds at least the output's length, all of it initialized.
        output.extend_from_slice(unsafe { std::slice::from_raw_parts(buffer.start(), length) });
    }
    let ends_file = spec.major == IRP_MJ_CLEANUP || spec.major == IRP_MJ_CLOSE;
    let broken = if status == STATUS_PENDING {
        Some((rules::IRP_COMPLETED_PENDING, "with STATUS_PENDING".to_owned()))
    } else if !irp.CancelRoutine.load(Ordering::SeqCst).is_null() {
        Some((rules::IRP_COMPLETED_CANCELABLE, "with its cancel routine set".to_owned()))
    } else if ends_file && NT_ERROR(status) && status != STATUS_INVALID_DEVICE_REQUEST {
        Some((rules::IRP_CANNOT_FAIL, format!("with {status:#x}")))
    } else if is_control && !NT_ERROR(status) && information > spec.output {
        Some((rules::IRP_OUTPUT_OVERFLOW, format!("with {information} bytes for {}", spec.output)))
    } else if is_control && !NT_ERROR(status) && information != 0 && !buffered {
        Some((rules::IRP_METHOD_NOT_MODELLED, format!("with output for code {:#x}", spec.code)))
    } else if has_unwritten(&output, entry.input) {
        Some((rules::IRP_OUTPUT_UNINITIALIZED, format!("with unwritten bytes among {information}")))
    } else {
        entry
            .blocks
            .iter()
            .any(|block| block.damage().is_some())
            .then(|| (rules::POOL_OVERRUN, "after writing outside one of its buffers".to_owned()))
    };
    (Done { status, information, output, marked_pending: is_marked(request) }, broken)
}

/// Keeps a request's memory while it is being cancelled.
pub(super) struct Pin {
    request: Ptr<IRP>,
    device: Ptr<DEVICE_OBJECT>,
}

impl Pin {
    /// None when the request is completed, or is none.
    pub(super) fn new(request: Ptr<IRP>) -> Option<Self> {
        let mut requests = REQUESTS.lock();
        let entry = requests.get_mut(&request).filter(|entry| !entry.completed)?;
        entry.pins += 1;
        Some(Self { request, device: entry.spec.device })
    }

    pub(super) fn request(&self) -> *mut IRP {
        self.request.0
    }

    pub(super) fn device(&self) -> *mut DEVICE_OBJECT {
        self.device.0
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut requests = REQUESTS.lock();
        let Some(entry) = requests.get_mut(&self.request) else { return };
        entry.pins -= 1;
        let dead = entry.completed && entry.pins == 0;
        let entry = if dead { requests.remove(&self.request) } else { None };
        drop(requests);
        entry.into_iter().flat_map(|entry| entry.blocks).for_each(memory::retire);
    }
}

/// Requests of a process that its driver still has.
pub(super) fn of_process(process: Ptr<EPROCESS>) -> Vec<Ptr<IRP>> {
    let requests = REQUESTS.lock();
    let own = requests.iter().filter(|(_, entry)| entry.spec.process == process && !entry.completed);
    own.map(|(request, _)| *request).collect()
}

/// Process that made a request.
pub(super) fn requestor(function: &str, request: *mut IRP) -> *mut EPROCESS {
    let process = REQUESTS.lock().get(&Ptr(request)).map(|entry| entry.spec.process.0);
    process.unwrap_or_else(|| {
        verifier::report(rules::REFERENCE_DEAD, format!("{function} of {request:p}, which is no request"));
        null_mut()
    })
}

pub(super) fn leftovers() -> Vec<String> {
    REQUESTS.lock().values().map(|entry| format!("pending request {:#x}", entry.spec.major)).collect()
}

pub(super) fn reset() {
    memory::keep(REQUESTS.take());
}
