//! Driver, device and open file.
//!
//! Regions a driver must not look into are plain words, so that only their place matters.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

use super::IRP_MJ_MAXIMUM_FUNCTION;
use super::irp::IRP;
use crate::ke::{KDPC, KEVENT};
use crate::types::{BOOLEAN, LARGE_INTEGER, LIST_ENTRY, NTSTATUS, UNICODE_STRING};

/// `DriverEntry`.
pub type DRIVER_INITIALIZE =
    unsafe extern "system-unwind" fn(DriverObject: *mut DRIVER_OBJECT, RegistryPath: *const UNICODE_STRING) -> NTSTATUS;

/// Handler of one major function, called at `PASSIVE_LEVEL`.
pub type DRIVER_DISPATCH =
    unsafe extern "system-unwind" fn(DeviceObject: *mut DEVICE_OBJECT, Irp: *mut IRP) -> NTSTATUS;

/// Called at `PASSIVE_LEVEL` when no handle to any device of the driver is open.
pub type DRIVER_UNLOAD = unsafe extern "system-unwind" fn(DriverObject: *mut DRIVER_OBJECT);

#[repr(C)]
#[derive(Debug)]
pub struct DRIVER_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Flags: u32,
    pub DriverStart: *mut c_void,
    pub DriverSize: u32,
    pub DriverSection: *mut c_void,
    pub DriverExtension: *mut c_void,
    pub DriverName: UNICODE_STRING,
    pub HardwareDatabase: *mut UNICODE_STRING,
    pub FastIoDispatch: *mut c_void,
    pub DriverInit: Option<DRIVER_INITIALIZE>,
    pub DriverStartIo: *mut c_void,
    pub DriverUnload: Option<DRIVER_UNLOAD>,
    pub MajorFunction: [Option<DRIVER_DISPATCH>; IRP_MJ_MAXIMUM_FUNCTION + 1],
}

#[repr(C, align(16))]
#[derive(Debug)]
pub struct DEVICE_OBJECT {
    pub Type: i16,
    pub Size: u16,
    pub ReferenceCount: i32,
    pub DriverObject: *mut DRIVER_OBJECT,
    pub NextDevice: *mut DEVICE_OBJECT,
    pub AttachedDevice: *mut DEVICE_OBJECT,
    pub CurrentIrp: *mut IRP,
    pub Timer: *mut c_void,
    pub Flags: u32,
    pub Characteristics: u32,
    pub Vpb: *mut c_void,
    /// The driver's own bytes, zeroed by `IoCreateDevice`.
    pub DeviceExtension: *mut c_void,
    pub DeviceType: u32,
    pub StackSize: i8,
    pub Queue: [usize; 9],
    pub AlignmentRequirement: u32,
    pub DeviceQueue: [usize; 5],
    pub Dpc: KDPC,
    pub ActiveThreadCount: u32,
    pub SecurityDescriptor: *mut c_void,
    pub DeviceLock: KEVENT,
    pub SectorSize: u16,
    pub Spare1: u16,
    pub DeviceObjectExtension: *mut c_void,
    pub Reserved: *mut c_void,
}

#[repr(C)]
#[derive(Debug)]
pub struct FILE_OBJECT {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Vpb: *mut c_void,
    /// The driver's own, for the life of the open file.
    pub FsContext: *mut c_void,
    /// The driver's own, for the life of the open file.
    pub FsContext2: *mut c_void,
    pub SectionObjectPointer: *mut c_void,
    pub PrivateCacheMap: *mut c_void,
    pub FinalStatus: NTSTATUS,
    pub RelatedFileObject: *mut FILE_OBJECT,
    pub LockOperation: BOOLEAN,
    pub DeletePending: BOOLEAN,
    pub ReadAccess: BOOLEAN,
    pub WriteAccess: BOOLEAN,
    pub DeleteAccess: BOOLEAN,
    pub SharedRead: BOOLEAN,
    pub SharedWrite: BOOLEAN,
    pub SharedDelete: BOOLEAN,
    pub Flags: u32,
    /// What follows the device's name in the name that was opened.
    pub FileName: UNICODE_STRING,
    pub CurrentByteOffset: LARGE_INTEGER,
    pub Waiters: u32,
    pub Busy: u32,
    pub LastLock: *mut c_void,
    pub Lock: KEVENT,
    pub Event: KEVENT,
    pub CompletionContext: *mut c_void,
    pub IrpListLock: usize,
    pub IrpList: LIST_ENTRY,
    pub FileObjectExtension: *mut c_void,
}

const _: () = {
    assert!(size_of::<DRIVER_OBJECT>() == 336 && align_of::<DRIVER_OBJECT>() == 8);
    assert!(offset_of!(DRIVER_OBJECT, DeviceObject) == 8);
    assert!(offset_of!(DRIVER_OBJECT, DriverExtension) == 48);
    assert!(offset_of!(DRIVER_OBJECT, DriverName) == 56);
    assert!(offset_of!(DRIVER_OBJECT, HardwareDatabase) == 72);
    assert!(offset_of!(DRIVER_OBJECT, DriverInit) == 88);
    assert!(offset_of!(DRIVER_OBJECT, DriverUnload) == 104);
    assert!(offset_of!(DRIVER_OBJECT, MajorFunction) == 112);
    assert!(size_of::<DEVICE_OBJECT>() == 336 && align_of::<DEVICE_OBJECT>() == 16);
    assert!(offset_of!(DEVICE_OBJECT, ReferenceCount) == 4);
    assert!(offset_of!(DEVICE_OBJECT, DriverObject) == 8);
    assert!(offset_of!(DEVICE_OBJECT, NextDevice) == 16);
    assert!(offset_of!(DEVICE_OBJECT, Flags) == 48);
    assert!(offset_of!(DEVICE_OBJECT, Characteristics) == 52);
    assert!(offset_of!(DEVICE_OBJECT, DeviceExtension) == 64);
    assert!(offset_of!(DEVICE_OBJECT, DeviceType) == 72);
    assert!(offset_of!(DEVICE_OBJECT, StackSize) == 76);
    assert!(offset_of!(DEVICE_OBJECT, Queue) == 80);
    assert!(offset_of!(DEVICE_OBJECT, AlignmentRequirement) == 152);
    assert!(offset_of!(DEVICE_OBJECT, DeviceQueue) == 160);
    assert!(offset_of!(DEVICE_OBJECT, Dpc) == 200);
    assert!(offset_of!(DEVICE_OBJECT, ActiveThreadCount) == 264);
    assert!(offset_of!(DEVICE_OBJECT, SecurityDescriptor) == 272);
    assert!(offset_of!(DEVICE_OBJECT, DeviceLock) == 280);
    assert!(offset_of!(DEVICE_OBJECT, SectorSize) == 304);
    assert!(offset_of!(DEVICE_OBJECT, DeviceObjectExtension) == 312);
    assert!(offset_of!(DEVICE_OBJECT, Reserved) == 320);
    assert!(size_of::<FILE_OBJECT>() == 216 && align_of::<FILE_OBJECT>() == 8);
    assert!(offset_of!(FILE_OBJECT, DeviceObject) == 8);
    assert!(offset_of!(FILE_OBJECT, FsContext) == 24);
    assert!(offset_of!(FILE_OBJECT, FsContext2) == 32);
    assert!(offset_of!(FILE_OBJECT, FinalStatus) == 56);
    assert!(offset_of!(FILE_OBJECT, LockOperation) == 72);
    assert!(offset_of!(FILE_OBJECT, ReadAccess) == 74);
    assert!(offset_of!(FILE_OBJECT, WriteAccess) == 75);
    assert!(offset_of!(FILE_OBJECT, Flags) == 80);
    assert!(offset_of!(FILE_OBJECT, FileName) == 88);
    assert!(offset_of!(FILE_OBJECT, CurrentByteOffset) == 104);
    assert!(offset_of!(FILE_OBJECT, LastLock) == 120);
    assert!(offset_of!(FILE_OBJECT, Lock) == 128);
    assert!(offset_of!(FILE_OBJECT, Event) == 152);
    assert!(offset_of!(FILE_OBJECT, CompletionContext) == 176);
    assert!(offset_of!(FILE_OBJECT, IrpList) == 192);
    assert!(offset_of!(FILE_OBJECT, FileObjectExtension) == 208);
};
