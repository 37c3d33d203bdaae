//! Installs and uninstalls the package by its INF, with Wine's SetupAPI.
//!
//! Invariants: the prefix is this test's own and is removed, however the test ends.
//! Neighbours: `package` makes what is installed here; `lab` gives the prefix.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::{self, Output, Wine};
use crate::progress::step;
use crate::workspace;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What the registry says of the installed service: a kernel driver, on demand, in our group.
const SERVICE: [&str; 4] = [
    "Type REG_DWORD 0x1",
    "Start REG_DWORD 0x3",
    "Group REG_SZ NDIS",
    r"ImagePath REG_SZ C:\windows\system32\drivers\tollgate.sys",
];

/// A machine to install on.
struct Machine {
    dir: PathBuf,
    wine: Wine,
}

/// Installs, looks, uninstalls, looks.
pub fn test() -> Result<()> {
    let machine = Machine::new()?;
    let copied = machine.drive().join("windows/system32/drivers/tollgate.sys");
    step("install by tollgate.inf", || {
        machine.run_section("DefaultInstall")?;
        let installed = fs::read(&copied).with_context(|| format!("{} was not copied", copied.display()))?;
        let shipped = fs::read(workspace::dist_dir().join("tollgate.sys"))?;
        ensure!(installed == shipped, "the installed tollgate.sys is not the one in dist/");
        let service = machine.service()?.stdout;
        let words = service.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in SERVICE {
            ensure!(words.contains(expected), "no `{expected}` in the service:\n{service}");
        }
        Ok(())
    })?;
    step("uninstall by tollgate.inf", || {
        machine.run_section("DefaultUninstall")?;
        ensure!(!copied.exists(), "{} is still there", copied.display());
        let service = machine.service()?;
        ensure!(service.code != 0, "the service is still there:\n{}", service.stdout);
        Ok(())
    })
}

impl Machine {
    /// A machine with the package in `C:\package`.
    fn new() -> Result<Machine> {
        let (dir, wine) = lab::bare(&format!("inf-{}", std::process::id()))?;
        let machine = Machine { dir, wine };
        machine.wine.start(&machine.dir.join("kernel.log"))?;
        let package = machine.drive().join("package");
        fs::create_dir_all(&package)?;
        for file in fs::read_dir(workspace::dist_dir()).context("no dist/")? {
            let file = file?;
            fs::copy(file.path(), package.join(file.file_name()))?;
        }
        Ok(machine)
    }

    fn drive(&self) -> PathBuf {
        self.dir.join("prefix/drive_c")
    }

    /// What a person gets by "Install" in the file's menu.
    fn run_section(&self, section: &str) -> Result<()> {
        let call = "setupapi.dll,InstallHinfSection";
        self.wine.tool(&["rundll32", call, section, "132", r"C:\package\tollgate.inf"])?;
        Ok(())
    }

    /// The service as the registry has it; the exit code says whether it is there.
    fn service(&self) -> Result<Output> {
        let words = ["query", r"HKLM\System\CurrentControlSet\Services\Tollgate"];
        self.wine.run("service", "reg", &words.map(OsString::from), TIMEOUT)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let removed = self.wine.stop().and_then(|()| Ok(fs::remove_dir_all(&self.dir)?));
        if let Err(error) = removed {
            eprintln!("warning: {} is left: {error:#}", self.dir.display());
        }
    }
}
