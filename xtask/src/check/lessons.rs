//! `docs/lessons.md` says which test or type rules a mistake out; each must still be there.
//!
//! Neighbours: the page names an item as its file, two colons and its name, in backquotes.

use anyhow::{Result, bail};

use crate::workspace;

const PAGE: &str = "docs/lessons.md";
/// What an item begins with.
const KEYWORDS: [&str; 6] = ["fn", "struct", "enum", "trait", "type", "const"];

pub fn check() -> Result<()> {
    let page = std::fs::read_to_string(workspace::root().join(PAGE))?;
    let gone: Vec<String> = references(&page)
        .filter(|(file, item)| {
            let source = std::fs::read_to_string(workspace::root().join(file)).unwrap_or_default();
            !defines(&source, item)
        })
        .map(|(file, item)| format!("{PAGE}: there is no {item} in {file}"))
        .collect();
    if gone.is_empty() { Ok(()) } else { bail!("{}", gone.join("\n")) }
}

/// Every `file::item` in backquotes.
fn references(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|quoted| quoted.rsplit_once("::"))
        .filter(|(file, _)| file.ends_with(".rs"))
}

fn defines(source: &str, item: &str) -> bool {
    let words =
        || source.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty());
    words().zip(words().skip(1)).any(|(keyword, name)| KEYWORDS.contains(&keyword) && name == item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_named_by_its_file() {
        let found: Vec<_> = references("see `a/b.rs::it_holds` and `B`, or `c.rs::C`").collect();
        assert_eq!(found, [("a/b.rs", "it_holds"), ("c.rs", "C")]);
    }

    #[test]
    fn an_item_is_there_when_it_is_defined() {
        let source = "pub(crate) fn it_holds() {}\nstruct C<T>(T);";
        assert!(defines(source, "it_holds") && defines(source, "C"));
        assert!(!defines(source, "holds"));
        assert!(!defines("it_holds();", "it_holds"));
    }
}
