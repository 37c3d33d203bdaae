//! The control device and its name in user mode.

use crate::security;
use crate::status::{Result, Status};
use crate::string::NameRef;
use core::ptr::{NonNull, null_mut};
use nt_sys::io::{
    DEVICE_OBJECT, DRIVER_OBJECT, FILE_DEVICE_NETWORK, FILE_DEVICE_SECURE_OPEN, IoCreateDevice, IoCreateSymbolicLink,
    IoDeleteDevice, IoDeleteSymbolicLink,
};

/// A device of this driver. Deleted when dropped.
pub struct Device {
    object: NonNull<DEVICE_OBJECT>,
}

// SAFETY: the pointer is only handed to kernel functions that take a device from any thread.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Creates a device that only SYSTEM and Administrators can open, names below it included.
    ///
    /// # Safety
    /// `driver` is the driver object of this driver.
    ///
    /// # Errors
    /// What the kernel says; nothing is left behind.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "IoCreateDevice")]
    pub unsafe fn create(driver: *mut DRIVER_OBJECT, name: NameRef) -> Result<Self> {
        let name = name.to_unicode_string();
        let mut object = null_mut();
        // SAFETY: the caller vouches for `driver`; name and result are valid for the call.
        Status::check(unsafe {
            IoCreateDevice(driver, 0, &raw const name, FILE_DEVICE_NETWORK, FILE_DEVICE_SECURE_OPEN, 0, &raw mut object)
        })?;
        let device = Self { object: NonNull::new(object).ok_or(Status::INSUFFICIENT_RESOURCES)? };
        // SAFETY: the device was created above and not deleted.
        unsafe { security::system_and_administrators(object) }?;
        Ok(device)
    }

    /// The device object, for kernel functions.
    pub(crate) fn as_ptr(&self) -> *mut DEVICE_OBJECT {
        self.object.as_ptr()
    }

    /// Gives the device a name that user mode can open.
    ///
    /// # Errors
    /// What the kernel says, `STATUS_OBJECT_NAME_COLLISION` among it.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "IoCreateSymbolicLink")]
    pub fn link(link: NameRef, device: NameRef) -> Result<Link> {
        let (name, target) = (link.to_unicode_string(), device.to_unicode_string());
        // SAFETY: both strings are valid for the call.
        Status::check(unsafe { IoCreateSymbolicLink(&raw const name, &raw const target) })?;
        Ok(Link(link))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: created by this driver, deleted once.
        unsafe { IoDeleteDevice(self.object.as_ptr()) };
    }
}

/// A name in user mode. Deleted when dropped, at `PASSIVE_LEVEL`.
pub struct Link(NameRef);

impl Drop for Link {
    fn drop(&mut self) {
        let name = self.0.to_unicode_string();
        // SAFETY: the name is valid for the call; this value created the link and deletes it once. That it may be gone
        // already is no problem of ours.
        let _ = unsafe { IoDeleteSymbolicLink(&raw const name) };
    }
}
