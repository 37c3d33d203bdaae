//! `NTSTATUS` as a value.

use core::fmt;
use nt_sys::status::*;
use nt_sys::types::NTSTATUS;

/// A status that is an error. Success is `Ok(())`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Status(NTSTATUS);

impl Status {
    /// `STATUS_INVALID_PARAMETER`.
    pub const INVALID_PARAMETER: Self = Self(STATUS_INVALID_PARAMETER);
    /// `STATUS_INVALID_DEVICE_REQUEST`.
    pub const INVALID_DEVICE_REQUEST: Self = Self(STATUS_INVALID_DEVICE_REQUEST);
    /// `STATUS_INVALID_DEVICE_STATE`.
    pub const INVALID_DEVICE_STATE: Self = Self(STATUS_INVALID_DEVICE_STATE);
    /// `STATUS_BUFFER_TOO_SMALL`.
    pub const BUFFER_TOO_SMALL: Self = Self(STATUS_BUFFER_TOO_SMALL);
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub const INSUFFICIENT_RESOURCES: Self = Self(STATUS_INSUFFICIENT_RESOURCES);
    /// `STATUS_INVALID_BUFFER_SIZE`.
    pub const INVALID_BUFFER_SIZE: Self = Self(STATUS_INVALID_BUFFER_SIZE);
    /// `STATUS_NOT_FOUND`.
    pub const NOT_FOUND: Self = Self(STATUS_NOT_FOUND);
    /// `STATUS_QUOTA_EXCEEDED`.
    pub const QUOTA_EXCEEDED: Self = Self(STATUS_QUOTA_EXCEEDED);
    /// `STATUS_CANCELLED`.
    pub const CANCELLED: Self = Self(STATUS_CANCELLED);
    /// `STATUS_DELETE_PENDING`.
    pub const DELETE_PENDING: Self = Self(STATUS_DELETE_PENDING);
    /// `STATUS_OBJECT_NAME_INVALID`.
    pub const OBJECT_NAME_INVALID: Self = Self(STATUS_OBJECT_NAME_INVALID);
    /// `STATUS_DEVICE_BUSY`, what an unregister says while flow contexts exist.
    pub const DEVICE_BUSY: Self = Self(STATUS_DEVICE_BUSY);
    /// `STATUS_FWP_FILTER_NOT_FOUND`.
    pub const FWP_FILTER_NOT_FOUND: Self = Self(STATUS_FWP_FILTER_NOT_FOUND);
    /// `STATUS_FWP_ALREADY_EXISTS`.
    pub const FWP_ALREADY_EXISTS: Self = Self(STATUS_FWP_ALREADY_EXISTS);
    /// `STATUS_FWP_TIMEOUT`, when others hold the engine's transaction too long.
    pub const FWP_TIMEOUT: Self = Self(STATUS_FWP_TIMEOUT);
    /// `STATUS_FWP_IN_USE`.
    pub const FWP_IN_USE: Self = Self(STATUS_FWP_IN_USE);

    /// The error in `status`, if it is one. Informational and success codes are `Ok`, as `NT_SUCCESS` has it.
    pub fn check(status: NTSTATUS) -> Result<(), Self> {
        if status >= 0 { Ok(()) } else { Err(Self(status)) }
    }

    /// The number, for the kernel.
    pub const fn code(self) -> NTSTATUS {
        self.0
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// What a kernel call that can fail gives.
pub type Result<T, E = Status> = core::result::Result<T, E>;
