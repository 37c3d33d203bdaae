//! The two compilers that can build for Windows, and how to call each.
//!
//! `Rustup`: the pinned toolchain with the Windows standard libraries of `rustup target add`.
//! `Debian`: Debian's own compiler, which builds the Windows standard libraries from its library
//! source; for machines that cannot reach the servers of rustup.
//!
//! Invariants: a build for Windows never uses the host's linker; no path of the building machine
//! gets into an image.
//! Neighbours: `setup` installs what is missing here; `build` says what to build.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::Run;
use crate::workspace;

/// Set to `rustup` or `debian` to choose the toolchain instead of taking what is installed.
pub const CHOICE: &str = "TOLLGATE_TOOLCHAIN";

/// Debian's compiler; rustup's shims of the same names come first in the `PATH`.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Where Debian puts the source of the standard library.
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/Cargo.toml";

/// What an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Windows' kernel: no standard library, linked by LLD without Microsoft's files.
    Kernel,
    /// Windows' user mode: the standard library, linked by MinGW's GCC.
    User,
}

impl Target {
    /// Both, in the order in which they are built.
    pub const ALL: [Target; 2] = [Target::Kernel, Target::User];

    /// The name rustc knows the target by.
    pub fn triple(self) -> &'static str {
        match self {
            Target::Kernel => "x86_64-pc-windows-msvc",
            Target::User => "x86_64-pc-windows-gnu",
        }
    }
}

/// A compiler for the Windows targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The pinned toolchain, with prebuilt standard libraries.
    Rustup,
    /// Debian's compiler, building the standard libraries.
    Debian,
}

impl Toolchain {
    /// The toolchain to use here: what `TOLLGATE_TOOLCHAIN` says, else what is installed.
    pub fn choose() -> Result<Toolchain> {
        if let Some(wanted) = Toolchain::wanted()? {
            return Ok(wanted);
        }
        if Toolchain::Rustup.is_installed()? {
            Ok(Toolchain::Rustup)
        } else if Toolchain::Debian.is_installed()? {
            Ok(Toolchain::Debian)
        } else {
            bail!("no standard library for Windows is installed: run `cargo xtask setup`")
        }
    }

    /// The toolchain a person asked for.
    pub fn wanted() -> Result<Option<Toolchain>> {
        match env::var(CHOICE).as_deref() {
            Err(_) | Ok("") => Ok(None),
            Ok("rustup") => Ok(Some(Toolchain::Rustup)),
            Ok("debian") => Ok(Some(Toolchain::Debian)),
            Ok(other) => bail!("{CHOICE}={other}: it is `rustup` or `debian`"),
        }
    }

    /// Whether it can build for Windows without anything more.
    pub fn is_installed(self) -> Result<bool> {
        match self {
            Toolchain::Rustup => {
                let rustlib = sysroot()?.join("lib/rustlib");
                Ok(Target::ALL.iter().all(|target| rustlib.join(target.triple()).is_dir()))
            }
            Toolchain::Debian => {
                let files = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCE];
                Ok(files.iter().all(|file| Path::new(file).is_file()) && debian_is_new_enough()?)
            }
        }
    }

    /// Where its builds go: apart, because both make files of the same names.
    pub fn target_dir(self) -> PathBuf {
        match self {
            Toolchain::Rustup => workspace::target_dir(),
            Toolchain::Debian => workspace::target_dir().join("debian"),
        }
    }

    /// `cargo SUBCOMMAND --target ...`, ready for the arguments that say what to build.
    pub fn cargo(self, subcommand: &str, target: Target) -> Result<Run> {
        let run = match self {
            Toolchain::Rustup => Run::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Toolchain::Debian => debian_cargo(),
        };
        let linker = match (target, self) {
            (Target::User, _) => "x86_64-w64-mingw32-gcc",
            (Target::Kernel, Toolchain::Rustup) => "rust-lld",
            (Target::Kernel, Toolchain::Debian) => "lld-link",
        };
        let triple = target.triple();
        let variable = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"));
        let run = run
            .args([subcommand, "--target", triple])
            .env("CARGO_TARGET_DIR", self.target_dir())
            .env("RUSTFLAGS", remap_flags()?)
            .env(variable, linker);
        Ok(match (self, target) {
            (Toolchain::Rustup, _) => run,
            (Toolchain::Debian, Target::Kernel) => run.arg("-Zbuild-std=core,alloc,compiler_builtins"),
            (Toolchain::Debian, Target::User) => run.arg("-Zbuild-std=std,panic_abort"),
        })
    }
}

/// Whether Debian's compiler knows the edition and library that this workspace is written for. Debian's first release
/// of a package may be older than its security updates.
fn debian_is_new_enough() -> Result<bool> {
    let printed = Run::new(DEBIAN_RUSTC).arg("--version").log("debian-rustc").stdout()?;
    Ok(is_at_least(&printed, env!("CARGO_PKG_RUST_VERSION")))
}

/// Whether `rustc 1.96.0 (...)` is at least `1.95`.
fn is_at_least(printed: &str, wanted: &str) -> bool {
    let numbers = |text: &str| text.split('.').map_while(|part| part.parse().ok()).collect::<Vec<u32>>();
    let printed = printed.split_whitespace().nth(1).unwrap_or_default();
    numbers(printed) >= numbers(wanted)
}

/// Debian's cargo without what rustup's cargo, which runs this program, leaves in its environment.
fn debian_cargo() -> Run {
    ["CARGO", "RUSTC", "RUSTC_WRAPPER", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"]
        .iter()
        .fold(Run::new(DEBIAN_CARGO), |run, name| run.env_remove(name))
        .env("RUSTC", DEBIAN_RUSTC)
        // `-Zbuild-std` is not stable; Debian's compiler is of the stable channel.
        .env("RUSTC_BOOTSTRAP", "1")
}

/// Flags that keep the paths of this machine out of the panic messages of dependencies.
fn remap_flags() -> Result<String> {
    let home = match env::var_os("CARGO_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    let flag = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    Ok(format!("{} {}", flag(&home, "cargo"), flag(workspace::root(), "tollgate")))
}

fn sysroot() -> Result<PathBuf> {
    let printed = Run::new("rustc").args(["--print", "sysroot"]).log("sysroot").stdout()?;
    Ok(PathBuf::from(printed.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_toolchain_builds_apart() {
        assert_ne!(Toolchain::Rustup.target_dir(), Toolchain::Debian.target_dir());
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_at_least("rustc 1.96.0 (ac68faa20 2026-05-25)", "1.95"));
        assert!(is_at_least("rustc 1.95.0", "1.95"));
        assert!(is_at_least("rustc 1.100.0", "1.95"));
        assert!(!is_at_least("rustc 1.85.0", "1.95"));
        assert!(!is_at_least("", "1.95"));
    }
}
