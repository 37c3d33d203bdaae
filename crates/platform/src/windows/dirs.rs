//! Folders below `%ProgramData%`: where the system says that is, whatever the environment of this program says.
//!
//! That folder lets every user create folders in it, and what a user created the user owns. So ours get an owner and an
//! access list of their own, which nothing above changes. Neighbours: `linux::dirs` is the twin, with the same names;
//! `crate::dirs` says who may read what.

use super::security::{ADMINISTRATORS, Descriptor, SYSTEM, Sid, current_user, done, owner_of, text_at};
use super::{os_error, system_directory, wide};
use crate::dirs::{Environment, Readers};
use std::fs::OpenOptions;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io, ptr};
use windows_sys::Win32::Foundation::S_OK;
use windows_sys::Win32::Security as sec;
use windows_sys::Win32::Security::Authorization::{SE_FILE_OBJECT, SetNamedSecurityInfoW};
use windows_sys::Win32::Storage::FileSystem::{
    CreateDirectoryW, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, READ_CONTROL,
};
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::UI::Shell::{FOLDERID_ProgramData, KF_FLAG_DEFAULT, SHGetKnownFolderPath};

/// SYSTEM and administrators everything, handed down to what is inside; others nothing.
const PRIVATE: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";
/// The same, and everybody of this machine may read.
const READABLE: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FRFX;;;BU)";

/// Variables that mean the same for every user and process.
const VARIABLES: [&str; 7] =
    ["PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMW6432", "PUBLIC", "SYSTEMDRIVE", "SYSTEMROOT"];

/// The configuration file.
pub fn config_file() -> PathBuf {
    base().join("tollgate.toml")
}

/// The directory of rules.
pub fn rules() -> PathBuf {
    base().join("rules")
}

/// The directory of state.
pub fn state() -> PathBuf {
    base().join("state")
}

/// Creates a folder with all above it, or sets the access of one that is there.
///
/// # Errors
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) when one is there that somebody else made: what is in it would be
/// taken for ours.
pub fn create(folder: &Path, readers: Readers) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    let path = folder.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let descriptor = Descriptor::from_text(match readers {
        Readers::Everybody => READABLE,
        Readers::Nobody => PRIVATE,
    })?;
    let (path, list, owner) = (wide(path), descriptor.access_list()?, Sid::parse(ADMINISTRATORS)?);
    let attributes = descriptor.attributes();
    // With its access from the first moment on: in one that had that of the folder above, everybody could put files.
    // SAFETY: `CreateDirectoryW` needs a path that ends with NUL, and attributes whose descriptor is valid: it is bound
    // above.
    if let Err(error) = done(unsafe { CreateDirectoryW(path.as_ptr(), &raw const attributes) }) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        refuse_foreign(folder)?;
    }
    set(&path, sec::DACL_SECURITY_INFORMATION | sec::PROTECTED_DACL_SECURITY_INFORMATION, ptr::null_mut(), list)?;
    set(&path, sec::OWNER_SECURITY_INFORMATION, owner.as_ptr(), ptr::null())
}

/// Refuses a link, which would lead the service to where another wants it, and a folder that a user made before us.
fn refuse_foreign(folder: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.is_symlink() || !found.is_dir() {
        let why = format!("{} is not a folder", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
    }
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
    let opened = OpenOptions::new().access_mode(READ_CONTROL).custom_flags(flags).open(folder)?;
    let owner = owner_of(&opened.into())?;
    if [Sid::parse(SYSTEM)?, Sid::parse(ADMINISTRATORS)?, current_user()?].contains(&owner) {
        return Ok(());
    }
    let owner = owner.name().or_else(|| owner.text().ok()).unwrap_or_default();
    let why = format!(
        "{} belongs to {owner}, who may have put anything there: look at what is in it, then remove it or make the \
         administrators its owner",
        folder.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// Creates a folder of the caller's own with all above it, with the access that is handed down there. One that is there
/// keeps its access.
pub fn create_own(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// What rules must know about this machine.
pub fn environment() -> Environment {
    let value = |name: &str| env::var(name).ok().map(|value| (name.to_owned(), value));
    let windows = system_directory().and_then(|system| Some(PathBuf::from(system).parent()?.to_str()?.to_owned()));
    let mut variables: Vec<_> = VARIABLES.into_iter().filter_map(value).collect();
    let data = program_data().to_str().map(str::to_owned);
    variables.extend(data.map(|data| ("PROGRAMDATA".to_owned(), data)));
    variables.extend(windows.map(|windows| ("WINDIR".to_owned(), windows)));
    // The service Dnscache, which resolves for all programs, runs in one of these.
    let resolver = system_directory().map(|system| format!(r"{system}\svchost.exe"));
    Environment { has_windows_paths: true, variables, resolver }
}

/// `%ProgramData%\Tollgate`.
fn base() -> PathBuf {
    program_data().join("Tollgate")
}

fn program_data() -> PathBuf {
    let mut path = ptr::null_mut();
    // SAFETY: `SHGetKnownFolderPath` needs the id of a folder, null for the folder of no user in particular, and room for a
    // pointer.
    let code =
        unsafe { SHGetKnownFolderPath(&FOLDERID_ProgramData, KF_FLAG_DEFAULT as u32, ptr::null_mut(), &raw mut path) };
    let folder = if code == S_OK {
        // SAFETY: the call above made a text that ends with NUL.
        unsafe { text_at(path) }
    } else {
        r"C:\ProgramData".to_owned()
    };
    // SAFETY: `CoTaskMemFree` needs what the call above allocated, or null, used no more.
    unsafe { CoTaskMemFree(path.cast()) };
    PathBuf::from(folder)
}

fn set(path: &[u16], what: u32, owner: sec::PSID, list: *const sec::ACL) -> io::Result<()> {
    // SAFETY: `SetNamedSecurityInfoW` needs a path that ends with NUL, and what `what` names, valid: `create` gives an
    // owner or a list that it keeps until this returns.
    let code = unsafe {
        SetNamedSecurityInfoW(path.as_ptr(), SE_FILE_OBJECT, what, owner, ptr::null_mut(), list, ptr::null())
    };
    if code == 0 { Ok(()) } else { Err(os_error(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_folders_are_in_one_that_every_process_finds() {
        let folder = base();
        assert!(folder.is_absolute() && folder.ends_with(r"ProgramData\Tollgate"), "{folder:?}");
        assert!([config_file(), rules(), state()].iter().all(|path| path.starts_with(&folder)));
    }

    #[test]
    fn a_folder_gets_its_access_whether_it_was_there_or_not() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("new");
        for readers in [Readers::Everybody, Readers::Nobody, Readers::Nobody] {
            create(&folder, readers).unwrap();
            fs::write(folder.join("file"), "text").unwrap();
        }
    }
}
