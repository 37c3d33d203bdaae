//! Security identifiers, tokens, and descriptors made of text.
//!
//! Invariants: a [`Sid`] is a copy that owns its bytes; what Windows allocates is freed by its owner. Neighbours: `ipc`,
//! `dirs`, `process` ask.

use super::{last_error, os_error, wide};
use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use windows_sys::Win32::Foundation::{FALSE, HANDLE, LocalFree};
use windows_sys::Win32::Security as sec;
use windows_sys::Win32::Security::Authorization as auth;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// SYSTEM (learn.microsoft.com "Well-known SIDs").
pub(super) const SYSTEM: &str = "S-1-5-18";
/// The group BUILTIN\Administrators.
pub(super) const ADMINISTRATORS: &str = "S-1-5-32-544";

/// The longest SID, in words of four bytes (`SECURITY_MAX_SID_SIZE` is 68 bytes).
const SID_WORDS: usize = 17;
/// Room for an account's name, and for its domain's.
const NAME_CHARS: usize = 512;

/// A security identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sid([u32; SID_WORDS]);

impl Sid {
    /// Copies the SID at `sid`.
    ///
    /// # Safety
    /// `sid` points to a valid SID.
    pub(super) unsafe fn copy(sid: sec::PSID) -> io::Result<Self> {
        let mut words = [0; SID_WORDS];
        // SAFETY: `CopySid` needs
        // 1. room of the size it is told: `words`, aligned as a SID is;
        // 2. a valid SID: the caller gives one.
        let ok = unsafe { sec::CopySid(size_of_val(&words) as u32, words.as_mut_ptr().cast(), sid) };
        done(ok)?;
        Ok(Self(words))
    }

    /// Reads the form `S-1-5-18`.
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let text = wide(text);
        let mut sid = ptr::null_mut();
        // SAFETY: `ConvertStringSidToSidW` needs a text that ends with NUL, and room for a pointer.
        let ok = unsafe { auth::ConvertStringSidToSidW(text.as_ptr(), &raw mut sid) };
        done(ok)?;
        let sid = Local(sid);
        // SAFETY: the call above made a valid SID.
        unsafe { Self::copy(sid.0) }
    }

    /// The SID of a group: by name, or in the form `S-1-5-18`. `None`: there is no such group. A user or a computer that is
    /// called so is none.
    pub(super) fn of_group(name: &str) -> Option<Self> {
        if let Ok(sid) = Self::parse(name) {
            return Some(sid);
        }
        let name = wide(name);
        let mut words = [0_u32; SID_WORDS];
        let mut bytes = size_of_val(&words) as u32;
        let mut domain = [0_u16; NAME_CHARS];
        let mut domain_chars = NAME_CHARS as u32;
        let mut kind = 0;
        // SAFETY: `LookupAccountNameW` needs
        // 1. null for this machine, and a name that ends with NUL;
        // 2. room for a SID and for a domain's name, of the sizes it is told.
        let ok = unsafe {
            sec::LookupAccountNameW(
                ptr::null(),
                name.as_ptr(),
                words.as_mut_ptr().cast(),
                &raw mut bytes,
                domain.as_mut_ptr(),
                &raw mut domain_chars,
                &raw mut kind,
            )
        };
        let is_group = [sec::SidTypeGroup, sec::SidTypeAlias, sec::SidTypeWellKnownGroup].contains(&kind);
        (ok != FALSE && is_group).then_some(Self(words))
    }

    /// For calls that read a SID, and take a pointer that could be written through.
    pub(super) fn as_ptr(&self) -> sec::PSID {
        self.0.as_ptr().cast::<c_void>().cast_mut()
    }

    /// The form `S-1-5-18`.
    pub(super) fn text(&self) -> io::Result<String> {
        let mut text = ptr::null_mut();
        // SAFETY: `ConvertSidToStringSidW` needs a valid SID, which `self` is, and room for a pointer.
        let ok = unsafe { auth::ConvertSidToStringSidW(self.as_ptr(), &raw mut text) };
        done(ok)?;
        let owned = Local(text.cast());
        // SAFETY: the call above made a text that ends with NUL.
        Ok(unsafe { text_at(owned.0.cast()) })
    }

    /// `DOMAIN\name`. May ask a domain controller.
    pub(super) fn name(&self) -> Option<String> {
        let mut name = [0_u16; NAME_CHARS];
        let mut domain = [0_u16; NAME_CHARS];
        let (mut name_chars, mut domain_chars, mut kind) = (NAME_CHARS as u32, NAME_CHARS as u32, 0);
        // SAFETY: `LookupAccountSidW` needs null for this machine, a valid SID, which `self` is, and room for two names of
        // the lengths it is told.
        let ok = unsafe {
            sec::LookupAccountSidW(
                ptr::null(),
                self.as_ptr(),
                name.as_mut_ptr(),
                &raw mut name_chars,
                domain.as_mut_ptr(),
                &raw mut domain_chars,
                &raw mut kind,
            )
        };
        if ok == FALSE {
            return None;
        }
        let name = String::from_utf16_lossy(name.get(..name_chars as usize)?);
        let domain = String::from_utf16_lossy(domain.get(..domain_chars as usize)?);
        Some(if domain.is_empty() { name } else { format!(r"{domain}\{name}") })
    }
}

/// Who a token is for. The token must allow queries.
pub(super) fn user_of(token: &OwnedHandle) -> io::Result<Sid> {
    let mut room = [0_u64; 32];
    let mut needed = 0;
    // SAFETY: `GetTokenInformation` needs a token that allows queries, which the caller gives, and room of the size it is
    // told: `room`, aligned for any structure, has more than a `TOKEN_USER` and the longest SID.
    let ok = unsafe {
        sec::GetTokenInformation(
            token.as_raw_handle(),
            sec::TokenUser,
            room.as_mut_ptr().cast(),
            size_of_val(&room) as u32,
            &raw mut needed,
        )
    };
    done(ok)?;
    // SAFETY: the call above wrote a `TOKEN_USER` at the start of `room`.
    let user = unsafe { room.as_ptr().cast::<sec::TOKEN_USER>().read() };
    // SAFETY: its SID is valid, and within `room`.
    unsafe { Sid::copy(user.User.Sid) }
}

/// Whether the group `sid` is enabled in an impersonation token that allows queries; `None` is for the calling thread.
pub(super) fn is_member(token: Option<&OwnedHandle>, sid: &Sid) -> io::Result<bool> {
    let mut answer = FALSE;
    let token = token.map_or(ptr::null_mut(), AsRawHandle::as_raw_handle);
    // SAFETY: `CheckTokenMembership` needs an impersonation token that allows queries, which the caller gives, or null, a
    // valid SID, and room for a BOOL.
    let ok = unsafe { sec::CheckTokenMembership(token, sid.as_ptr(), &raw mut answer) };
    done(ok)?;
    Ok(answer != FALSE)
}

/// The token of a process, for queries.
///
/// # Safety
/// `process` is an open process handle, or the pseudo handle of this process.
pub(super) unsafe fn token_of(process: HANDLE) -> io::Result<OwnedHandle> {
    let mut token = ptr::null_mut();
    // SAFETY: `OpenProcessToken` needs a process handle, which the caller gives, and room for a handle.
    let ok = unsafe { OpenProcessToken(process, sec::TOKEN_QUERY, &raw mut token) };
    done(ok)?;
    // SAFETY: `token` is a new handle that nobody else owns.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// The user of this process.
pub(super) fn current_user() -> io::Result<Sid> {
    // SAFETY: `GetCurrentProcess` has no preconditions.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: that is the pseudo handle of this process.
    let token = unsafe { token_of(process) }?;
    user_of(&token)
}

/// A security descriptor.
pub(super) struct Descriptor(Local);

// SAFETY: it is memory that belongs to the process, and is only read.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// From text (learn.microsoft.com "Security Descriptor String Format").
    pub(super) fn from_text(text: &str) -> io::Result<Self> {
        let text = wide(text);
        let mut descriptor = ptr::null_mut();
        // SAFETY: `ConvertStringSecurityDescriptorToSecurityDescriptorW` needs a text that ends with NUL, room for a
        // pointer, and null for the length, which is not wanted.
        let ok = unsafe {
            auth::ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                auth::SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        done(ok)?;
        Ok(Self(Local(descriptor)))
    }

    /// What calls that create things take. Valid while `self` is.
    pub(super) fn attributes(&self) -> sec::SECURITY_ATTRIBUTES {
        sec::SECURITY_ATTRIBUTES {
            nLength: size_of::<sec::SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: FALSE,
        }
    }

    /// Its discretionary access control list. Valid while `self` is.
    pub(super) fn access_list(&self) -> io::Result<*const sec::ACL> {
        let (mut is_present, mut is_default, mut list) = (FALSE, FALSE, ptr::null_mut());
        // SAFETY: `GetSecurityDescriptorDacl` needs a valid descriptor, which `self` is, and room for its answers.
        let ok = unsafe {
            sec::GetSecurityDescriptorDacl(self.0.0, &raw mut is_present, &raw mut list, &raw mut is_default)
        };
        done(ok)?;
        Ok(list)
    }
}

/// The owner of a kernel object. The handle must allow to read its control information.
pub(super) fn owner_of(object: &OwnedHandle) -> io::Result<Sid> {
    let (mut owner, mut descriptor) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: `GetSecurityInfo` needs an open handle, and room for what is asked; null is for what is not.
    let code = unsafe {
        auth::GetSecurityInfo(
            object.as_raw_handle(),
            auth::SE_KERNEL_OBJECT,
            sec::OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if code != 0 {
        return Err(os_error(code));
    }
    let _descriptor = Local(descriptor);
    // SAFETY: the owner is a valid SID within the descriptor, which lives until the end of this function.
    unsafe { Sid::copy(owner) }
}

/// Memory that Windows allocated with `LocalAlloc`.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: `LocalFree` needs a pointer from `LocalAlloc` that nobody uses afterwards: every `Local` owns one that
        // a call documented so has given.
        unsafe { LocalFree(self.0) };
    }
}

/// The text that begins at `text`.
///
/// # Safety
/// It ends with NUL.
pub(super) unsafe fn text_at(text: *const u16) -> String {
    let mut length = 0;
    loop {
        // SAFETY: `length` is at most that of the text, so this is one of its characters, or the NUL.
        let at = unsafe { text.add(length) };
        // SAFETY: as above.
        if unsafe { at.read() } == 0 {
            break;
        }
        length += 1;
    }
    // SAFETY: `length` characters were read above.
    let characters = unsafe { std::slice::from_raw_parts(text, length) };
    String::from_utf16_lossy(characters)
}

/// Turns a `BOOL` into a result.
pub(super) fn done(ok: windows_sys::core::BOOL) -> io::Result<()> {
    if ok == FALSE { Err(os_error(last_error())) } else { Ok(()) }
}
