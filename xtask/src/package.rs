//! `cargo xtask package`: makes `dist/`, what a Windows machine needs and nothing else.
//!
//! Invariants: `dist/` is replaced only by a package whose every check passed; no private key and
//! no path of the building machine is in it.
//! Neighbours: `build`, `image`, `catalog` and `sign` do the work; `inf` installs the result.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::build;
use crate::catalog::{self, Member};
use crate::image;
use crate::lab::images;
use crate::progress::step;
use crate::run::Run;
use crate::sign::Signer;
use crate::workspace;

/// The DLLs that every Windows has; a program that wants others does not start there.
const SYSTEM_DLLS: [&str; 18] = [
    "advapi32.dll",
    "api-ms-win-core-synch-l1-2-0.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "combase.dll",
    "crypt32.dll",
    "fwpuclnt.dll",
    "iphlpapi.dll",
    "kernel32.dll",
    "msvcrt.dll",
    "ntdll.dll",
    "ole32.dll",
    "oleaut32.dll",
    "shell32.dll",
    "user32.dll",
    "userenv.dll",
    "wintrust.dll",
    "ws2_32.dll",
];

/// The package, being made.
struct Package {
    dir: PathBuf,
    signer: Signer,
}

/// Builds, signs, checks and verifies everything, and puts it into `dist/`.
pub fn run() -> Result<()> {
    let driver = step("build tollgate.sys", build::driver)?;
    let program = step("build tollgate.exe", build::program)?;
    step("check both images", || {
        image::check_file(&driver)?.verdict(&driver)?;
        check_program(&program)?;
        [&driver, &program].into_iter().try_for_each(|file| check_paths(file))
    })?;
    let package = Package::new()?;
    step("sign tollgate.sys, tollgate.exe", || {
        package.signer.sign(&driver, &package.file("sys"))?;
        package.signer.sign(&program, &package.file("exe"))?;
        package.signer.export(&package.file("cer"))
    })?;
    step("write and sign tollgate.cat", || package.write_catalog())?;
    step("verify the package", || package.verify())?;
    package.publish()
}

/// Builds the program of `docs/windows-checklist.md`, which is not part of the package.
pub fn experiments() -> Result<()> {
    let program = images::experiments()?;
    check_program(&program)?;
    check_paths(&program)?;
    println!("  {}", program.display());
    Ok(())
}

impl Package {
    fn new() -> Result<Package> {
        let dir = workspace::work_dir().join("package");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let package = Package { dir, signer: Signer::new()? };
        let inf = workspace::root().join("packaging/tollgate.inf");
        fs::copy(&inf, package.file("inf")).with_context(|| format!("cannot copy {}", inf.display()))?;
        Ok(package)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("tollgate.{extension}"))
    }

    fn write_catalog(&self) -> Result<()> {
        let (driver, inf) = (fs::read(self.file("sys"))?, fs::read(self.file("inf"))?);
        let members = [Member { name: "tollgate.sys", bytes: &driver }, Member { name: "tollgate.inf", bytes: &inf }];
        let time = Run::new("date").args(["-u", "+%y%m%d%H%M%SZ"]).log("date").stdout()?;
        let unsigned = workspace::work_dir().join("unsigned.cat");
        fs::write(&unsigned, catalog::write(&members, time.trim())?)?;
        self.signer.sign(&unsigned, &self.file("cat"))
    }

    /// What is signed verifies, and what was changed after signing does not.
    fn verify(&self) -> Result<()> {
        let (driver, program, catalog) = (self.file("sys"), self.file("exe"), self.file("cat"));
        // Signing rewrites the headers.
        image::check_file(&driver)?.verdict(&driver)?;
        self.signer.verify(&driver)?;
        self.signer.verify(&program)?;
        self.signer.verify_in(&catalog, &driver)?;
        self.signer.verify_not_in(&catalog, &program)?;
        let changed = workspace::work_dir().join("changed.sys");
        fs::write(&changed, with_one_byte_changed(&driver)?)?;
        if self.signer.verify(&changed).is_ok() {
            bail!("a changed tollgate.sys still verifies");
        }
        self.signer.verify_not_in(&catalog, &changed)
    }

    fn publish(self) -> Result<()> {
        let dist = workspace::dist_dir();
        if dist.exists() {
            fs::remove_dir_all(&dist)?;
        }
        fs::create_dir_all(&dist)?;
        for extension in ["sys", "exe", "inf", "cer", "cat"] {
            let from = self.file(extension);
            let to = dist.join(format!("tollgate.{extension}"));
            let size = fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            println!("  dist/tollgate.{extension:<4} {size:>9} bytes");
        }
        Ok(())
    }
}

/// Flips one bit of the entry point's code.
fn with_one_byte_changed(image: &Path) -> Result<Vec<u8>> {
    let mut bytes = fs::read(image)?;
    let code = image::entry_offset(&bytes)?;
    bytes[code] ^= 1;
    Ok(bytes)
}

fn check_program(program: &Path) -> Result<()> {
    for module in image::imported_modules(&fs::read(program)?)? {
        if !SYSTEM_DLLS.contains(&module.to_ascii_lowercase().as_str()) {
            bail!("{} imports {module}, which not every Windows has", program.display());
        }
    }
    Ok(())
}

/// Fails if an image tells where it was built.
fn check_paths(file: &Path) -> Result<()> {
    let bytes = fs::read(file)?;
    let home = std::env::var("HOME").unwrap_or_default();
    for path in [workspace::root().to_string_lossy().into_owned(), home] {
        // A home of `/` or none says nothing.
        if path.len() > 1 && contains_path(&bytes, &path) {
            bail!("{} contains the path {path}", file.display());
        }
    }
    Ok(())
}

/// Whether the bytes hold an absolute path that begins with this one.
fn contains_path(bytes: &[u8], path: &str) -> bool {
    let folder = format!("{path}/");
    bytes.windows(folder.len()).enumerate().any(|(at, window)| {
        // `/src/` inside `crates/driver/src/` is another path.
        let is_start = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        is_start && window == folder.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: &str = include_str!("../../packaging/tollgate.inf");

    #[test]
    fn the_inf_carries_the_version_of_the_workspace() {
        let version = format!(",{}.0", env!("CARGO_PKG_VERSION"));
        let line = INF.lines().find(|line| line.starts_with("DriverVer")).unwrap();
        assert!(line.ends_with(&version), "{line} does not end with {version}");
    }

    #[test]
    fn a_path_of_the_building_machine_is_found_and_a_relative_one_is_fine() {
        assert!(contains_path(b"\0/src/crates/wire/src/lib.rs\0", "/src"));
        assert!(contains_path(b"/src/lib.rs", "/src"));
        assert!(!contains_path(b"crates/wire/src/lib.rs", "/src"));
        assert!(!contains_path(b"/srcs/lib.rs", "/src"));
    }
}
