//! `Zw*`: system services.

use nt_sys::se::{DACL_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION, SECURITY_DESCRIPTOR, WRITE_DAC};
use nt_sys::status::{
    STATUS_ACCESS_DENIED, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH,
    STATUS_SUCCESS,
};
use nt_sys::types::{HANDLE, NTSTATUS, PASSIVE_LEVEL};

use crate::ob::{self, Target};
use crate::se::{self, Dacl};
use crate::{fault, io, thread};

/// Closes a handle.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn ZwClose(handle: HANDLE) -> NTSTATUS {
    thread::require_irql("ZwClose", PASSIVE_LEVEL);
    if ob::close(handle) { STATUS_SUCCESS } else { STATUS_INVALID_HANDLE }
}

/// Sets the access control list of a device.
///
/// # Safety
/// `descriptor` is an absolute descriptor with a valid list.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ZwSetSecurityObject(
    handle: HANDLE,
    information: u32,
    descriptor: *mut SECURITY_DESCRIPTOR,
) -> NTSTATUS {
    thread::require_irql("ZwSetSecurityObject", PASSIVE_LEVEL);
    let Some(open) = ob::target("ZwSetSecurityObject", handle) else { return STATUS_INVALID_HANDLE };
    let Target::Device(device) = open.target else { return STATUS_OBJECT_TYPE_MISMATCH };
    if information & DACL_SECURITY_INFORMATION == 0 {
        return STATUS_SUCCESS;
    }
    if se::map(open.access) & WRITE_DAC == 0 {
        return STATUS_ACCESS_DENIED;
    }
    if fault::should_fail("ZwSetSecurityObject") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: the caller's promise.
    let mut dacl = unsafe { Dacl::read(descriptor) };
    if information & PROTECTED_DACL_SECURITY_INFORMATION != 0
        && let Some(dacl) = &mut dacl
    {
        dacl.protect();
    }
    io::device::set_dacl(device, dacl);
    STATUS_SUCCESS
}
