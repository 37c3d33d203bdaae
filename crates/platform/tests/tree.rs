//! Directories of rules.

use platform::tree::{self, TreeError};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| write(root.path(), name, text.as_bytes()));
    root
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_file_that_counts_is_read_in_the_order_of_its_path() {
    let root = directory(&[
        ("user/b.toml", "B"),
        ("user/a.toml", "A"),
        ("mandatory/m.toml", "M"),
        ("default/d.TOML", "D"),
        ("sets/ads.txt", "S"),
        ("sets/more", "T"),
        ("sets/.hidden", "-"),
        ("user/.a.toml.123-4.new", "-"),
        ("user/a.toml~", "-"),
        ("user/README.md", "-"),
        ("README.md", "-"),
        (".git/config.toml", "-"),
    ]);
    let read = tree::read(root.path()).unwrap();
    let read: Vec<(&str, &str)> = read.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let expected = [
        ("default/d.TOML", "D"),
        ("mandatory/m.toml", "M"),
        ("sets/ads.txt", "S"),
        ("sets/more", "T"),
        ("user/a.toml", "A"),
        ("user/b.toml", "B"),
    ];
    assert_eq!(read, expected);
}

#[test]
fn folders_may_be_absent_but_not_the_directory() {
    let root = directory(&[]);
    assert_eq!(tree::read(root.path()).unwrap(), []);
    let missing = root.path().join("missing");
    assert!(matches!(tree::read(&missing), Err(TreeError::Missing(path)) if path == missing));
    assert!(matches!(tree::stamp(&missing), Err(TreeError::Missing(_))));
}

#[test]
fn rules_that_would_be_passed_over_are_an_error() {
    for file in ["mandatroy/x.toml", "user/office/x.toml", "x.toml", "sets/deep/x.txt"] {
        let root = directory(&[(file, "")]);
        assert!(matches!(tree::read(root.path()), Err(TreeError::Misplaced(_))), "{file}");
        assert!(matches!(tree::stamp(root.path()), Err(TreeError::Misplaced(_))), "{file}");
    }
}

#[test]
fn what_is_not_text_is_shown_where_it_is() {
    let root = directory(&[]);
    write(root.path(), "user/x.toml", b"one\n\xc3\xa4\xc3\xb6 \xff");
    let error = tree::read(root.path()).unwrap_err();
    assert!(error.to_string().starts_with("user/x.toml:2:4: "), "{error}");
}

#[test]
fn a_stamp_changes_with_every_file_and_only_then() {
    let root = directory(&[("user/a.toml", "A"), ("sets/x", "")]);
    let changed = |act: &dyn Fn()| {
        let before = tree::stamp(root.path()).unwrap();
        assert_eq!(tree::stamp(root.path()).unwrap(), before);
        act();
        assert_ne!(tree::stamp(root.path()).unwrap(), before);
    };
    changed(&|| write(root.path(), "user/a.toml", b"longer"));
    changed(&|| write(root.path(), "user/b.toml", b""));
    changed(&|| fs::rename(root.path().join("user/b.toml"), root.path().join("default.toml~")).unwrap());
    changed(&|| fs::remove_file(root.path().join("sets/x")).unwrap());
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let file = || fs::File::options().write(true).open(root.path().join("user/a.toml")).unwrap();
    changed(&|| file().set_modified(later).unwrap());
}

// Files enough take half a minute under Wine.
#[cfg(unix)]
#[test]
fn too_many_files_are_refused() {
    let root = directory(&[("sets/0", "")]);
    for number in 1..=tree::MAX_FILES {
        write(root.path(), &format!("sets/{number}"), b"");
    }
    assert!(matches!(tree::read(root.path()), Err(TreeError::TooManyFiles(_))));
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_may_lead_within_the_directory_but_not_out_of_it() {
        let (root, outside) = (directory(&[("sets/real.txt", "S")]), directory(&[("secret", "")]));
        symlink("real.txt", root.path().join("sets/alias.txt")).unwrap();
        assert_eq!(tree::read(root.path()).unwrap().len(), 2);
        symlink(outside.path().join("secret"), root.path().join("sets/out.txt")).unwrap();
        assert!(matches!(tree::read(root.path()), Err(TreeError::LeadsOut(name)) if name == "sets/out.txt"));
    }

    #[test]
    fn a_whole_layer_that_is_a_link_out_of_the_directory_is_refused() {
        let (root, outside) = (directory(&[]), directory(&[("x.toml", "")]));
        symlink(outside.path(), root.path().join("user")).unwrap();
        assert!(matches!(tree::read(root.path()), Err(TreeError::LeadsOut(_))));
    }

    #[test]
    fn a_pipe_among_the_files_is_not_waited_for() {
        let root = directory(&[("user/a.toml", "")]);
        let pipe = root.path().join("user/pipe.toml");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(matches!(tree::read(root.path()), Err(TreeError::Os { path, .. }) if path.ends_with("pipe.toml")));
    }
}
