//! `Ob*`: references and kernel handles.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::without_provenance_mut;

use nt_sys::io::DEVICE_OBJECT;
use nt_sys::ob::OBJECT_TYPE;
use nt_sys::ps::ETHREAD;
use nt_sys::status::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
};
use nt_sys::types::{ACCESS_MASK, APC_LEVEL, DISPATCH_LEVEL, HANDLE, KPROCESSOR_MODE, NTSTATUS, PASSIVE_LEVEL};

use crate::global::{Global, Ptr};
use crate::{fault, io, ps, rules, thread, verifier};

static HANDLES: Global<BTreeMap<usize, Open>> = Global::new(BTreeMap::new());
/// Handles are multiples of four with the kernel's bit set, as in NT.
const FIRST_HANDLE: usize = 0xFFFF_FFFF_8000_0000;

/// What a handle stands for.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    pub(crate) target: Target,
    pub(crate) access: ACCESS_MASK,
}

#[derive(Clone, Copy)]
pub(crate) enum Target {
    Device(Ptr<DEVICE_OBJECT>),
    Thread(Ptr<ETHREAD>),
}

/// Adds a reference.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn ObfReferenceObject(object: *mut c_void) -> isize {
    thread::require_irql("ObfReferenceObject", DISPATCH_LEVEL);
    change_references("ObfReferenceObject", object, 1)
}

/// Takes a reference back.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn ObfDereferenceObject(object: *mut c_void) -> isize {
    thread::require_irql("ObfDereferenceObject", DISPATCH_LEVEL);
    change_references("ObfDereferenceObject", object, -1)
}

/// References the object behind a handle; only threads have handles that make sense here.
///
/// # Safety
/// `object` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ObReferenceObjectByHandle(
    handle: HANDLE,
    _access: ACCESS_MASK,
    _kind: *mut OBJECT_TYPE,
    _mode: KPROCESSOR_MODE,
    object: *mut *mut c_void,
    _information: *mut c_void,
) -> NTSTATUS {
    thread::require_irql("ObReferenceObjectByHandle", PASSIVE_LEVEL);
    let Some(open) = target("ObReferenceObjectByHandle", handle) else { return STATUS_INVALID_HANDLE };
    let Target::Thread(Ptr(found)) = open.target else { return STATUS_OBJECT_TYPE_MISMATCH };
    if fault::should_fail("ObReferenceObjectByHandle") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    change_references("ObReferenceObjectByHandle", found.cast(), 1);
    // SAFETY: the caller's promise.
    unsafe { object.write(found.cast()) };
    STATUS_SUCCESS
}

/// Opens a kernel handle to a device.
///
/// # Safety
/// `handle` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ObOpenObjectByPointer(
    object: *mut c_void,
    _attributes: u32,
    _state: *mut c_void,
    access: ACCESS_MASK,
    _kind: *mut OBJECT_TYPE,
    _mode: KPROCESSOR_MODE,
    handle: *mut HANDLE,
) -> NTSTATUS {
    thread::require_irql("ObOpenObjectByPointer", APC_LEVEL);
    let device = Ptr(object.cast::<DEVICE_OBJECT>());
    if !io::device::exists(device) {
        verifier::report(rules::REFERENCE_DEAD, format!("ObOpenObjectByPointer of {object:p}, which is no device"));
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if fault::should_fail("ObOpenObjectByPointer") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let opened = open(Target::Device(device), access);
    // SAFETY: the caller's promise.
    unsafe { handle.write(opened) };
    STATUS_SUCCESS
}

/// Makes a handle.
pub(crate) fn open(target: Target, access: ACCESS_MASK) -> HANDLE {
    let mut handles = HANDLES.lock();
    let value = handles.keys().next_back().map_or(FIRST_HANDLE, |last| last + 4);
    handles.insert(value, Open { target, access });
    without_provenance_mut(value)
}

/// What a handle stands for; reports one that is not open.
pub(crate) fn target(function: &str, handle: HANDLE) -> Option<Open> {
    let open = HANDLES.lock().get(&handle.addr()).copied();
    if open.is_none() {
        verifier::report(rules::HANDLE_INVALID, format!("{function} with handle {handle:p}"));
    }
    open
}

/// Closes a handle; reports one that is not open.
pub(crate) fn close(handle: HANDLE) -> bool {
    let Some(open) = HANDLES.lock().remove(&handle.addr()) else {
        verifier::report(rules::HANDLE_INVALID, format!("ZwClose of handle {handle:p}"));
        return false;
    };
    if let Target::Thread(thread) = open.target {
        ps::change_thread_references(thread, -1);
    }
    true
}

/// Kernel handles that are open.
pub(crate) fn open_handles() -> usize {
    HANDLES.lock().len()
}

pub(crate) fn reset() {
    HANDLES.take();
}

fn change_references(function: &str, object: *mut c_void, by: isize) -> isize {
    let changed = ps::change_process_references(Ptr(object.cast()), by)
        .or_else(|| ps::change_thread_references(Ptr(object.cast()), by));
    changed.unwrap_or_else(|| {
        verifier::report(rules::REFERENCE_DEAD, format!("{function} of {object:p}, which has no reference to change"));
        0
    })
}
