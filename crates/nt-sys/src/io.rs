//! `Io*`: the I/O manager: devices, symbolic links, requests, cancellation, work items.
//!
//! Neighbours: `io::irp` holds the request's records, `io::object` those of driver, device and open file.

mod irp;
mod object;

use core::ffi::c_void;

pub use irp::*;
pub use object::*;

use crate::ps::EPROCESS;
use crate::types::{BOOLEAN, KIRQL, NTSTATUS, UNICODE_STRING};

pub const IRP_MJ_CREATE: usize = 0x00;
pub const IRP_MJ_CLOSE: usize = 0x02;
pub const IRP_MJ_DEVICE_CONTROL: usize = 0x0E;
pub const IRP_MJ_SHUTDOWN: usize = 0x10;
pub const IRP_MJ_CLEANUP: usize = 0x12;
pub const IRP_MJ_MAXIMUM_FUNCTION: usize = 0x1B;

/// `IO_STACK_LOCATION::Control`: the driver marked the request pending.
pub const SL_PENDING_RETURNED: u8 = 0x01;

pub const FILE_DEVICE_NETWORK: u32 = 0x12;
pub const FILE_DEVICE_UNKNOWN: u32 = 0x22;

/// Device characteristic: the device's security also guards names below it.
pub const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;

pub const DO_BUFFERED_IO: u32 = 0x04;
pub const DO_EXCLUSIVE: u32 = 0x08;
pub const DO_DEVICE_INITIALIZING: u32 = 0x80;

pub const IO_NO_INCREMENT: i8 = 0;

pub const METHOD_BUFFERED: u32 = 0;
pub const METHOD_IN_DIRECT: u32 = 1;
pub const METHOD_OUT_DIRECT: u32 = 2;
pub const METHOD_NEITHER: u32 = 3;

pub const FILE_ANY_ACCESS: u32 = 0;
pub const FILE_READ_DATA: u32 = 1;
pub const FILE_WRITE_DATA: u32 = 2;

/// `WORK_QUEUE_TYPE`: threads that may wait.
pub const DelayedWorkQueue: i32 = 1;

/// I/O control code of a device type, function, transfer method and required access.
pub const fn CTL_CODE(DeviceType: u32, Function: u32, Method: u32, Access: u32) -> u32 {
    DeviceType << 16 | Access << 14 | Function << 2 | Method
}

/// A work item; its inside belongs to the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct IO_WORKITEM {
    _opaque: [u8; 0],
}

/// Body of a work item, called at `PASSIVE_LEVEL` in a system thread.
pub type IO_WORKITEM_ROUTINE = unsafe extern "system-unwind" fn(DeviceObject: *mut DEVICE_OBJECT, Context: *mut c_void);

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Makes a device with `DeviceExtensionSize` bytes of the driver's own.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn IoCreateDevice(
        DriverObject: *mut DRIVER_OBJECT,
        DeviceExtensionSize: u32,
        DeviceName: *const UNICODE_STRING,
        DeviceType: u32,
        DeviceCharacteristics: u32,
        Exclusive: BOOLEAN,
        DeviceObject: *mut *mut DEVICE_OBJECT,
    ) -> NTSTATUS;

    /// Removes a device.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn IoDeleteDevice(DeviceObject: *mut DEVICE_OBJECT);

    /// Makes a name that user mode can open stand for a device.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn IoCreateSymbolicLink(SymbolicLinkName: *const UNICODE_STRING, DeviceName: *const UNICODE_STRING)
    -> NTSTATUS;

    /// Removes such a name.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn IoDeleteSymbolicLink(SymbolicLinkName: *const UNICODE_STRING) -> NTSTATUS;

    /// Gives a finished request back; what `IoCompleteRequest` expands to.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IofCompleteRequest(Irp: *mut IRP, PriorityBoost: i8);

    /// Asks the request's owner to give it back early; true when a cancel routine was called.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoCancelIrp(Irp: *mut IRP) -> BOOLEAN;

    /// Takes the system-wide cancel spin lock.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoAcquireCancelSpinLock(Irql: *mut KIRQL);

    /// Gives the cancel spin lock back; a cancel routine passes `Irp->CancelIrql`.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`.
    pub fn IoReleaseCancelSpinLock(Irql: KIRQL);

    /// Process whose thread made the request; not referenced.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoGetRequestorProcess(Irp: *mut IRP) -> *mut EPROCESS;

    /// Process of the calling thread; not referenced. What `PsGetCurrentProcess` expands to.
    ///
    /// # IRQL
    /// Any.
    pub fn IoGetCurrentProcess() -> *mut EPROCESS;

    /// Makes a work item; null when there is no memory.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoAllocateWorkItem(DeviceObject: *mut DEVICE_OBJECT) -> *mut IO_WORKITEM;

    /// Hands the work item to a system thread; the device stays until it has run.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoQueueWorkItem(
        IoWorkItem: *mut IO_WORKITEM,
        WorkerRoutine: IO_WORKITEM_ROUTINE,
        QueueType: i32,
        Context: *mut c_void,
    );

    /// Frees a work item that is not queued.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn IoFreeWorkItem(IoWorkItem: *mut IO_WORKITEM);
}
