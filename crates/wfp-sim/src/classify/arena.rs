//! Memory lent to a callout: values, metadata, filters, in the C layout.
//!
//! Invariant: each piece is an allocation of its own, so that a reader past its end is found by Miri or a sanitizer; when
//! the arena goes, every byte becomes poison first, and stays so for a while in [`Quarantine`], so that a callout that kept a
//! pointer (V-CLS-10) reads nonsense rather than the right answer.

#![expect(unsafe_code, reason = "writes C records and hands out raw pointers to them")]

use super::value::{Operand, Value};
use crate::sync::Lock;
use nt_sys::fwp::*;
use std::collections::VecDeque;
use std::mem::size_of;
use std::ptr;
use std::sync::Mutex;

/// What memory holds that must not be read.
pub(crate) const POISON_BYTE: u8 = 0xCC;
pub(crate) const POISON_U32: u32 = 0xCCCC_CCCC;
pub(crate) const POISON_U64: u64 = 0xCCCC_CCCC_CCCC_CCCC;

/// How many arenas of finished classifies stay poisoned before their memory is used again.
const QUARANTINE: usize = 64;

/// Allocations that live and die together.
#[derive(Default)]
pub(crate) struct Arena {
    blocks: Vec<*mut [u64]>,
}

// SAFETY: the blocks belong to the arena alone, and nothing in them is tied to a thread.
unsafe impl Send for Arena {}
// SAFETY: a shared arena gives access to nothing; pointers into it are raw.
unsafe impl Sync for Arena {}

impl Arena {
    /// Room for `len` bytes, poisoned, aligned for every record here.
    pub fn room(&mut self, len: usize) -> *mut u8 {
        let words = vec![POISON_U64; len.div_ceil(size_of::<u64>()).max(1)];
        let block = Box::into_raw(words.into_boxed_slice());
        self.blocks.push(block);
        block.cast()
    }

    /// A copy of `items`.
    pub fn slice<T: Copy>(&mut self, items: &[T]) -> *mut T {
        const { assert!(align_of::<T>() <= align_of::<u64>()) };
        let room: *mut T = self.room(size_of_val(items)).cast();
        // SAFETY: `room` is new, aligned for `T` (asserted above) and as large as `items`.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), room, items.len()) };
        room
    }

    /// A copy of `item`.
    pub fn one<T: Copy>(&mut self, item: T) -> *mut T {
        self.slice(&[item])
    }

    pub fn blob(&mut self, bytes: &[u8]) -> *mut FWP_BYTE_BLOB {
        let data = self.slice(bytes);
        self.one(FWP_BYTE_BLOB { size: u32::try_from(bytes.len()).unwrap_or(u32::MAX), data })
    }

    pub fn text(&mut self, text: &str) -> *mut u16 {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        self.slice(&units)
    }

    /// An indicated value.
    pub fn value(&mut self, value: Value<'_>) -> FWP_VALUE0 {
        let (r#type, u) = match value {
            Value::Empty => (FWP_EMPTY, FWP_VALUE0_UNION { uint64: ptr::without_provenance_mut(POISON_U64 as usize) }),
            Value::U8(uint8) => (FWP_UINT8, FWP_VALUE0_UNION { uint8 }),
            Value::U16(uint16) => (FWP_UINT16, FWP_VALUE0_UNION { uint16 }),
            Value::U32(uint32) => (FWP_UINT32, FWP_VALUE0_UNION { uint32 }),
            Value::U64(n) => (FWP_UINT64, FWP_VALUE0_UNION { uint64: self.one(n) }),
            Value::Bytes16(bytes) => {
                let bytes = self.one(FWP_BYTE_ARRAY16 { byteArray16: bytes });
                (FWP_BYTE_ARRAY16_TYPE, FWP_VALUE0_UNION { byteArray16: bytes })
            }
            Value::Blob(bytes) => (FWP_BYTE_BLOB_TYPE, FWP_VALUE0_UNION { byteBlob: self.blob(bytes) }),
            Value::Sid(bytes) => (FWP_SID, FWP_VALUE0_UNION { sid: self.slice(bytes).cast() }),
            Value::Token(sids) => {
                (FWP_TOKEN_ACCESS_INFORMATION_TYPE, FWP_VALUE0_UNION { tokenAccessInformation: self.token(sids) })
            }
        };
        FWP_VALUE0 { r#type, u }
    }

    /// The operand of a condition.
    pub fn operand(&mut self, operand: &Operand) -> FWP_CONDITION_VALUE0 {
        let value = |value: FWP_VALUE0| FWP_CONDITION_VALUE0 {
            r#type: value.r#type,
            u: FWP_CONDITION_VALUE0_UNION { value: value.u },
        };
        match operand {
            Operand::Empty | Operand::Foreign(_) => value(self.value(Value::Empty)),
            Operand::U8(n) => value(self.value(Value::U8(*n))),
            Operand::U16(n) => value(self.value(Value::U16(*n))),
            Operand::U32(n) => value(self.value(Value::U32(*n))),
            Operand::U64(n) => value(self.value(Value::U64(*n))),
            Operand::Bytes16(bytes) => value(self.value(Value::Bytes16(*bytes))),
            Operand::Blob(bytes) => value(self.value(Value::Blob(bytes))),
            Operand::Sid(bytes) => value(self.value(Value::Sid(bytes))),
            Operand::Descriptor(bytes) => {
                value(FWP_VALUE0 { r#type: FWP_SECURITY_DESCRIPTOR_TYPE, u: FWP_VALUE0_UNION { sd: self.blob(bytes) } })
            }
            Operand::Text(units) => value(FWP_VALUE0 {
                r#type: FWP_UNICODE_STRING_TYPE,
                u: FWP_VALUE0_UNION { unicodeString: self.slice(&[units.as_slice(), &[0]].concat()) },
            }),
            Operand::V4Net { address, mask } => FWP_CONDITION_VALUE0 {
                r#type: FWP_V4_ADDR_MASK,
                u: FWP_CONDITION_VALUE0_UNION {
                    v4AddrMask: self.one(FWP_V4_ADDR_AND_MASK { addr: *address, mask: *mask }),
                },
            },
            Operand::V6Net { address, prefix } => FWP_CONDITION_VALUE0 {
                r#type: FWP_V6_ADDR_MASK,
                u: FWP_CONDITION_VALUE0_UNION {
                    v6AddrMask: self.one(FWP_V6_ADDR_AND_MASK { addr: *address, prefixLength: *prefix }),
                },
            },
            Operand::Range(ends) => {
                let (low, high) = (self.operand(&ends.0), self.operand(&ends.1));
                // SAFETY: the ends of a range are plain values, for which `operand` fills the member `value`.
                let low_u = unsafe { low.u.value };
                // SAFETY: as above.
                let high_u = unsafe { high.u.value };
                let range = FWP_RANGE0 {
                    valueLow: FWP_VALUE0 { r#type: low.r#type, u: low_u },
                    valueHigh: FWP_VALUE0 { r#type: high.r#type, u: high_u },
                };
                FWP_CONDITION_VALUE0 {
                    r#type: FWP_RANGE_TYPE,
                    u: FWP_CONDITION_VALUE0_UNION { rangeValue: self.one(range) },
                }
            }
        }
    }

    /// A `TOKEN_ACCESS_INFORMATION` with what it points to behind it, in one block, which the blob spans.
    fn token(&mut self, sids: &[Vec<u8>]) -> *mut FWP_BYTE_BLOB {
        const HASH: usize = size_of::<TOKEN_ACCESS_INFORMATION>();
        const ENTRIES: usize = HASH + size_of::<SID_AND_ATTRIBUTES_HASH>();
        let first_sid = ENTRIES + sids.len() * size_of::<SID_AND_ATTRIBUTES>();
        let padded = |sid: &Vec<u8>| sid.len().next_multiple_of(align_of::<u64>());
        let size = first_sid + sids.iter().map(padded).sum::<usize>();
        let block = self.room(size);
        let mut at = first_sid;
        for (index, sid) in sids.iter().enumerate() {
            let place = block.wrapping_add(at);
            // SAFETY: `block` has room for every SID one after the other.
            unsafe { ptr::copy_nonoverlapping(sid.as_ptr(), place, sid.len()) };
            let entry = block.wrapping_add(ENTRIES).cast::<SID_AND_ATTRIBUTES>().wrapping_add(index);
            // SAFETY: between the hash and the first SID there is room for every entry, aligned as the records before it are.
            unsafe { entry.write(SID_AND_ATTRIBUTES { Sid: place.cast(), Attributes: 0 }) };
            at += padded(sid);
        }
        let hash = block.wrapping_add(HASH).cast::<SID_AND_ATTRIBUTES_HASH>();
        let record = SID_AND_ATTRIBUTES_HASH {
            SidCount: u32::try_from(sids.len()).unwrap_or(u32::MAX),
            SidAttr: block.wrapping_add(ENTRIES).cast(),
            Hash: [0; 32],
        };
        // SAFETY: the block has room for the record behind the head, aligned as the head's size is.
        unsafe { hash.write(record) };
        let token = TOKEN_ACCESS_INFORMATION {
            SidHash: hash,
            RestrictedSidHash: ptr::null_mut(),
            Privileges: ptr::null_mut(),
            AuthenticationId: 0x3E7,
            TokenType: 1,
            ImpersonationLevel: 0,
            MandatoryPolicy: 0,
            Flags: 0,
            AppContainerNumber: 0,
            PackageSid: ptr::null_mut(),
            CapabilitiesHash: ptr::null_mut(),
            TrustLevelSid: ptr::null_mut(),
            SecurityAttributes: ptr::null_mut(),
        };
        // SAFETY: the block begins with room for the head and is aligned for it.
        unsafe { block.cast::<TOKEN_ACCESS_INFORMATION>().write(token) };
        self.one(FWP_BYTE_BLOB { size: u32::try_from(size).unwrap_or(u32::MAX), data: block })
    }

    fn poison(&mut self) {
        for &block in &self.blocks {
            // SAFETY: the block came from `Box::into_raw` and is freed only in `drop`, after this.
            let words = unsafe { &mut *block };
            words.fill(POISON_U64);
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.poison();
        for block in self.blocks.drain(..) {
            // SAFETY: the block came from `Box::into_raw`, and draining makes this the only release.
            drop(unsafe { Box::from_raw(block) });
        }
    }
}

/// Poisoned memory of the latest classifies.
#[derive(Default)]
pub(crate) struct Quarantine(Mutex<VecDeque<Arena>>);

impl Quarantine {
    /// Poisons `arena` now and frees it some classifies later. Under Miri it is freed at once, which finds every reader.
    pub fn take(&self, mut arena: Arena) {
        if cfg!(miri) {
            return;
        }
        arena.poison();
        let mut arenas = self.0.hold();
        arenas.push_back(arena);
        if arenas.len() > QUARANTINE {
            let oldest = arenas.pop_front();
            drop(arenas);
            drop(oldest);
        }
    }
}
