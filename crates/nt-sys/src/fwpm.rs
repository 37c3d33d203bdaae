//! The management interface of the filter engine: sessions, transactions, objects, state of the base filtering engine.
//!
//! Everything here runs at `PASSIVE_LEVEL` but `FwpmBfeStateGet0` (`<= DISPATCH_LEVEL`).
//! Neighbours: [`crate::fwp`] has values and conditions, [`crate::fwps`] the run-time interface.

mod condition;
mod layer;
mod object;

pub use crate::fwp::*;
pub use condition::*;
pub use layer::*;
pub use object::*;

use crate::types::{GUID, HANDLE, NTSTATUS};
use core::ffi::c_void;

/// The sublayer of filters that name none.
pub const FWPM_SUBLAYER_UNIVERSAL: GUID = GUID::from_u128(0xeebecc03_ced4_4380_819a_2734397b2b74);
/// The lightest sublayer; takes inspection filters only.
pub const FWPM_SUBLAYER_INSPECTION: GUID = GUID::from_u128(0x877519e1_e6a9_41a5_81b4_8c4f118e4a60);

/// For `FwpmTransactionBegin0`: the transaction only reads.
pub const FWPM_TXN_READ_ONLY: u32 = 0x1;

/// Authentication service that `FwpmEngineOpen0` takes.
pub const RPC_C_AUTHN_WINNT: u32 = 10;
pub const RPC_C_AUTHN_DEFAULT: u32 = 0xFFFF_FFFF;

pub type FWPM_SERVICE_STATE = u32;
pub const FWPM_SERVICE_STOPPED: FWPM_SERVICE_STATE = 0;
pub const FWPM_SERVICE_START_PENDING: FWPM_SERVICE_STATE = 1;
pub const FWPM_SERVICE_STOP_PENDING: FWPM_SERVICE_STATE = 2;
pub const FWPM_SERVICE_RUNNING: FWPM_SERVICE_STATE = 3;

/// Hears that the base filtering engine changed its state.
pub type FWPM_SERVICE_STATE_CHANGE_CALLBACK0 =
    unsafe extern "system-unwind" fn(context: *mut c_void, newState: FWPM_SERVICE_STATE);

#[cfg_attr(windows, link(name = "fwpkclnt.sys", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Opens a session.
    pub fn FwpmEngineOpen0(
        serverName: *const u16,
        authnService: u32,
        authIdentity: *mut c_void,
        session: *const FWPM_SESSION0,
        engineHandle: *mut HANDLE,
    ) -> NTSTATUS;

    /// Closes a session; the objects of a dynamic session go with it.
    pub fn FwpmEngineClose0(engineHandle: HANDLE) -> NTSTATUS;

    /// Begins the session's transaction.
    pub fn FwpmTransactionBegin0(engineHandle: HANDLE, flags: u32) -> NTSTATUS;

    /// Commits the session's transaction.
    pub fn FwpmTransactionCommit0(engineHandle: HANDLE) -> NTSTATUS;

    /// Undoes the session's transaction.
    pub fn FwpmTransactionAbort0(engineHandle: HANDLE) -> NTSTATUS;

    /// Adds a provider.
    pub fn FwpmProviderAdd0(engineHandle: HANDLE, provider: *const FWPM_PROVIDER0, sd: *mut c_void) -> NTSTATUS;

    /// Deletes a provider that nothing refers to.
    pub fn FwpmProviderDeleteByKey0(engineHandle: HANDLE, key: *const GUID) -> NTSTATUS;

    /// Adds a sublayer.
    pub fn FwpmSubLayerAdd0(engineHandle: HANDLE, subLayer: *const FWPM_SUBLAYER0, sd: *mut c_void) -> NTSTATUS;

    /// Deletes a sublayer that nothing refers to.
    pub fn FwpmSubLayerDeleteByKey0(engineHandle: HANDLE, key: *const GUID) -> NTSTATUS;

    /// Adds the management object of a callout.
    pub fn FwpmCalloutAdd0(
        engineHandle: HANDLE,
        callout: *const FWPM_CALLOUT0,
        sd: *mut c_void,
        id: *mut u32,
    ) -> NTSTATUS;

    /// Deletes the management object of a callout that no filter names.
    pub fn FwpmCalloutDeleteByKey0(engineHandle: HANDLE, key: *const GUID) -> NTSTATUS;

    /// Adds a filter.
    pub fn FwpmFilterAdd0(engineHandle: HANDLE, filter: *const FWPM_FILTER0, sd: *mut c_void, id: *mut u64)
    -> NTSTATUS;

    /// Deletes a filter by its run-time id.
    pub fn FwpmFilterDeleteById0(engineHandle: HANDLE, id: u64) -> NTSTATUS;

    /// Deletes a filter by its key.
    pub fn FwpmFilterDeleteByKey0(engineHandle: HANDLE, key: *const GUID) -> NTSTATUS;

    /// Copies a filter out; the caller frees it with `FwpmFreeMemory0`.
    pub fn FwpmFilterGetById0(engineHandle: HANDLE, id: u64, filter: *mut *mut FWPM_FILTER0) -> NTSTATUS;

    /// Frees what a management function allocated, and clears the pointer.
    pub fn FwpmFreeMemory0(p: *mut *mut c_void);

    /// The state of the base filtering engine. `<= DISPATCH_LEVEL`.
    pub fn FwpmBfeStateGet0() -> FWPM_SERVICE_STATE;

    /// Subscribes to changes of that state.
    pub fn FwpmBfeStateSubscribeChanges0(
        deviceObject: *mut c_void,
        callback: Option<FWPM_SERVICE_STATE_CHANGE_CALLBACK0>,
        context: *mut c_void,
        changeHandle: *mut HANDLE,
    ) -> NTSTATUS;

    /// Ends the subscription; never from its own callback.
    pub fn FwpmBfeStateUnsubscribeChanges0(changeHandle: HANDLE) -> NTSTATUS;
}
