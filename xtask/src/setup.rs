//! `cargo xtask setup`: installs what the other tasks need and this machine lacks.
//!
//! Invariants: what is there already is not touched; without the right to install, nothing is
//! changed and the exact command is printed; every later task may rely on what is listed here.
//! Neighbours: `toolchain` uses the compilers; `build`, `sign`, `fuzz` and `lab` use the packages.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::progress::step;
use crate::run::{Run, exists};
use crate::toolchain::{CHOICE, Target, Toolchain};

/// How long the servers of rustup may take; where they cannot be reached, Debian's compiler is
/// the way out, and nobody should wait long to learn that.
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(4 * 60);
const APT_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// A Debian package, and how to see that it is there.
struct Package {
    name: &'static str,
    sign: Sign,
}

enum Sign {
    /// A program in the `PATH`.
    Program(&'static str),
    /// A file; for what Debian keeps out of the `PATH`.
    File(&'static str),
}

const fn program(name: &'static str, program: &'static str) -> Package {
    Package { name, sign: Sign::Program(program) }
}

const fn file(name: &'static str, path: &'static str) -> Package {
    Package { name, sign: Sign::File(path) }
}

/// What every task together needs.
const PACKAGES: [Package; 8] = [
    program("gcc-mingw-w64-x86-64", "x86_64-w64-mingw32-gcc"),
    // Named although the compiler brings them: the lab builds C with these headers.
    file("mingw-w64-x86-64-dev", "/usr/x86_64-w64-mingw32/include/windows.h"),
    file("wine64", "/usr/lib/wine/wine64"),
    // libFuzzer is C++.
    program("g++", "c++"),
    program("osslsigncode", "osslsigncode"),
    program("openssl", "openssl"),
    // The lab fetches Windows programs with pip and takes them out of their wheels.
    program("python3-pip", "pip3"),
    file("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
];

/// What `Toolchain::Debian` needs.
const DEBIAN_TOOLCHAIN: [Package; 4] = [
    file("rustc-web", "/usr/bin/rustc"),
    file("cargo-web", "/usr/bin/cargo"),
    file("rust-web-src", "/usr/lib/rustlib/src/rust/library/Cargo.toml"),
    program("lld", "lld-link"),
];

impl Package {
    fn is_installed(&self) -> bool {
        match self.sign {
            Sign::Program(program) => exists(program),
            Sign::File(path) => Path::new(path).is_file(),
        }
    }
}

/// Installs what is missing, or says how.
pub fn run() -> Result<()> {
    let missing = missing(&PACKAGES);
    if !missing.is_empty() {
        install(&missing)?;
    }
    match Toolchain::wanted()? {
        Some(Toolchain::Debian) => debian_toolchain(),
        Some(Toolchain::Rustup) => rustup_targets(),
        None if Toolchain::choose().is_ok() => Ok(()),
        None => rustup_targets().or_else(|error| {
            println!("  {error:#}");
            println!("  taking Debian's compiler instead ({CHOICE}=debian)");
            debian_toolchain()
        }),
    }
}

fn rustup_targets() -> Result<()> {
    if Toolchain::Rustup.is_installed()? {
        return Ok(());
    }
    if !exists("rustup") {
        bail!("rustup is not installed, so there is no standard library for Windows from it");
    }
    step("rustup target add", || {
        Run::new("rustup")
            .args(["target", "add"])
            .args(Target::ALL.map(Target::triple))
            .timeout(RUSTUP_TIMEOUT)
            .log("rustup-target-add")
            .run()
    })
}

fn debian_toolchain() -> Result<()> {
    if Toolchain::Debian.is_installed()? && missing(&DEBIAN_TOOLCHAIN).is_empty() {
        return Ok(());
    }
    // All of them, because what is there may be too old.
    install(&DEBIAN_TOOLCHAIN.map(|package| package.name))?;
    if !Toolchain::Debian.is_installed()? {
        let wanted = env!("CARGO_PKG_RUST_VERSION");
        bail!("Debian's compiler is older than {wanted}: add Debian's security updates to apt's sources");
    }
    Ok(())
}

fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !package.is_installed()).map(|package| package.name).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    let command = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !exists("apt-get") {
        bail!("this is not a Debian-like system; install what Debian calls {}", packages.join(" "));
    }
    if !is_root()? {
        bail!("packages are missing; run:\n\n    sudo sh -c 'apt-get update && {command}'\n");
    }
    step("apt-get update", || apt(&["update"]).run())?;
    step(&format!("apt-get install {}", packages.join(" ")), || {
        apt(&["install", "-y", "--no-install-recommends"]).args(packages).run()
    })
}

fn apt(args: &[&str]) -> Run {
    Run::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .timeout(APT_TIMEOUT)
        .log(format!("apt-{}", args.first().unwrap_or(&"get")))
}

fn is_root() -> Result<bool> {
    Ok(Run::new("id").arg("-u").log("id").stdout()?.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let packages = [program("there", "sh"), program("not-there", "no-such-program-anywhere")];
        assert_eq!(missing(&packages), ["not-there"]);
    }
}
