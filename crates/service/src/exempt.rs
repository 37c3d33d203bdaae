//! Exemptions: connections that are permitted whatever the mode says.
//!
//! Two kinds. Those a person names by program, and a built-in table for name resolution, without which nearly nothing
//! that is permitted would work. Invariants: a program whose path is unknown or cut is never exempt; a built-in
//! exemption is for one program file, protocol and remote port together. Neighbours: `platform::paths` compares paths,
//! `decide` asks.

use crate::connection::{Connection, Protocol};
use platform::paths::{self, Volumes};
use std::sync::Arc;

/// The exemptions in force.
#[derive(Clone, Debug, Default)]
pub struct Exemptions {
    volumes: Volumes,
    programs: Vec<Program>,
    /// The canonical path of the program that resolves names for the others.
    resolver: Option<String>,
}

/// Why a connection is exempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// A person named its program; the text is as they wrote it.
    Program(Arc<str>),
    /// It resolves a name: a row of [`NAME_RESOLUTION`].
    NameResolution,
}

/// What names a program.
#[derive(Clone, Debug)]
struct Program {
    text: Arc<str>,
    pattern: Pattern,
}

#[derive(Clone, Debug)]
enum Pattern {
    /// Folded.
    FileName(String),
    /// Canonical.
    Path(String),
}

/// Why a text does not name a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It ends with a separator.
    #[error("it names a folder, not a program")]
    Folder,
    /// It has a separator, but does not begin at a drive, share or device.
    #[error("it is a relative path: give the full path, or the file name alone")]
    Relative,
}

/// The program that hosts Windows' DNS client (service Dnscache), in the system folder.
pub const RESOLVER_FILE: &str = "svchost.exe";

/// What the DNS client sends: protocol, remote port, what for. Other services run in the same program file and cannot be
/// told apart by it, so only these remote ports are exempt. DNS over HTTPS uses port 443 like everything else and is
/// therefore not in the table. Ports: IANA "Service Name and Transport Protocol Port Number Registry".
pub const NAME_RESOLUTION: &[(Protocol, u16, &str)] = &[
    (Protocol::UDP, 53, "DNS"),
    (Protocol::TCP, 53, "DNS, long answers"),
    (Protocol::TCP, 853, "DNS over TLS"),
    (Protocol::UDP, 5353, "multicast DNS"),
    (Protocol::UDP, 5355, "LLMNR"),
];

impl Exemptions {
    /// The built-in ones, for a machine with these drives and this system folder.
    pub fn new(volumes: Volumes, system_directory: Option<&str>) -> Self {
        let resolver = system_directory.map(|folder| volumes.canonical(&format!(r"{folder}\{RESOLVER_FILE}")));
        Self { volumes, programs: Vec::new(), resolver }
    }

    /// Exempts a program: by file name alone, or, when `text` has a separator, by full path in any form. Case does not
    /// matter.
    pub fn add(&mut self, text: &str) -> Result<(), PatternError> {
        let pattern = self.pattern(text)?;
        self.programs.push(Program { text: text.into(), pattern });
        Ok(())
    }

    /// How many programs a person exempted.
    pub fn programs(&self) -> usize {
        self.programs.len()
    }

    /// Whether and why `connection` is exempt.
    pub fn find(&self, connection: &Connection) -> Option<Exemption> {
        let path = self.volumes.canonical(connection.whole_program()?);
        if self.is_resolver_path(&path) && resolves_names(connection) {
            return Some(Exemption::NameResolution);
        }
        self.programs.iter().find_map(|program| {
            let is_it = match &program.pattern {
                Pattern::FileName(name) => paths::file_name(&path) == name,
                Pattern::Path(wanted) => path == *wanted,
            };
            is_it.then(|| Exemption::Program(program.text.clone()))
        })
    }

    /// Whether `connection` is one of the program that resolves names, be it for that or not.
    pub fn is_resolver(&self, connection: &Connection) -> bool {
        connection.whole_program().is_some_and(|path| self.is_resolver_path(&self.volumes.canonical(path)))
    }

    fn is_resolver_path(&self, canonical: &str) -> bool {
        self.resolver.as_deref() == Some(canonical)
    }

    fn pattern(&self, text: &str) -> Result<Pattern, PatternError> {
        let folded = paths::fold(text);
        if folded.trim().is_empty() {
            return Err(PatternError::Empty);
        }
        if folded.ends_with('\\') {
            return Err(PatternError::Folder);
        }
        if !folded.contains(['\\', ':']) {
            return Ok(Pattern::FileName(folded));
        }
        let begins_at_root = folded.starts_with('\\') || folded.get(1..).is_some_and(|rest| rest.starts_with(":\\"));
        if begins_at_root { Ok(Pattern::Path(self.volumes.canonical(text))) } else { Err(PatternError::Relative) }
    }
}

fn resolves_names(connection: &Connection) -> bool {
    NAME_RESOLUTION
        .iter()
        .any(|(protocol, port, _)| *protocol == connection.protocol && *port == connection.remote.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::request::{Direction, RequestFlags};
    use wire::verdict::RequestId;

    fn exemptions(programs: &[&str]) -> Exemptions {
        let volumes = Volumes::new([('C', r"\Device\HarddiskVolume1")]);
        let mut exemptions = Exemptions::new(volumes, Some(r"C:\Windows\System32"));
        for program in programs {
            exemptions.add(program).unwrap();
        }
        exemptions
    }

    fn connection(program: &str, protocol: Protocol, remote: &str) -> Connection {
        Connection {
            id: RequestId(1),
            process_id: 4,
            program: program.to_owned(),
            user: String::new(),
            direction: Direction::OUTBOUND,
            protocol,
            local: "0.0.0.0:0".parse().unwrap(),
            remote: remote.parse().unwrap(),
            flags: RequestFlags::HELD,
            waited_ms: 0,
        }
    }

    const NODE: &str = r"\device\harddiskvolume1\tools\node.exe";
    const SVCHOST: &str = r"\device\harddiskvolume1\windows\system32\svchost.exe";

    #[test]
    fn a_program_is_exempt_by_file_name_or_full_path_in_any_form() {
        let node = connection(NODE, Protocol::TCP, "203.0.113.7:443");
        for text in [
            "node.exe",
            "NODE.EXE",
            r"C:\Tools\node.exe",
            "c:/tools/node.exe",
            r"\??\C:\Tools\node.exe",
            r"\Device\HarddiskVolume1\Tools\Node.exe",
        ] {
            let found = exemptions(&[text]).find(&node);
            assert_eq!(found, Some(Exemption::Program(text.into())), "{text}");
        }
    }

    #[test]
    fn a_program_elsewhere_or_named_alike_is_not_exempt() {
        let node = connection(NODE, Protocol::TCP, "203.0.113.7:443");
        for text in ["ode.exe", "node", r"C:\node.exe", r"C:\Tools\node.ex", r"D:\Tools\node.exe"] {
            assert_eq!(exemptions(&[text]).find(&node), None, "{text}");
        }
    }

    #[test]
    fn the_resolver_is_exempt_on_the_ports_of_name_resolution_only() {
        let find = |program, protocol, remote| exemptions(&[]).find(&connection(program, protocol, remote));
        assert_eq!(find(SVCHOST, Protocol::UDP, "9.9.9.9:53"), Some(Exemption::NameResolution));
        assert_eq!(find(SVCHOST, Protocol::TCP, "[2620:fe::fe]:853"), Some(Exemption::NameResolution));
        assert_eq!(find(SVCHOST, Protocol::TCP, "9.9.9.9:443"), None);
        assert_eq!(find(SVCHOST, Protocol::TCP, "9.9.9.9:5353"), None);
        assert_eq!(find(NODE, Protocol::UDP, "9.9.9.9:53"), None);
        let elsewhere = r"\device\harddiskvolume1\users\me\svchost.exe";
        assert_eq!(find(elsewhere, Protocol::UDP, "9.9.9.9:53"), None);
    }

    #[test]
    fn a_program_whose_path_is_cut_or_unknown_is_not_exempt() {
        let exemptions = exemptions(&["node.exe"]);
        let mut node = connection(NODE, Protocol::TCP, "203.0.113.7:443");
        node.flags |= RequestFlags::PATH_TRUNCATED;
        assert_eq!(exemptions.find(&node), None);
        assert_eq!(exemptions.find(&connection("", Protocol::TCP, "203.0.113.7:443")), None);
    }

    #[test]
    fn a_text_that_names_no_program_is_refused() {
        let mut exemptions = Exemptions::default();
        assert_eq!(exemptions.add(" "), Err(PatternError::Empty));
        assert_eq!(exemptions.add(r"C:\Tools\"), Err(PatternError::Folder));
        assert_eq!(exemptions.add(r"tools\node.exe"), Err(PatternError::Relative));
        assert_eq!(exemptions.add("c:node.exe"), Err(PatternError::Relative));
        assert_eq!(exemptions.programs(), 0);
    }
}
