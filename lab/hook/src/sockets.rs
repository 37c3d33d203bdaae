//! The replacement of `NtDeviceIoControlFile`: where every socket call of every runtime passes.
//!
//! Invariant: a call that is not a connect or an addressed send reaches ntdll unchanged and at once.

use core::ffi::c_void;
use core::{mem, ptr, slice};

use lab_sockets::{Address, Answer, Operation, Question, afd};
use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS, STATUS_ACCESS_DENIED};

use crate::engine;
use crate::thunk::Thunk;

static THUNK: Thunk = Thunk::new();

/// The largest sockaddr the lab understands: `SOCKADDR_IN6`.
const SOCKADDR: usize = 28;

type DeviceIoControlFile = unsafe extern "system" fn(
    HANDLE,
    HANDLE,
    *const c_void,
    *const c_void,
    *mut IoStatus,
    u32,
    *const u8,
    u32,
    *mut c_void,
    u32,
) -> NTSTATUS;

/// `IO_STATUS_BLOCK`.
#[repr(C)]
struct IoStatus {
    status: usize,
    information: usize,
}

/// Replaces the function in this process.
pub fn install() -> Result<(), &'static str> {
    let replacement: DeviceIoControlFile = device_io_control_file;
    // SAFETY: 1. the replacement has the signature of `NtDeviceIoControlFile`; 2. runs in `DllMain` of a process that
    // has not started, or in `launch`, whose only thread this is.
    unsafe { THUNK.replace(c"NtDeviceIoControlFile", replacement as *const c_void) }
}

unsafe extern "system" fn device_io_control_file(
    handle: HANDLE,
    event: HANDLE,
    apc: *const c_void,
    apc_context: *const c_void,
    status: *mut IoStatus,
    code: u32,
    input: *const u8,
    input_len: u32,
    output: *mut c_void,
    output_len: u32,
) -> NTSTATUS {
    let parameters = if input.is_null() || !matches!(code, afd::CONNECT | afd::SEND_MESSAGE) {
        &[]
    } else {
        // SAFETY: for these two codes the caller (ws2_32) passes `input_len` readable bytes of its own stack.
        unsafe { slice::from_raw_parts(input, input_len as usize) }
    };
    if let Some((operation, remote)) = read(code, parameters) {
        let question = Question {
            operation,
            protocol: protocol(handle),
            endpoint: handle as u64,
            remote,
            local: local_address(handle),
        };
        match engine::decide(&question) {
            Answer::Permit => {}
            Answer::Lose if operation == Operation::Send => {
                let mut elsewhere = Redirected::new(parameters, &remote);
                // SAFETY: the caller's own arguments, but for the input: a copy whose address is the discard port.
                return unsafe {
                    original()(
                        handle,
                        event,
                        apc,
                        apc_context,
                        status,
                        code,
                        elsewhere.parameters(),
                        input_len,
                        output,
                        output_len,
                    )
                };
            }
            Answer::Block | Answer::Lose => return STATUS_ACCESS_DENIED,
        }
    }
    // SAFETY: the caller's own arguments, to the function it called.
    unsafe { original()(handle, event, apc, apc_context, status, code, input, input_len, output, output_len) }
}

/// What the program wants to reach, if this call reaches for something.
fn read(code: u32, parameters: &[u8]) -> Option<(Operation, Address)> {
    match code {
        afd::CONNECT => Some((Operation::Connect, afd::connect_address(parameters)?)),
        afd::SEND_MESSAGE => {
            let (pointer, length) = afd::send_address(parameters)?;
            // SAFETY: ws2_32 passes the program's sockaddr on; a program that lies about its length would fault in the
            // system call next.
            let sockaddr =
                unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(pointer as usize), length.min(SOCKADDR)) };
            Some((Operation::Send, Address::from_sockaddr(sockaddr)?))
        }
        _ => None,
    }
}

/// The parameters of a send whose packet is to be lost: it goes to the discard port, so that the call completes in all
/// its forms as if it had gone out.
struct Redirected {
    parameters: Vec<u8>,
    sockaddr: [u8; SOCKADDR],
    length: usize,
}

impl Redirected {
    fn new(parameters: &[u8], remote: &Address) -> Self {
        let (sockaddr, length) = remote.discard_sockaddr();
        Self { parameters: parameters.to_vec(), sockaddr, length }
    }

    /// Valid as long as `self` stays where it is; the address is read inside the call.
    fn parameters(&mut self) -> *const u8 {
        let address = self.sockaddr.as_ptr().expose_provenance() as u64;
        afd::set_send_address(&mut self.parameters, address, self.length);
        self.parameters.as_ptr()
    }
}

fn protocol(socket: HANDLE) -> u8 {
    let mut info = [0_u32; 3];
    query(socket, afd::GET_INFO, &mut info);
    afd::protocol(info)
}

fn local_address(socket: HANDLE) -> Option<Address> {
    let mut sockaddr = [0_u8; SOCKADDR];
    query(socket, afd::GET_SOCKET_NAME, &mut sockaddr);
    Address::from_sockaddr(&sockaddr)
}

/// Asks the socket something; `reply` stays as it is when the socket has no answer.
fn query<T: Copy>(socket: HANDLE, code: u32, reply: &mut T) {
    let mut status = IoStatus { status: 0, information: 0 };
    // SAFETY: the function as ntdll had it, with a reply buffer of the given length; both codes answer at once, so
    // nothing is written after the return.
    unsafe {
        original()(
            socket,
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
            &raw mut status,
            code,
            ptr::null(),
            0,
            ptr::from_mut(reply).cast(),
            size_of::<T>() as u32,
        );
    }
}

fn original() -> DeviceIoControlFile {
    // SAFETY: `THUNK` holds a trampoline with this signature since `install`, and only then can the replacement run.
    unsafe { mem::transmute::<*mut c_void, DeviceIoControlFile>(THUNK.original()) }
}
