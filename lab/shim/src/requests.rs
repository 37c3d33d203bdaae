//! Requests on their way to a driver and back.
//!
//! Every request a driver receives is remembered until the driver completes it: completing another, or the same twice,
//! is a violation. Wine sends `IRP_MJ_CLOSE` at the last handle close and never `IRP_MJ_CLEANUP`; the driver gets both
//! here, in Windows' order ("learn.microsoft.com IRP_MJ_CLEANUP"). The cleanup request is the shim's own, so its
//! completion must not reach Wine.

use std::collections::BTreeMap;
use std::sync::Mutex;

use nt_sys::io::{DEVICE_OBJECT, IO_STACK_LOCATION, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IofCompleteRequest};
use nt_sys::status::{STATUS_PENDING, STATUS_SUCCESS};
use nt_sys::types::{DISPATCH_LEVEL, NTSTATUS, PASSIVE_LEVEL};

use crate::violations::{self, lock};
use crate::{drivers, irql};

/// A request a driver owes a completion.
struct Held {
    /// Address of the driver object.
    driver: usize,
    /// Made by the shim, unknown to Wine.
    cleanup: bool,
}

/// By the request's address.
static HELD: Mutex<BTreeMap<usize, Held>> = Mutex::new(BTreeMap::new());

/// The shim's cleanup request: the packet and its one stack location.
#[repr(C)]
struct Cleanup {
    irp: IRP,
    location: IO_STACK_LOCATION,
}

/// How many requests the driver has not completed.
pub fn held_by(driver: usize) -> usize {
    lock(&HELD).values().filter(|held| held.driver == driver).count()
}

/// Runs in place of every dispatch function of a driver.
pub unsafe extern "system-unwind" fn dispatch(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: Wine passes a device of the driver it calls.
    let driver = unsafe { (*device).DriverObject };
    // SAFETY: Wine passes a request with a current stack location.
    let request = unsafe { &*irp };
    // SAFETY: the kernel keeps the `Overlay` arm of a request in flight.
    let location = unsafe { request.Tail.Overlay.CurrentStackLocation };
    // SAFETY: as above.
    let major = usize::from(unsafe { (*location).MajorFunction });
    if major == IRP_MJ_CLOSE && drivers::handler(driver, IRP_MJ_CLEANUP).is_some() {
        // SAFETY: the arguments of this call.
        unsafe { send_cleanup(device, irp, location) };
    }
    // SAFETY: the arguments of this call; `driver` is the device's.
    unsafe { call(device, irp, driver.addr(), major, false) }
}

/// # Safety
/// `device` and `irp` are valid, `irp`'s current location is for `device`, and `driver` is its driver object's address.
unsafe fn call(device: *mut DEVICE_OBJECT, irp: *mut IRP, driver: usize, major: usize, cleanup: bool) -> NTSTATUS {
    let object = core::ptr::without_provenance(driver);
    let Some(handler) = drivers::handler(object, major) else {
        // Windows completes what a driver has no handler for; opening and closing succeed in Wine's I/O manager.
        // SAFETY: the request is this function's, not yet completed.
        unsafe { complete_unhandled(irp, major) };
        return unhandled_status(major);
    };
    lock(&HELD).insert(irp.addr(), Held { driver, cleanup });
    let locks = irql::spin_locks_held();
    // SAFETY: the driver's own handler with the arguments it was registered for.
    let status = unsafe { handler(device, irp) };
    drivers::check_return("a dispatch function", PASSIVE_LEVEL, locks);
    if status != STATUS_PENDING && lock(&HELD).get(&irp.addr()).is_some_and(|held| held.driver == driver) {
        violations::record(format!(
            "a dispatch function returned {status:#010x} for major function {major:#x} without completing the request"
        ));
    }
    status
}

fn unhandled_status(major: usize) -> NTSTATUS {
    match major {
        nt_sys::io::IRP_MJ_CREATE | IRP_MJ_CLOSE | IRP_MJ_CLEANUP => STATUS_SUCCESS,
        _ => nt_sys::status::STATUS_INVALID_DEVICE_REQUEST,
    }
}

/// # Safety
/// `irp` is a request nobody has completed.
unsafe fn complete_unhandled(irp: *mut IRP, major: usize) {
    // SAFETY: the caller's promise.
    let request = unsafe { &mut *irp };
    request.IoStatus.Status = unhandled_status(major);
    request.IoStatus.Information = 0;
    // SAFETY: the caller's promise; the request is not used afterwards.
    unsafe { IofCompleteRequest(irp, 0) };
}

/// Sends the driver the cleanup Wine does not.
///
/// # Safety
/// `close` is a close request for `device` with the current stack location `location`.
unsafe fn send_cleanup(device: *mut DEVICE_OBJECT, close: *mut IRP, location: *const IO_STACK_LOCATION) {
    let mut cleanup = Box::new(Cleanup {
        // SAFETY: a valid request, which is plain data; the copy is told apart by its address.
        irp: unsafe { close.read() },
        // SAFETY: a valid stack location, which is plain data.
        location: unsafe { location.read() },
    });
    cleanup.location.MajorFunction = IRP_MJ_CLEANUP as u8;
    cleanup.irp.Tail.Overlay.CurrentStackLocation = &raw mut cleanup.location;
    // Freed when the driver completes it.
    let cleanup = Box::into_raw(cleanup);
    // SAFETY: the device of the close request.
    let driver = unsafe { (*device).DriverObject };
    // SAFETY: a valid device and a request whose location is for it.
    unsafe { call(device, cleanup.cast(), driver.addr(), IRP_MJ_CLEANUP, true) };
}

/// In place of `IofCompleteRequest`.
pub unsafe extern "system" fn complete(irp: *mut IRP, boost: i8) {
    if irql::spin_locks_held() > 0 {
        violations::record("IofCompleteRequest with a spin lock held".to_owned());
    }
    irql::require_at_most(DISPATCH_LEVEL, "IofCompleteRequest");
    let held = lock(&HELD).remove(&irp.addr());
    match held {
        // SAFETY: made by `send_cleanup`; taken out of the map, so freed once.
        Some(Held { cleanup: true, .. }) => drop(unsafe { Box::from_raw(irp.cast::<Cleanup>()) }),
        Some(Held { cleanup: false, .. }) => {
            // SAFETY: a request of Wine's that the driver owned until now.
            unsafe { IofCompleteRequest(irp, boost) };
        }
        None => {
            violations::record("IofCompleteRequest for a request the driver does not own (completed twice?)".to_owned())
        }
    }
}
