//! Open files: what a program does with a device.
//!
//! Invariant: cleanup is sent when the handle closes, close when moreover the last request is completed (learn.microsoft.com
//! "DispatchCleanup Routines", "DispatchClose Routines").

use std::collections::BTreeMap;
use std::sync::Arc;

use nt_sys::io::{
    DEVICE_OBJECT, FILE_OBJECT, FILE_READ_DATA, FILE_WRITE_DATA, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE,
    IRP_MJ_DEVICE_CONTROL,
};
use nt_sys::ps::EPROCESS;
use nt_sys::status::{NT_SUCCESS, STATUS_ACCESS_DENIED, STATUS_OBJECT_NAME_NOT_FOUND};
use nt_sys::types::{ACCESS_MASK, NTSTATUS};

use super::irp::{self, Completion, Pin, Spec};
use super::{cancel, device, link, work};
use crate::clock::{self, SECOND};
use crate::global::{Global, Ptr};
use crate::memory::{self, Block};
use crate::{ps, rtl, rules, se, verifier, wait};

static FILES: Global<BTreeMap<Ptr<FILE_OBJECT>, Open>> = Global::new(BTreeMap::new());
/// Virtual time a driver has to complete a cancelled request.
const CANCEL_LIMIT: u64 = 60 * SECOND;

struct Open {
    block: Block,
    /// What `FileName` points to.
    _name_units: Vec<u16>,
    device: Ptr<DEVICE_OBJECT>,
    process: Ptr<EPROCESS>,
    access: ACCESS_MASK,
    /// Device control requests the driver has.
    requests: usize,
    /// The handle is closed.
    cleaned: bool,
}

/// A handle that a process has to a device. Dropping it closes it.
#[derive(Debug)]
pub struct File {
    object: Ptr<FILE_OBJECT>,
}

/// A device control request, completed or not.
#[derive(Debug)]
pub struct Io {
    request: Option<Ptr<IRP>>,
    completion: Arc<Completion>,
}

impl File {
    pub(crate) fn open(process: *mut EPROCESS, path: &str, access: ACCESS_MASK) -> Result<Self, NTSTATUS> {
        let process = Ptr(process);
        let (device, rest) = link::resolve(path).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        let device = device::open(&device, &rest, access, &ps::sids(process))?;
        let access = se::map(access);
        let block = Block::allocate(size_of::<FILE_OBJECT>(), 0).expect("the host has memory");
        let object = Ptr(block.start().cast::<FILE_OBJECT>());
        let mut units: Vec<u16> = rest.encode_utf16().collect();
        // SAFETY: the block is fresh, large enough and aligned; all-zero bytes are a value of the record.
        let record = unsafe { &mut *object.0 };
        record.Type = 5;
        record.Size = size_of::<FILE_OBJECT>() as i16;
        record.DeviceObject = device.0;
        record.ReadAccess = u8::from(access & FILE_READ_DATA != 0);
        record.WriteAccess = u8::from(access & FILE_WRITE_DATA != 0);
        record.FileName = rtl::counted(&mut units);
        let open = Open { block, _name_units: units, device, process, access, requests: 0, cleaned: false };
        FILES.lock().insert(object, open);
        let spec = Spec { major: IRP_MJ_CREATE, device, file: object, process, code: access, output: 0 };
        let status = irp::send(spec, &[]).1.wait().status;
        if NT_SUCCESS(status) {
            return Ok(Self { object });
        }
        forget(object);
        Err(status)
    }

    /// Sends a device control request with `input` and room for `output` bytes.
    ///
    /// # Panics
    /// When the handle is closed.
    pub fn ioctl(&self, code: u32, input: &[u8], output: usize) -> Io {
        let mut files = FILES.lock();
        let open = files.get_mut(&self.object).filter(|open| !open.cleaned).expect("the handle is open");
        // learn.microsoft.com "Defining I/O Control Codes": RequiredAccess, checked before the driver sees the request.
        let required = code >> 14 & (FILE_READ_DATA | FILE_WRITE_DATA);
        if required & !open.access != 0 {
            return Io { request: None, completion: Completion::immediate(STATUS_ACCESS_DENIED) };
        }
        open.requests += 1;
        let (device, process) = (open.device, open.process);
        drop(files);
        let spec = Spec { major: IRP_MJ_DEVICE_CONTROL, device, file: self.object, process, code, output };
        let (request, completion) = irp::send(spec, input);
        Io { request: Some(request), completion }
    }

    /// Closes the handle.
    pub fn close(&self) {
        close_handle(self.object);
    }

    /// The file's object; valid until its close request is done.
    pub fn object(&self) -> *mut FILE_OBJECT {
        self.object.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !verifier::stopped() && !std::thread::panicking() {
            self.close();
        }
    }
}

impl Io {
    /// Status and output, once the request is completed.
    pub fn result(&self) -> Option<(NTSTATUS, Vec<u8>)> {
        self.completion.get().map(|done| (done.status, done.output))
    }

    /// `Information`, once the request is completed.
    pub fn information(&self) -> Option<usize> {
        self.completion.get().map(|done| done.information)
    }

    /// Whether the driver still has the request.
    pub fn is_pending(&self) -> bool {
        self.completion.get().is_none()
    }

    /// Waits for the request and returns its status and output.
    pub fn wait(&self) -> (NTSTATUS, Vec<u8>) {
        let done = self.completion.wait();
        (done.status, done.output)
    }

    /// Asks the driver to give the request back, as `CancelIoEx` does; false when it was not cancelable.
    pub fn cancel(&self) -> bool {
        let pin = self.request.and_then(Pin::new);
        pin.is_some_and(|pin| cancel::cancel(&pin))
    }
}

fn close_handle(file: Ptr<FILE_OBJECT>) {
    let mut files = FILES.lock();
    let Some(open) = files.get_mut(&file).filter(|open| !open.cleaned) else { return };
    open.cleaned = true;
    // The handle counts as a request until cleanup is done, so that close cannot overtake it.
    open.requests += 1;
    let spec = end_spec(IRP_MJ_CLEANUP, file, open);
    drop(files);
    irp::send(spec, &[]).1.wait();
    if last_request_done(file) {
        send_close(file);
    }
}

/// Says that the driver gave a request of the file back.
pub(super) fn request_done(file: Ptr<FILE_OBJECT>) {
    if last_request_done(file) {
        work::queue_close(file);
    }
}

/// Counts a request out; true when the file has nothing left to wait for.
fn last_request_done(file: Ptr<FILE_OBJECT>) -> bool {
    let mut files = FILES.lock();
    let Some(open) = files.get_mut(&file) else { return false };
    open.requests -= 1;
    open.cleaned && open.requests == 0
}

/// Sends the close request and frees the file.
pub(super) fn send_close(file: Ptr<FILE_OBJECT>) {
    let files = FILES.lock();
    let Some(open) = files.get(&file) else { return };
    let spec = end_spec(IRP_MJ_CLOSE, file, open);
    drop(files);
    irp::send(spec, &[]).1.wait();
    forget(file);
}

fn end_spec(major: usize, file: Ptr<FILE_OBJECT>, open: &Open) -> Spec {
    Spec { major, device: open.device, file, process: open.process, code: 0, output: 0 }
}

fn forget(file: Ptr<FILE_OBJECT>) {
    let Some(open) = FILES.lock().remove(&file) else { return };
    memory::retire(open.block);
    device::close(open.device);
}

/// Cancels every request of a process and waits for its driver to complete them.
pub(crate) fn cancel_all_of(process: Ptr<EPROCESS>) {
    for request in irp::of_process(process) {
        if let Some(pin) = Pin::new(request) {
            cancel::cancel(&pin);
        }
    }
    let deadline = clock::now() + CANCEL_LIMIT;
    if !wait::until(Some(deadline), "cancelled requests", || irp::of_process(process).is_empty()) {
        let left = irp::of_process(process).len();
        verifier::report(rules::IRP_CANCEL_IGNORED, format!("{left} cancelled requests of a dead process remain"));
    }
}

/// Closes every handle of a process.
pub(crate) fn close_all_of(process: Ptr<EPROCESS>) {
    let files = FILES.lock();
    let own: Vec<_> = files.iter().filter(|(_, open)| open.process == process).map(|(file, _)| *file).collect();
    drop(files);
    own.into_iter().for_each(close_handle);
}

pub(super) fn leftovers() -> Vec<String> {
    FILES.lock().values().map(|open| format!("open file with {} requests", open.requests)).collect()
}

pub(super) fn reset() {
    memory::keep(FILES.take());
}
