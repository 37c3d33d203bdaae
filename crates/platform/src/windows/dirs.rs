//! Folders below `%ProgramData%`: where the system says that is, whatever the environment of this program says.
//!
//! That folder lets every user create folders in it, and what a user created the user owns. So ours get an owner and an
//! access list of their own, which nothing above changes. Neighbours: `linux::dirs` is the twin, with the same names;
//! `crate::dirs` says who may read what.

use super::security::{ADMINISTRATORS, Descriptor, Sid, text_at};
use super::{os_error, system_directory, wide};
use crate::dirs::{Environment, Readers};
use std::path::{Path, PathBuf};
use std::{env, fs, io, ptr};
use windows_sys::Win32::Foundation::S_OK;
use windows_sys::Win32::Security as sec;
use windows_sys::Win32::Security::Authorization::{SE_FILE_OBJECT, SetNamedSecurityInfoW};
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
pub fn create(folder: &Path, readers: Readers) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // A link would lead the service to write where another wants it to.
    if fs::symlink_metadata(folder)?.is_symlink() {
        let why = format!("{} is a link", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
    }
    let path = folder.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let descriptor = Descriptor::from_text(match readers {
        Readers::Everybody => READABLE,
        Readers::Nobody => PRIVATE,
    })?;
    let (path, list, owner) = (wide(path), descriptor.access_list()?, Sid::parse(ADMINISTRATORS)?);
    set(&path, sec::DACL_SECURITY_INFORMATION | sec::PROTECTED_DACL_SECURITY_INFORMATION, ptr::null_mut(), list)?;
    set(&path, sec::OWNER_SECURITY_INFORMATION, owner.as_ptr(), ptr::null())
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
