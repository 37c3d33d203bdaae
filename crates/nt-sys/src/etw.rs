//! `Etw*`: events for whoever listens (Event Tracing for Windows), from kernel mode.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

use crate::types::{GUID, NTSTATUS};

/// A registered provider; 0 is none.
pub type REGHANDLE = u64;

/// What an event is, beside its data.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EVENT_DESCRIPTOR {
    pub Id: u16,
    pub Version: u8,
    pub Channel: u8,
    pub Level: u8,
    pub Opcode: u8,
    pub Task: u16,
    pub Keyword: u64,
}

/// One piece of an event's data.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EVENT_DATA_DESCRIPTOR {
    /// A `ULONGLONG` in the headers, which is the address.
    pub Ptr: *const c_void,
    pub Size: u32,
    pub Type: u8,
    pub Reserved1: u8,
    pub Reserved2: u16,
}

const _: () = {
    assert!(size_of::<EVENT_DESCRIPTOR>() == 16 && align_of::<EVENT_DESCRIPTOR>() == 8);
    assert!(offset_of!(EVENT_DESCRIPTOR, Level) == 4);
    assert!(offset_of!(EVENT_DESCRIPTOR, Keyword) == 8);
    assert!(size_of::<EVENT_DATA_DESCRIPTOR>() == 16 && align_of::<EVENT_DATA_DESCRIPTOR>() == 8);
    assert!(offset_of!(EVENT_DATA_DESCRIPTOR, Size) == 8);
    assert!(offset_of!(EVENT_DATA_DESCRIPTOR, Type) == 12);
};

pub const EVENT_DATA_DESCRIPTOR_TYPE_NONE: u8 = 0;
pub const EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA: u8 = 1;
pub const EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA: u8 = 2;

/// The channel of events that describe themselves.
pub const WINEVENT_CHANNEL_TRACELOGGING: u8 = 11;

pub const EVENT_CONTROL_CODE_DISABLE_PROVIDER: u32 = 0;
pub const EVENT_CONTROL_CODE_ENABLE_PROVIDER: u32 = 1;

/// Types of a self-describing event's fields (`TlgIn_t`).
pub const TlgInANSISTRING: u8 = 2;
pub const TlgInUINT8: u8 = 4;
pub const TlgInUINT16: u8 = 6;
pub const TlgInUINT32: u8 = 8;
pub const TlgInUINT64: u8 = 10;

/// Hears who listens. `PASSIVE_LEVEL`.
pub type ETWENABLECALLBACK = unsafe extern "system-unwind" fn(
    SourceId: *const GUID,
    ControlCode: u32,
    Level: u8,
    MatchAnyKeyword: u64,
    MatchAllKeyword: u64,
    FilterData: *mut c_void,
    CallbackContext: *mut c_void,
);

#[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Registers a provider. The callback may be called before this returns.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn EtwRegister(
        ProviderId: *const GUID,
        EnableCallback: Option<ETWENABLECALLBACK>,
        CallbackContext: *mut c_void,
        RegHandle: *mut REGHANDLE,
    ) -> NTSTATUS;

    /// Ends a registration, after the callbacks that run.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn EtwUnregister(RegHandle: REGHANDLE) -> NTSTATUS;

    /// Writes an event. Above `APC_LEVEL` all its data must be in memory that is never paged.
    ///
    /// # IRQL
    /// Any.
    pub fn EtwWriteTransfer(
        RegHandle: REGHANDLE,
        EventDescriptor: *const EVENT_DESCRIPTOR,
        ActivityId: *const GUID,
        RelatedActivityId: *const GUID,
        UserDataCount: u32,
        UserData: *const EVENT_DATA_DESCRIPTOR,
    ) -> NTSTATUS;
}
