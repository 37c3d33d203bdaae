//! Children: the replacement of `NtCreateUserProcess` loads this image into every process a hooked one starts.
//!
//! Wine's `CreateProcess` always creates the first thread suspended and resumes it afterwards, so a child has the hook
//! before its first instruction.

use core::ffi::c_void;
use core::{mem, ptr};
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, HMODULE, NTSTATUS, WAIT_OBJECT_0};
use windows_sys::Win32::System::Diagnostics::Debug::WriteProcessMemory;
use windows_sys::Win32::System::LibraryLoader::{GetModuleFileNameW, GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::Memory::{MEM_COMMIT, MEM_RESERVE, PAGE_READWRITE, VirtualAllocEx};
use windows_sys::Win32::System::Threading::{CreateRemoteThread, GetExitCodeThread, GetProcessId, WaitForSingleObject};

use crate::journal;
use crate::thunk::Thunk;

static THUNK: Thunk = Thunk::new();
/// The path of this image, NUL-terminated.
static OWN_PATH: OnceLock<Vec<u16>> = OnceLock::new();

const CREATE_SUSPENDED: u32 = 1;
/// How long the loader of a child may take; a busy machine needs seconds for the first process.
const LOAD_MS: u32 = 30_000;

type CreateUserProcess = unsafe extern "system" fn(
    *mut HANDLE,
    *mut HANDLE,
    u32,
    u32,
    *const c_void,
    *const c_void,
    u32,
    u32,
    *const c_void,
    *mut c_void,
    *mut c_void,
) -> NTSTATUS;

/// Keeps the path of this image for the children.
pub fn remember_own_path(module: HMODULE) -> Result<(), &'static str> {
    let mut path = vec![0; 1024];
    // SAFETY: `module` is this image, being loaded; the length given is the buffer's.
    let length = unsafe { GetModuleFileNameW(module, path.as_mut_ptr(), path.len() as u32) };
    if length == 0 || length as usize >= path.len() {
        return Err("the path of the hook is too long");
    }
    path.truncate(length as usize + 1);
    OWN_PATH.set(path).map_err(|_| "the hook was loaded twice")
}

/// Replaces the function in this process.
pub fn install() -> Result<(), &'static str> {
    let replacement: CreateUserProcess = create_user_process;
    // SAFETY: 1. the replacement has the signature of `NtCreateUserProcess`; 2. as for the socket calls.
    unsafe { THUNK.replace(c"NtCreateUserProcess", replacement as *const c_void) }
}

unsafe extern "system" fn create_user_process(
    process: *mut HANDLE,
    thread: *mut HANDLE,
    process_access: u32,
    thread_access: u32,
    process_attributes: *const c_void,
    thread_attributes: *const c_void,
    process_flags: u32,
    thread_flags: u32,
    parameters: *const c_void,
    info: *mut c_void,
    attributes: *mut c_void,
) -> NTSTATUS {
    // SAFETY: `THUNK` holds a trampoline with this signature since `install`, and only then can this function run.
    let original = unsafe { mem::transmute::<*mut c_void, CreateUserProcess>(THUNK.original()) };
    // SAFETY: the caller's own arguments, to the function it called.
    let status = unsafe {
        original(
            process,
            thread,
            process_access,
            thread_access,
            process_attributes,
            thread_attributes,
            process_flags,
            thread_flags,
            parameters,
            info,
            attributes,
        )
    };
    if status >= 0 {
        // SAFETY: on success ntdll has stored the child's handle there.
        let child = unsafe { *process };
        let loaded = if thread_flags & CREATE_SUSPENDED == 0 {
            Err("started without being suspended")
        } else {
            load_into(child)
        };
        if let Err(reason) = loaded {
            // SAFETY: the child's handle, just made.
            journal::not_hooked(unsafe { GetProcessId(child) }, reason);
        }
    }
    status
}

/// Runs `LoadLibraryW(OWN_PATH)` in `child`.
fn load_into(child: HANDLE) -> Result<(), &'static str> {
    let path = OWN_PATH.get().ok_or("the hook has no path")?;
    let bytes = size_of_val(path.as_slice());
    // SAFETY: memory of the child, anywhere; nothing existing is touched.
    let remote = unsafe { VirtualAllocEx(child, ptr::null(), bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) };
    if remote.is_null() {
        return Err("no memory in the child");
    }
    let mut written = 0;
    // SAFETY: `bytes` bytes from `path` into the allocation of that size.
    let stored = unsafe { WriteProcessMemory(child, remote, path.as_ptr().cast(), bytes, &raw mut written) };
    if stored == 0 {
        return Err("the child's memory cannot be written");
    }
    let loader = load_library().ok_or("kernel32 lacks LoadLibraryW")?;
    // SAFETY: kernel32 is at the same address in every process of a prefix; its argument is the path written above.
    let thread = unsafe { CreateRemoteThread(child, ptr::null(), 0, Some(loader), remote, 0, ptr::null_mut()) };
    if thread.is_null() {
        return Err("no thread in the child");
    }
    let loaded = wait_for_loader(thread);
    // SAFETY: the handle made above; not used again.
    unsafe { CloseHandle(thread) };
    loaded
}

type ThreadProcedure = unsafe extern "system" fn(*mut c_void) -> u32;

fn load_library() -> Option<ThreadProcedure> {
    // SAFETY: a literal, NUL-terminated name.
    let kernel32 = unsafe { GetModuleHandleA(c"kernel32.dll".as_ptr().cast()) };
    // SAFETY: kernel32 is in every process and never unloaded.
    let address = unsafe { GetProcAddress(kernel32, c"LoadLibraryW".as_ptr().cast()) }?;
    // SAFETY: `LoadLibraryW` takes one pointer and returns in rax; a thread procedure reads the low half of it.
    Some(unsafe { mem::transmute::<unsafe extern "system" fn() -> isize, ThreadProcedure>(address) })
}

fn wait_for_loader(thread: HANDLE) -> Result<(), &'static str> {
    // SAFETY: an open thread handle.
    if unsafe { WaitForSingleObject(thread, LOAD_MS) } != WAIT_OBJECT_0 {
        return Err("the child's loader did not finish");
    }
    let mut module = 0;
    // SAFETY: an open thread handle and a local to write to.
    unsafe { GetExitCodeThread(thread, &raw mut module) };
    if module == 0 {
        return Err("the child refused the hook (32-bit program, or not Wine's ntdll)");
    }
    Ok(())
}
