//! The rules that a command is about: a directory, or what the service has in force.
//!
//! Neighbours: `platform::tree` reads a directory; the service gives what is in force, or was when something was decided.

use super::count;
use crate::client::Where;
use crate::failure::{Exit, Failure};
use crate::output::line::printable;
use crate::output::printer::print;
use control::protocol::{Reply, Request};
use jiff::Timestamp;
use platform::tree::{self, TreeError};
use rules::decision::Revision;
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::{Problem, SourceFile};
use serde_json::json;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Which rules.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Source {
    /// The directory of rules, when it is not the usual one
    #[arg(long, value_name = "DIR", env = "TOLLGATE_RULES")]
    pub rules: Option<PathBuf>,

    /// Take the rules that the service has in force, not those in a directory
    #[arg(long)]
    pub in_force: bool,
}

impl Source {
    /// Reads and compiles them.
    pub fn ruleset(&self, json: bool, server: &Where) -> Result<Ruleset, Failure> {
        if self.in_force { in_force(None, None, server) } else { compile(&directory(self.rules.as_deref()), json) }
    }
}

/// The directory of rules.
pub fn directory(given: Option<&Path>) -> PathBuf {
    given.map_or_else(platform::dirs::rules, Path::to_owned)
}

/// What rules must know about this machine.
pub fn environment() -> Environment {
    service::daemon::system::environment()
}

/// This moment, in seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Reads a directory.
pub fn read(directory: &Path) -> Result<Vec<SourceFile>, Failure> {
    let files = tree::read(directory)?;
    Ok(files.into_iter().map(|(path, text)| SourceFile { path: path.into(), text: text.into() }).collect())
}

/// Reads and compiles a directory. Errors are printed like a compiler's, all at once.
pub fn compile(directory: &Path, json: bool) -> Result<Ruleset, Failure> {
    Ruleset::compile(&read(directory)?, &environment()).map_err(|problems| bad_rules(&problems, directory, json))
}

/// Whose path this is: only Windows's has a drive letter, or begins with a backslash.
pub fn style_of(path: &str) -> PathStyle {
    let has_drive = path.as_bytes().get(1) == Some(&b':');
    if has_drive || path.starts_with('\\') { PathStyle::Windows } else { PathStyle::Unix }
}

/// Compiles what the service had in force at a revision, what it has now when that is `None`; for paths of that style,
/// this machine's when that is `None`.
pub fn in_force(revision: Option<Revision>, style: Option<PathStyle>, server: &Where) -> Result<Ruleset, Failure> {
    let reply = server.connect()?.client.call(Request::Ruleset { revision })?;
    let Reply::Ruleset { files, left_out, .. } = reply else { return Err(unexpected()) };
    if left_out > 0 {
        let error = io::Error::other(format!("the rules are too long to be sent: {left_out} files were left out"));
        return Err(Failure::new(Exit::Failed, error, Some("give their directory: --rules DIR")));
    }
    let usual = environment();
    let environment = Environment { paths: style.unwrap_or(usual.paths), ..usual };
    Ruleset::compile(&files, &environment).map_err(|problems| bad_rules(&problems, Path::new("the service"), false))
}

/// The service answered another question.
pub fn unexpected() -> Failure {
    let error = io::Error::other("the service gave another answer than was asked for");
    Failure::new(Exit::Nonsense, error, Some("use the program that came with the service"))
}

/// Fails because of problems in files. With `json` they are printed on standard output as one object.
pub fn bad_rules(problems: &[Problem], directory: &Path, json: bool) -> Failure {
    let mut message = format!("{} in {}", count(problems.len(), "error"), directory.display());
    if json {
        // Standard output may be closed; then the exit code has to do.
        let _closed = print(&json!({ "problems": problems }).to_string());
    } else {
        for Problem { file, line, column, message: what, help } in problems {
            // Writing to a string does not fail.
            let _ = write!(message, "\n{}:{line}:{column}: {}", printable(file), printable(what));
            if let Some(help) = help {
                let _ = write!(message, "\n  help: {}", printable(help));
            }
        }
    }
    Failure::new(Exit::BadRules, io::Error::other(message), None)
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        let (exit, help) = match &error {
            TreeError::Missing(_) => (Exit::Failed, Some("say where the rules are: --rules DIR")),
            TreeError::Os { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                (Exit::AccessDenied, Some("run this as administrator"))
            }
            TreeError::Os { .. } => (Exit::Failed, None),
            TreeError::TooManyFiles(_)
            | TreeError::TooLong(_)
            | TreeError::NotText { .. }
            | TreeError::LeadsOut(_)
            | TreeError::Misplaced(_)
            | TreeError::BadName(_) => (Exit::BadRules, None),
        };
        Self::new(exit, error, help)
    }
}
