//! The device `\\.\WfpLab`.
//!
//! Invariant: a dispatch function completes its request or gives it to `questions`, and never waits.

use core::ffi::c_void;
use core::{ptr, slice};

use lab_sockets::{Answer, Control, Question, ioctl};
use nt_sys::io::{
    DEVICE_OBJECT, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IO_PARAMETERS_DEVICE_IO_CONTROL, IRP, IRP_MJ_CLOSE,
    IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IoCreateDevice, IoCreateSymbolicLink, IofCompleteRequest,
};
use nt_sys::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
    STATUS_PENDING, STATUS_SUCCESS,
};
use nt_sys::types::{FALSE, NTSTATUS, UNICODE_STRING};

use crate::asker::Asker;
use crate::{engine, questions, snapshot, workers};

const NAME: &str = r"\Device\WfpLab";
const LINK: &str = r"\DosDevices\WfpLab";

/// Makes the device and its name.
///
/// # Safety
/// `driver` is the object of the driver being started.
pub unsafe fn create(driver: *mut DRIVER_OBJECT) -> Result<(), NTSTATUS> {
    // SAFETY: the caller's promise; nobody else looks at the object yet.
    let object = unsafe { &mut *driver };
    object.MajorFunction[IRP_MJ_CREATE] = Some(succeed);
    object.MajorFunction[IRP_MJ_CLOSE] = Some(succeed);
    object.MajorFunction[IRP_MJ_DEVICE_CONTROL] = Some(control);
    let name: Vec<u16> = NAME.encode_utf16().collect();
    let link: Vec<u16> = LINK.encode_utf16().collect();
    let mut device = ptr::null_mut();
    // SAFETY: the driver's object, a valid name and a local for the result.
    check(unsafe { IoCreateDevice(driver, 0, &counted(&name), FILE_DEVICE_UNKNOWN, 0, FALSE, &raw mut device) })?;
    // SAFETY: two valid names. The device stays for ever, as the image does.
    check(unsafe { IoCreateSymbolicLink(&counted(&link), &counted(&name)) })
}

fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if status < 0 { Err(status) } else { Ok(()) }
}

/// The kernel only reads names.
fn counted(text: &[u16]) -> UNICODE_STRING {
    let bytes = size_of_val(text) as u16;
    UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: text.as_ptr().cast_mut() }
}

/// Opening and closing.
unsafe extern "system-unwind" fn succeed(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: a request this driver was just given.
    unsafe { complete(irp, Ok(0)) }
}

unsafe extern "system-unwind" fn control(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: a device control request this driver was just given.
    let (parameters, buffer) = unsafe { parts(irp) };
    let input_len = parameters.InputBufferLength as usize;
    let output_len = parameters.OutputBufferLength as usize;
    // SAFETY: the I/O manager's buffer holds the longer of input and output; it is read before anything is written.
    let input = unsafe { bytes(buffer, input_len) };
    let done = match parameters.IoControlCode {
        ioctl::ASK => match Question::from_bytes(input) {
            Some(_) if output_len < Answer::LEN => Err(STATUS_BUFFER_TOO_SMALL),
            Some(question) if !engine::can_decide(&question) => Err(STATUS_NOT_SUPPORTED),
            // SAFETY: the request is this function's; from here on it belongs to `questions`.
            Some(question) => return unsafe { ask(irp, question) },
            None => Err(STATUS_INVALID_PARAMETER),
        },
        ioctl::SNAPSHOT => {
            let json = snapshot::json();
            // SAFETY: the same buffer as output; `input` is not used any more.
            unsafe { store(buffer, output_len, json.as_bytes()) }
        }
        ioctl::CONTROL => match Control::from_word(input) {
            Some(control) => {
                workers::run(move || engine::control(control));
                Ok(0)
            }
            None => Err(STATUS_INVALID_PARAMETER),
        },
        _ => Err(STATUS_INVALID_DEVICE_REQUEST),
    };
    // SAFETY: not completed on any way to here.
    unsafe { complete(irp, done) }
}

/// # Safety
/// `irp` is this driver's and not completed.
unsafe fn ask(irp: *mut IRP, question: Question) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let asker = unsafe { Asker::of(irp) };
    // SAFETY: the caller's promise; the request is not used here afterwards.
    unsafe { questions::pend(irp, asker, question) };
    STATUS_PENDING
}

/// # Safety
/// `irp` is a device control request in flight.
unsafe fn parts(irp: *mut IRP) -> (IO_PARAMETERS_DEVICE_IO_CONTROL, *mut u8) {
    // SAFETY: the caller's promise.
    let request = unsafe { &*irp };
    // SAFETY: the kernel keeps the `Overlay` arm of a request in flight.
    let location = unsafe { request.Tail.Overlay.CurrentStackLocation };
    // SAFETY: a request in flight has a current location.
    let location = unsafe { &*location };
    // SAFETY: a device control request has these parameters.
    let parameters = unsafe { location.Parameters.DeviceIoControl };
    // SAFETY: every code of this device is buffered.
    let buffer = unsafe { request.AssociatedIrp.SystemBuffer };
    (parameters, buffer.cast())
}

/// # Safety
/// `buffer` is null or readable for `length` bytes that nobody writes meanwhile.
unsafe fn bytes<'a>(buffer: *const u8, length: usize) -> &'a [u8] {
    if buffer.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(buffer, length) }
}

/// # Safety
/// `buffer` is null or writable for `length` bytes.
unsafe fn store(buffer: *mut u8, length: usize, bytes: &[u8]) -> Result<usize, NTSTATUS> {
    if buffer.is_null() || bytes.len() > length {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    // SAFETY: `bytes.len() <= length`, and a fresh `String` does not overlap the buffer.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len()) };
    Ok(bytes.len())
}

/// Completes a request with a status or with the number of bytes in its buffer.
///
/// # Safety
/// `irp` is this driver's and not completed.
pub unsafe fn complete(irp: *mut IRP, done: Result<usize, NTSTATUS>) -> NTSTATUS {
    let (status, information) = match done {
        Ok(bytes) => (STATUS_SUCCESS, bytes),
        Err(status) => (status, 0),
    };
    // SAFETY: the caller's promise.
    let request = unsafe { &mut *irp };
    request.IoStatus.Status = status;
    request.IoStatus.Information = information;
    // SAFETY: the caller's promise; not used afterwards.
    unsafe { IofCompleteRequest(irp, 0) };
    status
}

/// Completes a question's request with its answer.
///
/// # Safety
/// `irp` is a question's request, this driver's and not completed.
pub unsafe fn complete_with_answer(irp: *mut IRP, answer: Answer) {
    // SAFETY: the caller's promise.
    let (_, buffer) = unsafe { parts(irp) };
    // SAFETY: `control` checked that the output has room for an answer.
    unsafe { buffer.cast::<[u8; Answer::LEN]>().write_unaligned(answer.to_bytes()) };
    // SAFETY: the caller's promise.
    unsafe { complete(irp, Ok(Answer::LEN)) };
}

/// For `questions`: what the request's cancel routine field holds.
pub type CancelRoutine = *mut c_void;
