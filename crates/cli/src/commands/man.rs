//! `tollgate man`: man pages.
//!
//! Neighbours: `args` is what they document.

use crate::args;
use crate::failure::Failure;
use crate::output::printer::print;
use clap::CommandFactory;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tollgate man /usr/local/share/man/man1
  tollgate man . && man ./tollgate-rules-check.1")]
pub struct Args {
    /// The directory to write into; it is made when there is none
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Carries it out.
pub fn run(args: &Args) -> Result<(), Failure> {
    fs::create_dir_all(&args.directory)?;
    write(&args.directory)?;
    Ok(print(&format!("man pages are in {}", args.directory.display()))?)
}

/// A page for the program and for each of its commands, named as `man` wants them: `tollgate-rules-check.1`.
fn write(directory: &Path) -> io::Result<()> {
    clap_mangen::generate_to(args::Args::command().disable_help_subcommand(true), directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for (page, said) in [
            ("tollgate.1", "Exit codes"),
            ("tollgate-status.1", "tollgate status"),
            ("tollgate-snooze.1", "tollgate snooze off"),
            ("tollgate-driver-install.1", "tollgate.sys"),
        ] {
            let text = fs::read_to_string(folder.path().join(page)).unwrap();
            assert!(text.contains(said), "{said} is not in {page}:\n{text}");
        }
    }
}
