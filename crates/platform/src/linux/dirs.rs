//! The folders of the Filesystem Hierarchy Standard.
//!
//! Neighbours: `windows::dirs` is the twin, with the same names; `crate::dirs` says who may read what.

use crate::dirs::{Environment, Readers};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where systemd-resolved lives (man 8 systemd-resolved). It looks names up for the programs that ask it.
const RESOLVED: [&str; 2] = ["/usr/lib/systemd/systemd-resolved", "/lib/systemd/systemd-resolved"];

/// The configuration file.
pub fn config_file() -> PathBuf {
    PathBuf::from("/etc/tollgate/tollgate.toml")
}

/// The directory of rules.
pub fn rules() -> PathBuf {
    PathBuf::from("/etc/tollgate/rules")
}

/// The directory of state.
pub fn state() -> PathBuf {
    PathBuf::from("/var/lib/tollgate")
}

/// Creates a folder with all above it, or sets the access of one that is there.
pub fn create(folder: &Path, readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Everybody => 0o755,
        Readers::Nobody => 0o700,
    };
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => created?,
    }
    // A link would lead the service to write where another wants it to.
    if !fs::symlink_metadata(folder)?.is_dir() {
        let why = format!("{} is not a folder", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
    }
    fs::set_permissions(folder, Permissions::from_mode(mode))
}

/// Creates a folder of the caller's own with all above it, which nobody else may enter. One that is there keeps its access.
pub fn create_own(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// What rules must know about this machine.
pub fn environment() -> Environment {
    let resolver = RESOLVED.into_iter().filter_map(|path| fs::canonicalize(path).ok()).find_map(|path| {
        // The path that the kernel reports is the one without links.
        path.into_os_string().into_string().ok()
    });
    Environment { has_windows_paths: false, variables: Vec::new(), resolver }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn a_folder_gets_its_access_whether_it_was_there_or_not() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("deep").join("new");
        for (readers, mode) in [(Readers::Everybody, 0o755), (Readers::Nobody, 0o700)] {
            create(&folder, readers).unwrap();
            assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn a_folder_of_ones_own_is_private_and_one_that_is_there_keeps_its_access() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("deep").join("new");
        create_own(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(&folder, Permissions::from_mode(0o750)).unwrap();
        create_own(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o750);
    }

    #[test]
    fn a_link_in_place_of_a_folder_is_refused_and_its_target_left_alone() {
        let (above, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::set_permissions(other.path(), Permissions::from_mode(0o755)).unwrap();
        let link = above.path().join("state");
        symlink(other.path(), &link).unwrap();
        assert_eq!(create(&link, Readers::Nobody).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(fs::metadata(other.path()).unwrap().mode() & 0o7777, 0o755);
    }
}
