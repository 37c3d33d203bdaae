//! A driver's image in memory: its imports and its entry point.
//!
//! Invariant: every write goes to the import address table or to the 14 bytes of the entry point, and those bytes are
//! put back before the driver runs.

use core::ffi::{CStr, c_void};
use core::ptr;

use nt_sys::types::HANDLE;

use crate::kernel::{EXECUTE_READ_WRITE, READ_WRITE, ZwProtectVirtualMemory};

/// Bytes of an absolute jump.
pub const JUMP: usize = 14;

/// Wine writes this after the DOS header of the images it comes with.
const BUILTIN: &[u8; 16] = b"Wine builtin DLL";
const BUILTIN_OFFSET: usize = 0x40;
const PE_OFFSET: usize = 0x3C;
/// In `IMAGE_NT_HEADERS64`.
const ENTRY_POINT: usize = 24 + 16;
const IMPORT_DIRECTORY: usize = 24 + 112 + 8;
/// Import by number, without a name.
const BY_ORDINAL: u64 = 1 << 63;

/// `IMAGE_IMPORT_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ImportDescriptor {
    names: u32,
    time: u32,
    chain: u32,
    module: u32,
    addresses: u32,
}

/// A mapped PE image.
#[derive(Clone, Copy)]
pub struct Image {
    base: *mut u8,
}

impl Image {
    /// # Safety
    /// `base` is a mapped x64 PE image whose imports are resolved, and it stays mapped while the value is used.
    pub const unsafe fn new(base: *mut u8) -> Self {
        Self { base }
    }

    /// Whether the image is part of Wine.
    pub fn is_builtin(self) -> bool {
        self.read::<[u8; 16]>(BUILTIN_OFFSET) == *BUILTIN
    }

    /// Where the image is mapped.
    pub const fn base(self) -> *mut u8 {
        self.base
    }

    /// The entry point.
    pub fn entry(self) -> *mut u8 {
        let headers = self.read::<u32>(PE_OFFSET) as usize;
        self.at(self.read::<u32>(headers + ENTRY_POINT) as usize)
    }

    /// Points every import from `module` that `replace` knows at what it gives; returns how many.
    pub fn patch_imports(self, module: &str, replace: impl Fn(&str) -> Option<*const c_void>) -> usize {
        let headers = self.read::<u32>(PE_OFFSET) as usize;
        let mut offset = self.read::<u32>(headers + IMPORT_DIRECTORY) as usize;
        let mut patched = 0;
        while offset != 0 {
            let descriptor = self.read::<ImportDescriptor>(offset);
            if descriptor.module == 0 {
                break;
            }
            if self.text(descriptor.module as usize).eq_ignore_ascii_case(module) {
                patched += self.patch_module(descriptor, &replace);
            }
            offset += size_of::<ImportDescriptor>();
        }
        patched
    }

    fn patch_module(self, descriptor: ImportDescriptor, replace: &impl Fn(&str) -> Option<*const c_void>) -> usize {
        let mut patched = 0;
        for index in 0.. {
            let name = self.read::<u64>(descriptor.names as usize + index * 8);
            if name == 0 {
                break;
            }
            if name & BY_ORDINAL != 0 {
                continue;
            }
            // A name follows a 16-bit hint.
            if let Some(function) = replace(self.text(name as usize + 2)) {
                let slot = self.at(descriptor.addresses as usize + index * 8);
                // SAFETY: a slot of the import address table, 8 bytes, which nobody calls through yet.
                unsafe { overwrite(slot, (function as u64).to_le_bytes(), READ_WRITE) };
                patched += 1;
            }
        }
        patched
    }

    fn at(self, offset: usize) -> *mut u8 {
        // SAFETY: offsets come from the image's own headers, which Wine's loader has accepted.
        unsafe { self.base.add(offset) }
    }

    fn read<T: Copy>(self, offset: usize) -> T {
        // SAFETY: as for `at`; the records read are plain numbers.
        unsafe { self.at(offset).cast::<T>().read_unaligned() }
    }

    fn text(self, offset: usize) -> &'static str {
        // SAFETY: import tables hold NUL-terminated names; the image outlives every use of the text (`new`).
        let text = unsafe { CStr::from_ptr(self.at(offset).cast()) };
        text.to_str().unwrap_or("")
    }
}

/// Writes a jump to `target` over the code at `entry` and returns what was there.
///
/// # Safety
/// `entry` is code of at least [`JUMP`] bytes that nobody runs.
pub unsafe fn divert(entry: *mut u8, target: *const c_void) -> [u8; JUMP] {
    // SAFETY: the caller's promise.
    let saved = unsafe { entry.cast::<[u8; JUMP]>().read_unaligned() };
    let mut jump = [0; JUMP];
    jump[..2].copy_from_slice(&[0xFF, 0x25]);
    jump[6..].copy_from_slice(&(target as u64).to_le_bytes());
    // SAFETY: the caller's promise.
    unsafe { overwrite(entry, jump, EXECUTE_READ_WRITE) };
    saved
}

/// Puts back what [`divert`] returned.
///
/// # Safety
/// As for [`divert`], with the same `entry`.
pub unsafe fn restore(entry: *mut u8, saved: [u8; JUMP]) {
    // SAFETY: the caller's promise.
    unsafe { overwrite(entry, saved, EXECUTE_READ_WRITE) };
}

/// # Safety
/// The `N` bytes at `target` belong to a mapped image and are not in use.
unsafe fn overwrite<const N: usize>(target: *mut u8, bytes: [u8; N], protection: u32) {
    const THIS_PROCESS: HANDLE = ptr::without_provenance_mut(usize::MAX);
    let mut address = target.cast::<c_void>();
    let mut size = N;
    let mut old = 0;
    // SAFETY: this process, and locals that name the range to open.
    unsafe {
        ZwProtectVirtualMemory(THIS_PROCESS, &raw mut address, &raw mut size, protection, &raw mut old);
    }
    // SAFETY: writable now, and nobody uses it (the caller's promise).
    unsafe { target.cast::<[u8; N]>().write_unaligned(bytes) };
    let mut ignored = 0;
    // SAFETY: the same pages get their protection back.
    unsafe {
        ZwProtectVirtualMemory(THIS_PROCESS, &raw mut address, &raw mut size, old, &raw mut ignored);
    }
}
