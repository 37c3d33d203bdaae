//! The drive letters of this machine, and its system folder.
//!
//! Neighbours: `crate::paths` works with the result.

use super::wide;
use crate::paths::Volumes;
use std::ptr;
use windows_sys::Win32::Storage::FileSystem::QueryDosDeviceW;
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

/// Room for one target; longer ones do not belong to drives.
const TARGET_CHARS: u32 = 1024;

/// The drive letters and the device each stands for. A letter that cannot be read is left out.
pub fn volumes() -> Volumes {
    let targets: Vec<(char, String)> =
        ('A'..='Z').filter_map(|letter| target(letter).map(|target| (letter, target))).collect();
    Volumes::new(targets.iter().map(|(letter, target)| (*letter, target.as_str())))
}

/// The folder of the system's own programs, such as `C:\Windows\System32`.
pub fn system_directory() -> Option<String> {
    // SAFETY: `GetSystemDirectoryW` needs a buffer of the length it is told: none, and 0. It gives the length needed.
    let needed = unsafe { GetSystemDirectoryW(ptr::null_mut(), 0) };
    let mut text = vec![0; needed as usize];
    // SAFETY: as above; `text` has room for `needed` characters.
    let len = unsafe { GetSystemDirectoryW(text.as_mut_ptr(), needed) };
    let text = text.get(..len as usize)?;
    (!text.is_empty()).then(|| String::from_utf16_lossy(text))
}

/// What a drive stands for now: the first of the targets, which end with NUL each.
fn target(letter: char) -> Option<String> {
    let drive = wide(&format!("{letter}:"));
    let mut targets = [0; TARGET_CHARS as usize];
    // SAFETY: `QueryDosDeviceW` needs
    // 1. a name that ends with NUL: `wide` makes it so;
    // 2. a buffer of the length it is told: `targets` has `TARGET_CHARS` characters.
    let len = unsafe { QueryDosDeviceW(drive.as_ptr(), targets.as_mut_ptr(), TARGET_CHARS) };
    let first = targets.get(..len as usize)?.split(|c| *c == 0).next()?;
    (!first.is_empty()).then(|| String::from_utf16_lossy(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_folder_is_on_a_drive_whose_device_is_known() {
        let folder = system_directory().unwrap();
        let volumes = volumes();
        let canonical = volumes.canonical(&folder);
        assert!(canonical.starts_with(r"\device\") && canonical.ends_with(r"\system32"), "{canonical}");
        assert!(volumes.display(&canonical).eq_ignore_ascii_case(&folder), "{canonical}");
    }
}
