//! Text patterns with `*` and `?`, whatever the case.
//!
//! Invariants: no allocation; time within the product of both lengths.

/// Whether the whole of `text` matches `pattern`: `*` stands for any characters, `?` for one.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // After the last star: the pattern that follows it, and the text that is left when it takes one character more.
    let mut star = None;
    loop {
        let begin = (pattern.clone(), text.clone());
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                // A star at the end takes the rest.
                if pattern.as_str().is_empty() {
                    return true;
                }
                text = begin.1;
                star = Some((pattern.clone(), text.clone()));
            }
            (Some(wanted), Some(found)) if wanted == '?' || same(wanted, found) => {}
            _ => {
                let Some((after_star, left)) = &mut star else { return false };
                if left.next().is_none() {
                    return false;
                }
                pattern = after_star.clone();
                text = left.clone();
            }
        }
    }
}

/// Whether two characters are the same but for their case.
pub fn same(a: char, b: char) -> bool {
    // By upper case, as for paths: the Kelvin sign is no `k`, nor the long s an `s`.
    let is_ascii = a.is_ascii() || b.is_ascii();
    a == b || a.eq_ignore_ascii_case(&b) || (!is_ascii && a.to_uppercase().eq(b.to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            ([wanted, rest @ ..], [found, more @ ..]) => (*wanted == '?' || same(*wanted, *found)) && naive(rest, more),
            _ => false,
        }
    }

    #[test]
    fn case_does_not_matter_in_any_alphabet() {
        assert!(matches("DOMAIN\\dev-*", "domain\\DEV-42"));
        assert!(matches("ÄRGER", "ärger"));
        assert!(!matches("a?c", "ac"));
        assert!(!matches("*\\kim", "DOMAIN\\\u{212a}im") && !matches("sam", "\u{17f}am"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn it_matches_as_the_definition_says(pattern in "[aAb*?]{0,8}", text in "[aAbB]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
        }
    }
}
