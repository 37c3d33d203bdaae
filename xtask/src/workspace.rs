//! Where things are: the repository, the target directory, the logs of the tasks.
//!
//! Neighbours: every task; `run` writes the logs.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The root of the repository.
pub fn root() -> &'static Path {
    // Cargo sets the variable when it runs a task or a test; reading it at run time keeps the
    // path of the machine that compiled the task out of the program.
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .and_then(|manifest| manifest.parent().map(Path::to_path_buf))
            .unwrap_or_else(|| PathBuf::from("."))
    });
    &ROOT
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Logs and work files of the tasks.
pub fn work_dir() -> PathBuf {
    target_dir().join("xtask")
}

/// What `cargo xtask package` makes.
pub fn dist_dir() -> PathBuf {
    root().join("dist")
}
