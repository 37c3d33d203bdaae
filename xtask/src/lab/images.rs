//! The lab's own images, and the drivers in C.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;

use crate::build::user_image;
use crate::progress::step;
use crate::run::Run;
use crate::workspace;

/// Paths of the built images.
#[derive(Clone, Debug)]
pub struct Images {
    /// The filter engine and the kernel's missing half.
    pub engine: PathBuf,
    /// What programs are started with.
    pub launch: PathBuf,
    /// What is loaded into them.
    pub hook: PathBuf,
    /// The random numbers that Wine 8 lacks.
    pub prng: PathBuf,
}

/// The lab's images, built once in the life of this program.
pub fn built() -> Result<&'static Images> {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    if let Some(images) = IMAGES.get() {
        return Ok(images);
    }
    let images = build()?;
    Ok(IMAGES.get_or_init(|| images))
}

fn build() -> Result<Images> {
    step("build the lab", || {
        Ok(Images {
            engine: user_image("lab-fwpkclnt", &["--lib"], "fwpkclnt.dll")?,
            launch: user_image("lab-launch", &["--bin", "launch"], "launch.exe")?,
            hook: user_image("lab-hook", &["--lib"], "wfphook.dll")?,
            prng: prng()?,
        })
    })
}

/// Builds what every program needs that was built by a current Rust.
pub fn prng() -> Result<PathBuf> {
    user_image("lab-prng", &["--lib"], "bcryptprimitives.dll")
}

/// Builds the program with very many connections.
pub fn crowd() -> Result<PathBuf> {
    step("build lab/crowd", || user_image("lab-crowd", &["--bin", "crowd"], "crowd.exe"))
}

/// Builds the program that connects again and again.
pub fn steady() -> Result<PathBuf> {
    step("build lab/crowd, steady", || user_image("lab-crowd", &["--bin", "steady"], "steady.exe"))
}

/// Builds the program that asks a real Windows; it runs here, too.
pub fn experiments() -> Result<PathBuf> {
    step("build lab/experiments", || user_image("lab-experiments", &["--bin", "experiments"], "experiments.exe"))
}

/// Builds the C driver of `docs/lab.md`.
pub fn example() -> Result<PathBuf> {
    c_driver("lab/example/callout.c", "callout.sys")
}

/// Builds the driver that the lab's own tests use.
pub fn probe() -> Result<PathBuf> {
    c_driver("lab/shim/tests/probe.c", "probe.sys")
}

/// Builds the program that talks to that driver.
pub fn client() -> Result<PathBuf> {
    let program = images_dir()?.join("client.exe");
    let source = "lab/shim/tests/client.c";
    step(&format!("build {source}"), || {
        Run::new("x86_64-w64-mingw32-gcc")
            .arg("-Wall")
            .arg("-o")
            .arg(&program)
            .arg(source)
            .log("build-client.exe")
            .run()
    })?;
    Ok(program)
}

fn c_driver(source: &str, file: &str) -> Result<PathBuf> {
    let driver = images_dir()?.join(file);
    step(&format!("build {source}"), || {
        Run::new("sh").arg("lab/example/build.sh").arg(&driver).arg(source).log(format!("build-{file}")).run()
    })?;
    Ok(driver)
}

fn images_dir() -> Result<PathBuf> {
    let dir = workspace::work_dir().join("images");
    fs::create_dir_all(&dir)?;
    Ok(dir)
}
