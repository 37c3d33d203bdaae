//! Prefixes: a template made once, and copies of it by hard link.
//!
//! Invariants: a template is complete or absent (it is made beside its place and renamed); a copy never writes to the
//! template, because what programs rewrite is copied for real.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::processes;
use super::wine::Wine;
use crate::progress::step;

/// Changed when the template must be made anew.
const VERSION: &str = "1";

/// The template in `dir`, made if it is not there.
pub fn template(dir: &Path) -> Result<PathBuf> {
    let template = dir.join(format!("template-{VERSION}"));
    if template.is_dir() {
        return Ok(template);
    }
    Wine::check()?;
    step("make a Wine prefix (once)", || {
        let unfinished = dir.join(format!("template-{VERSION}-{}", std::process::id()));
        let prefix = unfinished.join("prefix");
        fs::create_dir_all(&prefix)?;
        let made = Wine::new(&prefix, unfinished.join("logs")).initialize();
        processes::end_leftovers(&prefix)?;
        made?;
        let renamed = fs::rename(&prefix, &template);
        // Another process may have been faster; its template is as good.
        if !template.is_dir() {
            renamed.with_context(|| format!("cannot make {}", template.display()))?;
        }
        fs::remove_dir_all(&unfinished)?;
        Ok(template)
    })
}

/// A new prefix in `to`.
pub fn copy(template: &Path, to: &Path) -> Result<()> {
    copy_dir(template, to, template).with_context(|| format!("cannot copy {} to {}", template.display(), to.display()))
}

/// Puts a file into a prefix, in place of a hard link that may be there.
pub fn place(file: &Path, to: &Path) -> Result<()> {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    if to.exists() {
        fs::remove_file(to)?;
    }
    fs::copy(file, to).with_context(|| format!("cannot copy {} to {}", file.display(), to.display()))?;
    Ok(())
}

fn copy_dir(from: &Path, to: &Path, template: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_dir(&from, &to, template)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if from.starts_with(template.join("drive_c/windows")) {
            fs::hard_link(&from, &to)?;
        } else {
            // The registry and what belongs to users.
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_copy_shares_windows_and_owns_its_registry() {
        let dir = std::env::temp_dir().join(format!("tollgate-prefix-{}", std::process::id()));
        let template = dir.join("template");
        fs::create_dir_all(template.join("drive_c/windows")).unwrap();
        fs::write(template.join("drive_c/windows/a.dll"), "a").unwrap();
        fs::write(template.join("system.reg"), "r").unwrap();
        std::os::unix::fs::symlink("../drive_c", template.join("c")).unwrap();
        copy(&template, &dir.join("copy")).unwrap();
        let inode = |path: &str| fs::symlink_metadata(dir.join(path)).unwrap().ino();
        assert_eq!(inode("copy/drive_c/windows/a.dll"), inode("template/drive_c/windows/a.dll"));
        assert_ne!(inode("copy/system.reg"), inode("template/system.reg"));
        assert_eq!(fs::read_link(dir.join("copy/c")).unwrap(), Path::new("../drive_c"));
        place(&template.join("system.reg"), &dir.join("copy/drive_c/windows/a.dll")).unwrap();
        assert_eq!(fs::read_to_string(template.join("drive_c/windows/a.dll")).unwrap(), "a");
        fs::remove_dir_all(&dir).unwrap();
    }
}
