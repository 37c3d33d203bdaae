//! Comparing what names programs, users and other texts.
//!
//! Invariants: yes means surely. Neighbours: `language::path` matches paths.

use crate::language::path;
use crate::model::{Glob, PathPattern, ProgramPattern};
use crate::path_glob::PathGlob;
use crate::ruleset::PathStyle;
use crate::wildcard;

/// What names programs, ready to be compared.
#[derive(Debug)]
pub struct Pattern<'a> {
    program: &'a ProgramPattern,
    style: PathStyle,
    /// The matcher, when the path is a glob.
    glob: Option<PathGlob>,
}

impl<'a> Pattern<'a> {
    /// Of a program pattern.
    pub fn new(program: &'a ProgramPattern, style: PathStyle) -> Self {
        let glob = match &program.path {
            Some(PathPattern::Glob(glob)) => path::glob(glob, style).ok(),
            _ => None,
        };
        Self { program, style, glob }
    }

    /// The file name that every program it matches has.
    pub fn file_name(&self) -> Option<&'a str> {
        match self.program.path.as_ref()? {
            PathPattern::Exact(path) => Some(path::file_name(self.style, path)),
            PathPattern::Name(name) => Some(name),
            PathPattern::Glob(glob) => {
                let name = path::file_name(self.style, glob);
                (!name.contains(['*', '?', '[', ']', '{', '}', '\\', ','])).then_some(name)
            }
        }
    }

    /// Whether it surely matches whatever `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        let (a, b) = (self.program, other.program);
        let texts = [(&a.publisher, &b.publisher), (&a.package, &b.package), (&a.service, &b.service)];
        let text_covers = |(a, b): (&Option<Glob>, &Option<Glob>)| match (a, b) {
            (None, _) => true,
            (Some(a), Some(b)) => glob_covers(a, b),
            (Some(_), None) => false,
        };
        (a.path.is_none() || self.path_covers(other))
            && (a.sha256.is_none() || a.sha256 == b.sha256)
            && texts.into_iter().all(text_covers)
    }

    fn path_covers(&self, other: &Self) -> bool {
        match (&self.program.path, &other.program.path) {
            (Some(PathPattern::Exact(a)), Some(PathPattern::Exact(b))) => a == b,
            (Some(PathPattern::Name(name)), Some(_)) => other.file_name() == Some(name),
            (Some(PathPattern::Glob(_)), Some(PathPattern::Exact(path))) => self.matches(path),
            (Some(PathPattern::Glob(a)), Some(PathPattern::Glob(b))) => a == b,
            _ => false,
        }
    }

    fn matches(&self, path: &str) -> bool {
        self.glob.as_ref().is_some_and(|glob| glob.matches(&path::slashed(path, self.style)))
    }

    /// Whether no program surely matches both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let (a, b) = (self.program, other.program);
        let paths = match (&a.path, &b.path) {
            (Some(PathPattern::Exact(a)), Some(PathPattern::Exact(b))) => a != b,
            (Some(PathPattern::Glob(_)), Some(PathPattern::Exact(path))) => self.glob.is_some() && !self.matches(path),
            (Some(PathPattern::Exact(path)), Some(PathPattern::Glob(_))) => {
                other.glob.is_some() && !other.matches(path)
            }
            _ => self.file_name().zip(other.file_name()).is_some_and(|(a, b)| a != b),
        };
        let texts = [(&a.publisher, &b.publisher), (&a.package, &b.package), (&a.service, &b.service)];
        paths
            || a.sha256.as_ref().zip(b.sha256.as_ref()).is_some_and(|(a, b)| a != b)
            || texts.into_iter().any(|(a, b)| a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| literals_differ(a, b)))
    }
}

/// Whether a pattern with `*` and `?` surely matches whatever another matches: the wildcards of the second must fall
/// to wildcards of the first.
pub fn glob_covers(a: &Glob, b: &Glob) -> bool {
    if a.0.eq_ignore_ascii_case(&b.0) {
        return true;
    }
    if !is_wild(a) {
        return false;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.0.chars().collect(), b.0.chars().collect());
    // Whether a[..i] covers b[..j], row by row.
    let mut row: Vec<bool> = std::iter::once(true).chain(b.iter().map(|_| false)).collect();
    for wanted in &a {
        let mut next = vec![*wanted == '*' && row[0]];
        for (j, found) in b.iter().enumerate() {
            next.push(match wanted {
                '*' => row[j + 1] || next[j],
                '?' => row[j] && *found != '*',
                wanted => row[j] && wildcard::same(*wanted, *found),
            });
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Whether two patterns without wildcards are different texts.
pub fn literals_differ(a: &Glob, b: &Glob) -> bool {
    !is_wild(a) && !is_wild(b) && !wildcard::matches(&a.0, &b.0)
}

fn is_wild(glob: &Glob) -> bool {
    glob.0.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn what_is_covered_matches_no_more(a in "[ab*?]{0,5}", b in "[ab*?]{0,5}", text in "[ab]{0,6}") {
            let covers = glob_covers(&Glob(a.as_str().into()), &Glob(b.as_str().into()));
            prop_assert!(!covers || !wildcard::matches(&b, &text) || wildcard::matches(&a, &text));
        }
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        let covers = |a: &str, b: &str| glob_covers(&Glob(a.into()), &Glob(b.into()));
        assert!(covers("*", "dev-*") && covers("dev-*", "DEV-a*") && covers("?ev", "dev") && covers("a", "A"));
        assert!(!covers("dev-*", "*") && !covers("?", "*") && !covers("dev", "dev*"));
    }
}
