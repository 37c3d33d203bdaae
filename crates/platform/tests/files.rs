//! Files that are replaced as a whole.

use platform::files::replace;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

const TARGET: &str = "TOLLGATE_TEST_TARGET";
/// Enough that writing takes longer than starting to.
const LENGTH: usize = 1 << 20;
const KILLS: u32 = 12;

/// Not a test of its own: what the child does until it is killed.
#[test]
fn child() {
    if let Some(target) = env::var_os(TARGET) {
        for letter in [b'a', b'b'].into_iter().cycle() {
            replace(Path::new(&target), &vec![letter; LENGTH]).unwrap();
        }
    }
}

fn replacing(target: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child"]).env(TARGET, target).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_process_killed_in_the_middle_leaves_the_old_contents_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("answers.json");
    for kill in 0..KILLS {
        fs::write(&target, vec![b'o'; LENGTH]).unwrap();
        let mut child = replacing(&target);
        // Some are killed while they replace for the first time, the others later.
        let mut looks = 0;
        while looks < 50 * kill && fs::read(&target).is_ok_and(|bytes| bytes.first() == Some(&b'o')) {
            looks += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = fs::read(&target).unwrap();
        assert_eq!(bytes.len(), LENGTH);
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "half of one, half of another");
    }
}

#[test]
fn a_new_file_is_made_and_an_old_one_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x");
    replace(&target, b"first").unwrap();
    replace(&target, b"second").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"second");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_failure_changes_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a folder");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("inside"), "kept").unwrap();
    replace(&target, b"text").unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read(target.join("inside")).unwrap(), b"kept");
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    #[test]
    fn a_file_keeps_its_access_rights_and_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        replace(&target, b"first").unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(&target, Some(65_534), Some(65_534)).unwrap();
        }
        replace(&target, b"second").unwrap();
        let found = fs::metadata(&target).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o640);
        assert_eq!(found.uid() == 65_534, is_root);
    }

    #[test]
    fn a_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "first").unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
