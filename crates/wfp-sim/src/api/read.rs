//! Reading callers' records.
//!
//! Invariant: everything is copied; a null pointer where the documentation wants one is `STATUS_FWP_NULL_POINTER`.
//!
//! The functions here are unsafe because a C caller's word is all there is: every non-null pointer must be readable for the
//! call, and every union must hold what its type says.

#![expect(unsafe_code, reason = "reads C records through the pointers that a caller passed")]

use crate::bfe::{CalloutSpec, ConditionSpec, FilterSpec, ProviderSpec, SessionSpec, SublayerSpec, WeightSpec};
use crate::classify::Operand;
use nt_sys::fwpm::*;
use nt_sys::status::STATUS_FWP_NULL_POINTER;
use nt_sys::types::{GUID, NTSTATUS};
use std::slice;

type Read<T> = Result<T, NTSTATUS>;

/// The record at `pointer`.
///
/// # Safety
/// A non-null `pointer` is readable.
pub(super) unsafe fn record<'a, T>(pointer: *const T) -> Read<&'a T> {
    // SAFETY: by contract.
    unsafe { pointer.as_ref() }.ok_or(STATUS_FWP_NULL_POINTER)
}

/// # Safety
/// As the module says.
pub(super) unsafe fn session(pointer: *const FWPM_SESSION0) -> SessionSpec {
    // SAFETY: by contract.
    let session = unsafe { pointer.as_ref() };
    session.map_or_else(SessionSpec::default, |session| SessionSpec {
        key: session.sessionKey,
        flags: session.flags,
        wait_ms: session.txnWaitTimeoutInMSec,
    })
}

/// # Safety
/// As the module says.
pub(super) unsafe fn provider(pointer: *const FWPM_PROVIDER0) -> Read<ProviderSpec> {
    // SAFETY: by contract.
    let provider = unsafe { record(pointer) }?;
    Ok(ProviderSpec {
        key: provider.providerKey,
        // SAFETY: by contract.
        name: unsafe { text(provider.displayData.name) },
        flags: provider.flags,
        // SAFETY: by contract.
        service: unsafe { text(provider.serviceName) },
    })
}

/// # Safety
/// As the module says.
pub(super) unsafe fn sublayer(pointer: *const FWPM_SUBLAYER0) -> Read<SublayerSpec> {
    // SAFETY: by contract.
    let sublayer = unsafe { record(pointer) }?;
    Ok(SublayerSpec {
        key: sublayer.subLayerKey,
        // SAFETY: by contract.
        name: unsafe { text(sublayer.displayData.name) },
        flags: sublayer.flags,
        // SAFETY: by contract.
        provider: unsafe { sublayer.providerKey.as_ref() }.copied(),
        weight: sublayer.weight,
    })
}

/// # Safety
/// As the module says.
pub(super) unsafe fn callout(pointer: *const FWPM_CALLOUT0) -> Read<CalloutSpec> {
    // SAFETY: by contract.
    let callout = unsafe { record(pointer) }?;
    Ok(CalloutSpec {
        key: callout.calloutKey,
        // SAFETY: by contract.
        name: unsafe { text(callout.displayData.name) },
        flags: callout.flags,
        // SAFETY: by contract.
        provider: unsafe { callout.providerKey.as_ref() }.copied(),
        layer: callout.applicableLayer,
    })
}

/// # Safety
/// As the module says.
pub(super) unsafe fn filter(pointer: *const FWPM_FILTER0) -> Read<FilterSpec> {
    // SAFETY: by contract.
    let filter = unsafe { record(pointer) }?;
    let count = filter.numFilterConditions as usize;
    if count > 0 && filter.filterCondition.is_null() {
        return Err(STATUS_FWP_NULL_POINTER);
    }
    let conditions = if count == 0 {
        &[]
    } else {
        // SAFETY: by contract, there are `numFilterConditions` of them.
        unsafe { slice::from_raw_parts(filter.filterCondition, count) }
    };
    // SAFETY: by contract.
    let read_condition = |one: &FWPM_FILTER_CONDITION0| unsafe { condition(one) };
    Ok(FilterSpec {
        key: filter.filterKey,
        // SAFETY: by contract.
        name: unsafe { text(filter.displayData.name) },
        flags: filter.flags,
        // SAFETY: by contract.
        provider: unsafe { filter.providerKey.as_ref() }.copied(),
        layer: filter.layerKey,
        sublayer: filter.subLayerKey,
        // SAFETY: by contract.
        weight: unsafe { weight(&filter.weight) }?,
        conditions: conditions.iter().map(read_condition).collect::<Read<_>>()?,
        action: filter.action.r#type,
        callout: filter.action.calloutKey,
        // SAFETY: any bytes are a number, and both members of the union fill it from its start.
        raw_context: unsafe { filter.context.rawContext },
    })
}

/// # Safety
/// As the module says.
pub(super) unsafe fn key(pointer: *const GUID) -> Read<GUID> {
    // SAFETY: by contract.
    unsafe { record(pointer) }.copied()
}

/// # Safety
/// As the module says.
unsafe fn weight(value: &FWP_VALUE0) -> Read<WeightSpec> {
    match value.r#type {
        FWP_EMPTY => Ok(WeightSpec::Automatic),
        // SAFETY: the type says which member is alive.
        FWP_UINT8 => Ok(WeightSpec::Range(unsafe { value.u.uint8 })),
        FWP_UINT64 => {
            // SAFETY: the type says which member is alive.
            let pointer = unsafe { value.u.uint64 };
            // SAFETY: by contract.
            Ok(WeightSpec::Exact(*unsafe { record(pointer) }?))
        }
        _ => Ok(WeightSpec::Other),
    }
}

/// # Safety
/// As the module says.
unsafe fn condition(condition: &FWPM_FILTER_CONDITION0) -> Read<ConditionSpec> {
    let value = &condition.conditionValue;
    let operand = match value.r#type {
        FWP_V4_ADDR_MASK => {
            // SAFETY: the type says which member is alive.
            let pointer = unsafe { value.u.v4AddrMask };
            // SAFETY: by contract.
            let net = unsafe { record(pointer) }?;
            Operand::V4Net { address: net.addr, mask: net.mask }
        }
        FWP_V6_ADDR_MASK => {
            // SAFETY: the type says which member is alive.
            let pointer = unsafe { value.u.v6AddrMask };
            // SAFETY: by contract.
            let net = unsafe { record(pointer) }?;
            Operand::V6Net { address: net.addr, prefix: net.prefixLength }
        }
        FWP_RANGE_TYPE => {
            // SAFETY: the type says which member is alive.
            let pointer = unsafe { value.u.rangeValue };
            // SAFETY: by contract.
            let range = unsafe { record(pointer) }?;
            // SAFETY: by contract.
            let low = unsafe { operand(&range.valueLow) }?;
            // SAFETY: by contract.
            let high = unsafe { operand(&range.valueHigh) }?;
            Operand::Range(Box::new((low, high)))
        }
        r#type => {
            // SAFETY: every other type is one of a plain value.
            let u = unsafe { value.u.value };
            // SAFETY: by contract.
            unsafe { operand(&FWP_VALUE0 { r#type, u }) }?
        }
    };
    Ok(ConditionSpec { field: condition.fieldKey, match_type: condition.matchType, operand })
}

/// # Safety
/// As the module says.
unsafe fn operand(value: &FWP_VALUE0) -> Read<Operand> {
    let u = &value.u;
    Ok(match value.r#type {
        FWP_EMPTY => Operand::Empty,
        // SAFETY: the type says which member is alive, here and below.
        FWP_UINT8 => Operand::U8(unsafe { u.uint8 }),
        // SAFETY: as above.
        FWP_UINT16 => Operand::U16(unsafe { u.uint16 }),
        // SAFETY: as above.
        FWP_UINT32 => Operand::U32(unsafe { u.uint32 }),
        FWP_UINT64 => {
            // SAFETY: as above.
            let pointer = unsafe { u.uint64 };
            // SAFETY: by contract.
            Operand::U64(*unsafe { record(pointer) }?)
        }
        FWP_BYTE_ARRAY16_TYPE => {
            // SAFETY: as above.
            let pointer = unsafe { u.byteArray16 };
            // SAFETY: by contract.
            Operand::Bytes16(unsafe { record(pointer) }?.byteArray16)
        }
        FWP_BYTE_BLOB_TYPE => {
            // SAFETY: as above.
            let pointer = unsafe { u.byteBlob };
            // SAFETY: by contract.
            Operand::Blob(unsafe { blob(pointer) }?)
        }
        FWP_SECURITY_DESCRIPTOR_TYPE => {
            // SAFETY: as above.
            let pointer = unsafe { u.sd };
            // SAFETY: by contract.
            Operand::Descriptor(unsafe { blob(pointer) }?)
        }
        FWP_SID => {
            // SAFETY: as above.
            let pointer = unsafe { u.sid };
            // SAFETY: by contract.
            Operand::Sid(unsafe { sid(pointer.cast()) }?)
        }
        FWP_UNICODE_STRING_TYPE => {
            // SAFETY: as above.
            let pointer = unsafe { u.unicodeString };
            // SAFETY: by contract.
            Operand::Text(unsafe { units(pointer) }.ok_or(STATUS_FWP_NULL_POINTER)?)
        }
        other => Operand::Foreign(other),
    })
}

/// # Safety
/// As the module says.
unsafe fn blob(pointer: *const FWP_BYTE_BLOB) -> Read<Vec<u8>> {
    // SAFETY: by contract.
    let blob = unsafe { record(pointer) }?;
    if blob.size == 0 {
        return Ok(Vec::new());
    }
    if blob.data.is_null() {
        return Err(STATUS_FWP_NULL_POINTER);
    }
    // SAFETY: by contract, `data` has `size` bytes.
    Ok(unsafe { slice::from_raw_parts(blob.data, blob.size as usize) }.to_vec())
}

/// A security identifier: eight bytes of head, the second of which counts the four-byte parts that follow.
///
/// # Safety
/// As the module says.
unsafe fn sid(pointer: *const u8) -> Read<Vec<u8>> {
    const HEAD: usize = 8;
    // SAFETY: by contract.
    let head = unsafe { record(pointer.cast::<[u8; HEAD]>()) }?;
    let len = HEAD + 4 * usize::from(head[1]);
    // SAFETY: by contract, the identifier is whole.
    Ok(unsafe { slice::from_raw_parts(pointer, len) }.to_vec())
}

/// # Safety
/// As the module says; a string ends with a zero.
unsafe fn text(pointer: *const u16) -> Option<String> {
    // SAFETY: by contract.
    unsafe { units(pointer) }.map(|units| String::from_utf16_lossy(&units))
}

/// # Safety
/// As the module says; a string ends with a zero.
unsafe fn units(pointer: *const u16) -> Option<Vec<u16>> {
    if pointer.is_null() {
        return None;
    }
    let mut units = Vec::new();
    loop {
        // SAFETY: by contract, and no unit before this one was the end.
        let next = unsafe { pointer.add(units.len()) };
        // SAFETY: as above.
        match unsafe { *next } {
            0 => return Some(units),
            unit => units.push(unit),
        }
    }
}
