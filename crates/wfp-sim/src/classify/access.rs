//! Conditions on a user: the access check of a security descriptor against the SIDs of a token.
//!
//! Invariant: a descriptor is self-relative and comes from a caller, so every offset in it is checked; what does not parse
//! grants nothing.

use nt_sys::fwp::FWP_ACTRL_MATCH_FILTER;
use nt_sys::se::{ACCESS_ALLOWED_ACE_TYPE, SE_DACL_PRESENT};

const ACCESS_DENIED_ACE_TYPE: u8 = 1;
const CONTROL: usize = 2;
const DACL_OFFSET: usize = 16;
const ACL_ACE_COUNT: usize = 4;
const ACL_HEAD: usize = 8;
const ACE_SIZE: usize = 2;
const ACE_MASK: usize = 4;
const ACE_SID: usize = 8;

/// Whether the descriptor grants `FWP_ACTRL_MATCH_FILTER` to a token with these SIDs.
pub(super) fn grants_match(descriptor: &[u8], sids: &[Vec<u8>]) -> bool {
    check(descriptor, sids).unwrap_or(false)
}

fn check(descriptor: &[u8], sids: &[Vec<u8>]) -> Option<bool> {
    let dacl = usize::try_from(u32_at(descriptor, DACL_OFFSET)?).ok()?;
    if u16_at(descriptor, CONTROL)? & SE_DACL_PRESENT == 0 || dacl == 0 {
        return Some(true);
    }
    let acl = descriptor.get(dacl..)?;
    let mut rest = acl.get(ACL_HEAD..)?;
    for _ in 0..u16_at(acl, ACL_ACE_COUNT)? {
        let ace = rest.get(..usize::from(u16_at(rest, ACE_SIZE)?))?;
        rest = rest.get(ace.len()..)?;
        let mask = u32_at(ace, ACE_MASK)?;
        let names_token = sids.iter().any(|sid| ace.get(ACE_SID..).is_some_and(|bytes| bytes.starts_with(sid)));
        if !names_token || mask & FWP_ACTRL_MATCH_FILTER == 0 {
            continue;
        }
        match *ace.first()? {
            ACCESS_ALLOWED_ACE_TYPE => return Some(true),
            ACCESS_DENIED_ACE_TYPE => return Some(false),
            _ => {}
        }
    }
    Some(false)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
