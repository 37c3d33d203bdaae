//! What names program files, as text: a full path, a glob over full paths, or a file name alone.
//!
//! Invariants: pure text; the file system is not asked, so links and short (8.3) names are other names. A pattern is kept
//! as [`fold`] gives it, so that patterns for the same paths are equal.

use super::text::excerpt;
use super::wrong::Wrong;
use crate::model::PathPattern;
use crate::path_glob::PathGlob;
use crate::ruleset::{Environment, PathStyle};

/// The longest path pattern, in bytes, after the variables in it are replaced.
pub const MAX_PATH: usize = 4096;

/// The one spelling that all forms of a path share. On Windows lower case, backslashes, and no `\\?\` in front.
///
/// Windows compares names by one upper-case character for each (learn.microsoft.com "Naming Files, Paths, and Namespaces",
/// and the table `$UpCase` of NTFS). So two characters are one only when that of both is the same: the Kelvin sign is no `k`,
/// although its lower case is, and a file that somebody named with it is another file.
pub fn fold(style: PathStyle, path: &str) -> String {
    if style == PathStyle::Unix {
        return path.to_owned();
    }
    let folded: String = path.chars().map(|c| if c == '/' { '\\' } else { c }).map(lower).collect();
    let bare = [r"\\?\", r"\??\", r"\\.\"].iter().find_map(|namespace| folded.strip_prefix(namespace));
    bare.map_or_else(
        || folded.clone(),
        |bare| bare.strip_prefix(r"unc\").map_or(bare.to_owned(), |s| format!(r"\\{s}")),
    )
}

/// The lower case of a character that has the same upper case; else the character itself.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) if lower == c || lower.to_uppercase().eq(c.to_uppercase()) => lower,
        _ => c,
    }
}

/// The file name at the end of a folded path.
pub fn file_name(style: PathStyle, path: &str) -> &str {
    path.rsplit(separator(style)).next().unwrap_or(path)
}

/// Reads a pattern.
pub fn pattern(text: &str, environment: &Environment) -> Result<PathPattern, Wrong> {
    let style = environment.paths;
    if text.trim().is_empty() {
        return Err(Wrong::new("an empty text names no program"));
    }
    let text = match style {
        PathStyle::Unix => text.to_owned(),
        PathStyle::Windows => fold(style, &expand(text, environment)?),
    };
    if text.len() > MAX_PATH {
        return Err(Wrong::new(format!("a path has at most {MAX_PATH} bytes")));
    }
    if text.contains('\0') {
        return Err(Wrong::new("no path has a zero character"));
    }
    let slash = separator(style);
    if text.ends_with(slash) {
        return Err(
            Wrong::new("it names a folder, not a program").help(format!("`{text}**` is every program below it"))
        );
    }
    let is_glob = is_glob(&text, style);
    let has_folder = text.contains(slash) || (style == PathStyle::Windows && text.contains(':'));
    if !has_folder {
        return if is_glob {
            checked_glob(format!("**{slash}{text}"), style)
        } else {
            Ok(PathPattern::Name(text.into()))
        };
    }
    if text.split(slash).any(|part| matches!(part, "." | "..")) {
        return Err(Wrong::new(format!("`{}` has a `.` or `..` in it", excerpt(&text))).help("write the path as it is"));
    }
    if !is_rooted(&text, style) {
        let wrong = Wrong::new(format!("`{}` is a relative path", excerpt(&text)));
        return Err(wrong.help(format!("the full path, the file name alone, or `**{slash}{text}`")));
    }
    if is_glob { checked_glob(text, style) } else { Ok(PathPattern::Exact(text.into())) }
}

/// The matcher of a glob. It is for text that [`slashed`] gave.
pub(crate) fn glob(pattern: &str, style: PathStyle) -> Result<PathGlob, Wrong> {
    PathGlob::new(&slashed(&lone_braces(pattern, style), style), style == PathStyle::Unix).map_err(|wrong| Wrong {
        message: format!("`{}` is not a pattern: {}", excerpt(pattern), wrong.message),
        ..wrong
    })
}

/// A folded path in the form that globs match.
pub fn slashed(path: &str, style: PathStyle) -> String {
    match style {
        PathStyle::Unix => path.to_owned(),
        PathStyle::Windows => path.replace('\\', "/"),
    }
}

fn checked_glob(text: String, style: PathStyle) -> Result<PathPattern, Wrong> {
    glob(&text, style)?;
    Ok(PathPattern::Glob(text.into()))
}

const fn separator(style: PathStyle) -> char {
    match style {
        PathStyle::Unix => '/',
        PathStyle::Windows => '\\',
    }
}

fn is_rooted(text: &str, style: PathStyle) -> bool {
    if text.starts_with("**") || text.starts_with(separator(style)) {
        return true;
    }
    let drive = |c: &u8| c.is_ascii_alphabetic() || matches!(c, b'*' | b'?');
    style == PathStyle::Windows && text.as_bytes().first().is_some_and(drive) && text.get(1..3) == Some(r":\")
}

fn is_glob(text: &str, style: PathStyle) -> bool {
    text.contains(['*', '?', '[']) || lone_braces(text, style).replace("[{]", "").contains('{')
}

/// Braces without alternatives in them are part of a name, as in `C:\x\{6d809377-6af0}\y.exe`. Where a backslash takes the
/// next character as it is, it says so itself.
fn lone_braces(text: &str, style: PathStyle) -> String {
    let is_taken = |before: &str| {
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        style == PathStyle::Unix && backslashes % 2 == 1
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            _ if is_taken(before) => {
                out.push('{');
                rest = after;
            }
            Some((inner, after)) if !inner.contains([',', '{']) => {
                out.push_str("[{]");
                out.push_str(inner);
                out.push_str("[}]");
                rest = after;
            }
            _ => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

/// Replaces `%NAME%`.
fn expand(text: &str, environment: &Environment) -> Result<String, Wrong> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '(' | ')'))
        };
        rest = match after.split_once('%').filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                let Some(value) = environment.variables.get(&name.to_ascii_uppercase()) else {
                    let wrong = Wrong::new(format!("`%{name}%` is not known on this machine"));
                    let wrong = wrong.known(name, environment.variables.keys().map(String::as_str));
                    return Err(wrong.shift(text.len() - rest.len() + before.len()));
                };
                out.push_str(value);
                after
            }
            None => {
                out.push('%');
                after
            }
        };
    }
    Ok(out + rest)
}
