//! x
use std::io;
use std::path::Path;
/// Renames
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}
