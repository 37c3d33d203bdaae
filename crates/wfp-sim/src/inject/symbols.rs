//! The functions of packet injection.

#![expect(unsafe_code, reason = "defines C symbols")]

use super::job::{Context, Job, is_in_completion, run, start};
use crate::ale::Injectable;
use crate::api::{enter, handle, number};
use crate::classify::frames;
use crate::machine::Machine;
use crate::ndis::{Injected, ListPtr};
use crate::packet::Packet;
use nt_sys::fwps::*;
use nt_sys::ndis::NET_BUFFER_LIST;
use nt_sys::status::*;
use nt_sys::types::{DISPATCH_LEVEL, HANDLE, NTSTATUS, PASSIVE_LEVEL};
use std::ffi::c_void;
use std::net::IpAddr;
use std::sync::Arc;

/// # Safety
/// `injection_handle` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsInjectionHandleCreate0(
    address_family: u16,
    flags: u32,
    injection_handle: *mut HANDLE,
) -> NTSTATUS {
    const KINDS: u32 = FWPS_INJECTION_TYPE_STREAM
        | FWPS_INJECTION_TYPE_TRANSPORT
        | FWPS_INJECTION_TYPE_NETWORK
        | FWPS_INJECTION_TYPE_FORWARD
        | FWPS_INJECTION_TYPE_L2;
    let machine = enter("FwpsInjectionHandleCreate0", PASSIVE_LEVEL);
    if injection_handle.is_null() {
        return STATUS_FWP_NULL_POINTER;
    }
    // Only a handle for the network layers needs a family.
    let is_family = [AF_UNSPEC, AF_INET, AF_INET6].contains(&address_family)
        && (address_family != AF_UNSPEC || flags & FWPS_INJECTION_TYPE_NETWORK == 0);
    if !is_family || flags & !KINDS != 0 {
        return STATUS_INVALID_PARAMETER;
    }
    if machine.host.should_fail("FwpsInjectionHandleCreate0") {
        let is_stack = machine.draw() & 1 == 0;
        return if is_stack { STATUS_FWP_TCPIP_NOT_READY } else { STATUS_INSUFFICIENT_RESOURCES };
    }
    let new = machine.new_handle();
    machine.injection.create(new, address_family, flags);
    // SAFETY: not null, and by contract writable.
    unsafe { injection_handle.write(handle(new)) };
    STATUS_SUCCESS
}

/// # Safety
/// None: the handle is looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsInjectionHandleDestroy0(injection_handle: HANDLE) -> NTSTATUS {
    let machine = enter("FwpsInjectionHandleDestroy0", PASSIVE_LEVEL);
    let handle = number(injection_handle);
    if is_in_completion() || frames::is_in_classify() {
        machine.bugcheck("V-INJ-05", format!("injection handle {handle:#x} destroyed inside what it waits for"));
    }
    machine.obey(machine.injection.close(handle));
    while let Some(job) = machine.injection.next_of(handle) {
        run(&machine, job);
    }
    while !machine.injection.is_idle(handle) && !machine.has_crashed() {
        machine.host.wait_ms(1);
    }
    machine.injection.remove(handle);
    STATUS_SUCCESS
}

/// # Safety
/// `injection_context` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsQueryPacketInjectionState0(
    injection_handle: HANDLE,
    net_buffer_list: *const NET_BUFFER_LIST,
    injection_context: *mut HANDLE,
) -> FWPS_PACKET_INJECTION_STATE {
    let machine = enter("FwpsQueryPacketInjectionState0", DISPATCH_LEVEL);
    let own = number(injection_handle);
    machine.obey(machine.injection.check(own));
    let travel = machine.obey(machine.lists.travel(net_buffer_list));
    let Some(&(_, context)) = travel.injected_by.iter().rev().find(|(by, _)| *by == own) else {
        let is_foreign = travel.injected_by.iter().any(|(by, _)| *by != 0);
        return if is_foreign { FWPS_PACKET_INJECTED_BY_OTHER } else { FWPS_PACKET_NOT_INJECTED };
    };
    if !injection_context.is_null() {
        // SAFETY: not null, and by contract writable.
        unsafe { injection_context.write(handle(context)) };
    }
    let is_latest = travel.injected_by.last().is_some_and(|(by, _)| *by == own);
    if is_latest { FWPS_PACKET_INJECTED_BY_SELF } else { FWPS_PACKET_PREVIOUSLY_INJECTED_BY_SELF }
}

/// # Safety
/// `send_args` is null or readable, and so is the address it names, as long as the family says.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsInjectTransportSendAsync1(
    injection_handle: HANDLE,
    injection_context: HANDLE,
    endpoint_handle: u64,
    flags: u32,
    send_args: *mut FWPS_TRANSPORT_SEND_PARAMS1,
    address_family: u16,
    _compartment_id: u32,
    net_buffer_list: *mut NET_BUFFER_LIST,
    completion: Option<FWPS_INJECT_COMPLETE0>,
    completion_context: HANDLE,
) -> NTSTATUS {
    let machine = enter("FwpsInjectTransportSendAsync1", DISPATCH_LEVEL);
    // SAFETY: null, or by contract readable.
    let (Some(args), Some(completion), 0) = (unsafe { send_args.as_ref() }, completion, flags) else {
        return STATUS_INVALID_PARAMETER;
    };
    if args.remoteAddress.is_null() || net_buffer_list.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let remote = match address_family {
        // SAFETY: an address of this family is readable by contract.
        AF_INET => IpAddr::from(unsafe { args.remoteAddress.cast::<[u8; 4]>().read_unaligned() }),
        // SAFETY: as above.
        AF_INET6 => IpAddr::from(unsafe { args.remoteAddress.cast::<[u8; 16]>().read_unaligned() }),
        _ => return STATUS_INVALID_PARAMETER,
    };
    let scope = args.remoteScopeId;
    let order = Order {
        handle: number(injection_handle),
        context: number(injection_context),
        family: address_family,
        list: net_buffer_list,
        completion,
        completion_context,
    };
    inject(&machine, "FwpsInjectTransportSendAsync1", order, |injected| {
        Injectable::send(&machine, endpoint_handle, remote, scope, injected)
    })
}

/// # Safety
/// `completion` may be called with `completion_context` once.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsInjectTransportReceiveAsync0(
    injection_handle: HANDLE,
    injection_context: HANDLE,
    reserved: *mut c_void,
    flags: u32,
    address_family: u16,
    _compartment_id: u32,
    _interface_index: u32,
    _sub_interface_index: u32,
    net_buffer_list: *mut NET_BUFFER_LIST,
    completion: Option<FWPS_INJECT_COMPLETE0>,
    completion_context: HANDLE,
) -> NTSTATUS {
    let machine = enter("FwpsInjectTransportReceiveAsync0", DISPATCH_LEVEL);
    let (Some(completion), true, 0) = (completion, reserved.is_null(), flags) else {
        return STATUS_INVALID_PARAMETER;
    };
    if net_buffer_list.is_null() || ![AF_INET, AF_INET6].contains(&address_family) {
        return STATUS_INVALID_PARAMETER;
    }
    let order = Order {
        handle: number(injection_handle),
        context: number(injection_context),
        family: address_family,
        list: net_buffer_list,
        completion,
        completion_context,
    };
    inject(&machine, "FwpsInjectTransportReceiveAsync0", order, |injected| {
        let [bytes] = &injected.data[..] else {
            machine.bugcheck("V-INJ-02", format!("{} net buffers were injected inbound", injected.data.len()));
        };
        let packet = Packet::read(bytes).filter(|packet| packet.route.source.is_ipv6() == (address_family == AF_INET6));
        packet.map(|packet| Injectable::receive(&machine, packet, injected.travel.clone()))
    })
}

/// What both functions are given.
struct Order {
    handle: u64,
    context: u64,
    family: u16,
    list: *mut NET_BUFFER_LIST,
    completion: FWPS_INJECT_COMPLETE0,
    completion_context: HANDLE,
}

fn inject(
    machine: &Arc<Machine>,
    function: &'static str,
    order: Order,
    read: impl FnOnce(&Injected) -> Option<Injectable>,
) -> NTSTATUS {
    if let Err(status) = machine.obey(machine.injection.begin(order.handle, order.family)) {
        return status;
    }
    if machine.host.should_fail(function) {
        machine.injection.end(order.handle);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if machine.host.spin_locks_held() > 0 {
        machine.warn("V-INJ-08", format!("{function} was called with a spin lock held"));
    }
    let mut injected = machine.obey(machine.lists.begin_injection(order.list));
    injected.travel.injected_by.push((order.handle, order.context));
    let Some(what) = read(&injected) else {
        machine.bugcheck("V-INJ-06", format!("{function}: these bytes are not a packet: {:02x?}", injected.data));
    };
    if what.is_in_classify() {
        machine.bugcheck("V-INJ-04", format!("{function} was called in a classify of the packet's own flow"));
    }
    let job = Job {
        handle: order.handle,
        list: ListPtr(order.list),
        what,
        complete: order.completion,
        context: Context(order.completion_context),
    };
    start(machine, job);
    STATUS_SUCCESS
}
