//! A process, prepared: its paths in the form in which they are compared.

use crate::facts::{Identity, Needs, Program};
use crate::language::path;
use crate::model::PathPattern;
use crate::path_glob::PathGlob;
use crate::ruleset::PathStyle;
use std::sync::Arc;

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// As it was given.
    pub identity: Arc<Identity>,
    /// Its program's path.
    pub program: Option<Path>,
    /// Its parent's.
    pub parent: Option<Path>,
}

/// A path, in the forms that patterns are compared with.
#[derive(Clone, Debug)]
pub struct Path {
    folded: String,
    slashed: String,
    name_at: usize,
}

/// A path pattern, compiled.
#[derive(Debug)]
pub enum PathTest {
    /// The folded path.
    Exact(Arc<str>),
    /// The folded file name.
    Name(Arc<str>),
    /// A glob for the slashed path.
    Glob(PathGlob),
}

impl Process {
    /// Prepares one.
    pub fn new(identity: Arc<Identity>, style: PathStyle) -> Self {
        let path = |program: &Program| program.path.as_deref().map(|path| Path::new(path, style));
        let parent = identity.parent.as_deref().and_then(path);
        Self { program: path(&identity.program), parent, identity }
    }

    /// What is still being looked up.
    pub fn pending(&self) -> Needs {
        self.identity.pending
    }
}

impl Path {
    fn new(path: &str, style: PathStyle) -> Self {
        let folded = path::fold(style, path);
        let name_at = folded.len() - path::file_name(style, &folded).len();
        Self { slashed: path::slashed(&folded, style), folded, name_at }
    }

    /// The whole path.
    pub fn whole(&self) -> &str {
        &self.folded
    }

    /// The whole path, with `/` on every system.
    pub fn slashed(&self) -> &str {
        &self.slashed
    }

    /// The file name.
    pub fn name(&self) -> &str {
        &self.folded[self.name_at..]
    }

    /// Whether a pattern names this path.
    pub fn is(&self, test: &PathTest) -> bool {
        match test {
            PathTest::Exact(path) => **path == self.folded,
            PathTest::Name(name) => **name == *self.name(),
            PathTest::Glob(glob) => glob.matches(&self.slashed),
        }
    }
}

impl PathTest {
    /// Compiles a pattern that the language accepted.
    pub fn new(pattern: &PathPattern, style: PathStyle) -> Self {
        match pattern {
            PathPattern::Exact(path) => Self::Exact(path.clone()),
            PathPattern::Name(name) => Self::Name(name.clone()),
            PathPattern::Glob(glob) => {
                Self::Glob(path::glob(glob, style).expect("the language compiled this pattern before"))
            }
        }
    }
}
