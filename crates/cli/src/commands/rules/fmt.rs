//! `tollgate rules fmt`: canonical form.

use super::source::{directory, read};
use super::{about, count, found};
use crate::failure::{Exit, Failure};
use crate::output::printer::print;
use platform::files::replace;
use rules::format::format;
use serde_json::json;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub const EXAMPLES: &str = "\
Examples:
  tollgate rules fmt                        every file in the directory of rules
  tollgate rules fmt user/mine.toml
  tollgate rules fmt --check                write nothing; exit code 15 when a file is not canonical
  tollgate rules fmt - < mine.toml          to standard output

Comments and the order of rules stay.";

/// Which files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of rules, when it is not the usual one
    #[arg(long, value_name = "DIR", env = "TOLLGATE_RULES")]
    rules: Option<PathBuf>,

    /// Files of rules; `-` is standard input. Default: all in the directory
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write nothing; say which files are not canonical
    #[arg(long)]
    check: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Formats files.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.files == [Path::new("-")] {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        let formatted = formatted(Path::new("standard input"), &text)?;
        return Ok(print(formatted.trim_end_matches('\n'))?);
    }
    let mut texts = Vec::new();
    if args.files.is_empty() {
        let directory = directory(args.rules.as_deref());
        let files = read(&directory)?.into_iter().filter(|file| file.path.ends_with(".toml"));
        texts.extend(files.map(|file| (directory.join(&*file.path), file.text.to_string())));
    }
    for path in &args.files {
        texts.push((path.clone(), fs::read_to_string(path).map_err(|error| about(path, &error))?));
    }
    // All are looked at before one is written.
    let mut changed = Vec::new();
    for (path, text) in &texts {
        let formatted = formatted(path, text)?;
        if formatted != *text {
            changed.push((path, formatted));
        }
    }
    if !args.check {
        for (path, formatted) in &changed {
            replace(path, formatted.as_bytes()).map_err(|error| about(path, &error))?;
        }
    }
    let names: Vec<String> = changed.iter().map(|(path, _)| path.display().to_string()).collect();
    if args.json {
        print(&json!({ "files": texts.len(), "changed": names, "written": !args.check }).to_string())?;
    } else {
        names.iter().try_for_each(|name| print(name))?;
    }
    if args.check && !changed.is_empty() {
        let message = format!("{} of {} not in canonical form", changed.len(), count(texts.len(), "file"));
        return Err(found(message, "`tollgate rules fmt` without --check writes them"));
    }
    Ok(())
}

fn formatted(path: &Path, text: &str) -> Result<String, Failure> {
    format(text).map_err(|error| {
        let error = io::Error::other(format!("{}:{error}", path.display()));
        Failure::new(Exit::BadRules, error, Some("`tollgate rules check` shows every error"))
    })
}
