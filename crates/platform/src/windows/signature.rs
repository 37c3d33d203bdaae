//! Who signed a file: the signature in it, or in a catalog of the system (learn.microsoft.com WinVerifyTrust).
//!
//! Nothing is asked of a person or of the network: revocation is not checked, and what is not on this machine is not
//! fetched, since that connection might wait for the very decision that waits for us.
//!
//! Invariants: what is verified is the open file, which nobody can write to meanwhile; a state that is opened is closed.
//! Neighbours: `crate::process` has the contract.

use super::wide;
use crate::process::PublisherError;
use std::fs::{File, OpenOptions};

use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::{mem, ptr};
use windows_sys::Win32::Foundation::{FALSE, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Security::Cryptography as crypt;
use windows_sys::Win32::Security::Cryptography::Catalog as cat;
use windows_sys::Win32::Security::WinTrust as trust;
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_DELETE, FILE_SHARE_READ};
use windows_sys::Win32::System::LibraryLoader::{GetProcAddress, LoadLibraryW};
use windows_sys::core::BOOL;

/// The attribute "common name" of a subject (X.520).
const COMMON_NAME: &[u8] = b"2.5.4.3\0";
/// The longest common name that is read (X.520 allows 64 characters).
const NAME_CHARS: usize = 256;
/// The longest hash that a catalog names files by.
const HASH_BYTES: usize = 64;
/// How many catalogs with the same file are tried.
const MAX_CATALOGS: usize = 8;

/// Who signed the file at `path`: the subject's common name. `None`: nobody whom this machine trusts.
pub fn publisher(path: &str) -> Result<Option<String>, PublisherError> {
    // Without the right to write for others, so that what is verified stays what it is.
    let file = OpenOptions::new().read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE).open(path);
    let file = file.map_err(|source| PublisherError { path: path.to_owned(), source })?;
    Ok(embedded(path, &file).or_else(|| in_catalog(path, &file)))
}

/// The signer of the signature in the file.
fn embedded(path: &str, file: &File) -> Option<String> {
    let path = wide(path);
    let mut subject = trust::WINTRUST_FILE_INFO {
        cbStruct: size_of::<trust::WINTRUST_FILE_INFO>() as u32,
        pcwszFilePath: path.as_ptr(),
        hFile: file.as_raw_handle(),
        pgKnownSubject: ptr::null_mut(),
    };
    let union = trust::WINTRUST_DATA_0 { pFile: &raw mut subject };
    // SAFETY: `subject` and what it points to live until the end of this function.
    unsafe { verify(trust::WTD_CHOICE_FILE, union) }
}

/// The signer of a catalog that names the file.
fn in_catalog(path: &str, file: &File) -> Option<String> {
    let admin = Admin::acquire()?;
    let hash = admin.hash(file)?;
    let tag: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    let (tag, path) = (wide(&tag), wide(path));
    let mut previous = 0;
    for _ in 0..MAX_CATALOGS {
        // SAFETY: `CryptCATAdminEnumCatalogFromHash` needs an open administrator context, a hash of the length it is
        // told, and the catalog it gave last, which it closes, or 0.
        let catalog = unsafe {
            cat::CryptCATAdminEnumCatalogFromHash(admin.0, hash.as_ptr(), hash.len() as u32, 0, &raw mut previous)
        };
        if catalog == 0 {
            return None;
        }
        previous = catalog;
        let mut info = cat::CATALOG_INFO { cbStruct: size_of::<cat::CATALOG_INFO>() as u32, wszCatalogFile: [0; 260] };
        // SAFETY: `CryptCATCatalogInfoFromContext` needs an open catalog, and room for its description.
        let ok = unsafe { cat::CryptCATCatalogInfoFromContext(catalog, &raw mut info, 0) };
        let found = if ok == FALSE {
            None
        } else {
            let mut subject = trust::WINTRUST_CATALOG_INFO {
                cbStruct: size_of::<trust::WINTRUST_CATALOG_INFO>() as u32,
                pcwszCatalogFilePath: info.wszCatalogFile.as_ptr(),
                pcwszMemberTag: tag.as_ptr(),
                pcwszMemberFilePath: path.as_ptr(),
                hMemberFile: file.as_raw_handle(),
                pbCalculatedFileHash: hash.as_ptr().cast_mut(),
                cbCalculatedFileHash: hash.len() as u32,
                hCatAdmin: admin.0,
                ..trust::WINTRUST_CATALOG_INFO::default()
            };
            let union = trust::WINTRUST_DATA_0 { pCatalog: &raw mut subject };
            // SAFETY: `subject` and what it points to live until after the call.
            unsafe { verify(trust::WTD_CHOICE_CATALOG, union) }
        };
        if found.is_some() {
            // SAFETY: `CryptCATAdminReleaseCatalogContext` needs both contexts open; the catalog is not used afterwards.
            unsafe { cat::CryptCATAdminReleaseCatalogContext(admin.0, catalog, 0) };
            return found;
        }
    }
    // SAFETY: as above; the last catalog was not closed by a further search.
    unsafe { cat::CryptCATAdminReleaseCatalogContext(admin.0, previous, 0) };
    None
}

/// Verifies a subject; gives its signer's name if this machine trusts the signature.
///
/// # Safety
/// `subject` is of the kind that `choice` says, and valid with all it points to.
unsafe fn verify(choice: trust::WINTRUST_DATA_UNION_CHOICE, subject: trust::WINTRUST_DATA_0) -> Option<String> {
    let mut data = trust::WINTRUST_DATA {
        cbStruct: size_of::<trust::WINTRUST_DATA>() as u32,
        dwUIChoice: trust::WTD_UI_NONE,
        fdwRevocationChecks: trust::WTD_REVOKE_NONE,
        dwUnionChoice: choice,
        Anonymous: subject,
        dwStateAction: trust::WTD_STATEACTION_VERIFY,
        dwProvFlags: trust::WTD_CACHE_ONLY_URL_RETRIEVAL | trust::WTD_DISABLE_MD2_MD4,
        ..trust::WINTRUST_DATA::default()
    };
    let mut action = trust::WINTRUST_ACTION_GENERIC_VERIFY_V2;
    let nobody: HANDLE = INVALID_HANDLE_VALUE;
    // SAFETY: `WinVerifyTrust` needs no window, which INVALID_HANDLE_VALUE says, an action's GUID, and the data that goes
    // with it, whose subject the caller vouches for.
    let status = unsafe { trust::WinVerifyTrust(nobody, &raw mut action, (&raw mut data).cast()) };
    let signer = if status == 0 { signer(data.hWVTStateData) } else { None };
    data.dwStateAction = trust::WTD_STATEACTION_CLOSE;
    // SAFETY: as above; this closes the state that the first call opened.
    unsafe { trust::WinVerifyTrust(nobody, &raw mut action, (&raw mut data).cast()) };
    signer
}

/// The name of the first signer in an open state of a verification that succeeded.
fn signer(state: HANDLE) -> Option<String> {
    // SAFETY: `WTHelperProvDataFromStateData` needs an open state, which the caller has.
    let provider = unsafe { trust::WTHelperProvDataFromStateData(state) };
    if provider.is_null() {
        return None;
    }
    // SAFETY: `WTHelperGetProvSignerFromChain` needs the provider's data: not null, and valid while the state is open.
    let signer = unsafe { trust::WTHelperGetProvSignerFromChain(provider, 0, FALSE, 0) };
    // SAFETY: a signer that is not null is valid while the state is open.
    let signer = unsafe { signer.as_ref() }?;
    // SAFETY: as above; the first certificate of its chain is the signer's own.
    let certificate = unsafe { signer.pasCertChain.as_ref() }.filter(|_| signer.csCertChain > 0)?;
    let mut name = [0_u16; NAME_CHARS];
    // SAFETY: `CertGetNameStringW` needs a certificate, valid while the state is open, for this kind of name an object
    // identifier that ends with NUL, and room for as many characters as it is told.
    let chars = unsafe {
        crypt::CertGetNameStringW(
            certificate.pCert,
            crypt::CERT_NAME_ATTR_TYPE,
            0,
            COMMON_NAME.as_ptr().cast(),
            name.as_mut_ptr(),
            NAME_CHARS as u32,
        )
    };
    // The NUL counts; alone it means that there is no such name.
    let length = (chars as usize).checked_sub(1).filter(|length| *length > 0)?;
    Some(String::from_utf16_lossy(name.get(..length)?))
}

/// The system's catalogs, searched by SHA-256.
struct Admin(isize);

/// `CryptCATAdminCalcHashFromFileHandle2`. Looked up when it is needed: Wine has no such function.
type CalcHash = unsafe extern "system" fn(isize, HANDLE, *mut u32, *mut u8, u32) -> BOOL;

impl Admin {
    fn acquire() -> Option<Self> {
        let mut admin = 0;
        let algorithm = wide("SHA256");
        // SAFETY: `CryptCATAdminAcquireContext2` needs room for a handle, null for every subsystem, an algorithm's name
        // that ends with NUL, and null for no further policy.
        let ok = unsafe {
            cat::CryptCATAdminAcquireContext2(&raw mut admin, ptr::null(), algorithm.as_ptr(), ptr::null(), 0)
        };
        (ok != FALSE).then_some(Self(admin))
    }

    fn hash(&self, file: &File) -> Option<Vec<u8>> {
        let library = wide("wintrust.dll");
        // SAFETY: `LoadLibraryW` needs a name that ends with NUL. This library is in this process already, so that no
        // file is searched for.
        let library = unsafe { LoadLibraryW(library.as_ptr()) };
        // SAFETY: `GetProcAddress` needs a library, or null, for which it finds nothing of that name.
        let found = unsafe { GetProcAddress(library, c"CryptCATAdminCalcHashFromFileHandle2".as_ptr().cast()) }?;
        // SAFETY: the function of that name has this type (learn.microsoft.com
        // CryptCATAdminCalcHashFromFileHandle2).
        let calc_hash = unsafe { mem::transmute::<unsafe extern "system" fn() -> isize, CalcHash>(found) };
        let mut hash = vec![0; HASH_BYTES];
        let mut bytes = HASH_BYTES as u32;
        // SAFETY: it needs an open administrator context, an open file, and room for as many bytes as it is told.
        let ok = unsafe { calc_hash(self.0, file.as_raw_handle(), &raw mut bytes, hash.as_mut_ptr(), 0) };
        hash.truncate(bytes as usize);
        (ok != FALSE).then_some(hash)
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // SAFETY: `CryptCATAdminReleaseContext` needs an open context that nobody uses afterwards: `self` owns it.
        unsafe { cat::CryptCATAdminReleaseContext(self.0, 0) };
    }
}
