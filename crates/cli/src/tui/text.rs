//! Foreign text made fit for a terminal, and our own words for times and sizes.
//!
//! Program names, command lines, DNS names, notes and file names are written by others, who may be hostile. Invariants:
//! what [`clean`] gives has no character that moves the cursor, changes the direction of text, joins or hides its
//! neighbours; [`fit`] and [`pad`] count columns, not characters. Neighbours: `view` shows nothing foreign without it.

use super::theme::Theme;
use std::borrow::Cow;
use unicode_width::UnicodeWidthChar;

/// The longest foreign text that is looked at, in bytes. Nobody reads more of it on a screen.
const MAX_TEXT: usize = 8192;

/// How many marks may stand over one letter. More than any orthography stacks on one would overflow into other rows.
pub const MAX_MARKS: usize = 2;

/// `text` with everything that a terminal could take for more than a letter written as `\u{..}`.
pub fn clean<'a>(text: &'a str, theme: &Theme) -> Cow<'a, str> {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    // Marks need a letter to stand on.
    let mut marks = MAX_MARKS;
    for c in text.chars() {
        match c.width() {
            _ if !is_plain(c) || (!theme.unicode && !c.is_ascii()) => {
                cleaned.extend(c.escape_default());
                marks = MAX_MARKS;
            }
            Some(0) if marks < MAX_MARKS => {
                cleaned.push(c);
                marks += 1;
            }
            None | Some(0) => cleaned.extend(c.escape_unicode()),
            Some(_) => {
                cleaned.push(c);
                marks = 0;
            }
        }
    }
    Cow::Owned(cleaned)
}

/// Whether a character is only what it looks like.
pub fn is_plain(c: char) -> bool {
    let invisible = matches!(c,
        // Soft hyphen, Arabic and Mongolian controls, and Hangul fillers.
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
        // Zero-width spaces and joiners, marks and overrides of direction (UAX #9), separators, invisible operators.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        // Variation selectors, byte order mark, annotations, shorthand and musical controls, letters
        // that change with their neighbours, tags, private use.
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{1f1e6}'..='\u{1f1ff}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..
        | '\u{e000}'..='\u{f8ff}');
    !c.is_control() && !invisible && (c == ' ' || !c.is_whitespace())
}

/// How many columns a cleaned text takes: character by character, as it is drawn.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// `text`, cut to `columns`, with a sign that it was.
pub fn fit(text: &str, columns: usize, theme: &Theme) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let sign = theme.ellipsis();
    if columns <= width(sign) {
        return sign.chars().take(columns).collect();
    }
    let mut kept = cut(text, columns - width(sign)).to_owned();
    kept.push_str(sign);
    kept
}

/// `text`, cut in its middle: both the beginning and the end of a path tell something, and the end tells more.
pub fn fit_middle(text: &str, columns: usize, theme: &Theme) -> String {
    let sign = theme.ellipsis();
    if width(text) <= columns || columns < width(sign) + 8 {
        return fit(text, columns, theme);
    }
    let room = columns - width(sign);
    let head = cut(text, room / 3);
    let mut left = room - width(head);
    let start = text.char_indices().rev().take_while(|(_, c)| {
        let columns = c.width().unwrap_or(0);
        let fits = columns <= left;
        left = left.saturating_sub(columns);
        fits
    });
    let tail = start.last().map_or("", |(at, _)| &text[at..]);
    format!("{head}{sign}{}", tail.trim_start_matches(|c: char| c.width() == Some(0)))
}

/// `text` in exactly `columns`: cut or filled with spaces.
pub fn pad(text: &str, columns: usize, theme: &Theme) -> String {
    let mut text = fit(text, columns, theme);
    text.extend(std::iter::repeat_n(' ', columns - width(&text)));
    text
}

/// `text` in exactly `columns`, at their right.
pub fn pad_left(text: &str, columns: usize, theme: &Theme) -> String {
    let text = fit(text, columns, theme);
    format!("{}{text}", " ".repeat(columns - width(&text)))
}

/// `text` in lines of at most `columns`, broken at spaces where there are some.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && width(line) + 1 + width(word) <= columns {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        while width(word) > columns {
            let head = match cut(word, columns) {
                // A letter that is wider than the room has to stand somewhere.
                "" => &word[..word.ceil_char_boundary(1)],
                head => head,
            };
            word = &word[head.len()..];
            head.clone_into(lines.last_mut().expect("there is always one"));
            if !word.is_empty() {
                lines.push(String::new());
            }
        }
        if !word.is_empty() {
            word.clone_into(lines.last_mut().expect("there is always one"));
        }
    }
    lines
}

/// The last part of a path, of either system.
pub fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path)
}

/// A span of time in at most four columns where it can be: `0ms`, `950ms`, `1.2s`, `59s`, `12m`, `3h`, `2d`.
pub fn milliseconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..10_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => seconds(ms / 1_000),
    }
}

/// A span of time in one unit, or in two where it matters: `59s`, `1m05s`, `12m`, `1h30m`, `3h`, `2d`.
pub fn seconds(s: u64) -> String {
    let (m, h, d) = (s / 60, s / 3_600, s / 86_400);
    match s {
        0..60 => format!("{s}s"),
        60..600 if !s.is_multiple_of(60) => format!("{m}m{:02}s", s % 60),
        60..3_600 => format!("{m}m"),
        3_600..36_000 if !m.is_multiple_of(60) => format!("{h}h{:02}m", m % 60),
        3_600..86_400 => format!("{h}h"),
        _ => format!("{d}d"),
    }
}

/// A number with thousands apart: `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size: `950 B`, `1.2 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| n >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", n / unit, n % unit * 10 / unit),
        None => format!("{n} B"),
    }
}

/// `1 prompt`, `2 prompts`.
pub fn plural(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// The longest beginning of at most so many columns.
fn cut(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: Theme = Theme { colour: true, unicode: true };
    const ASCII: Theme = Theme { colour: false, unicode: false };

    #[test]
    fn text_that_would_control_a_terminal_is_written_out() {
        assert_eq!(clean("\x1b[2Jcurl\r\n\t\x07", &FULL), r"\u{1b}[2Jcurl\r\n\t\u{7}");
        assert_eq!(clean("\u{9b}31mred", &FULL), r"\u{9b}31mred", "the one-byte form of escape and bracket");
        assert_eq!(clean("gpj.\u{202e}exe", &FULL), r"gpj.\u{202e}exe", "right-to-left override");
        assert_eq!(clean("a\u{200b}b\u{2028}c\u{e0041}", &FULL), r"a\u{200b}b\u{2028}c\u{e0041}");
        assert_eq!(clean("a\u{a0}b", &FULL), r"a\u{a0}b", "a space that is none");
    }

    #[test]
    fn letters_of_all_languages_stay_letters() {
        for text in ["/usr/bin/git", "Übersicht", "メモ帳.exe", "e\u{301}tude", "שלום", "🦀"] {
            assert_eq!(clean(text, &FULL), text);
        }
    }

    #[test]
    fn a_terminal_of_ascii_gets_ascii() {
        assert_eq!(clean("Übersicht", &ASCII), r"\u{dc}bersicht");
        assert_eq!(fit("abcdefgh", 5, &ASCII), "abc..");
    }

    #[test]
    fn a_stack_of_marks_is_not_let_grow_over_other_rows() {
        let stack = format!("a{}", "\u{301}".repeat(50));
        let cleaned = clean(&stack, &FULL);
        assert_eq!(cleaned.matches('\u{301}').count(), MAX_MARKS);
        assert_eq!(clean("\u{301}a", &FULL), r"\u{301}a", "and a mark with nothing to stand on is named");
    }

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(fit("メモ帳", 5, &FULL), "メモ…");
        assert_eq!(pad("メモ帳", 8, &FULL), "メモ帳  ");
        assert_eq!(fit("メモ帳", 4, &FULL), "メ…");
        assert_eq!(pad_left("7", 3, &FULL), "  7");
    }

    #[test]
    fn a_long_path_keeps_both_its_ends() {
        assert_eq!(fit_middle("/usr/lib/jvm/java-21/bin/java", 20, &FULL), "/usr/l…a-21/bin/java");
    }

    #[test]
    fn times_sizes_and_counts_are_short() {
        let times = [0, 999, 1_250, 59_000, 65_000, 600_000, 5_400_000, 36_000_000, 172_800_000];
        let words = ["0ms", "999ms", "1.2s", "59s", "1m05s", "10m", "1h30m", "10h", "2d"];
        assert_eq!(times.map(milliseconds), words);
        assert_eq!([999, 1_200_000, 5_000_000_000].map(bytes), ["999 B", "1.2 MB", "5.0 GB"]);
        assert_eq!([0, 999, 1_000, 12_345_678].map(count), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([1, 2].map(|n| plural(n, "prompt")), ["1 prompt", "2 prompts"]);
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("the gate is open", 8), ["the gate", "is open"]);
        assert_eq!(wrap("a verylongword b", 6), ["a", "verylo", "ngword", "b"]);
        assert_eq!(wrap("メモ", 1), ["メ", "モ"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_plain_when_cleaned_and_fits_when_fitted(text in "\\PC{0,40}|[\\s\\S]{0,40}", columns in 0_usize..50) {
            let cleaned = clean(&text, &FULL);
            prop_assert!(cleaned.chars().all(is_plain), "{cleaned:?}");
            prop_assert!(width(&fit(&cleaned, columns, &FULL)) <= columns);
            prop_assert!(width(&fit_middle(&cleaned, columns, &FULL)) <= columns);
            prop_assert_eq!(width(&pad(&cleaned, columns, &FULL)), columns);
            prop_assert!(wrap(&cleaned, columns).iter().all(|line| width(line) <= columns.max(2)));
        }
    }
}
