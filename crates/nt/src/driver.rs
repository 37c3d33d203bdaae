//! The frame of a driver: entry, dispatch, unload. The driver itself is a safe [`Driver`].
//!
//! The state is put into its slot before anything can call back, and taken out after everything was undone.

use crate::device::Device;
use crate::irp::{Answered, FileId, Irp};
use crate::rundown::Slot;
use crate::status::{Result, Status};
use crate::string::NameRef;
use crate::work::Worker;
use core::ptr::NonNull;
pub use nt_sys::io::DRIVER_OBJECT;
use nt_sys::io::{DEVICE_OBJECT, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL};
use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::NTSTATUS;

/// A driver with one control device.
pub trait Driver: Send + Sync + Sized + 'static {
    /// The name of the device in the kernel.
    const DEVICE: NameRef;

    /// Where the loaded driver's state hangs.
    fn slot() -> &'static Slot<Self>;

    /// Makes the state; nothing calls back yet. `PASSIVE_LEVEL`.
    ///
    /// # Errors
    /// The driver is not loaded.
    fn new(device: Device) -> Result<Self>;

    /// Brings everything up; callbacks may begin. `PASSIVE_LEVEL`.
    ///
    /// # Errors
    /// The driver is not loaded; [`Driver::stop`] is called first.
    fn start(&self) -> Result<()>;

    /// Undoes `start`, also one that failed half way, and returns when no callback will come any more.
    /// `PASSIVE_LEVEL`.
    fn stop(&self);

    /// A file was opened on the device. `PASSIVE_LEVEL`.
    ///
    /// # Errors
    /// The open fails.
    fn create(&self, irp: &Irp) -> Result<()>;

    /// The last handle of a file was closed; its parked requests must leave. Must not mind being called twice.
    /// `PASSIVE_LEVEL`.
    fn cleanup(&self, file: FileId);

    /// A device control request. `PASSIVE_LEVEL`.
    fn device_control(&self, irp: Irp) -> Answered;

    /// The worker that runs [`Driver::work`].
    fn worker(&self) -> &Worker<Self>;

    /// What the worker does. `PASSIVE_LEVEL`, in a system thread.
    fn work(&self);

    /// What the periodic timer does. `DISPATCH_LEVEL`.
    fn tick(&self);

    /// The base filtering engine changed its state. `PASSIVE_LEVEL`; must not block.
    fn filter_engine_changed(&self, running: bool);
}

/// `DriverEntry` of `D`.
///
/// # Safety
/// Called by the I/O manager (or an emulation of it) as the entry point of a driver, with its driver object.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub unsafe fn entry<D: Driver>(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: passed on from the caller.
    match unsafe { load::<D>(driver) } {
        Ok(()) => STATUS_SUCCESS,
        Err(error) => error.code(),
    }
}

/// # Safety
/// As [`entry`].
unsafe fn load<D: Driver>(driver: *mut DRIVER_OBJECT) -> Result<()> {
    // SAFETY: the driver object of this driver, as the caller vouches.
    let device = unsafe { Device::create(driver, D::DEVICE) }?;
    D::slot().fill(D::new(device)?)?;
    // SAFETY: the I/O manager gave us the object to fill in; it is valid for writes until DriverEntry returns.
    let object = unsafe { &mut *driver };
    for function in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_DEVICE_CONTROL] {
        if let Some(entry) = object.MajorFunction.get_mut(function) {
            *entry = Some(dispatch::<D>);
        }
    }
    object.DriverUnload = Some(unload::<D>);
    let started = D::slot().enter().ok_or(Status::DELETE_PENDING)?.start();
    if started.is_err() {
        tear_down::<D>();
    }
    started
}

fn tear_down<D: Driver>() {
    if let Some(driver) = D::slot().enter() {
        driver.stop();
    }
    drop(D::slot().empty());
}

unsafe extern "system-unwind" fn unload<D: Driver>(_driver: *mut DRIVER_OBJECT) {
    tear_down::<D>();
}

unsafe extern "system-unwind" fn dispatch<D: Driver>(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(irp) = NonNull::new(irp) else { return Status::INVALID_PARAMETER.code() };
    // SAFETY: the I/O manager hands the request to this driver.
    let irp = unsafe { Irp::from_raw(irp) };
    let Some(driver) = D::slot().enter() else {
        return irp.complete(Err(Status::DELETE_PENDING)).code();
    };
    match irp.major_function() {
        IRP_MJ_CREATE => {
            // Names below the device would bypass the device's own security rules (learn.microsoft.com "Controlling
            // Device Namespace Access").
            let opened = if irp.opens_device_itself() { driver.create(&irp) } else { Err(Status::OBJECT_NAME_INVALID) };
            irp.complete(opened.map(|()| 0)).code()
        }
        // Some hosts send only one of the two when a handle is closed; `cleanup` does not mind both.
        IRP_MJ_CLEANUP | IRP_MJ_CLOSE => {
            driver.cleanup(irp.file());
            irp.complete(Ok(0)).code()
        }
        IRP_MJ_DEVICE_CONTROL => driver.device_control(irp).code(),
        _ => irp.complete(Err(Status::INVALID_DEVICE_REQUEST)).code(),
    }
}
