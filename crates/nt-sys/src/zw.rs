//! `Zw*`: system services called from kernel mode.

use crate::se::SECURITY_DESCRIPTOR;
use crate::types::{HANDLE, NTSTATUS};

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Closes a handle.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn ZwClose(Handle: HANDLE) -> NTSTATUS;

    /// Sets the parts of an object's security that `SecurityInformation` names.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn ZwSetSecurityObject(
        Handle: HANDLE,
        SecurityInformation: u32,
        SecurityDescriptor: *mut SECURITY_DESCRIPTOR,
    ) -> NTSTATUS;
}
