//! `tollgate rules import`: rules of other programs.

use super::source::{bad_rules, directory, environment, read};
use super::{about, count};
use crate::failure::{Exit, Failure};
use crate::output::line::printable;
use crate::output::printer::print;
use clap::ValueEnum;
use rules::import::{Format, ImportError, Imported, Input, MAX_BYTES, MAX_FILES, Target, guess, import};
use rules::model::Layer;
use rules::ruleset::Ruleset;
use rules::source::SourceFile;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub const EXAMPLES: &str = "\
Examples:
  tollgate rules import /etc/opensnitchd/rules                 shows what would be written
  tollgate rules import /etc/opensnitchd/rules --write         writes user/opensnitch.toml
  tollgate rules import ads.lsrules --name ads --layer default --write
  tollgate rules import hosts.txt --name ads --write           a set, and a rule that blocks it

What cannot be expressed is left out and named on standard error, and never becomes something that permits more.
Nothing is written that does not compile together with the rules that are there.";

/// What, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files to import, or a folder of OpenSnitch's rules
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// What they are
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = FormatArg::Auto)]
    format: FormatArg,

    /// The layer that the rules go to
    #[arg(long, value_name = "LAYER", value_enum, default_value_t = LayerArg::User)]
    layer: LayerArg,

    /// The name of the file and of a set; default: opensnitch, little-snitch or imported
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The directory of rules, when it is not the usual one
    #[arg(long, value_name = "DIR", env = "TOLLGATE_RULES")]
    rules: Option<PathBuf>,

    /// Write the files into the directory of rules
    #[arg(long)]
    write: bool,

    /// Replace files that are there
    #[arg(long, requires = "write")]
    force: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A format, as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// Look at the first file
    Auto,
    /// OpenSnitch's rules, JSON
    Opensnitch,
    /// Little Snitch's rule groups, .lsrules
    Lsrules,
    /// A hosts file, or names, addresses, prefixes and ranges, one per line
    List,
}

/// A layer, as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayerArg {
    /// What administrators insist on
    Mandatory,
    /// What people at this machine decided
    User,
    /// What holds when they decided nothing
    Default,
}

/// Imports.
pub fn run(args: &Args) -> Result<(), Failure> {
    let files = files(&args.paths)?;
    let inputs: Vec<Input<'_>> = files.iter().map(|(name, bytes)| Input { name, bytes }).collect();
    let format = match (args.format, inputs.first()) {
        (FormatArg::Auto, Some(first)) => guess(first),
        (FormatArg::Opensnitch, _) => Format::OpenSnitch,
        (FormatArg::Lsrules, _) => Format::LittleSnitch,
        (FormatArg::List | FormatArg::Auto, _) => Format::List,
    };
    let name = args.name.as_deref().unwrap_or(match format {
        Format::OpenSnitch => "opensnitch",
        Format::LittleSnitch => "little-snitch",
        Format::List => "imported",
    });
    let layer = match args.layer {
        LayerArg::Mandatory => Layer::Mandatory,
        LayerArg::User => Layer::User,
        LayerArg::Default => Layer::Default,
    };
    let target = Target { layer, name: name.to_owned() };
    let imported = import(format, &inputs, &target, &mut |folder| read_lists(Path::new(folder)))?;
    compile(&imported, args)?;
    if args.write {
        write(&imported, args)?;
    }
    report(&imported, args)
}

/// The files to import, a folder's JSON files among them.
fn files(paths: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let listed = fs::read_dir(path).map_err(|error| about(path, &error))?;
            for entry in listed.take(MAX_FILES) {
                let inner = entry.map_err(|error| about(path, &error))?.path();
                if inner.extension().is_some_and(|extension| extension == "json") {
                    found.push(inner);
                }
            }
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        return Err(Failure::new(Exit::Failed, io::Error::other("there are no JSON files in that folder"), None));
    }
    found.sort();
    let file =
        |path: PathBuf| Ok((path.display().to_string(), read_file(&path).map_err(|error| about(&path, &error))?));
    found.into_iter().map(file).collect()
}

/// At most one byte more than is imported.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The lists in a folder that a rule refers to; a hidden file is none.
fn read_lists(folder: &Path) -> Option<Vec<Vec<u8>>> {
    let mut lists = Vec::new();
    let mut room = MAX_BYTES;
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if is_hidden || !entry.file_type().ok()?.is_file() {
            continue;
        }
        let list = read_file(&entry.path()).ok()?;
        room = room.checked_sub(list.len())?;
        lists.push(list);
    }
    Some(lists)
}

/// Compiles what would be there afterwards.
fn compile(imported: &Imported, args: &Args) -> Result<(), Failure> {
    let directory = directory(args.rules.as_deref());
    let mut files = if directory.exists() { read(&directory)? } else { Vec::new() };
    files.retain(|file| imported.files.iter().all(|new| new.path != file.path));
    files.extend(imported.files.iter().cloned());
    let compiled = Ruleset::compile(&files, &environment());
    compiled.map(drop).map_err(|problems| bad_rules(&problems, &directory, args.json))
}

/// Sets first, so that the rules that name them are complete at every moment.
fn write(imported: &Imported, args: &Args) -> Result<(), Failure> {
    let directory = directory(args.rules.as_deref());
    let (rules, sets): (Vec<&SourceFile>, Vec<&SourceFile>) =
        imported.files.iter().partition(|file| file.path.ends_with(".toml"));
    let files: Vec<&SourceFile> = sets.into_iter().chain(rules).collect();
    if let Some(there) = files.iter().map(|file| directory.join(&*file.path)).find(|path| !args.force && path.exists())
    {
        let error = io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", there.display()));
        return Err(Failure::new(Exit::Failed, error, Some("another --name, or --force to replace it")));
    }
    for file in files {
        let path = directory.join(&*file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| about(folder, &error))?;
        }
        platform::files::replace(&path, file.text.as_bytes()).map_err(|error| about(&path, &error))?;
    }
    Ok(())
}

fn report(imported: &Imported, args: &Args) -> Result<(), Failure> {
    if args.json {
        let report = json!({ "written": args.write, "imported": imported });
        return Ok(print(&report.to_string())?);
    }
    for file in &imported.files {
        if args.write {
            print(&file.path)?;
        } else if file.path.ends_with(".toml") {
            print(&format!("# {}\n{}", file.path, file.text.trim_end()))?;
        } else {
            print(&format!("# {}: {} lines", file.path, file.text.lines().count()))?;
        }
    }
    let mut summary = String::new();
    for skipped in &imported.skipped {
        summary.push_str(&format!("left out: {}: {}\n", printable(&skipped.name), printable(&skipped.why)));
    }
    for note in &imported.notes {
        summary.push_str(&format!("note: {}\n", printable(note)));
    }
    let left_out = imported.skipped.len() + imported.more_skipped;
    let (rules, entries) = (count(imported.rules, "rule"), imported.entries);
    let state = if args.write { "written" } else { "nothing is written without --write" };
    summary.push_str(&format!("{rules} and {entries} set entries, {left_out} left out; {state}\n"));
    // Standard error may be closed; what was asked for is done.
    let _closed = io::stderr().write_all(summary.as_bytes());
    Ok(())
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let help = match &error {
            ImportError::Malformed { .. } => Some("say what it is: --format opensnitch, lsrules or list"),
            ImportError::TooMany { .. } | ImportError::TooLong { .. } | ImportError::TooManyFiles(_) => {
                Some("import it in parts")
            }
            ImportError::Floor | ImportError::BadName(_) => None,
        };
        Self::new(Exit::Failed, error, help)
    }
}
