//! Devices.
//!
//! Invariant: a device is in [`DEVICES`] from `IoCreateDevice` to `IoDeleteDevice`, and in its driver's list just as long.

use std::collections::BTreeMap;

use nt_sys::io::{DEVICE_OBJECT, DO_DEVICE_INITIALIZING, DO_EXCLUSIVE, DRIVER_OBJECT, FILE_DEVICE_SECURE_OPEN};
use nt_sys::status::{
    STATUS_ACCESS_DENIED, STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_SUCH_DEVICE, STATUS_OBJECT_NAME_COLLISION,
    STATUS_SUCCESS,
};
use nt_sys::types::{ACCESS_MASK, APC_LEVEL, BOOLEAN, FALSE, NTSTATUS, UNICODE_STRING};

use super::driver;
use crate::global::{Global, Ptr};
use crate::memory::{self, Block};
use crate::se::{Dacl, Sid};
use crate::{fault, rtl, rules, thread, verifier};

static DEVICES: Global<BTreeMap<Ptr<DEVICE_OBJECT>, Device>> = Global::new(BTreeMap::new());

struct Device {
    block: Block,
    driver: Ptr<DRIVER_OBJECT>,
    /// In lower case; empty when it has none.
    name: String,
    /// None lets everybody in, as the default descriptor of a device does.
    dacl: Option<Dacl>,
    /// Open files.
    files: usize,
}

/// `DEVICE_OBJECT::Type`.
const IO_TYPE_DEVICE: i16 = 3;

/// Makes a device.
///
/// # Safety
/// `driver` is the driver's own object; `name` is null or valid; `device` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn IoCreateDevice(
    driver: *mut DRIVER_OBJECT,
    extension: u32,
    name: *const UNICODE_STRING,
    kind: u32,
    characteristics: u32,
    exclusive: BOOLEAN,
    device: *mut *mut DEVICE_OBJECT,
) -> NTSTATUS {
    thread::require_irql("IoCreateDevice", APC_LEVEL);
    // SAFETY: the caller's promise.
    let name = if name.is_null() { String::new() } else { unsafe { rtl::text(name) }.to_lowercase() };
    if !name.is_empty() && DEVICES.lock().values().any(|device| device.name == name) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    if fault::should_fail("IoCreateDevice") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let head = size_of::<DEVICE_OBJECT>();
    let Some(block) = Block::allocate(head + extension as usize, 0) else { return STATUS_INSUFFICIENT_RESOURCES };
    let object = block.start().cast::<DEVICE_OBJECT>();
    // SAFETY: the block is fresh, large enough and aligned to 16; all-zero bytes are a value of the record.
    let record = unsafe { &mut *object };
    record.Type = IO_TYPE_DEVICE;
    record.Size = (head + extension as usize) as u16;
    record.DriverObject = driver;
    record.Flags = DO_DEVICE_INITIALIZING | if exclusive == FALSE { 0 } else { DO_EXCLUSIVE };
    record.Characteristics = characteristics;
    record.DeviceType = kind;
    record.StackSize = 1;
    if extension != 0 {
        record.DeviceExtension = block.start().wrapping_add(head).cast();
    }
    // SAFETY: the caller's promise; the list is only changed here and in `IoDeleteDevice`.
    let driver_record = unsafe { &mut *driver };
    record.NextDevice = driver_record.DeviceObject;
    driver_record.DeviceObject = object;
    DEVICES.lock().insert(Ptr(object), Device { block, driver: Ptr(driver), name, dacl: None, files: 0 });
    // SAFETY: the caller's promise.
    unsafe { device.write(object) };
    STATUS_SUCCESS
}

/// Removes a device.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoDeleteDevice(device: *mut DEVICE_OBJECT) {
    thread::require_irql("IoDeleteDevice", APC_LEVEL);
    let Some(entry) = DEVICES.lock().remove(&Ptr(device)) else {
        return verifier::report(rules::DEVICE_DELETED_TWICE, format!("IoDeleteDevice of {device:p}"));
    };
    if entry.files != 0 {
        verifier::report(rules::DEVICE_DELETED_IN_USE, format!("{} has {} open files", entry.name, entry.files));
    }
    // SAFETY: the entry keeps the device's block and names its driver, which outlives its devices.
    unsafe { unlink(entry.driver.0, device) };
    memory::retire(entry.block);
}

/// # Safety
/// `device` is in the list of `driver`.
unsafe fn unlink(driver: *mut DRIVER_OBJECT, device: *mut DEVICE_OBJECT) {
    // SAFETY: the caller's promise.
    let next = unsafe { (*device).NextDevice };
    // SAFETY: the caller's promise.
    let mut link = unsafe { &raw mut (*driver).DeviceObject };
    loop {
        // SAFETY: `link` is the head or a link of a device in the list.
        let at = unsafe { link.read() };
        if at == device {
            // SAFETY: as above.
            return unsafe { link.write(next) };
        }
        // SAFETY: the list reaches `device` before its end.
        link = unsafe { &raw mut (*at).NextDevice };
    }
}

/// A device that may be opened, and whether it is guarded against the caller.
pub(super) fn open(name: &str, rest: &str, access: ACCESS_MASK, sids: &[Sid]) -> Result<Ptr<DEVICE_OBJECT>, NTSTATUS> {
    let mut devices = DEVICES.lock();
    let Some((object, device)) = devices.iter_mut().find(|(_, device)| device.name == name) else {
        return Err(STATUS_NO_SUCH_DEVICE);
    };
    // SAFETY: the entry keeps the block.
    let record = unsafe { &mut *object.0 };
    if record.Flags & DO_DEVICE_INITIALIZING != 0 || driver::is_unloading(device.driver) {
        return Err(STATUS_NO_SUCH_DEVICE);
    }
    // learn.microsoft.com "Controlling Device Namespace Access": the device's descriptor guards a name below the device only
    // with FILE_DEVICE_SECURE_OPEN.
    let guarded = rest.is_empty() || record.Characteristics & FILE_DEVICE_SECURE_OPEN != 0;
    let refused = device.dacl.as_ref().is_some_and(|dacl| !dacl.grants(access, sids));
    if guarded && refused {
        return Err(STATUS_ACCESS_DENIED);
    }
    // learn.microsoft.com "Specifying Exclusive Access to Device Objects".
    if record.Flags & DO_EXCLUSIVE != 0 && device.files != 0 {
        return Err(STATUS_ACCESS_DENIED);
    }
    device.files += 1;
    record.ReferenceCount += 1;
    Ok(*object)
}

/// Takes back what [`open`] counted, and ends an unload that waited for it.
pub(super) fn close(device: Ptr<DEVICE_OBJECT>) {
    let mut devices = DEVICES.lock();
    let Some(entry) = devices.get_mut(&device) else { return };
    entry.files -= 1;
    // SAFETY: the entry keeps the block.
    unsafe { (*device.0).ReferenceCount -= 1 };
    let owner = entry.driver;
    drop(devices);
    driver::finish_deferred_unload(owner);
}

/// Driver of a device.
pub(super) fn driver_of(device: Ptr<DEVICE_OBJECT>) -> Option<Ptr<DRIVER_OBJECT>> {
    DEVICES.lock().get(&device).map(|device| device.driver)
}

/// Files open on the devices of a driver.
pub(super) fn files_of(driver: Ptr<DRIVER_OBJECT>) -> usize {
    DEVICES.lock().values().filter(|device| device.driver == driver).map(|device| device.files).sum()
}

/// Ends the initialization of a driver's devices, as the I/O manager does after `DriverEntry`.
pub(super) fn initialized(driver: Ptr<DRIVER_OBJECT>) {
    for (object, _) in DEVICES.lock().iter().filter(|(_, device)| device.driver == driver) {
        // SAFETY: the entry keeps the block.
        unsafe { (*object.0).Flags &= !DO_DEVICE_INITIALIZING };
    }
}

/// Whether this is a device.
pub(crate) fn exists(device: Ptr<DEVICE_OBJECT>) -> bool {
    DEVICES.lock().contains_key(&device)
}

pub(crate) fn set_dacl(device: Ptr<DEVICE_OBJECT>, dacl: Option<Dacl>) {
    if let Some(entry) = DEVICES.lock().get_mut(&device) {
        entry.dacl = dacl;
    }
}

/// Access control list of a device, in the security descriptor definition language.
pub(crate) fn sddl(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let devices = DEVICES.lock();
    devices.values().find(|device| device.name == name)?.dacl.as_ref().map(Dacl::sddl)
}

pub(super) fn leftovers() -> Vec<String> {
    DEVICES.lock().values().map(|device| format!("device {}", device.name)).collect()
}

pub(super) fn reset() {
    memory::keep(DEVICES.take());
}
