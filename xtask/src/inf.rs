//! Installs and uninstalls the package by its INF, with Wine's SetupAPI.
//!
//! Invariants: the prefix is this test's own and is removed; every call of Wine has a timeout;
//! Wine's server is started first, without our output, and stopped last.
//! Neighbours: `package` makes what is installed here; `lab` has prefixes of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::progress::step;
use crate::run::{Output, Run};
use crate::workspace;

const WINE: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";
/// A new prefix takes 10 to 20 s on two cores; a call that takes this long hangs.
const TIMEOUT: Duration = Duration::from_secs(180);

/// What the registry says of the installed service: a kernel driver, on demand, in our group.
const SERVICE: [&str; 4] = [
    "Type REG_DWORD 0x1",
    "Start REG_DWORD 0x3",
    "Group REG_SZ NDIS",
    r"ImagePath REG_SZ C:\windows\system32\drivers\tollgate.sys",
];

/// A Wine prefix for one test.
struct Prefix {
    dir: PathBuf,
}

/// Installs, looks, uninstalls, looks.
pub fn test() -> Result<()> {
    let prefix = step("make a Wine prefix", Prefix::new)?;
    let copied = prefix.windows("system32/drivers/tollgate.sys");
    step("install by tollgate.inf", || {
        prefix.copy_package()?;
        prefix.run_section("DefaultInstall")?;
        let installed = fs::read(&copied).with_context(|| format!("{} was not copied", copied.display()))?;
        ensure!(
            installed == fs::read(workspace::dist_dir().join("tollgate.sys"))?,
            "the installed tollgate.sys is not the one in dist/"
        );
        let service = prefix.service()?;
        for expected in SERVICE {
            let text = service.text.split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(text.contains(expected), "no `{expected}` in the service:\n{}", service.text);
        }
        Ok(())
    })?;
    step("uninstall by tollgate.inf", || {
        prefix.run_section("DefaultUninstall")?;
        ensure!(!copied.exists(), "{} is still there", copied.display());
        let service = prefix.service()?;
        ensure!(!service.success, "the service is still there:\n{}", service.text);
        Ok(())
    })
}

impl Prefix {
    fn new() -> Result<Prefix> {
        let dir = workspace::work_dir().join(format!("inf-prefix-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let prefix = Prefix { dir };
        prefix.wine(&["wineboot", "--init"]).log("inf-wineboot").run()?;
        prefix.server("-w").run()?;
        // A server that stays, so that services do not die between two commands.
        prefix.server("-p").run()?;
        Ok(prefix)
    }

    fn windows(&self, path: &str) -> PathBuf {
        self.dir.join("drive_c/windows").join(path)
    }

    fn copy_package(&self) -> Result<()> {
        let to = self.dir.join("drive_c/package");
        fs::create_dir_all(&to)?;
        for file in fs::read_dir(workspace::dist_dir()).context("no dist/")? {
            let file = file?;
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
        Ok(())
    }

    /// What a person gets by "Install" in the file's menu.
    fn run_section(&self, section: &str) -> Result<()> {
        let call = "setupapi.dll,InstallHinfSection";
        let output = self
            .wine(&["rundll32", call, section, "132", r"C:\package\tollgate.inf"])
            .log(format!("inf-{section}"))
            .output()?;
        if !output.success {
            bail!("{section} failed:\n{}", output.text);
        }
        Ok(())
    }

    fn service(&self) -> Result<Output> {
        let key = r"HKLM\System\CurrentControlSet\Services\Tollgate";
        self.wine(&["reg", "query", key]).log("inf-service").output()
    }

    fn wine(&self, args: &[&str]) -> Run {
        self.run(WINE).args(args)
    }

    fn server(&self, flag: &str) -> Run {
        self.run(SERVER).arg(flag).log(format!("inf-wineserver{flag}"))
    }

    fn run(&self, program: impl AsRef<Path>) -> Run {
        Run::new(program.as_ref())
            .env("WINEPREFIX", &self.dir)
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY")
            .timeout(TIMEOUT)
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // A server that does not stop is killed with its timeout; then the files can go.
        let stopped = self.server("-k").run().and_then(|()| self.server("-w").run());
        if let Err(error) = stopped {
            eprintln!("warning: {error:#}");
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("warning: cannot remove {}: {error}", self.dir.display());
        }
    }
}
