//! `Ob*`: the object manager: references and handles.

use core::ffi::c_void;

use crate::types::{ACCESS_MASK, HANDLE, KPROCESSOR_MODE, NTSTATUS};

/// An object type; its inside belongs to the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct OBJECT_TYPE {
    _opaque: [u8; 0],
}

/// Handle attribute: usable in kernel mode only.
pub const OBJ_KERNEL_HANDLE: u32 = 0x200;

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Adds a reference; what `ObReferenceObject` expands to.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn ObfReferenceObject(Object: *mut c_void) -> isize;

    /// Takes a reference back; what `ObDereferenceObject` expands to.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn ObfDereferenceObject(Object: *mut c_void) -> isize;

    /// References the object behind a handle.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn ObReferenceObjectByHandle(
        Handle: HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectType: *mut OBJECT_TYPE,
        AccessMode: KPROCESSOR_MODE,
        Object: *mut *mut c_void,
        HandleInformation: *mut c_void,
    ) -> NTSTATUS;

    /// Opens a handle to an object; a null type is not compared.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub fn ObOpenObjectByPointer(
        Object: *mut c_void,
        HandleAttributes: u32,
        PassedAccessState: *mut c_void,
        DesiredAccess: ACCESS_MASK,
        ObjectType: *mut OBJECT_TYPE,
        AccessMode: KPROCESSOR_MODE,
        Handle: *mut HANDLE,
    ) -> NTSTATUS;
}
