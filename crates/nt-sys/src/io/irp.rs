//! The I/O request packet and its stack location.
//!
//! Fields that other processors change while a driver looks (`volatile` in C) are atomics: `IoSetCancelRoutine` is an
//! exchange on `IRP::CancelRoutine`, `Irp->Cancel` a load.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};
use core::sync::atomic::{AtomicPtr, AtomicU8};

use super::object::{DEVICE_OBJECT, FILE_OBJECT};
use crate::ps::ETHREAD;
use crate::types::{KIRQL, KPROCESSOR_MODE, LIST_ENTRY, NTSTATUS};

/// Called at `DISPATCH_LEVEL` with the cancel spin lock held, which it must release to `Irp->CancelIrql`.
pub type DRIVER_CANCEL = unsafe extern "system-unwind" fn(DeviceObject: *mut DEVICE_OBJECT, Irp: *mut IRP);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IO_STATUS_BLOCK {
    pub Status: NTSTATUS,
    pub Information: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union IRP_ASSOCIATED {
    pub MasterIrp: *mut IRP,
    pub IrpCount: i32,
    /// Input and output of a buffered request; null when both are empty.
    pub SystemBuffer: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IRP_TAIL_OVERLAY {
    /// Free for the driver that owns the request.
    pub DriverContext: [*mut c_void; 4],
    pub Thread: *mut ETHREAD,
    pub AuxiliaryBuffer: *mut c_void,
    /// Free for the driver that owns the request.
    pub ListEntry: LIST_ENTRY,
    pub CurrentStackLocation: *mut IO_STACK_LOCATION,
    pub OriginalFileObject: *mut FILE_OBJECT,
    pub IrpExtension: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union IRP_TAIL {
    pub Overlay: IRP_TAIL_OVERLAY,
    pub CompletionKey: *mut c_void,
}

#[repr(C, align(16))]
pub struct IRP {
    pub Type: i16,
    pub Size: u16,
    pub MdlAddress: *mut c_void,
    pub Flags: u32,
    pub AssociatedIrp: IRP_ASSOCIATED,
    pub ThreadListEntry: LIST_ENTRY,
    pub IoStatus: IO_STATUS_BLOCK,
    pub RequestorMode: KPROCESSOR_MODE,
    pub PendingReturned: u8,
    pub StackCount: i8,
    pub CurrentLocation: i8,
    pub Cancel: AtomicU8,
    pub CancelIrql: KIRQL,
    pub ApcEnvironment: i8,
    pub AllocationFlags: u8,
    pub UserIosb: *mut IO_STATUS_BLOCK,
    pub UserEvent: *mut c_void,
    pub Overlay: [usize; 2],
    /// A [`DRIVER_CANCEL`] or null.
    pub CancelRoutine: AtomicPtr<c_void>,
    pub UserBuffer: *mut c_void,
    pub Tail: IRP_TAIL,
}

/// `IRP::Type` of a request.
pub const IO_TYPE_IRP: i16 = 6;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_PARAMETERS_CREATE {
    pub SecurityContext: *mut c_void,
    pub Options: u32,
    _align0: u32,
    pub FileAttributes: u16,
    pub ShareAccess: u16,
    _align1: u32,
    pub EaLength: u32,
}

/// Each field is aligned like a pointer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_PARAMETERS_DEVICE_IO_CONTROL {
    pub OutputBufferLength: u32,
    _align0: u32,
    pub InputBufferLength: u32,
    _align1: u32,
    pub IoControlCode: u32,
    _align2: u32,
    pub Type3InputBuffer: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union IO_PARAMETERS {
    pub Create: IO_PARAMETERS_CREATE,
    pub DeviceIoControl: IO_PARAMETERS_DEVICE_IO_CONTROL,
    pub Others: [*mut c_void; 4],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_STACK_LOCATION {
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub Flags: u8,
    pub Control: u8,
    pub Parameters: IO_PARAMETERS,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub FileObject: *mut FILE_OBJECT,
    pub CompletionRoutine: *mut c_void,
    pub Context: *mut c_void,
}

/// What `Parameters.Create.SecurityContext` points to.
#[repr(C)]
#[derive(Debug)]
pub struct IO_SECURITY_CONTEXT {
    pub SecurityQos: *mut c_void,
    pub AccessState: *mut c_void,
    pub DesiredAccess: u32,
    pub FullCreateOptions: u32,
}

const _: () = {
    assert!(size_of::<IO_STATUS_BLOCK>() == 16 && align_of::<IO_STATUS_BLOCK>() == 8);
    assert!(offset_of!(IO_STATUS_BLOCK, Information) == 8);
    assert!(size_of::<IRP>() == 208 && align_of::<IRP>() == 16);
    assert!(offset_of!(IRP, Size) == 2);
    assert!(offset_of!(IRP, MdlAddress) == 8);
    assert!(offset_of!(IRP, Flags) == 16);
    assert!(offset_of!(IRP, AssociatedIrp) == 24);
    assert!(offset_of!(IRP, ThreadListEntry) == 32);
    assert!(offset_of!(IRP, IoStatus) == 48);
    assert!(offset_of!(IRP, RequestorMode) == 64);
    assert!(offset_of!(IRP, PendingReturned) == 65);
    assert!(offset_of!(IRP, StackCount) == 66);
    assert!(offset_of!(IRP, CurrentLocation) == 67);
    assert!(offset_of!(IRP, Cancel) == 68);
    assert!(offset_of!(IRP, CancelIrql) == 69);
    assert!(offset_of!(IRP, UserIosb) == 72);
    assert!(offset_of!(IRP, UserEvent) == 80);
    assert!(offset_of!(IRP, Overlay) == 88);
    assert!(offset_of!(IRP, CancelRoutine) == 104);
    assert!(offset_of!(IRP, UserBuffer) == 112);
    assert!(offset_of!(IRP, Tail) == 120);
    assert!(offset_of!(IRP, Tail.Overlay.Thread) == 152);
    assert!(offset_of!(IRP, Tail.Overlay.AuxiliaryBuffer) == 160);
    assert!(offset_of!(IRP, Tail.Overlay.ListEntry) == 168);
    assert!(offset_of!(IRP, Tail.Overlay.CurrentStackLocation) == 184);
    assert!(offset_of!(IRP, Tail.Overlay.OriginalFileObject) == 192);
    assert!(size_of::<IO_STACK_LOCATION>() == 72 && align_of::<IO_STACK_LOCATION>() == 8);
    assert!(offset_of!(IO_STACK_LOCATION, Control) == 3);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters) == 8);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.Create.Options) == 16);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.Create.FileAttributes) == 24);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.Create.ShareAccess) == 26);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.Create.EaLength) == 32);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.DeviceIoControl.OutputBufferLength) == 8);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.DeviceIoControl.InputBufferLength) == 16);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.DeviceIoControl.IoControlCode) == 24);
    assert!(offset_of!(IO_STACK_LOCATION, Parameters.DeviceIoControl.Type3InputBuffer) == 32);
    assert!(offset_of!(IO_STACK_LOCATION, DeviceObject) == 40);
    assert!(offset_of!(IO_STACK_LOCATION, FileObject) == 48);
    assert!(offset_of!(IO_STACK_LOCATION, CompletionRoutine) == 56);
    assert!(offset_of!(IO_STACK_LOCATION, Context) == 64);
};
