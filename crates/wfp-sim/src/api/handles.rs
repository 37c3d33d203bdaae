//! The functions of classify handles.

#![expect(unsafe_code, reason = "defines C symbols")]

use super::{enter, number};
use crate::classify::POISON_U64;
use nt_sys::fwps::*;
use nt_sys::status::*;
use nt_sys::types::{DISPATCH_LEVEL, NTSTATUS};
use std::ffi::c_void;

/// # Safety
/// `classify_handle` is null or writable; the context is only compared.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsAcquireClassifyHandle0(
    classify_context: *mut c_void,
    flags: u32,
    classify_handle: *mut u64,
) -> NTSTATUS {
    let machine = enter("FwpsAcquireClassifyHandle0", DISPATCH_LEVEL);
    if classify_context.is_null() || classify_handle.is_null() {
        return STATUS_FWP_NULL_POINTER;
    }
    if flags != 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let acquired = machine.handles.acquire(&machine, number(classify_context));
    // SAFETY: not null, and by contract writable.
    unsafe { classify_handle.write(*acquired.as_ref().unwrap_or(&POISON_U64)) };
    acquired.err().unwrap_or(STATUS_SUCCESS)
}

/// # Safety
/// None: the handle is only looked up.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsReleaseClassifyHandle0(classify_handle: u64) {
    let machine = enter("FwpsReleaseClassifyHandle0", DISPATCH_LEVEL);
    machine.handles.release(&machine, classify_handle);
}

/// # Safety
/// None: the handle is looked up, and the record's address compared.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsPendClassify0(
    classify_handle: u64,
    filter_id: u64,
    flags: u32,
    classify_out: *mut FWPS_CLASSIFY_OUT0,
) -> NTSTATUS {
    let machine = enter("FwpsPendClassify0", DISPATCH_LEVEL);
    if classify_out.is_null() {
        return STATUS_FWP_NULL_POINTER;
    }
    if flags != 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let pended = machine.handles.pend(&machine, classify_handle, filter_id, classify_out.addr());
    pended.err().unwrap_or(STATUS_SUCCESS)
}

/// # Safety
/// None: the handle is only looked up; what the answer says concerns nobody at a layer whose answer is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn FwpsCompleteClassify0(
    classify_handle: u64,
    flags: u32,
    classify_out: *const FWPS_CLASSIFY_OUT0,
) {
    let machine = enter("FwpsCompleteClassify0", DISPATCH_LEVEL);
    if flags != 0 {
        machine.warn("V-HDL-03", "completed a classify with a reserved flag".into());
    }
    machine.handles.complete(&machine, classify_handle, !classify_out.is_null());
}
