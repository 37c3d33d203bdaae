//! Source files: none too long to read, none that no module names.
//!
//! Neighbours: `words` reads the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::Run;
use crate::workspace;

/// Longer than this wants a reason; longer than the second is refused.
const LONG: usize = 500;
const TOO_LONG: usize = 800;

/// Folders of a package whose files cargo finds by itself, each a crate of its own.
const ROOTS: [&str; 4] = ["tests", "benches", "examples", "src/bin"];

pub fn check() -> Result<()> {
    let files: Vec<PathBuf> = sources()?.into_iter().filter(|file| is_rust(file)).collect();
    let mut objections = Vec::new();
    for file in &files {
        let lines = read(file)?.lines().count();
        if lines > TOO_LONG {
            objections.push(format!("{}: {lines} lines, at most {TOO_LONG}", file.display()));
        } else if lines > LONG {
            eprintln!("\n  note: {}: {lines} lines", file.display());
        }
    }
    let known: BTreeSet<PathBuf> = files.iter().cloned().collect();
    for file in &files {
        if !is_named(file, &known)? {
            objections.push(format!("{}: no module names it", file.display()));
        }
    }
    if objections.is_empty() { Ok(()) } else { bail!("{}", objections.join("\n")) }
}

/// Every file of the repository, kept or about to be, relative to its root.
pub fn sources() -> Result<Vec<PathBuf>> {
    let listed =
        Run::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).log("ls-files").stdout()?;
    // A file deleted but not yet committed is still listed.
    let exists = |file: &PathBuf| workspace::root().join(file).is_file();
    Ok(listed.lines().map(PathBuf::from).filter(exists).collect())
}

/// Reads one of `sources`.
pub fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(workspace::root().join(file)).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs")
}

/// Whether cargo or a `mod` item leads to a file.
fn is_named(file: &Path, known: &BTreeSet<PathBuf>) -> Result<bool> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let dir = file.parent().unwrap_or(Path::new(""));
    let is_root = matches!(stem.as_ref(), "lib" | "main") && dir.ends_with("src")
        || stem == "build" && workspace::root().join(dir).join("Cargo.toml").is_file()
        || ROOTS.iter().any(|root| dir.ends_with(root))
        || stem == "main" && dir.parent().is_some_and(|dir| ROOTS.iter().any(|r| dir.ends_with(r)));
    if is_root {
        return Ok(true);
    }
    // `a/b/mod.rs` is the module `b` of `a`; `a/b.rs` is too.
    let (name, dir) = match stem.as_ref() {
        "mod" => {
            (dir.file_name().unwrap_or_default().to_string_lossy().into_owned(), dir.parent().unwrap_or(Path::new("")))
        }
        _ => (stem.into_owned(), dir),
    };
    // In a folder of roots every file may be the parent; elsewhere one of four is.
    let parents: Vec<PathBuf> = if ROOTS.iter().any(|root| dir.ends_with(root)) {
        known.iter().filter(|other| other.parent() == Some(dir)).cloned().collect()
    } else {
        let inside = ["lib.rs", "main.rs", "mod.rs"].map(|parent| dir.join(parent));
        inside.into_iter().chain([dir.with_extension("rs")]).collect()
    };
    let parents = parents.into_iter().filter(|parent| known.contains(parent));
    for parent in parents {
        if declares(&read(&parent)?, &name) {
            return Ok(true);
        }
    }
    let end = if file.ends_with("mod.rs") { format!("{name}/mod.rs\"") } else { format!("{name}.rs\"") };
    for other in known {
        if names_path(&read(other)?, &end) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the source takes in a file by its path, for a module or to include it.
fn names_path(source: &str, end: &str) -> bool {
    source
        .lines()
        .map(str::trim_start)
        .any(|line| (line.starts_with("#[path = ") || line.contains("include!(\"")) && line.contains(end))
}

/// Whether the source has `mod NAME;`.
fn declares(source: &str, name: &str) -> bool {
    let item = format!("mod {name};");
    source.lines().map(str::trim_start).any(|line| {
        let Some(at) = line.find(&item) else { return false };
        let before = line[..at].trim_end();
        before.is_empty() || before.starts_with("pub") || before.ends_with(']')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_module_item_declares_a_file() {
        assert!(declares("mod flow;", "flow"));
        assert!(declares("    pub(crate) mod flow;", "flow"));
        assert!(declares("#[cfg(test)] mod flow;", "flow"));
        assert!(!declares("// mod flow;", "flow"));
        assert!(!declares("mod flows;", "flow"));
        assert!(!declares("mod flow {}", "flow"));
    }

    #[test]
    fn this_repository_has_no_orphan() {
        let known: BTreeSet<PathBuf> = sources().unwrap().into_iter().filter(|file| is_rust(file)).collect();
        let here = Path::new("xtask/src/check/files.rs");
        assert!(is_named(here, &known).unwrap());
        assert!(is_named(Path::new("xtask/src/check/mod.rs"), &known).unwrap());
        assert!(!is_named(Path::new("xtask/src/check/nobody.rs"), &known).unwrap());
    }
}
