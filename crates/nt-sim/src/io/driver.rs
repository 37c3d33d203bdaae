//! Drivers: loading, and unloading when no handle is open.

use std::collections::BTreeMap;
use std::ptr::null_mut;

use nt_sys::io::{DEVICE_OBJECT, DRIVER_INITIALIZE, DRIVER_OBJECT, IO_NO_INCREMENT, IRP};
use nt_sys::status::{NT_SUCCESS, STATUS_INVALID_DEVICE_REQUEST};
use nt_sys::types::{NTSTATUS, PASSIVE_LEVEL, UNICODE_STRING};

use super::{device, irp};
use crate::global::{Global, Ptr};
use crate::memory::{self, Block};
use crate::thread::{self, Context};
use crate::{etw, ex, io, ke, mdl, ob, ps, rtl, rules, verifier, wait};

static DRIVERS: Global<BTreeMap<Ptr<DRIVER_OBJECT>, Entry>> = Global::new(BTreeMap::new());

struct Entry {
    block: Block,
    name: String,
    /// What `DriverName` points to.
    _name_units: Vec<u16>,
    unloading: bool,
}

/// A loaded driver.
///
/// Dropping it unloads nothing: a driver that is still loaded at shutdown is reported.
#[derive(Debug)]
pub struct Driver {
    object: Ptr<DRIVER_OBJECT>,
}

impl Driver {
    pub(crate) fn load(name: &str, registry_path: &str, entry: DRIVER_INITIALIZE) -> Result<Self, NTSTATUS> {
        let block = Block::allocate(size_of::<DRIVER_OBJECT>(), 0).expect("the host has memory");
        let object = Ptr(block.start().cast::<DRIVER_OBJECT>());
        let mut units: Vec<u16> = format!(r"\Driver\{name}").encode_utf16().collect();
        // SAFETY: the block is fresh, large enough and aligned; all-zero bytes are a value of the record.
        let record = unsafe { &mut *object.0 };
        record.Type = 4;
        record.Size = size_of::<DRIVER_OBJECT>() as i16;
        record.DriverName = rtl::counted(&mut units);
        record.DriverInit = Some(entry);
        record.MajorFunction = [Some(invalid_device_request as _); _];
        let state = Entry { block, name: name.to_owned(), _name_units: units, unloading: false };
        DRIVERS.lock().insert(object, state);
        let status = call_entry(object, registry_path, entry);
        if NT_SUCCESS(status) {
            device::initialized(object);
            return Ok(Self { object });
        }
        forget(object, "failed DriverEntry");
        Err(status)
    }

    /// Asks for the driver to be unloaded. True when it is; false when it waits for the last handle to close, which then
    /// unloads it. New opens are refused from now on.
    pub fn unload(&self) -> bool {
        if let Some(entry) = DRIVERS.lock().get_mut(&self.object) {
            entry.unloading = true;
        }
        finish_deferred_unload(self.object);
        !self.is_loaded()
    }

    /// Whether the driver is loaded.
    pub fn is_loaded(&self) -> bool {
        DRIVERS.lock().contains_key(&self.object)
    }

    /// The driver's object.
    pub fn object(&self) -> *mut DRIVER_OBJECT {
        self.object.0
    }
}

fn call_entry(object: Ptr<DRIVER_OBJECT>, registry_path: &str, entry: DRIVER_INITIALIZE) -> NTSTATUS {
    let mut units: Vec<u16> = registry_path.encode_utf16().collect();
    let path: UNICODE_STRING = rtl::counted(&mut units);
    let context = Context::enter(PASSIVE_LEVEL, null_mut());
    // SAFETY: the driver's own entry, with its object and a path that outlives the call.
    let status = unsafe { entry(object.0, &raw const path) };
    verify_balance(&context, "DriverEntry");
    status
}

/// Unloads a driver that waits for it, once no handle is open.
pub(super) fn finish_deferred_unload(driver: Ptr<DRIVER_OBJECT>) {
    if !is_unloading(driver) || device::files_of(driver) != 0 {
        return;
    }
    // SAFETY: the entry keeps the block.
    let Some(unload) = (unsafe { (*driver.0).DriverUnload }) else { return };
    let context = Context::enter(PASSIVE_LEVEL, null_mut());
    // SAFETY: the driver's own routine, with its object.
    unsafe { unload(driver.0) };
    verify_balance(&context, "DriverUnload");
    drop(context);
    forget(driver, "unload");
}

fn verify_balance(context: &Context, what: &str) {
    if !context.is_balanced(PASSIVE_LEVEL) {
        let (irql, locks) = (thread::irql(), thread::held_spin_locks());
        verifier::report(rules::IRQL_NOT_RESTORED, format!("{what} returned at IRQL {irql} with {locks} spin locks"));
    }
}

/// Ends a driver, which must have nothing left.
fn forget(driver: Ptr<DRIVER_OBJECT>, when: &str) {
    // A system thread that was told to end, and that nobody waits for, may still be on its way out.
    wait::settle_threads();
    let Some(entry) = DRIVERS.lock().remove(&driver) else { return };
    // SAFETY: the entry keeps the block.
    let has_device = !unsafe { (*driver.0).DeviceObject }.is_null();
    memory::retire(entry.block);
    if has_device {
        verifier::report(rules::UNLOADED_WITH_PENDING, format!("{when} of {} left a device", entry.name));
    }
    // What belongs to which driver is not known; the last one leaves nothing behind.
    if DRIVERS.lock().is_empty() {
        verify_nothing_left(&format!("{when} of {}", entry.name));
    }
}

/// Verifies that no driver left anything.
pub(crate) fn verify_nothing_left(when: &str) {
    let mut pending = io::leftovers();
    let everywhere = |_| true;
    let counts = [
        (ke::timer::set_timers(everywhere), "set timers"),
        (ke::dpc::queued_dpcs(everywhere), "queued DPCs"),
        (ps::system_threads(), "running system threads"),
        (ob::open_handles(), "open kernel handles"),
        (etw::registered(), "registered event providers"),
    ];
    pending.extend(counts.iter().filter(|(count, _)| *count != 0).map(|(count, what)| format!("{count} {what}")));
    let held_threads = ps::held_threads();
    let mut references = ps::live_references();
    if held_threads != 0 {
        references.push(format!("{held_threads} thread objects"));
    }
    let mut memory = ex::pool::leaks();
    memory.extend(mdl::leaks());
    for (rule, left) in
        [(rules::UNLOADED_WITH_PENDING, pending), (rules::REFERENCE_LEAK, references), (rules::POOL_LEAK, memory)]
    {
        if !left.is_empty() {
            verifier::report(rule, format!("{when} left {}", left.join("; ")));
        }
    }
}

/// Whether new opens are refused.
pub(super) fn is_unloading(driver: Ptr<DRIVER_OBJECT>) -> bool {
    DRIVERS.lock().get(&driver).is_some_and(|entry| entry.unloading)
}

/// Names of the drivers that are loaded.
pub(crate) fn loaded() -> Vec<String> {
    DRIVERS.lock().values().map(|entry| entry.name.clone()).collect()
}

pub(super) fn reset() {
    memory::keep(DRIVERS.take());
}

/// What every major function does until the driver sets its own.
pub(super) unsafe extern "system-unwind" fn invalid_device_request(
    _device: *mut DEVICE_OBJECT,
    request: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the I/O manager passes a request that this routine owns.
    unsafe { (*request).IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST };
    irp::IofCompleteRequest(request, IO_NO_INCREMENT);
    STATUS_INVALID_DEVICE_REQUEST
}
