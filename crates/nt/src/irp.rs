//! An I/O request as a value that must be answered: completed here, or parked in a [`crate::queue::IrpQueue`].

use crate::status::{Result, Status};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use nt_sys::io::{
    IO_NO_INCREMENT, IO_PARAMETERS_DEVICE_IO_CONTROL, IO_STACK_LOCATION, IRP, IRP_TAIL_OVERLAY, IoGetRequestorProcess,
    IofCompleteRequest, METHOD_BUFFERED,
};
use nt_sys::ps::PsGetProcessId;
use nt_sys::status::{STATUS_PENDING, STATUS_SUCCESS};
use nt_sys::types::NTSTATUS;

/// A request this driver owns. Dropped without an answer, it is completed with `STATUS_CANCELLED`.
#[must_use = "a request holds its caller until it is completed or parked"]
pub struct Irp(NonNull<IRP>);

// SAFETY: an IRP belongs to its driver, not to a thread; the owner of this value is the only one who touches it.
unsafe impl Send for Irp {}

/// Proof that a request was answered; what a dispatch routine returns.
#[must_use = "a dispatch routine returns this"]
pub struct Answered(NTSTATUS);

impl Answered {
    pub(crate) const PENDING: Self = Self(STATUS_PENDING);

    pub(crate) fn code(self) -> NTSTATUS {
        self.0
    }
}

/// Which open file a request came through: equal for requests of one handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileId(pub(crate) usize);

impl FileId {
    /// A number that no other open file has now.
    pub fn number(self) -> u64 {
        self.0 as u64
    }
}

impl Irp {
    /// # Safety
    /// The I/O manager just gave `irp` to this driver, or the driver parked it and took it back; nobody else owns it.
    pub(crate) unsafe fn from_raw(irp: NonNull<IRP>) -> Self {
        Self(irp)
    }

    /// Gives up the obligation; for the queue.
    pub(crate) fn into_raw(self) -> NonNull<IRP> {
        ManuallyDrop::new(self).0
    }

    pub(crate) fn stack(&self) -> *mut IO_STACK_LOCATION {
        let overlay = overlay(self.0);
        // SAFETY: this driver owns the IRP, so the current stack location is ours and stays.
        unsafe { (*overlay).CurrentStackLocation }
    }

    pub(crate) fn major_function(&self) -> usize {
        // SAFETY: the stack location is valid while we own the IRP.
        usize::from(unsafe { (*self.stack()).MajorFunction })
    }

    /// Which handle it came through.
    pub fn file(&self) -> FileId {
        // SAFETY: the stack location is valid while we own the IRP.
        FileId(unsafe { (*self.stack()).FileObject }.addr())
    }

    /// Whether the file was opened by exactly the device's name, with nothing behind it.
    pub(crate) fn opens_device_itself(&self) -> bool {
        // SAFETY: as in `file`.
        let file = unsafe { (*self.stack()).FileObject };
        // SAFETY: the file object of a request outlives the request.
        NonNull::new(file).is_none_or(|file| unsafe { (*file.as_ptr()).FileName.Length } == 0)
    }

    /// The control code. Only for a device control request.
    pub fn control_code(&self) -> u32 {
        self.parameters().IoControlCode
    }

    fn parameters(&self) -> IO_PARAMETERS_DEVICE_IO_CONTROL {
        // SAFETY: the stack location is valid while we own the IRP.
        let parameters = unsafe { (*self.stack()).Parameters };
        // SAFETY: every parameter block is plain numbers, so reading one is always defined.
        unsafe { parameters.DeviceIoControl }
    }

    fn lengths(&self) -> (usize, usize) {
        let parameters = self.parameters();
        (parameters.InputBufferLength as usize, parameters.OutputBufferLength as usize)
    }

    /// The caller's process; 0 for a request that no thread made.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "IoGetRequestorProcess")]
    pub fn process_id(&self) -> u64 {
        // SAFETY: the IRP is ours and not completed.
        let process = unsafe { IoGetRequestorProcess(self.0.as_ptr()) };
        if process.is_null() {
            return 0;
        }
        // SAFETY: the requestor's process object lives at least as long as its request.
        unsafe { PsGetProcessId(process) }.addr() as u64
    }

    /// The buffer of a `METHOD_BUFFERED` device control request: input on entry, output on completion. Empty for a control
    /// code of another method, which anybody may send: then the system buffer is only as long as the input, or not there
    /// (learn.microsoft.com "Buffer Descriptions for I/O Control Codes").
    pub fn buffer(&mut self) -> Buffer<'_> {
        const METHOD: u32 = 3;
        if self.control_code() & METHOD != METHOD_BUFFERED {
            return Buffer { bytes: &mut [], input: 0, output: 0 };
        }
        let (input, output) = self.lengths();
        // SAFETY: the IRP is ours.
        let associated = unsafe { (*self.0.as_ptr()).AssociatedIrp };
        // SAFETY: for METHOD_BUFFERED the I/O manager set this member.
        let start = unsafe { associated.SystemBuffer }.cast::<u8>();
        let (Some(start), len @ 1..) = (NonNull::new(start), input.max(output)) else {
            return Buffer { bytes: &mut [], input: 0, output: 0 };
        };
        if output > input {
            // SAFETY: the system buffer is as long as the larger of both lengths.
            let rest = unsafe { start.add(input) };
            // SAFETY: as above. What lies behind the input is not initialized; zeroing it makes the slice below sound and
            // leaks no kernel memory (Q13).
            unsafe { rest.write_bytes(0, output - input) };
        }
        // SAFETY: the buffer is `len` initialized bytes that nobody else touches until the IRP is completed, which needs
        // `self`.
        let bytes = unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) };
        Buffer { bytes, input, output }
    }

    /// Answers with success and `information` bytes of output, or with an error.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    #[doc(alias = "IoCompleteRequest")]
    pub fn complete(self, result: Result<usize>) -> Answered {
        let (_, output) = self.lengths();
        let irp = self.into_raw();
        let (status, information) = match result {
            Ok(information) => (STATUS_SUCCESS, information.min(output)),
            Err(error) => (error.code(), 0),
        };
        // SAFETY: we own the IRP until IofCompleteRequest below.
        unsafe { (*irp.as_ptr()).IoStatus.Status = status };
        // SAFETY: as above.
        unsafe { (*irp.as_ptr()).IoStatus.Information = information };
        // SAFETY: the IRP is ours, has no cancel routine set (the queue clears it), and is completed once: `self` is gone.
        unsafe { IofCompleteRequest(irp.as_ptr(), IO_NO_INCREMENT) };
        Answered(status)
    }
}

impl Drop for Irp {
    fn drop(&mut self) {
        // SAFETY: `self` is not used again, so the obligation moves to the new value.
        let irp = unsafe { Self::from_raw(self.0) };
        let _ = irp.complete(Err(Status::CANCELLED));
    }
}

/// The part of an IRP that its present owner uses: stack location, list entry, driver context.
pub(crate) fn overlay(irp: NonNull<IRP>) -> *mut IRP_TAIL_OVERLAY {
    // SAFETY: the owner of an IRP holds a pointer to a whole, live one; only an address is computed.
    unsafe { &raw mut (*irp.as_ptr()).Tail.Overlay }
}

/// The system buffer of one request. Input and output are the same memory.
pub struct Buffer<'a> {
    bytes: &'a mut [u8],
    input: usize,
    output: usize,
}

impl Buffer<'_> {
    /// What the caller sent.
    pub fn input(&self) -> &[u8] {
        self.bytes.get(..self.input).unwrap_or_default()
    }

    /// Where the answer goes; overwrites the input.
    pub fn output(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.output).unwrap_or_default()
    }

    /// Input and output at once: the whole memory.
    pub fn whole(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// How much room the caller gave for the answer.
    pub fn output_len(&self) -> usize {
        self.output
    }
}
