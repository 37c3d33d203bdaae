//! Who may open what: access control lists as the machine keeps them.

use std::fmt::Write;

use nt_sys::se::{
    ACCESS_ALLOWED_ACE, ACCESS_ALLOWED_ACE_TYPE, ACL, FILE_ALL_ACCESS, FILE_GENERIC_EXECUTE, FILE_GENERIC_READ,
    FILE_GENERIC_WRITE, GENERIC_ALL, GENERIC_EXECUTE, GENERIC_READ, GENERIC_WRITE, SE_DACL_PRESENT, SE_DACL_PROTECTED,
    SECURITY_DESCRIPTOR,
};
use nt_sys::types::ACCESS_MASK;

use crate::rtl;

/// A discretionary access control list whose entries all grant.
#[derive(Clone, Debug)]
pub(crate) struct Dacl {
    protected: bool,
    entries: Vec<(ACCESS_MASK, Sid)>,
}

/// A security identifier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sid(Vec<u8>);

impl Sid {
    pub(crate) fn new(authority: u8, subauthorities: &[u32]) -> Self {
        let mut bytes = vec![1, subauthorities.len() as u8, 0, 0, 0, 0, 0, authority];
        bytes.extend(subauthorities.iter().flat_map(|part| part.to_le_bytes()));
        Self(bytes)
    }

    /// # Safety
    /// `sid` is a valid identifier.
    unsafe fn read(sid: *const u8) -> Self {
        // SAFETY: the caller's promise.
        let length = unsafe { rtl::sid_length(sid.cast()) };
        // SAFETY: the caller's promise: an identifier has that length.
        Self(unsafe { std::slice::from_raw_parts(sid, length) }.to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// `S-1-…`.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("S-{}-{}", self.0[0], self.0[7]);
        for part in self.0[8..].chunks_exact(4) {
            let value = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
            write!(text, "-{value}").expect("a string takes text");
        }
        text
    }

    /// The two letters of the security descriptor definition language, where there are some.
    fn sddl(&self) -> String {
        match self.text().as_str() {
            "S-1-5-18" => "SY".to_owned(),
            "S-1-5-32-544" => "BA".to_owned(),
            "S-1-5-32-545" => "BU".to_owned(),
            "S-1-1-0" => "WD".to_owned(),
            other => other.to_owned(),
        }
    }
}

impl Dacl {
    /// The list of a descriptor: none when it has none, which lets everybody in.
    ///
    /// # Safety
    /// `descriptor` is an absolute descriptor with a valid list.
    pub(crate) unsafe fn read(descriptor: *const SECURITY_DESCRIPTOR) -> Option<Self> {
        // SAFETY: the caller's promise.
        let descriptor = unsafe { &*descriptor };
        if descriptor.Control & SE_DACL_PRESENT == 0 || descriptor.Dacl.is_null() {
            return None;
        }
        // SAFETY: the caller's promise.
        let acl = unsafe { descriptor.Dacl.read() };
        let mut entries = Vec::new();
        let mut at = size_of::<ACL>();
        for _ in 0..acl.AceCount {
            let place = descriptor.Dacl.cast::<u8>().wrapping_add(at);
            // SAFETY: the caller's promise: entries follow each other within the list.
            let ace = unsafe { place.cast::<ACCESS_ALLOWED_ACE>().read_unaligned() };
            if ace.Header.AceType == ACCESS_ALLOWED_ACE_TYPE {
                // SAFETY: as above: a granting entry ends with its identifier.
                entries.push((ace.Mask, unsafe { Sid::read(place.wrapping_add(8)) }));
            }
            at += usize::from(ace.Header.AceSize);
        }
        Some(Self { protected: descriptor.Control & SE_DACL_PROTECTED != 0, entries })
    }

    pub(crate) fn protect(&mut self) {
        self.protected = true;
    }

    /// Whether the list grants all of `desired` to somebody who is all of `sids`.
    pub(crate) fn grants(&self, desired: ACCESS_MASK, sids: &[Sid]) -> bool {
        let granted =
            self.entries.iter().filter(|(_, sid)| sids.contains(sid)).fold(0, |all, (mask, _)| all | map(*mask));
        map(desired) & !granted == 0
    }

    /// The list in the security descriptor definition language.
    pub(crate) fn sddl(&self) -> String {
        let mut text = if self.protected { "D:P".to_owned() } else { "D:".to_owned() };
        for (mask, sid) in &self.entries {
            let rights = match *mask {
                GENERIC_ALL => "GA".to_owned(),
                FILE_ALL_ACCESS => "FA".to_owned(),
                other => format!("{other:#x}"),
            };
            write!(text, "(A;;{rights};;;{})", sid.sddl()).expect("a string takes text");
        }
        text
    }
}

/// Replaces generic rights by the specific ones of files and devices.
pub(crate) fn map(mask: ACCESS_MASK) -> ACCESS_MASK {
    let generic = [
        (GENERIC_ALL, FILE_ALL_ACCESS),
        (GENERIC_READ, FILE_GENERIC_READ),
        (GENERIC_WRITE, FILE_GENERIC_WRITE),
        (GENERIC_EXECUTE, FILE_GENERIC_EXECUTE),
    ];
    generic.iter().fold(
        mask,
        |mask, (generic, specific)| {
            if mask & generic == 0 { mask } else { mask & !generic | specific }
        },
    )
}
