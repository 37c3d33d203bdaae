//! Replacing a system call thunk of Wine's ntdll.
//!
//! A 64-bit thunk starts with 16 bytes that hold whole instructions and no relative address:
//! `mov r10, rcx` / `mov eax, NUMBER` / `test byte [0x7ffe0308], 1`. They are copied in front of a jump back (the
//! trampoline), and overwritten by a jump to the replacement.
//! Invariant: bytes that do not look so are left alone.

use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use windows_sys::Win32::System::Diagnostics::Debug::FlushInstructionCache;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_RESERVE, PAGE_EXECUTE_READWRITE, VirtualAlloc, VirtualProtect,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

/// What is copied and overwritten.
const HEAD: usize = 16;
/// `jmp [rip]` and the address it reads.
const JUMP: usize = 14;

/// A replaced function of ntdll.
pub struct Thunk {
    trampoline: AtomicPtr<c_void>,
}

impl Thunk {
    /// Not replaced yet.
    pub const fn new() -> Self {
        Self { trampoline: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Sends callers of ntdll's `name` to `replacement`.
    ///
    /// # Safety
    /// 1. `replacement` is a function with the signature of `name` and lives as long as the process;
    /// 2. no other thread runs yet, or none is inside the first bytes of `name`: the call comes from the loader of a
    ///    process that has not started.
    pub unsafe fn replace(&self, name: &CStr, replacement: *const c_void) -> Result<(), &'static str> {
        let target = find(name).ok_or("ntdll lacks the function")?;
        // SAFETY: an exported function of a system call is at least 16 bytes of readable code.
        let head = unsafe { target.cast::<[u8; HEAD]>().read_unaligned() };
        if !is_thunk(&head) {
            return Err("the function in ntdll is not a system call thunk");
        }
        let trampoline = allocate().ok_or("no memory for a trampoline")?;
        // SAFETY: a fresh page, far larger than head and jump.
        let back = unsafe { trampoline.add(HEAD) };
        // SAFETY: the first 16 bytes of that page.
        unsafe { trampoline.cast::<[u8; HEAD]>().write_unaligned(head) };
        // SAFETY: the thunk goes on after its head.
        let rest = unsafe { target.add(HEAD) };
        // SAFETY: the next 14 bytes of that page.
        unsafe { back.cast::<[u8; JUMP]>().write_unaligned(jump_to(rest)) };
        self.trampoline.store(trampoline.cast(), Ordering::Release);
        overwrite(target, jump_to(replacement.cast()))
    }

    /// The function as it was; null until [`Self::replace`] succeeded.
    pub fn original(&self) -> *mut c_void {
        self.trampoline.load(Ordering::Acquire)
    }
}

fn find(name: &CStr) -> Option<*mut u8> {
    // SAFETY: a literal, NUL-terminated name; ntdll is in every process.
    let ntdll = unsafe { GetModuleHandleA(c"ntdll.dll".as_ptr().cast()) };
    // SAFETY: `ntdll` is a module that is never unloaded; `name` is NUL-terminated.
    let address = unsafe { GetProcAddress(ntdll, name.as_ptr().cast()) };
    address.map(|function| function as *mut u8)
}

fn is_thunk(head: &[u8; HEAD]) -> bool {
    head.starts_with(&[0x4C, 0x8B, 0xD1, 0xB8]) && head[8..11] == [0xF6, 0x04, 0x25]
}

fn jump_to(address: *const u8) -> [u8; JUMP] {
    let mut code = [0; JUMP];
    code[..2].copy_from_slice(&[0xFF, 0x25]);
    code[6..].copy_from_slice(&(address as u64).to_le_bytes());
    code
}

fn allocate() -> Option<*mut u8> {
    // SAFETY: asks for a page anywhere; no existing memory is touched.
    let page = unsafe { VirtualAlloc(ptr::null(), HEAD + JUMP, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE) };
    (!page.is_null()).then_some(page.cast())
}

fn overwrite(target: *mut u8, code: [u8; JUMP]) -> Result<(), &'static str> {
    let mut protection = 0;
    // SAFETY: the page of a loaded function; it stays executable.
    let opened = unsafe { VirtualProtect(target.cast(), JUMP, PAGE_EXECUTE_READWRITE, &raw mut protection) };
    if opened == 0 {
        return Err("ntdll cannot be made writable");
    }
    // SAFETY: made writable above; `replace` promises that nobody runs there.
    unsafe { target.cast::<[u8; JUMP]>().write_unaligned(code) };
    let mut ignored = 0;
    // SAFETY: gives the page its former protection.
    unsafe { VirtualProtect(target.cast(), JUMP, protection, &raw mut ignored) };
    // SAFETY: a pseudo handle that needs no closing.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the range just written.
    unsafe { FlushInstructionCache(process, target.cast(), JUMP) };
    Ok(())
}
