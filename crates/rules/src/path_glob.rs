//! Globs over paths.
//!
//! `*` any characters but `/`; `?` one; `[a-z]`, `[!a-z]` one of some, or none of them; `{a,b}` alternatives; `**` as a whole
//! folder any number of folders, and at the end everything below. Invariants: compiled without search structures, so that
//! ten thousand cost little; matching takes no more steps than the product of both lengths, and does not allocate.
//! Neighbours: `language::path` reads patterns, `index` asks.

use crate::language::Wrong;

/// How many alternatives the braces of one glob may make.
pub const MAX_ALTERNATIVES: usize = 64;

/// A glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGlob {
    alternatives: Vec<Vec<Token>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This character.
    Char(char),
    /// `?`
    One,
    /// `[...]`: whether it names what is *not* meant, and from which to which character.
    Class(bool, Vec<(char, char)>),
    /// `*`
    Star,
    /// `**/`: any number of folders.
    Folders,
    /// `**` at the end.
    Rest,
}

impl PathGlob {
    /// Compiles. In the pattern folders are separated by `/`; a backslash takes the next character as it is, when
    /// `is_escaped` says that it is no separator.
    pub fn new(pattern: &str, is_escaped: bool) -> Result<Self, Wrong> {
        let chars: Vec<char> = pattern.chars().collect();
        let mut texts = vec![Vec::new()];
        expand(&chars, is_escaped, &mut texts)?;
        let alternatives = texts.iter().map(|text| tokens(text)).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &str) -> bool {
        self.alternatives.iter().any(|tokens| matches(tokens, path))
    }

    /// For each alternative what can be said of all paths that match it.
    pub fn hints(&self) -> impl Iterator<Item = Hint> {
        self.alternatives.iter().map(|tokens| {
            let is_separator = |token: &Token| matches!(token, Token::Char('/') | Token::Folders);
            let name = tokens.iter().rposition(is_separator).map_or(&tokens[..], |at| &tokens[at + 1..]);
            if let Some(name) = literal(name) {
                return Hint::Name(name);
            }
            let is_literal = |token: &&Token| matches!(token, Token::Char(_));
            let begin: String = tokens.iter().take_while(is_literal).filter_map(char_of).collect();
            Hint::Below(begin.rfind('/').map_or(String::new(), |at| begin[..at].to_owned()))
        })
    }
}

/// What is true of all paths that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The file name is this.
    Name(String),
    /// They are below this folder; `""`: anywhere.
    Below(String),
}

fn char_of(token: &Token) -> Option<char> {
    if let Token::Char(c) = token { Some(*c) } else { None }
}

fn literal(tokens: &[Token]) -> Option<String> {
    tokens.iter().map(char_of).collect()
}

/// A character of a pattern, and whether it stands for itself.
type Spelt = (char, bool);

/// Appends to every text what the pattern says, once for each way through its braces.
fn expand(pattern: &[char], is_escaped: bool, texts: &mut Vec<Vec<Spelt>>) -> Result<(), Wrong> {
    let mut at = 0;
    while let Some(&c) = pattern.get(at) {
        at += 1;
        match c {
            '\\' if is_escaped => {
                let Some(&next) = pattern.get(at) else { return Err(Wrong::new("the pattern ends after a `\\`")) };
                at += 1;
                texts.iter_mut().for_each(|text| text.push((next, true)));
            }
            '{' => {
                let (inner, length) = braces(&pattern[at..])?;
                at += length;
                let before = std::mem::take(texts);
                for choice in inner {
                    let mut longer = before.clone();
                    expand(choice, is_escaped, &mut longer)?;
                    texts.append(&mut longer);
                    if texts.len() > MAX_ALTERNATIVES {
                        let wrong = Wrong::new(format!("its braces make more than {MAX_ALTERNATIVES} alternatives"));
                        return Err(wrong.help("a list of patterns"));
                    }
                }
            }
            // What is in brackets stands for itself here, braces too.
            '[' => {
                let begin = at - 1;
                let first = at + usize::from(matches!(pattern.get(at), Some('!' | '^'))) + 1;
                let Some(close) = (first..pattern.len()).find(|at| pattern[*at] == ']') else {
                    return Err(Wrong::new("a `[` lacks its `]`").help("`[[]` is a `[` itself"));
                };
                at = close + 1;
                texts.iter_mut().for_each(|text| text.extend(pattern[begin..at].iter().map(|c| (*c, false))));
            }
            c => texts.iter_mut().for_each(|text| text.push((c, false))),
        }
    }
    Ok(())
}

/// The alternatives between braces, of which the first is open already, and the length up to and with the last.
fn braces(pattern: &[char]) -> Result<(Vec<&[char]>, usize), Wrong> {
    let mut depth = 1;
    let mut begin = 0;
    let mut choices = Vec::new();
    for (at, c) in pattern.iter().enumerate() {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                choices.push(&pattern[begin..at]);
                begin = at + 1;
            }
            '}' if depth == 1 => {
                choices.push(&pattern[begin..at]);
                return Ok((choices, at + 1));
            }
            '}' => depth -= 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Wrong::new(format!("its braces are nested more than {MAX_DEPTH} deep")));
        }
    }
    Err(Wrong::new("a `{` lacks its `}`").help("`[{]` is a `{` itself"))
}

/// How deep braces may be nested.
const MAX_DEPTH: usize = 4;

fn tokens(text: &[Spelt]) -> Result<Vec<Token>, Wrong> {
    let mut tokens = Vec::with_capacity(text.len());
    let mut at = 0;
    let plain = |at: usize| text.get(at).filter(|(_, is_itself)| !is_itself).map(|(c, _)| *c);
    while let Some(&(c, is_itself)) = text.get(at) {
        at += 1;
        match c {
            _ if is_itself => tokens.push(Token::Char(c)),
            '?' => tokens.push(Token::One),
            '*' if plain(at) != Some('*') => tokens.push(Token::Star),
            '*' => {
                at += 1;
                let is_after_slash = matches!(tokens.last(), None | Some(Token::Char('/') | Token::Folders));
                match text.get(at) {
                    None if is_after_slash => tokens.push(Token::Rest),
                    Some(('/', _)) if is_after_slash => {
                        at += 1;
                        if tokens.last() != Some(&Token::Folders) {
                            tokens.push(Token::Folders);
                        }
                    }
                    _ => {
                        let wrong = Wrong::new("`**` stands for whole folders, not for a part of a name");
                        return Err(wrong.help("`*` is any part of a name, `**/*.exe` any such file in any folder"));
                    }
                }
            }
            '[' => {
                let is_not = matches!(plain(at), Some('!' | '^'));
                at += usize::from(is_not);
                let mut ranges = Vec::new();
                while ranges.is_empty() || plain(at) != Some(']') {
                    let Some(&(first, _)) = text.get(at) else { return Err(Wrong::new("a `[` lacks its `]`")) };
                    let last = text.get(at + 2).map(|(last, _)| *last).filter(|last| *last != ']');
                    match (plain(at + 1), last) {
                        (Some('-'), Some(last)) if last < first => {
                            return Err(Wrong::new(format!("`{first}-{last}` runs backwards")));
                        }
                        (Some('-'), Some(last)) => {
                            ranges.push((first, last));
                            at += 3;
                        }
                        _ => {
                            ranges.push((first, first));
                            at += 1;
                        }
                    }
                }
                at += 1;
                tokens.push(Token::Class(is_not, ranges));
            }
            c => tokens.push(Token::Char(c)),
        }
    }
    Ok(tokens)
}

/// Goes on after the last star when something does not fit, with one character more for it; a star that would have to take
/// a `/` gives way to the last `**`, which takes a folder more. To go back further is never of use: whatever an earlier one
/// could take, the later one can take as well.
fn matches(tokens: &[Token], path: &str) -> bool {
    let (mut token, mut rest) = (0, path);
    let mut star: Option<(usize, &str)> = None;
    let mut folders: Option<(usize, &str)> = None;
    loop {
        let mut chars = rest.chars();
        let next = chars.next();
        match (tokens.get(token), next) {
            (None, None) | (Some(Token::Rest), _) => return true,
            (Some(Token::Star), _) => {
                token += 1;
                star = Some((token, rest));
                continue;
            }
            (Some(Token::Folders), _) => {
                token += 1;
                folders = Some((token, rest));
                star = None;
                continue;
            }
            (Some(wanted), Some(found)) if wanted.takes(found) => {
                token += 1;
                rest = chars.as_str();
                continue;
            }
            _ => {}
        }
        if let Some((after, from)) = star {
            let mut chars = from.chars();
            if chars.next().is_some_and(|taken| taken != '/') {
                star = Some((after, chars.as_str()));
                (token, rest) = (after, chars.as_str());
                continue;
            }
            star = None;
        }
        let Some((after, from)) = folders else { return false };
        let Some((_, below)) = from.split_once('/') else { return false };
        folders = Some((after, below));
        (token, rest) = (after, below);
    }
}

impl Token {
    fn takes(&self, found: char) -> bool {
        match self {
            Self::Char(c) => *c == found,
            Self::One => found != '/',
            Self::Class(is_not, ranges) => {
                found != '/' && ranges.iter().any(|(first, last)| (*first..=*last).contains(&found)) != *is_not
            }
            Self::Star | Self::Folders | Self::Rest => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use globset::GlobBuilder;
    use proptest::prelude::*;

    fn glob(pattern: &str) -> PathGlob {
        PathGlob::new(pattern, true).unwrap_or_else(|wrong| panic!("{pattern}: {wrong}"))
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for pattern in ["/a**", "/**a", "/[a", "/{a,b", "/a\\", "/[z-a]", "/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"] {
            assert!(PathGlob::new(pattern, true).is_err(), "{pattern}");
        }
    }

    #[test]
    fn hints_are_the_name_or_the_folder() {
        let hints = |pattern| glob(pattern).hints().collect::<Vec<_>>();
        assert_eq!(hints("**/bin/git"), [Hint::Name("git".into())]);
        assert_eq!(hints("/opt/*/git"), [Hint::Name("git".into())]);
        assert_eq!(hints("/opt/a/b*/**"), [Hint::Below("/opt/a".into())]);
        assert_eq!(hints("/opt/{a,b}/**"), [Hint::Below("/opt/a".into()), Hint::Below("/opt/b".into())]);
        assert_eq!(hints("**/python*"), [Hint::Below(String::new())]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]
        #[test]
        fn it_matches_as_globset_does(
            begin in "(/|\\*\\*/)",
            parts in proptest::collection::vec("([ab*?]{1,4}|\\*\\*|\\[!?ab\\]|\\{a,b[*]\\}|[ab]\\{a,,bb\\})", 1..5),
            path in "(/[ab]{1,4}){1,5}",
        ) {
            let one_star = |part: &String| part.replace("**", "*").replace("**", "*");
            let parts: Vec<String> =
                parts.iter().map(|part| if part == "**" { part.clone() } else { one_star(part) }).collect();
            let pattern = begin + &parts.join("/");
            // Four choices of three are more patterns in one than are taken.
            prop_assume!(pattern.matches('{').count() < 4);
            let mut oracle = GlobBuilder::new(&pattern);
            oracle.literal_separator(true).backslash_escape(true).empty_alternates(true);
            let oracle = oracle.build().unwrap().compile_matcher();
            // There `/**` at the end wants something below; a path to a program never ends with a slash.
            prop_assert_eq!(glob(&pattern).matches(&path), oracle.is_match(&path), "{} {}", pattern, path);
            let name = path.rsplit('/').next().unwrap();
            if oracle.is_match(&path) {
                let is_hinted = glob(&pattern).hints().any(|hint| match hint {
                    Hint::Name(hint) => hint == name,
                    Hint::Below(folder) => path.starts_with(&folder),
                });
                prop_assert!(is_hinted);
            }
        }
    }
}
