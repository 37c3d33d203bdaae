//! Filters to add, written the way a test reads.

#![expect(unsafe_code, reason = "fills C records")]

use super::session::{NO_BLOB, NO_NAME, Name};
use nt_sys::fwpm::*;
use nt_sys::types::GUID;
use std::net::Ipv4Addr;
use std::ptr;

/// What a condition compares with.
#[derive(Clone, Debug)]
pub enum Operand {
    Empty,
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    I32(i32),
    Bytes16([u8; 16]),
    Blob(Vec<u8>),
    Descriptor(Vec<u8>),
    Text(&'static str),
    V4Net(Ipv4Addr, u32),
    V6Net([u8; 16], u8),
    Range(Box<Operand>, Box<Operand>),
}

#[derive(Clone, Debug)]
struct Condition {
    field: GUID,
    match_type: FWP_MATCH_TYPE,
    operand: Operand,
}

#[derive(Clone, Copy, Debug)]
pub enum Weight {
    Empty,
    U8(u8),
    U32(u32),
    U64(u64),
}

/// A filter to add.
#[derive(Clone, Debug)]
pub struct FilterDraft {
    layer: GUID,
    sublayer: GUID,
    pub key: GUID,
    flags: u32,
    provider: Option<GUID>,
    weight: Weight,
    conditions: Vec<Condition>,
    action: FWP_ACTION_TYPE,
    callout: GUID,
    context: u64,
    is_nameless: bool,
}

/// A filter at `layer` that permits everything.
pub fn filter(layer: GUID) -> FilterDraft {
    FilterDraft {
        layer,
        sublayer: GUID::default(),
        key: GUID::default(),
        flags: 0,
        provider: None,
        weight: Weight::Empty,
        conditions: Vec::new(),
        action: FWP_ACTION_PERMIT,
        callout: GUID::default(),
        context: 0,
        is_nameless: false,
    }
}

impl FilterDraft {
    pub fn at(self, sublayer: GUID) -> Self {
        Self { sublayer, ..self }
    }

    pub fn key(self, key: GUID) -> Self {
        Self { key, ..self }
    }

    pub fn flags(self, flags: u32) -> Self {
        Self { flags, ..self }
    }

    pub fn provider(self, provider: GUID) -> Self {
        Self { provider: Some(provider), ..self }
    }

    pub fn weight(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    pub fn action(self, action: FWP_ACTION_TYPE) -> Self {
        Self { action, ..self }
    }

    pub fn block(self) -> Self {
        self.action(FWP_ACTION_BLOCK)
    }

    pub fn terminating(self, callout: GUID) -> Self {
        Self { action: FWP_ACTION_CALLOUT_TERMINATING, callout, ..self }
    }

    pub fn unknown(self, callout: GUID) -> Self {
        Self { action: FWP_ACTION_CALLOUT_UNKNOWN, callout, ..self }
    }

    pub fn inspection(self, callout: GUID) -> Self {
        Self { action: FWP_ACTION_CALLOUT_INSPECTION, callout, ..self }
    }

    pub fn context(self, context: u64) -> Self {
        Self { context, ..self }
    }

    pub fn nameless(self) -> Self {
        Self { is_nameless: true, ..self }
    }

    pub fn when(mut self, field: GUID, match_type: FWP_MATCH_TYPE, operand: Operand) -> Self {
        self.conditions.push(Condition { field, match_type, operand });
        self
    }

    /// Lends the C record.
    pub fn with_record<R>(&self, lend: impl FnOnce(*const FWPM_FILTER0) -> R) -> R {
        let mut name = Name::new("filter");
        let mut provider = self.provider;
        let mut weight = if let Weight::U64(weight) = self.weight { weight } else { 0 };
        let mut memory = Memory::default();
        let mut conditions: Vec<FWPM_FILTER_CONDITION0> = self
            .conditions
            .iter()
            .map(|one| FWPM_FILTER_CONDITION0 {
                fieldKey: one.field,
                matchType: one.match_type,
                conditionValue: memory.condition_value(&one.operand),
            })
            .collect();
        let (r#type, u) = match self.weight {
            Weight::Empty => (FWP_EMPTY, FWP_VALUE0_UNION { uint64: ptr::null_mut() }),
            Weight::U8(uint8) => (FWP_UINT8, FWP_VALUE0_UNION { uint8 }),
            Weight::U32(uint32) => (FWP_UINT32, FWP_VALUE0_UNION { uint32 }),
            Weight::U64(_) => (FWP_UINT64, FWP_VALUE0_UNION { uint64: &raw mut weight }),
        };
        let record = FWPM_FILTER0 {
            filterKey: self.key,
            displayData: if self.is_nameless { NO_NAME } else { name.display() },
            flags: self.flags,
            providerKey: provider.as_mut().map_or(ptr::null_mut(), ptr::from_mut),
            providerData: NO_BLOB,
            layerKey: self.layer,
            subLayerKey: self.sublayer,
            weight: FWP_VALUE0 { r#type, u },
            numFilterConditions: u32::try_from(conditions.len()).expect("few"),
            filterCondition: if conditions.is_empty() { ptr::null_mut() } else { conditions.as_mut_ptr() },
            action: FWPM_ACTION0 { r#type: self.action, calloutKey: self.callout },
            context: FWPM_FILTER0_CONTEXT { rawContext: self.context },
            reserved: ptr::null_mut(),
            filterId: 0,
            effectiveWeight: FWP_VALUE0 { r#type: FWP_EMPTY, u: FWP_VALUE0_UNION { uint64: ptr::null_mut() } },
        };
        lend(&record)
    }
}

/// What the pointers of a record point to; freed with it.
#[derive(Default)]
struct Memory(Vec<Box<dyn FnOnce()>>);

impl Memory {
    fn keep<T: 'static>(&mut self, value: T) -> *mut T {
        let kept = Box::into_raw(Box::new(value));
        // SAFETY: the closure runs once, when the memory is dropped.
        self.0.push(Box::new(move || drop(unsafe { Box::from_raw(kept) })));
        kept
    }

    fn blob(&mut self, bytes: &[u8]) -> *mut FWP_BYTE_BLOB {
        let data: *mut Vec<u8> = self.keep(bytes.to_vec());
        // SAFETY: just made.
        let data = unsafe { (*data).as_mut_ptr() };
        self.keep(FWP_BYTE_BLOB { size: u32::try_from(bytes.len()).expect("short"), data })
    }

    fn value(&mut self, operand: &Operand) -> FWP_VALUE0 {
        let (r#type, u) = match operand {
            Operand::Empty => (FWP_EMPTY, FWP_VALUE0_UNION { uint64: ptr::null_mut() }),
            Operand::U8(uint8) => (FWP_UINT8, FWP_VALUE0_UNION { uint8: *uint8 }),
            Operand::U16(uint16) => (FWP_UINT16, FWP_VALUE0_UNION { uint16: *uint16 }),
            Operand::U32(uint32) => (FWP_UINT32, FWP_VALUE0_UNION { uint32: *uint32 }),
            Operand::I32(int32) => (FWP_INT32, FWP_VALUE0_UNION { int32: *int32 }),
            Operand::U64(n) => (FWP_UINT64, FWP_VALUE0_UNION { uint64: self.keep(*n) }),
            Operand::Bytes16(bytes) => (
                FWP_BYTE_ARRAY16_TYPE,
                FWP_VALUE0_UNION { byteArray16: self.keep(FWP_BYTE_ARRAY16 { byteArray16: *bytes }) },
            ),
            Operand::Blob(bytes) => (FWP_BYTE_BLOB_TYPE, FWP_VALUE0_UNION { byteBlob: self.blob(bytes) }),
            Operand::Descriptor(bytes) => (FWP_SECURITY_DESCRIPTOR_TYPE, FWP_VALUE0_UNION { sd: self.blob(bytes) }),
            Operand::Text(text) => {
                let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
                let kept = self.keep(units);
                // SAFETY: just made.
                let unicode = unsafe { (*kept).as_mut_ptr() };
                (FWP_UNICODE_STRING_TYPE, FWP_VALUE0_UNION { unicodeString: unicode })
            }
            Operand::V4Net(..) | Operand::V6Net(..) | Operand::Range(..) => unreachable!("not a plain value"),
        };
        FWP_VALUE0 { r#type, u }
    }

    fn condition_value(&mut self, operand: &Operand) -> FWP_CONDITION_VALUE0 {
        let (r#type, u) = match operand {
            Operand::V4Net(address, mask) => {
                let net = self.keep(FWP_V4_ADDR_AND_MASK { addr: address.to_bits(), mask: *mask });
                (FWP_V4_ADDR_MASK, FWP_CONDITION_VALUE0_UNION { v4AddrMask: net })
            }
            Operand::V6Net(address, prefix) => {
                let net = self.keep(FWP_V6_ADDR_AND_MASK { addr: *address, prefixLength: *prefix });
                (FWP_V6_ADDR_MASK, FWP_CONDITION_VALUE0_UNION { v6AddrMask: net })
            }
            Operand::Range(low, high) => {
                let range = FWP_RANGE0 { valueLow: self.value(low), valueHigh: self.value(high) };
                (FWP_RANGE_TYPE, FWP_CONDITION_VALUE0_UNION { rangeValue: self.keep(range) })
            }
            plain => {
                let value = self.value(plain);
                (value.r#type, FWP_CONDITION_VALUE0_UNION { value: value.u })
            }
        };
        FWP_CONDITION_VALUE0 { r#type, u }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for free in self.0.drain(..) {
            free();
        }
    }
}
