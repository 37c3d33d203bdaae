//! `cargo xtask build`: the driver and the program, as Windows loads them.
//!
//! Invariants: a driver is linked without a C run-time library and without Microsoft's import
//! libraries; every image is built with the profile `image`.
//! Neighbours: `toolchain` knows the compilers; `image` checks the driver; `package` signs both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::pe;
use crate::progress::step;
use crate::toolchain::{Target, Toolchain};
use crate::workspace;

/// Linker arguments of a kernel image (learn.microsoft.com "/DRIVER (Windows NT Kernel Mode
/// Driver)").
const KERNEL_LINK_ARGS: [&str; 4] = ["/DRIVER", "/SUBSYSTEM:NATIVE", "/ENTRY:DriverEntry", "/NODEFAULTLIB"];

/// The profile of every Windows image, in the workspace's manifest.
const PROFILE: &str = "image";

/// Builds both files that are shipped.
pub fn run() -> Result<()> {
    let driver = step("build tollgate.sys", driver)?;
    let program = step("build tollgate.exe", program)?;
    println!("  {}\n  {}", driver.display(), program.display());
    Ok(())
}

/// Builds `tollgate.sys`.
pub fn driver() -> Result<PathBuf> {
    let toolchain = Toolchain::choose()?;
    toolchain
        .cargo("rustc", Target::Kernel)?
        .args(["--profile", PROFILE, "--package", "driver", "--bin", "tollgate", "--features", "image", "--"])
        .args(KERNEL_LINK_ARGS.map(|argument| format!("-Clink-arg={argument}")))
        .log("build-tollgate.sys")
        .run()?;
    let mut bytes = read(&made(toolchain, Target::Kernel, "tollgate.exe"))?;
    // Windows does not load a driver without a checksum, and not every LLD writes one.
    pe::write_checksum(&mut bytes)?;
    keep(&bytes, "tollgate.sys")
}

/// Builds `tollgate.exe`. Optimising it across all its libraries took minutes, and nobody would notice.
pub fn program() -> Result<PathBuf> {
    let apart = ["--config", "profile.image.lto=false", "--config", "profile.image.codegen-units=16"];
    user("cli", &["--bin", "tollgate"], &apart, "tollgate.exe")
}

/// Builds a program or library for user mode and gives its path.
pub fn user_image(package: &str, part: &[&str], file: &str) -> Result<PathBuf> {
    user(package, part, &[], file)
}

fn user(package: &str, part: &[&str], settings: &[&str], file: &str) -> Result<PathBuf> {
    let toolchain = Toolchain::choose()?;
    toolchain
        .cargo("build", Target::User)?
        // GCC's linker puts line tables and symbols into the program; a driver's are in a file of their own. Where a panic
        // happened is in the code.
        .args(["--config", r#"profile.image.strip="symbols""#])
        .args(settings)
        .args(["--profile", PROFILE, "--package", package])
        .args(part)
        .log(format!("build-{file}"))
        .run()?;
    keep(&read(&made(toolchain, Target::User, file))?, file)
}

fn made(toolchain: Toolchain, target: Target, file: &str) -> PathBuf {
    toolchain.target_dir().join(target.triple()).join(PROFILE).join(file)
}

fn read(made: &Path) -> Result<Vec<u8>> {
    fs::read(made).with_context(|| format!("cannot read {}", made.display()))
}

/// Puts a made file where it keeps its name; cargo's own folder holds a driver as `.exe`.
fn keep(bytes: &[u8], file: &str) -> Result<PathBuf> {
    let dir = workspace::work_dir().join("images");
    fs::create_dir_all(&dir)?;
    let kept = dir.join(file);
    fs::write(&kept, bytes).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(kept)
}
