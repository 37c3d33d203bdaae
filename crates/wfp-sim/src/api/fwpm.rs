//! The management functions. All of them run at `PASSIVE_LEVEL` but `FwpmBfeStateGet0`.

#![expect(unsafe_code, reason = "defines C symbols")]

use super::{enter, enter_management, handle, number, read};
use crate::bfe::{Filter, Owner};
use crate::classify::{Arena, Layer};
use crate::machine::Machine;
use nt_sys::fwpm::*;
use nt_sys::status::*;
use nt_sys::types::{DISPATCH_LEVEL, GUID, HANDLE, NTSTATUS};
use std::ffi::c_void;
use std::ptr;

fn status(result: Result<(), NTSTATUS>) -> NTSTATUS {
    result.err().unwrap_or(STATUS_SUCCESS)
}

/// Enters a call that can fail for want of memory.
fn enter_fallible(function: &'static str) -> Result<std::sync::Arc<Machine>, NTSTATUS> {
    let machine = enter_management(function);
    if machine.host.should_fail(function) { Err(STATUS_INSUFFICIENT_RESOURCES) } else { Ok(machine) }
}

/// # Safety
/// `session` is null or readable, `engine_handle` null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmEngineOpen0(
    server_name: *const u16,
    authn_service: u32,
    _auth_identity: *mut c_void,
    session: *const FWPM_SESSION0,
    engine_handle: *mut HANDLE,
) -> NTSTATUS {
    status((|| {
        let machine = enter_fallible("FwpmEngineOpen0")?;
        if engine_handle.is_null() {
            return Err(STATUS_FWP_NULL_POINTER);
        }
        if !server_name.is_null() || !matches!(authn_service, RPC_C_AUTHN_WINNT | RPC_C_AUTHN_DEFAULT) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        // SAFETY: by contract.
        let spec = unsafe { read::session(session) };
        let opened = machine.bfe.open(&machine, Owner::Kernel, &spec)?;
        // SAFETY: not null, and by contract writable.
        unsafe { engine_handle.write(handle(opened)) };
        Ok(())
    })())
}

/// # Safety
/// None: the handle is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmEngineClose0(engine_handle: HANDLE) -> NTSTATUS {
    let machine = enter_management("FwpmEngineClose0");
    if engine_handle.is_null() {
        return STATUS_FWP_NULL_POINTER;
    }
    status(machine.bfe.close(&machine, number(engine_handle)))
}

/// # Safety
/// None: the handle is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmTransactionBegin0(engine_handle: HANDLE, flags: u32) -> NTSTATUS {
    status(
        enter_fallible("FwpmTransactionBegin0")
            .and_then(|machine| machine.bfe.begin(&machine, number(engine_handle), flags)),
    )
}

/// # Safety
/// None: the handle is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmTransactionCommit0(engine_handle: HANDLE) -> NTSTATUS {
    status(
        enter_fallible("FwpmTransactionCommit0")
            .and_then(|machine| machine.bfe.commit(&machine, number(engine_handle))),
    )
}

/// # Safety
/// None: the handle is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmTransactionAbort0(engine_handle: HANDLE) -> NTSTATUS {
    let machine = enter_management("FwpmTransactionAbort0");
    status(machine.bfe.abort(&machine, number(engine_handle)))
}

/// # Safety
/// `provider` and what it points to are null or readable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmProviderAdd0(
    engine_handle: HANDLE,
    provider: *const FWPM_PROVIDER0,
    _sd: *mut c_void,
) -> NTSTATUS {
    status((|| {
        let machine = enter_fallible("FwpmProviderAdd0")?;
        // SAFETY: by contract.
        let spec = unsafe { read::provider(provider) }?;
        machine.bfe.add_provider(&machine, number(engine_handle), spec)
    })())
}

/// # Safety
/// `sublayer` and what it points to are null or readable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmSubLayerAdd0(
    engine_handle: HANDLE,
    sublayer: *const FWPM_SUBLAYER0,
    _sd: *mut c_void,
) -> NTSTATUS {
    status((|| {
        let machine = enter_fallible("FwpmSubLayerAdd0")?;
        // SAFETY: by contract.
        let spec = unsafe { read::sublayer(sublayer) }?;
        machine.bfe.add_sublayer(&machine, number(engine_handle), spec)
    })())
}

/// # Safety
/// `callout` and what it points to are null or readable, `id` null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmCalloutAdd0(
    engine_handle: HANDLE,
    callout: *const FWPM_CALLOUT0,
    _sd: *mut c_void,
    id: *mut u32,
) -> NTSTATUS {
    status((|| {
        let machine = enter_fallible("FwpmCalloutAdd0")?;
        // SAFETY: by contract.
        let spec = unsafe { read::callout(callout) }?;
        let added = machine.bfe.add_callout(&machine, number(engine_handle), spec)?;
        if !id.is_null() {
            // SAFETY: not null, and by contract writable.
            unsafe { id.write(added) };
        }
        Ok(())
    })())
}

/// # Safety
/// `filter` and what it points to are null or readable, `id` null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmFilterAdd0(
    engine_handle: HANDLE,
    filter: *const FWPM_FILTER0,
    _sd: *mut c_void,
    id: *mut u64,
) -> NTSTATUS {
    status((|| {
        let machine = enter_fallible("FwpmFilterAdd0")?;
        // SAFETY: by contract.
        let spec = unsafe { read::filter(filter) }?;
        let added = machine.bfe.add_filter(&machine, number(engine_handle), &spec)?;
        if !id.is_null() {
            // SAFETY: not null, and by contract writable.
            unsafe { id.write(added) };
        }
        Ok(())
    })())
}

/// A function that deletes an object by its key.
macro_rules! delete_by_key {
    ($function:ident, $delete:ident) => {
        /// # Safety
        /// `key` is null or readable.
        #[unsafe(no_mangle)]
        pub unsafe extern "system-unwind" fn $function(engine_handle: HANDLE, key: *const GUID) -> NTSTATUS {
            status((|| {
                let machine = enter_fallible(stringify!($function))?;
                // SAFETY: by contract.
                let key = unsafe { read::key(key) }?;
                machine.bfe.$delete(&machine, number(engine_handle), key)
            })())
        }
    };
}

delete_by_key!(FwpmProviderDeleteByKey0, delete_provider);
delete_by_key!(FwpmSubLayerDeleteByKey0, delete_sublayer);
delete_by_key!(FwpmCalloutDeleteByKey0, delete_callout);
delete_by_key!(FwpmFilterDeleteByKey0, delete_filter);

/// # Safety
/// None: the id is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmFilterDeleteById0(engine_handle: HANDLE, id: u64) -> NTSTATUS {
    status(
        enter_fallible("FwpmFilterDeleteById0")
            .and_then(|machine| machine.bfe.delete_filter_by_id(&machine, number(engine_handle), id)),
    )
}

/// # Safety
/// `filter` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmFilterGetById0(
    engine_handle: HANDLE,
    id: u64,
    filter: *mut *mut FWPM_FILTER0,
) -> NTSTATUS {
    status((|| {
        let machine = enter_fallible("FwpmFilterGetById0")?;
        if filter.is_null() {
            return Err(STATUS_FWP_NULL_POINTER);
        }
        let found = machine.bfe.filter_by_id(&machine, number(engine_handle), id)?;
        let mut arena = Arena::default();
        let record = management_record(&found, &mut arena);
        machine.memory.lend(record.addr(), arena);
        // SAFETY: not null, and by contract writable.
        unsafe { filter.write(record) };
        Ok(())
    })())
}

/// What is known of a filter without its conditions, whose keys the engine does not keep.
fn management_record(filter: &Filter, arena: &mut Arena) -> *mut FWPM_FILTER0 {
    let weight = arena.one(filter.weight);
    let weight = FWP_VALUE0 { r#type: FWP_UINT64, u: FWP_VALUE0_UNION { uint64: weight } };
    // SAFETY: the record is whole and lives as long as the filter.
    let action = unsafe { (*filter.record()).action.r#type };
    let name = arena.text(&filter.common.name);
    let provider = filter.common.provider.map(|key| arena.one(key));
    arena.one(FWPM_FILTER0 {
        filterKey: filter.common.key,
        displayData: FWPM_DISPLAY_DATA0 { name, description: ptr::null_mut() },
        flags: filter.common.flags | if filter.is_disabled { FWPM_FILTER_FLAG_DISABLED } else { 0 },
        providerKey: provider.unwrap_or(ptr::null_mut()),
        providerData: FWP_BYTE_BLOB { size: 0, data: ptr::null_mut() },
        layerKey: Layer::by_id(filter.layer).key,
        subLayerKey: filter.sublayer,
        weight,
        numFilterConditions: 0,
        filterCondition: ptr::null_mut(),
        action: FWPM_ACTION0 { r#type: action, calloutKey: GUID::default() },
        context: FWPM_FILTER0_CONTEXT { rawContext: filter.context },
        reserved: ptr::null_mut(),
        filterId: filter.id,
        effectiveWeight: weight,
    })
}

/// # Safety
/// `pointer` is null, or readable and writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmFreeMemory0(pointer: *mut *mut c_void) {
    let machine = enter_management("FwpmFreeMemory0");
    if pointer.is_null() {
        return;
    }
    // SAFETY: not null, and by contract readable.
    let memory = unsafe { pointer.read() };
    if memory.is_null() {
        return;
    }
    if !machine.memory.free(memory.addr()) {
        machine.bugcheck("V-OBJ-06", format!("{memory:p} freed twice, or never lent"));
    }
    // SAFETY: not null, and by contract writable.
    unsafe { pointer.write(ptr::null_mut()) };
}

/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmBfeStateGet0() -> FWPM_SERVICE_STATE {
    enter("FwpmBfeStateGet0", DISPATCH_LEVEL).bfe.service_state()
}

/// # Safety
/// `callback` may be called with `context` until the subscription ends; `change_handle` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmBfeStateSubscribeChanges0(
    device_object: *mut c_void,
    callback: Option<FWPM_SERVICE_STATE_CHANGE_CALLBACK0>,
    context: *mut c_void,
    change_handle: *mut HANDLE,
) -> NTSTATUS {
    status((|| {
        let machine = enter_fallible("FwpmBfeStateSubscribeChanges0")?;
        let (false, false, Some(callback)) = (device_object.is_null(), change_handle.is_null(), callback) else {
            return Err(STATUS_FWP_NULL_POINTER);
        };
        let subscription = machine.bfe.subscribe(&machine, callback, context.expose_provenance());
        // SAFETY: not null, and by contract writable.
        unsafe { change_handle.write(handle(subscription)) };
        Ok(())
    })())
}

/// # Safety
/// None: the handle is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpmBfeStateUnsubscribeChanges0(change_handle: HANDLE) -> NTSTATUS {
    let machine = enter_management("FwpmBfeStateUnsubscribeChanges0");
    status(machine.bfe.unsubscribe(&machine, number(change_handle)))
}
