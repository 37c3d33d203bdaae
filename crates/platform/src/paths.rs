//! Program paths in their two forms, and how to tell that two of them name the same file.
//!
//! Windows names a program to a person as `C:\dir\x.exe` (DOS) and to a filter as `\device\harddiskvolume3\dir\x.exe`
//! (NT, lower case: learn.microsoft.com FwpmGetAppIdFromFileName0). Wine, and some Windows calls, say `\??\C:\dir\x.exe`.
//! Invariants: pure text; the file system is not asked, so short (8.3) names and hard links are other names.
//! Neighbours: `windows::volumes` reads the drive letters, `service::exempt` compares.

/// The drive letters of a machine and the device each stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volumes {
    /// Lower-case letter, lower-case target.
    drives: Vec<(char, String)>,
}

/// How deep a drive may stand for a folder of another drive (`subst`).
const SUBST_DEPTH: u32 = 4;

impl Volumes {
    /// From letters and their targets, as learn.microsoft.com QueryDosDeviceW gives them.
    pub fn new<'a>(drives: impl IntoIterator<Item = (char, &'a str)>) -> Self {
        let drives = drives
            .into_iter()
            .map(|(letter, target)| (letter.to_ascii_lowercase(), fold(target.trim_end_matches('\\'))))
            .collect();
        Self { drives }
    }

    /// The one spelling that all forms of a path share: lower case, backslashes, device instead of drive letter when
    /// the drive is known.
    pub fn canonical(&self, path: &str) -> String {
        self.resolve(fold(path), SUBST_DEPTH)
    }

    /// The path as a person knows it: `C:\dir\x.exe` when some drive stands for its device, else as it is.
    pub fn display(&self, path: &str) -> String {
        if let Some(rest) = strip_namespace(path) {
            return rest.to_owned();
        }
        self.drives
            .iter()
            .find_map(|(letter, target)| {
                let (head, rest) = path.split_at_checked(target.len())?;
                let is_below = !target.is_empty() && head.eq_ignore_ascii_case(target) && rest.starts_with('\\');
                is_below.then(|| format!("{}:{rest}", letter.to_ascii_uppercase()))
            })
            .unwrap_or_else(|| path.to_owned())
    }

    fn resolve(&self, path: String, depth: u32) -> String {
        let path = match strip_namespace(&path) {
            Some(rest) => match rest.strip_prefix(r"unc\") {
                Some(share) => return on_network(share),
                None => rest,
            },
            None => match path.strip_prefix(r"\\") {
                Some(share) => return on_network(share),
                None => &path,
            },
        };
        let mut chars = path.chars();
        let (Some(letter), Some(':')) = (chars.next(), chars.next()) else { return path.to_owned() };
        let target = self.drives.iter().find(|(known, _)| *known == letter).map(|(_, target)| target);
        match target {
            Some(target) if depth > 0 => self.resolve(format!("{target}{}", chars.as_str()), depth - 1),
            _ => path.to_owned(),
        }
    }
}

/// The part of a path after its last separator.
pub fn file_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

/// Lower case, and backslashes only.
pub fn fold(path: &str) -> String {
    path.chars().map(|c| if c == '/' { '\\' } else { c }).flat_map(char::to_lowercase).collect()
}

/// Where the NT name space keeps what DOS calls `\\server\share`.
fn on_network(share: &str) -> String {
    format!(r"\device\mup\{share}")
}

fn strip_namespace(path: &str) -> Option<&str> {
    [r"\??\", r"\\?\", r"\\.\"].iter().find_map(|namespace| path.strip_prefix(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes() -> Volumes {
        Volumes::new([
            ('C', r"\Device\HarddiskVolume1"),
            ('D', r"\Device\HarddiskVolume10"),
            ('S', r"\??\C:\Tools"),
            ('L', r"\??\L:"),
        ])
    }

    #[test]
    fn all_forms_of_a_path_have_one_canonical_spelling() {
        let expected = r"\device\harddiskvolume1\tools\node.exe";
        for form in [
            r"C:\Tools\node.exe",
            "c:/tools/NODE.EXE",
            r"\??\C:\Tools\node.exe",
            r"\\?\C:\Tools\node.exe",
            r"\Device\HarddiskVolume1\Tools\node.exe",
            r"\device\harddiskvolume1\tools\node.exe",
            r"S:\node.exe",
        ] {
            assert_eq!(volumes().canonical(form), expected, "{form}");
        }
    }

    #[test]
    fn network_paths_are_below_the_redirector() {
        for form in [r"\\Server\Share\x.exe", r"\\?\UNC\server\share\x.exe", r"\Device\Mup\server\share\x.exe"] {
            assert_eq!(volumes().canonical(form), r"\device\mup\server\share\x.exe", "{form}");
        }
    }

    #[test]
    fn an_unknown_drive_keeps_its_letter_in_every_form() {
        assert_eq!(volumes().canonical(r"Z:\x.exe"), r"z:\x.exe");
        assert_eq!(volumes().canonical(r"\??\Z:\x.exe"), r"z:\x.exe");
    }

    #[test]
    fn a_drive_that_stands_for_itself_ends() {
        assert_eq!(volumes().canonical(r"L:\x.exe"), r"l:\x.exe");
    }

    #[test]
    fn a_volume_is_not_the_one_whose_number_begins_alike() {
        assert_eq!(volumes().display(r"\device\harddiskvolume10\a.exe"), r"D:\a.exe");
        assert_eq!(volumes().display(r"\device\harddiskvolume11\a.exe"), r"\device\harddiskvolume11\a.exe");
    }

    #[test]
    fn a_path_is_displayed_as_a_person_knows_it() {
        assert_eq!(volumes().display(r"\Device\HarddiskVolume1\Tools\Node.exe"), r"C:\Tools\Node.exe");
        assert_eq!(volumes().display(r"\??\Z:\x.exe"), r"Z:\x.exe");
        assert_eq!(volumes().display("System"), "System");
    }

    #[test]
    fn a_file_name_follows_the_last_separator_of_either_kind() {
        assert_eq!(file_name(r"C:\a\b.exe"), "b.exe");
        assert_eq!(file_name("/usr/bin/b"), "b");
        assert_eq!(file_name("System"), "System");
    }
}
