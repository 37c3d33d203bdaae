//! The functions of NDIS, and those of the filter engine that make, clone and free lists.

#![expect(unsafe_code, reason = "defines C symbols")]

use super::ListPtr;
use super::buffer;
use crate::api::enter;
use nt_sys::fwps::{FWPS_PACKET_LIST_INFORMATION_QUERY_INBOUND, FWPS_PACKET_LIST_INFORMATION0};
use nt_sys::io::DRIVER_OBJECT;
use nt_sys::mdl::MDL;
use nt_sys::ndis::*;
use nt_sys::status::*;
use nt_sys::types::{BOOLEAN, DISPATCH_LEVEL, NTSTATUS, PASSIVE_LEVEL};
use std::ffi::c_void;
use std::ptr;

/// `NDIS_STATUS_RESOURCES`.
const NDIS_STATUS_RESOURCES: NDIS_STATUS = STATUS_INSUFFICIENT_RESOURCES;

/// # Safety
/// None: the driver object is not looked into.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn NdisAllocateGenericObject(
    _driver: *mut DRIVER_OBJECT,
    tag: u32,
    size: u16,
) -> NDIS_HANDLE {
    let machine = enter("NdisAllocateGenericObject", PASSIVE_LEVEL);
    if tag == 0 {
        machine.bugcheck("V-NBL-06", "a generic object was allocated without a tag".into());
    }
    if machine.host.should_fail("NdisAllocateGenericObject") { ptr::null_mut() } else { machine.lists.new_object(size) }
}

/// # Safety
/// None: the object is looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn NdisFreeGenericObject(object: NDIS_HANDLE) {
    let machine = enter("NdisFreeGenericObject", PASSIVE_LEVEL);
    machine.obey(machine.lists.free_object(object));
}

/// # Safety
/// `parameters` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn NdisAllocateNetBufferListPool(
    ndis_handle: NDIS_HANDLE,
    parameters: *const NET_BUFFER_LIST_POOL_PARAMETERS,
) -> NDIS_HANDLE {
    let machine = enter("NdisAllocateNetBufferListPool", DISPATCH_LEVEL);
    // SAFETY: null, or by contract readable.
    let parameters = unsafe { parameters.as_ref() };
    // What FwpsAllocateNetBufferAndNetBufferList0 asks of a pool: net buffers, and no data of its own.
    let is_right = parameters.is_some_and(|parameters| {
        parameters.Header.Type == NDIS_OBJECT_TYPE_DEFAULT
            && parameters.Header.Revision == NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1
            && parameters.Header.Size >= NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1
            && parameters.fAllocateNetBuffer != 0
            && parameters.DataSize == 0
            && parameters.PoolTag != 0
    });
    if !is_right || !(ndis_handle.is_null() || machine.lists.is_object(ndis_handle)) {
        machine.bugcheck("V-NBL-06", "a pool was allocated with wrong parameters".into());
    }
    if machine.host.should_fail("NdisAllocateNetBufferListPool") { ptr::null_mut() } else { machine.lists.new_pool() }
}

/// # Safety
/// None: the pool is looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn NdisFreeNetBufferListPool(pool: NDIS_HANDLE) {
    let machine = enter("NdisFreeNetBufferListPool", DISPATCH_LEVEL);
    machine.obey(machine.lists.free_pool(pool));
}

/// # Safety
/// `storage` is null or has room for `bytes_needed`.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn NdisGetDataBuffer(
    net_buffer: *mut NET_BUFFER,
    bytes_needed: u32,
    storage: *mut c_void,
    align_multiple: u32,
    align_offset: u32,
) -> *mut c_void {
    let machine = enter("NdisGetDataBuffer", DISPATCH_LEVEL);
    machine.obey(machine.lists.check_buffer(net_buffer));
    if machine.host.should_fail("NdisGetDataBuffer") {
        return ptr::null_mut();
    }
    // SAFETY: the net buffer is there, with its chain.
    let Some(pieces) = (unsafe { buffer::pieces(net_buffer) }) else {
        machine.bugcheck("V-NBL-09", "a net buffer claims more than its chain has".into());
    };
    let needed = bytes_needed as usize;
    let len: usize = pieces.iter().map(|(_, len)| len).sum();
    if needed == 0 || needed > len {
        return ptr::null_mut();
    }
    let multiple = (align_multiple as usize).max(1);
    match pieces.first() {
        Some(&(start, first)) if first >= needed && start.addr() % multiple == align_offset as usize % multiple => {
            start.cast()
        }
        _ if storage.is_null() => ptr::null_mut(),
        _ => {
            let mut at: *mut u8 = storage.cast();
            let mut left = needed;
            for (start, len) in pieces {
                let len = len.min(left);
                // SAFETY: the piece is there, and the storage has room for all that is needed by contract.
                unsafe { ptr::copy_nonoverlapping(start, at, len) };
                at = at.wrapping_add(len);
                left -= len;
            }
            storage
        }
    }
}

/// # Safety
/// The net buffer is not used by others meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn NdisRetreatNetBufferDataStart(
    net_buffer: *mut NET_BUFFER,
    delta: u32,
    backfill: u32,
    allocate: Option<NET_BUFFER_ALLOCATE_MDL_HANDLER>,
) -> NDIS_STATUS {
    let machine = enter("NdisRetreatNetBufferDataStart", DISPATCH_LEVEL);
    assert!(allocate.is_none(), "handlers of drivers that allocate descriptor lists are not emulated");
    if machine.host.should_fail("NdisRetreatNetBufferDataStart") {
        return NDIS_STATUS_RESOURCES;
    }
    machine.obey(machine.lists.retreat(net_buffer, delta as usize, backfill as usize));
    STATUS_SUCCESS
}

/// # Safety
/// The net buffer is not used by others meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn NdisAdvanceNetBufferDataStart(
    net_buffer: *mut NET_BUFFER,
    delta: u32,
    free_mdl: BOOLEAN,
    _free: Option<NET_BUFFER_FREE_MDL_HANDLER>,
) {
    let machine = enter("NdisAdvanceNetBufferDataStart", DISPATCH_LEVEL);
    machine.obey(machine.lists.advance(net_buffer, delta as usize, free_mdl != 0));
}

/// # Safety
/// `mdl_chain` outlives the list; `net_buffer_list` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsAllocateNetBufferAndNetBufferList0(
    pool: NDIS_HANDLE,
    _context_size: u16,
    _context_backfill: u16,
    mdl_chain: *mut MDL,
    data_offset: u32,
    data_length: usize,
    net_buffer_list: *mut *mut NET_BUFFER_LIST,
) -> NTSTATUS {
    let machine = enter("FwpsAllocateNetBufferAndNetBufferList0", DISPATCH_LEVEL);
    if !machine.lists.is_pool(pool) {
        machine.bugcheck("V-NBL-06", "a list was allocated from a pool that is not there".into());
    }
    if machine.host.should_fail("FwpsAllocateNetBufferAndNetBufferList0") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: by contract.
    let made = unsafe { machine.lists.make(pool, mdl_chain, data_offset as usize, data_length) };
    let ListPtr(list) = machine.obey(made);
    // SAFETY: by contract writable.
    unsafe { net_buffer_list.write(list) };
    STATUS_SUCCESS
}

/// # Safety
/// None: the list is looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsFreeNetBufferList0(net_buffer_list: *mut NET_BUFFER_LIST) {
    let machine = enter("FwpsFreeNetBufferList0", DISPATCH_LEVEL);
    machine.obey(machine.lists.free_made(net_buffer_list));
}

/// # Safety
/// `clone` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsAllocateCloneNetBufferList0(
    original: *mut NET_BUFFER_LIST,
    list_pool: NDIS_HANDLE,
    _buffer_pool: NDIS_HANDLE,
    _flags: u32,
    clone: *mut *mut NET_BUFFER_LIST,
) -> NTSTATUS {
    let machine = enter("FwpsAllocateCloneNetBufferList0", DISPATCH_LEVEL);
    if machine.host.should_fail("FwpsAllocateCloneNetBufferList0") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let ListPtr(list) = machine.obey(machine.lists.clone_of(original, list_pool));
    // SAFETY: by contract writable.
    unsafe { clone.write(list) };
    STATUS_SUCCESS
}

/// # Safety
/// None: the list is looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsFreeCloneNetBufferList0(net_buffer_list: *mut NET_BUFFER_LIST, _flags: u32) {
    let machine = enter("FwpsFreeCloneNetBufferList0", DISPATCH_LEVEL);
    machine.obey(machine.lists.free_clone(net_buffer_list));
}

/// # Safety
/// None: the list is looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsReferenceNetBufferList0(
    net_buffer_list: *mut NET_BUFFER_LIST,
    _intend_to_modify: BOOLEAN,
) {
    let machine = enter("FwpsReferenceNetBufferList0", DISPATCH_LEVEL);
    machine.obey(machine.lists.reference(net_buffer_list));
}

/// # Safety
/// None: the list is looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsDereferenceNetBufferList0(
    net_buffer_list: *mut NET_BUFFER_LIST,
    _dispatch_level: BOOLEAN,
) {
    let machine = enter("FwpsDereferenceNetBufferList0", DISPATCH_LEVEL);
    machine.obey(machine.lists.dereference(net_buffer_list));
}

/// # Safety
/// `packet_info` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsGetPacketListSecurityInformation0(
    packet_list: *mut NET_BUFFER_LIST,
    query_flags: u32,
    packet_info: *mut FWPS_PACKET_LIST_INFORMATION0,
) -> NTSTATUS {
    let machine = enter("FwpsGetPacketListSecurityInformation0", DISPATCH_LEVEL);
    let travel = machine.obey(machine.lists.travel(packet_list));
    if machine.host.should_fail("FwpsGetPacketListSecurityInformation0") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let is_inbound = query_flags & FWPS_PACKET_LIST_INFORMATION_QUERY_INBOUND != 0;
    let info = FWPS_PACKET_LIST_INFORMATION0 {
        ipsecInformation: if is_inbound { travel.ipsec } else { 0 },
        fwpInformation: 0,
    };
    // SAFETY: by contract writable.
    unsafe { packet_info.write(info) };
    STATUS_SUCCESS
}
