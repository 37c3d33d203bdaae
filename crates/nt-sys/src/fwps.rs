//! The run-time interface of the filter engine: what a callout is given, what it answers, what it may ask for.
//!
//! Invariant: a callback and the function that takes it use one calling convention, `extern "system-unwind"`: the one C
//! convention of x64 Windows, through which an emulated bugcheck can unwind on the host.
//! Neighbours: [`crate::fwp`] has the values, [`crate::fwpm`] the management interface.

mod callout;
mod classify;
mod field;
mod inject;
mod layer;
mod metadata;

pub use crate::fwp::*;
pub use callout::*;
pub use classify::*;
pub use field::*;
pub use inject::*;
pub use layer::*;
pub use metadata::*;

use crate::ndis::NET_BUFFER_LIST;
use crate::types::{HANDLE, NTSTATUS};
use core::ffi::c_void;

#[cfg_attr(windows, link(name = "fwpkclnt.sys", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Registers a callout. `PASSIVE_LEVEL`.
    pub fn FwpsCalloutRegister3(
        deviceObject: *mut c_void,
        callout: *const FWPS_CALLOUT3,
        calloutId: *mut u32,
    ) -> NTSTATUS;

    /// Unregisters a callout; refuses while flow contexts exist. `PASSIVE_LEVEL`.
    pub fn FwpsCalloutUnregisterById0(calloutId: u32) -> NTSTATUS;

    /// Unregisters a callout by its key. `PASSIVE_LEVEL`.
    pub fn FwpsCalloutUnregisterByKey0(calloutKey: *const crate::types::GUID) -> NTSTATUS;

    /// Pends the operation of the running classify. `<= DISPATCH_LEVEL`.
    pub fn FwpsPendOperation0(completionHandle: HANDLE, completionContext: *mut HANDLE) -> NTSTATUS;

    /// Completes a pended operation, exactly once. `<= DISPATCH_LEVEL`.
    pub fn FwpsCompleteOperation0(completionContext: HANDLE, netBufferList: *mut NET_BUFFER_LIST);

    /// Names the running classify for the functions below. `<= DISPATCH_LEVEL`.
    pub fn FwpsAcquireClassifyHandle0(classifyContext: *mut c_void, flags: u32, classifyHandle: *mut u64) -> NTSTATUS;

    /// Ends such a name, after whatever was pended with it was completed. `<= DISPATCH_LEVEL`.
    pub fn FwpsReleaseClassifyHandle0(classifyHandle: u64);

    /// Pends the running classify, at the layers that allow it. `<= DISPATCH_LEVEL`.
    pub fn FwpsPendClassify0(
        classifyHandle: u64,
        filterId: u64,
        flags: u32,
        classifyOut: *mut FWPS_CLASSIFY_OUT0,
    ) -> NTSTATUS;

    /// Completes a pended classify, exactly once; null asks for another classify. `<= DISPATCH_LEVEL`.
    pub fn FwpsCompleteClassify0(classifyHandle: u64, flags: u32, classifyOut: *const FWPS_CLASSIFY_OUT0);

    /// Gives a flow a context that the classifies of one layer and callout receive. `<= DISPATCH_LEVEL`.
    pub fn FwpsFlowAssociateContext0(flowId: u64, layerId: u16, calloutId: u32, flowContext: u64) -> NTSTATUS;

    /// Takes the context away again. `<= DISPATCH_LEVEL`.
    pub fn FwpsFlowRemoveContext0(flowId: u64, layerId: u16, calloutId: u32) -> NTSTATUS;
}
