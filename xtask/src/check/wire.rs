//! The messages between kernel and service may change only together with their version.
//!
//! Invariants: `xtask/wire.lock` holds the version and the digest of the source that defines
//! the messages, comments and tests left out.
//! Neighbours: `crates/wire` has golden bytes; this catches the changes that no golden byte shows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::check::files;
use crate::workspace;

const SOURCE: &str = "crates/wire/src";
const LOCK: &str = "xtask/wire.lock";
const ACCEPT: &str = "cargo xtask check --accept-wire";

pub fn check() -> Result<()> {
    let lock = workspace::root().join(LOCK);
    let recorded = fs::read_to_string(&lock).with_context(|| format!("no {LOCK}: run `{ACCEPT}`"))?;
    compare(recorded.trim(), &present()?)
}

/// Records the present messages as those of the present version.
pub fn accept() -> Result<()> {
    fs::write(workspace::root().join(LOCK), format!("{}\n", present()?)).with_context(|| format!("cannot write {LOCK}"))
}

fn compare(recorded: &str, present: &str) -> Result<()> {
    if recorded == present {
        return Ok(());
    }
    if recorded.split(' ').next() == present.split(' ').next() {
        bail!(
            "{SOURCE} changed and VERSION did not: raise it, then `{ACCEPT}`\n\
             (or, if no byte on the wire changed meaning, only the latter)"
        );
    }
    bail!("VERSION changed: `{ACCEPT}` writes it down")
}

/// The version and the digest, as the lock file holds them.
fn present() -> Result<String> {
    let mut sources: Vec<PathBuf> =
        files::sources()?.into_iter().filter(|file| file.starts_with(SOURCE) && !file.ends_with("tests.rs")).collect();
    sources.sort();
    let texts = sources.iter().map(|file| files::read(file)).collect::<Result<Vec<_>>>()?;
    let version =
        texts.iter().find_map(|text| version(text)).with_context(|| format!("no `pub const VERSION` in {SOURCE}"))?;
    let mut digest = Sha256::new();
    for (file, text) in sources.iter().zip(&texts) {
        digest.update(Path::new(file).to_string_lossy().as_bytes());
        digest.update(code(text));
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{version} {hex}"))
}

fn version(source: &str) -> Option<&str> {
    let (_, rest) = source.split_once("pub const VERSION: ")?;
    let (_, value) = rest.split_once('=')?;
    Some(value.split(';').next()?.trim())
}

/// The source without comments, blank lines and the tests at its end.
fn code(source: &str) -> String {
    source
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_message_needs_a_new_version() {
        let error = compare("1 aaaa", "1 bbbb").unwrap_err().to_string();
        assert!(error.contains("changed and VERSION did not"), "{error}");
        let error = compare("1 aaaa", "2 bbbb").unwrap_err().to_string();
        assert!(error.starts_with("VERSION changed"), "{error}");
        compare("2 bbbb", "2 bbbb").unwrap();
    }

    #[test]
    fn comments_and_tests_are_not_messages() {
        let source = "//! What.\n\npub const VERSION: u16 = 1; \n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(code(source), "pub const VERSION: u16 = 1;\n");
        assert_eq!(version(source), Some("1"));
    }
}
