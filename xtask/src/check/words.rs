//! Paths that must not appear in what is published: they would tell about the machine of whoever wrote it.
//!
//! Neighbours: `package` keeps such paths out of the images.

use anyhow::{Result, bail};

use crate::check::files;

/// Where people's files are, in parts, so that this file does not contain them.
const HOMES: [(&str, &str); 4] = [("/ro", "ot/"), ("/ho", "me/"), ("/Us", "ers/"), (r"C:\Us", r"ers\")];

pub fn check() -> Result<()> {
    let mut objections = Vec::new();
    for file in files::sources()? {
        for (index, line) in files::read(&file)?.lines().enumerate() {
            if let Some(word) = offending(line) {
                objections.push(format!("{}:{}: {word}", file.display(), index + 1));
            }
        }
    }
    if objections.is_empty() { Ok(()) } else { bail!("{}", objections.join("\n")) }
}

fn offending(line: &str) -> Option<String> {
    HOMES.iter().map(|(head, tail)| format!("{head}{tail}")).find(|word| {
        // A word inside a longer path is another path.
        line.match_indices(word.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_machine_is_found_wherever_it_starts() {
        let path = ["/ho", "me/me"].concat();
        for line in [path.clone(), format!("see {path}"), format!("\"{path}\"")] {
            assert_eq!(offending(&line).as_deref(), Some(&path[..6]), "{line}");
        }
    }

    #[test]
    fn a_word_inside_another_path_is_fine() {
        assert_eq!(offending(&["target/ho", "me/log"].concat()), None);
    }
}
