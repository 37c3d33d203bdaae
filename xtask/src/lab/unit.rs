//! The Windows half of `platform`, tested under Wine: pipes, processes, folders, files.
//!
//! Invariants: a prefix of its own, without an engine; it is gone when the tests are over.
//! Neighbours: `crate::test` counts what comes out.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::images;
use super::prefix;
use super::wine::{PROGRAM, Wine};
use crate::run::Run;
use crate::toolchain::{Target, Toolchain};

/// Building included.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A prefix that is removed when it is dropped.
struct Prefix {
    dir: PathBuf,
    wine: Wine,
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let removed = self.wine.stop().and_then(|()| Ok(fs::remove_dir_all(&self.dir)?));
        if let Err(error) = removed {
            eprintln!("warning: {} is left: {error:#}", self.dir.display());
        }
    }
}

/// The command that runs the tests, and what it needs while it runs. `None`: the compiler here builds no tests for
/// Windows.
pub fn test<T>(run: impl FnOnce(Run) -> Result<T>) -> Result<Option<T>> {
    let toolchain = Toolchain::choose()?;
    if toolchain != Toolchain::Rustup {
        return Ok(None);
    }
    let (dir, wine) = super::bare(&format!("unit-{}", std::process::id()))?;
    let prefix = Prefix { dir, wine };
    let root = prefix.dir.join("prefix");
    prefix::place(&images::prng()?, &root.join("drive_c/windows/system32/bcryptprimitives.dll"))?;
    // Services that a test starts would keep its output open.
    prefix.wine.start(&prefix.dir.join("kernel.log"))?;
    let command = toolchain
        .cargo("test", Target::User)?
        .args(["--package", "platform", "--no-fail-fast", "--locked"])
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", PROGRAM)
        .env("WINEPREFIX", &root)
        .env("WINEDEBUG", "-all")
        .env_remove("DISPLAY")
        .timeout(TIMEOUT)
        .log("test-platform-wine");
    run(command).map(Some)
}
