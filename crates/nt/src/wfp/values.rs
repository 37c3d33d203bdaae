//! The values of one classify, read with bounds and type checks.
//!
//! Old systems give fewer values, and any value may be empty on a reauthorization (R14), so every read is an `Option`.

use core::marker::PhantomData;
use nt_sys::fwps::{
    FWP_BYTE_ARRAY16_TYPE, FWP_BYTE_BLOB, FWP_BYTE_BLOB_TYPE, FWP_DATA_TYPE, FWP_TOKEN_ACCESS_INFORMATION_TYPE,
    FWP_UINT8, FWP_UINT16, FWP_UINT32, FWP_UINT64, FWP_VALUE0, FWPS_INCOMING_VALUES0,
};

/// The values of one classify; they live until it returns.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    values: *const FWPS_INCOMING_VALUES0,
    classify: PhantomData<&'a FWPS_INCOMING_VALUES0>,
}

impl<'a> Values<'a> {
    /// # Safety
    /// `values` is what the filter engine gave to a classify function, and `'a` ends before that function returns.
    pub(super) unsafe fn new(values: *const FWPS_INCOMING_VALUES0) -> Self {
        Self { values, classify: PhantomData }
    }

    /// The run-time layer.
    pub fn layer(&self) -> u16 {
        // SAFETY: valid for the classify, as `new`'s caller vouches.
        unsafe { (*self.values).layerId }
    }

    fn value(&self, field: usize, kind: FWP_DATA_TYPE) -> Option<FWP_VALUE0> {
        // SAFETY: as in `layer`.
        let values = unsafe { *self.values };
        if field >= values.valueCount as usize {
            return None;
        }
        // SAFETY: the array has `valueCount` values, so this stays inside it.
        let value = unsafe { values.incomingValue.add(field) };
        // SAFETY: an element of that array.
        let value = unsafe { (*value).value };
        (value.r#type == kind).then_some(value)
    }

    /// A `FWP_UINT8`.
    pub fn uint8(&self, field: usize) -> Option<u8> {
        // SAFETY: the type tag says this member is the live one.
        self.value(field, FWP_UINT8).map(|value| unsafe { value.u.uint8 })
    }

    /// A `FWP_UINT16`. Ports are in host order.
    pub fn uint16(&self, field: usize) -> Option<u16> {
        // SAFETY: the type tag says this member is the live one.
        self.value(field, FWP_UINT16).map(|value| unsafe { value.u.uint16 })
    }

    /// A `FWP_UINT32`. IPv4 addresses are in host order.
    pub fn uint32(&self, field: usize) -> Option<u32> {
        // SAFETY: the type tag says this member is the live one.
        self.value(field, FWP_UINT32).map(|value| unsafe { value.u.uint32 })
    }

    /// A `FWP_UINT64`, which is behind a pointer.
    pub fn uint64(&self, field: usize) -> Option<u64> {
        let value = self.value(field, FWP_UINT64)?;
        // SAFETY: the type tag says this member is the live one.
        let pointer = unsafe { value.u.uint64 };
        // SAFETY: null is checked; otherwise the engine's pointer is valid for the classify.
        unsafe { pointer.as_ref() }.copied()
    }

    /// A `FWP_BYTE_ARRAY16_TYPE`: an IPv6 address in network order.
    pub fn bytes16(&self, field: usize) -> Option<[u8; 16]> {
        let value = self.value(field, FWP_BYTE_ARRAY16_TYPE)?;
        // SAFETY: the type tag says this member is the live one.
        let pointer = unsafe { value.u.byteArray16 };
        // SAFETY: null is checked; otherwise the engine's pointer is valid for the classify.
        unsafe { pointer.as_ref() }.map(|array| array.byteArray16)
    }

    /// A `FWP_BYTE_BLOB_TYPE`.
    pub fn blob(&self, field: usize) -> Option<&'a [u8]> {
        let value = self.value(field, FWP_BYTE_BLOB_TYPE)?;
        // SAFETY: the type tag says this member is the live one.
        let blob = unsafe { value.u.byteBlob };
        // SAFETY: the engine's blob is valid for the classify.
        unsafe { bytes(blob) }
    }

    /// The user's SID, from a `FWP_TOKEN_ACCESS_INFORMATION_TYPE`.
    pub fn user_sid(&self, field: usize) -> Option<&'a [u8]> {
        let value = self.value(field, FWP_TOKEN_ACCESS_INFORMATION_TYPE)?;
        // SAFETY: the type tag says this member is the live one.
        let blob = unsafe { value.u.tokenAccessInformation };
        // SAFETY: the engine's blob is valid for the classify.
        user_sid(unsafe { bytes(blob) }?)
    }
}

/// # Safety
/// `blob` is null or points to a blob whose data is valid for `'a`.
unsafe fn bytes<'a>(blob: *const FWP_BYTE_BLOB) -> Option<&'a [u8]> {
    // SAFETY: null or valid, as the caller vouches.
    let blob = unsafe { blob.as_ref() }?;
    if blob.data.is_null() {
        return None;
    }
    // SAFETY: the data is `size` bytes, as the caller vouches.
    Some(unsafe { core::slice::from_raw_parts(blob.data, blob.size as usize) })
}

/// Finds the user in a `TOKEN_ACCESS_INFORMATION`: `SidHash->SidAttr[0].Sid`.
///
/// The record points into its own blob. Each pointer is turned into an offset and checked, so a record of another shape
/// gives no SID and nothing worse.
fn user_sid(token: &[u8]) -> Option<&[u8]> {
    const SID_HASH: usize = 0;
    const SID_COUNT: usize = 0;
    const SID_ATTRIBUTES: usize = 8;
    const SID: usize = 0;
    const SID_HEAD: usize = 8;
    const MAX_SUB_AUTHORITIES: usize = 15;

    let follow = |at: usize| -> Option<usize> {
        let pointer = token.get(at..)?.first_chunk::<8>()?;
        usize::try_from(u64::from_ne_bytes(*pointer)).ok()?.checked_sub(token.as_ptr().addr())
    };
    let hash = follow(SID_HASH)?;
    let count = token.get(hash.checked_add(SID_COUNT)?..)?.first_chunk::<4>()?;
    if u32::from_ne_bytes(*count) == 0 {
        return None;
    }
    let attributes = follow(hash.checked_add(SID_ATTRIBUTES)?)?;
    let sid = token.get(follow(attributes.checked_add(SID)?)?..)?;
    let &[1, sub_authorities, ..] = sid else { return None };
    let sub_authorities = usize::from(sub_authorities);
    if sub_authorities > MAX_SUB_AUTHORITIES {
        return None;
    }
    sid.get(..SID_HEAD + 4 * sub_authorities)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::user_sid;
    use std::vec;
    use std::vec::Vec;

    const HASH: usize = 88;
    const ATTRIBUTES: usize = 360;
    const SID: usize = 376;
    const END: usize = SID + 28;
    /// S-1-5-21-1-2-3-1001.
    const USER: [u8; 28] = [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xE9, 3, 0, 0];

    /// A well-formed record with one SID, and what a test makes of it, who knows where its memory begins.
    fn token(change: impl FnOnce(&mut [u8], u64)) -> Vec<u8> {
        let mut token = vec![0; END];
        let start = token.as_ptr().addr() as u64;
        put(&mut token, 0, start + HASH as u64);
        token[HASH] = 1;
        put(&mut token, HASH + 8, start + ATTRIBUTES as u64);
        put(&mut token, ATTRIBUTES, start + SID as u64);
        token[SID..].copy_from_slice(&USER);
        change(&mut token, start);
        token
    }

    fn put(token: &mut [u8], at: usize, pointer: u64) {
        token[at..at + 8].copy_from_slice(&pointer.to_ne_bytes());
    }

    #[test]
    fn the_user_is_the_first_sid() {
        assert_eq!(user_sid(&token(|_, _| ())), Some(&USER[..]));
        let most = token(|token, _| token[SID + 1] = 4);
        assert_eq!(user_sid(&most), Some(&most[SID..SID + 24]), "as long as it says");
    }

    #[test]
    fn a_record_that_is_cut_anywhere_gives_no_sid() {
        let whole = token(|_, _| ());
        for len in 0..END {
            assert_eq!(user_sid(&whole[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_pointer_that_leaves_the_record_gives_no_sid() {
        for at in [0, HASH + 8, ATTRIBUTES] {
            for wild in [0, 1, u64::MAX, u64::MAX - 7] {
                assert_eq!(user_sid(&token(|token, _| put(token, at, wild))), None, "{wild:#x} at {at}");
            }
            for beside in [END as u64, END as u64 - 1, u64::MAX] {
                let wild = token(|token, start| put(token, at, start.wrapping_add(beside)));
                assert_eq!(user_sid(&wild), None, "{beside:#x} at {at}");
            }
        }
    }

    #[test]
    fn what_is_no_sid_gives_none() {
        assert_eq!(user_sid(&token(|token, _| token[HASH] = 0)), None, "no entries");
        for revision in [0, 2, 255] {
            assert_eq!(user_sid(&token(|token, _| token[SID] = revision)), None);
        }
        for sub_authorities in [6, 15, 16, 255] {
            assert_eq!(user_sid(&token(|token, _| token[SID + 1] = sub_authorities)), None);
        }
    }
}
