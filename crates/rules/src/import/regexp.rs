//! Regular expressions as patterns of ours, where they mean the same.
//!
//! Invariants: a pattern matches exactly what the expression matches, or there is none. An expression that is not anchored
//! matches inside of text, so that its pattern begins or ends with a star.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// The most patterns that one expression may become.
const MAX_PATTERNS: usize = 64;

/// The longest expression that is read, in bytes.
const MAX_EXPRESSION: usize = 4096;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// That text.
    Text(String),
    /// Any one character.
    Any,
    /// Any text, also none.
    Star,
}

/// Patterns that together match what an expression matches.
pub fn patterns(expression: &str) -> Option<Vec<Vec<Piece>>> {
    if expression.len() > MAX_EXPRESSION {
        return None;
    }
    let hir = regex_syntax::parse(expression).ok()?;
    let patterns = expand(&hir)?;
    patterns.into_iter().map(anchor).collect()
}

/// What stands in a pattern before the anchors are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Piece(Piece),
    Start,
    End,
}

fn expand(hir: &Hir) -> Option<Vec<Vec<Part>>> {
    let one = |part| Some(vec![vec![part]]);
    match hir.kind() {
        HirKind::Empty => Some(vec![vec![]]),
        HirKind::Literal(literal) => one(Part::Piece(Piece::Text(String::from_utf8(literal.0.to_vec()).ok()?))),
        HirKind::Class(class) if is_dot(class) => one(Part::Piece(Piece::Any)),
        HirKind::Class(class) => letters(class)
            .map(|letters| letters.into_iter().map(|letter| vec![Part::Piece(Piece::Text(letter))]).collect()),
        HirKind::Look(Look::Start) => one(Part::Start),
        HirKind::Look(Look::End) => one(Part::End),
        HirKind::Look(_) => None,
        HirKind::Repetition(repetition) => {
            let is_dot = matches!(repetition.sub.kind(), HirKind::Class(class) if is_dot(class));
            match (repetition.min, repetition.max) {
                (0, Some(1)) => {
                    let mut patterns = expand(&repetition.sub)?;
                    patterns.push(vec![]);
                    bounded(patterns)
                }
                (0, None) if is_dot => one(Part::Piece(Piece::Star)),
                (1, None) if is_dot => Some(vec![vec![Part::Piece(Piece::Any), Part::Piece(Piece::Star)]]),
                _ => None,
            }
        }
        HirKind::Capture(capture) => expand(&capture.sub),
        HirKind::Concat(parts) => parts.iter().try_fold(vec![vec![]], |before, part| {
            let after = expand(part)?;
            let both =
                before.iter().flat_map(|a: &Vec<Part>| after.iter().map(move |b| [a.clone(), b.clone()].concat()));
            bounded(both.take(MAX_PATTERNS + 1).collect())
        }),
        HirKind::Alternation(parts) => parts.iter().try_fold(Vec::new(), |mut before, part| {
            before.extend(expand(part)?);
            bounded(before)
        }),
    }
}

fn bounded(patterns: Vec<Vec<Part>>) -> Option<Vec<Vec<Part>>> {
    (patterns.len() <= MAX_PATTERNS).then_some(patterns)
}

/// `.`: everything but the end of a line, which no path, name or command line that concerns us has in it.
fn is_dot(class: &Class) -> bool {
    match class {
        Class::Unicode(class) => {
            let all_but_line_ends =
                |c: char| c == '\n' || class.iter().any(|range| range.start() <= c && c <= range.end());
            ['\0', '\t', ' ', '/', 'a', '\u{7f}', '\u{ffff}', '\u{10ffff}', '\n'].into_iter().all(all_but_line_ends)
                && class.ranges().len() <= 2
        }
        Class::Bytes(_) => false,
    }
}

/// The characters of a small class.
fn letters(class: &Class) -> Option<Vec<String>> {
    let Class::Unicode(class) = class else { return None };
    let mut letters = Vec::new();
    for range in class.iter() {
        for letter in range.start()..=range.end() {
            if letters.len() == MAX_PATTERNS {
                return None;
            }
            letters.push(letter.to_string());
        }
    }
    Some(letters)
}

/// Resolves anchors: without them, anything may stand before and after.
fn anchor(parts: Vec<Part>) -> Option<Vec<Piece>> {
    let starts = parts.iter().take_while(|part| **part == Part::Start).count();
    let ends = parts.iter().skip(starts).rev().take_while(|part| **part == Part::End).count();
    let middle = parts.get(starts..parts.len() - ends)?;
    let mut pieces = Vec::new();
    if starts == 0 {
        pieces.push(Piece::Star);
    }
    for part in middle {
        let Part::Piece(piece) = part else { return None };
        match (piece, pieces.last_mut()) {
            (Piece::Star, Some(Piece::Star)) => {}
            (Piece::Text(text), Some(Piece::Text(before))) => before.push_str(text),
            _ => pieces.push(piece.clone()),
        }
    }
    if ends == 0 && pieces.last() != Some(&Piece::Star) {
        pieces.push(Piece::Star);
    }
    Some(pieces)
}

/// As text with `*` and `?`; none when the text itself has those in it.
pub fn text_glob(pieces: &[Piece]) -> Option<String> {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => (!text.contains(['*', '?'])).then_some(text.as_str()),
            Piece::Any => Some("?"),
            Piece::Star => Some("*"),
        })
        .collect()
}

/// As patterns of full paths, in which a star does not cross folders and `**` does.
pub fn path_globs(pieces: &[Piece]) -> Option<Vec<String>> {
    let mut globs = vec![String::new()];
    for piece in pieces {
        match piece {
            Piece::Text(text) if text.contains(['*', '?', '[', ']', '{', '}', '\\']) => return None,
            Piece::Text(text) => globs.iter_mut().for_each(|glob| glob.push_str(text)),
            // It may be a separator, which `?` is not.
            Piece::Any => return None,
            Piece::Star => {
                globs = globs.iter().flat_map(|glob| [format!("{glob}*"), format!("{glob}*/**/*")]).collect();
                if globs.len() > MAX_PATTERNS {
                    return None;
                }
            }
        }
    }
    // A pattern that begins with a star stands for full paths, which begin with a separator.
    let globs = globs.into_iter().filter_map(|glob| match glob.strip_prefix("*/**/*") {
        Some(rest) => Some(format!("/**/*{rest}")),
        None if glob.starts_with('*') => glob.strip_prefix("*/").map(|rest| format!("/{rest}")),
        None => Some(glob),
    });
    let globs: Vec<String> = globs.collect();
    globs.iter().all(|glob| glob.starts_with('/')).then_some(globs).filter(|globs| !globs.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(expression: &str) -> Option<Vec<String>> {
        patterns(expression)?.iter().map(|pieces| text_glob(pieces)).collect()
    }

    fn paths(expression: &str) -> Option<Vec<String>> {
        Some(patterns(expression)?.iter().map(|pieces| path_globs(pieces)).collect::<Option<Vec<_>>>()?.concat())
    }

    #[test]
    fn an_anchored_choice_becomes_its_members() {
        assert_eq!(text("^(53|80|443)$").unwrap(), ["53", "80", "443"]);
        assert_eq!(text("^555[12]$").unwrap(), ["5551", "5552"]);
    }

    #[test]
    fn what_is_not_anchored_matches_inside() {
        assert_eq!(text("curl").unwrap(), ["*curl*"]);
        assert_eq!(text(r"^(.*\.)?example\.com$").unwrap(), ["*.example.com", "example.com"]);
    }

    #[test]
    fn a_star_in_a_path_crosses_folders() {
        assert_eq!(paths("^/usr/bin/python.*$").unwrap(), ["/usr/bin/python*", "/usr/bin/python*/**/*"]);
        assert_eq!(paths("/firefox$").unwrap(), ["/firefox", "/**/*/firefox"]);
        assert_eq!(paths("^/usr/bin/curl$").unwrap(), ["/usr/bin/curl"]);
    }

    #[test]
    fn what_would_mean_something_else_is_refused() {
        for expression in ["^[^/]+$", r"^a\bb$", "^(a{2,9})$", "^[0-9]+$", "(", r"^\d+$"] {
            assert_eq!(text(expression), None, "{expression}");
        }
        assert_eq!(text("^(1|2|3|4)(1|2|3|4)(1|2|3|4)(1|2|3|4)$"), None, "too many");
        assert_eq!(paths(r"^/opt/a\*b$"), None);
    }
}
