//! The run-time functions.

#![expect(unsafe_code, reason = "defines C symbols")]

use super::{enter, enter_management, handle, number, read};
use crate::classify::{POISON_U64, Registered, frames};
use crate::machine::Machine;
use nt_sys::fwps::*;
use nt_sys::ndis::NET_BUFFER_LIST;
use nt_sys::status::*;
use nt_sys::types::{DISPATCH_LEVEL, GUID, HANDLE, NTSTATUS};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// # Safety
/// `callout` is null or readable, and its functions may be called until it is unregistered; `callout_id` is null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsCalloutRegister3(
    device_object: *mut c_void,
    callout: *const FWPS_CALLOUT3,
    callout_id: *mut u32,
) -> NTSTATUS {
    let machine = enter_management("FwpsCalloutRegister3");
    if machine.host.should_fail("FwpsCalloutRegister3") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: by contract.
    let Ok(callout) = (unsafe { read::record(callout) }) else { return STATUS_FWP_NULL_POINTER };
    let (false, Some(classify), Some(notify)) = (device_object.is_null(), callout.classifyFn, callout.notifyFn) else {
        return STATUS_FWP_NULL_POINTER;
    };
    let id = machine.callouts.id_of(&callout.calloutKey);
    if !machine.callouts.insert(Arc::new(Registered::new(id, callout, classify, notify))) {
        return STATUS_FWP_ALREADY_EXISTS;
    }
    if !callout_id.is_null() {
        // SAFETY: not null, and by contract writable.
        unsafe { callout_id.write(id) };
    }
    STATUS_SUCCESS
}

/// # Safety
/// None: the id is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsCalloutUnregisterById0(callout_id: u32) -> NTSTATUS {
    let machine = enter("FwpsCalloutUnregisterById0", nt_sys::types::PASSIVE_LEVEL);
    let callout = machine.callouts.get(callout_id);
    unregister(&machine, "FwpsCalloutUnregisterById0", callout)
}

/// # Safety
/// `callout_key` is null or readable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsCalloutUnregisterByKey0(callout_key: *const GUID) -> NTSTATUS {
    let machine = enter("FwpsCalloutUnregisterByKey0", nt_sys::types::PASSIVE_LEVEL);
    // SAFETY: by contract.
    let Ok(key) = (unsafe { read::key(callout_key) }) else { return STATUS_FWP_NULL_POINTER };
    let callout = machine.callouts.get_by_key(&key);
    unregister(&machine, "FwpsCalloutUnregisterByKey0", callout)
}

/// Unregisters a callout once none of its functions runs.
fn unregister(machine: &Machine, function: &'static str, callout: Option<Arc<Registered>>) -> NTSTATUS {
    let Some(callout) = callout else { return STATUS_FWP_CALLOUT_NOT_FOUND };
    if frames::is_in_callout(callout.id) {
        machine.bugcheck("V-OBJ-01", format!("callout {} unregistered from its own classify", callout.id));
    }
    if callout.is_unregistering.swap(true, Ordering::SeqCst) {
        return STATUS_FWP_IN_USE;
    }
    let status = if machine.host.should_fail(function) {
        STATUS_DEVICE_BUSY
    } else {
        callout.close();
        while callout.is_running() {
            machine.host.wait_ms(1);
        }
        if callout.contexts.load(Ordering::SeqCst) > 0 { STATUS_DEVICE_BUSY } else { STATUS_SUCCESS }
    };
    if status == STATUS_SUCCESS {
        let pends = callout.pends.load(Ordering::SeqCst);
        if pends > 0 {
            machine
                .bugcheck("V-PEND-02", format!("callout {} unregistered with {pends} operations pended", callout.id));
        }
        let handles = callout.handles.load(Ordering::SeqCst);
        if handles > 0 {
            machine
                .bugcheck("V-HDL-02", format!("callout {} unregistered with {handles} classify handles", callout.id));
        }
        machine.callouts.remove(callout.id);
    }
    callout.is_unregistering.store(false, Ordering::SeqCst);
    status
}

/// # Safety
/// `completion_context` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsPendOperation0(
    completion_handle: HANDLE,
    completion_context: *mut HANDLE,
) -> NTSTATUS {
    let machine = enter("FwpsPendOperation0", DISPATCH_LEVEL);
    if completion_handle.is_null() || completion_context.is_null() {
        return STATUS_FWP_NULL_POINTER;
    }
    let pended = machine.ale.pend(&machine, number(completion_handle));
    let context = *pended.as_ref().unwrap_or(&POISON_U64);
    // SAFETY: not null, and by contract writable.
    unsafe { completion_context.write(handle(context)) };
    pended.err().unwrap_or(STATUS_SUCCESS)
}

/// # Safety
/// None: the context and the list are looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsCompleteOperation0(
    completion_context: HANDLE,
    net_buffer_list: *mut NET_BUFFER_LIST,
) {
    let machine = enter("FwpsCompleteOperation0", DISPATCH_LEVEL);
    if !net_buffer_list.is_null() {
        machine.obey(machine.lists.travel(net_buffer_list));
    }
    machine.ale.complete(&machine, number(completion_context));
}

/// # Safety
/// None: ids are only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsFlowAssociateContext0(
    flow_id: u64,
    layer_id: u16,
    callout_id: u32,
    flow_context: u64,
) -> NTSTATUS {
    let machine = enter("FwpsFlowAssociateContext0", DISPATCH_LEVEL);
    if machine.host.should_fail("FwpsFlowAssociateContext0") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let Some(flow) = machine.ale.flow(flow_id) else { return STATUS_INVALID_PARAMETER };
    let Some(callout) = machine.callouts.get(callout_id) else { return STATUS_FWP_CALLOUT_NOT_FOUND };
    flow.associate(layer_id, &callout, flow_context)
}

/// # Safety
/// None: ids are only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsFlowRemoveContext0(flow_id: u64, layer_id: u16, callout_id: u32) -> NTSTATUS {
    let machine = enter("FwpsFlowRemoveContext0", DISPATCH_LEVEL);
    let Some(flow) = machine.ale.flow(flow_id) else { return STATUS_UNSUCCESSFUL };
    flow.dissociate(&machine, layer_id, callout_id)
}
