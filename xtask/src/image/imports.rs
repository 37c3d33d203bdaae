//! The list of names that an image may import, `packaging/imports.txt`.
//!
//! Invariants: a line that does not parse is an error, so that a typing mistake cannot silently
//! allow or forget a name.
//! Neighbours: `image` compares an image's import table with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The module name that marks a refused import.
const NEVER: &str = "never";

/// Which names may be imported from which module, and which must not and why.
#[derive(Debug, Default)]
pub struct Imports {
    allowed: BTreeMap<String, BTreeSet<String>>,
    never: BTreeMap<String, String>,
}

impl Imports {
    /// Reads the list of this repository.
    pub fn load() -> Result<Imports> {
        let path = workspace::root().join("packaging/imports.txt");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Imports::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads a list.
    pub fn parse(text: &str) -> Result<Imports> {
        let mut imports = Imports::default();
        for (index, line) in text.lines().enumerate() {
            imports.parse_line(line).with_context(|| format!("line {}", index + 1))?;
        }
        for name in imports.never.keys() {
            if let Some((module, _)) = imports.allowed.iter().find(|(_, set)| set.contains(name)) {
                bail!("{name} is allowed from {module} and also never allowed");
            }
        }
        Ok(imports)
    }

    /// Why the import is not allowed.
    pub fn objection(&self, module: &str, name: &str) -> Option<String> {
        if let Some(reason) = self.never.get(name) {
            return Some(reason.clone());
        }
        match self.allowed.get(&module.to_ascii_lowercase()) {
            None => Some(format!("no import from {module} is known to exist on Windows")),
            Some(names) if !names.contains(name) => {
                Some("not in packaging/imports.txt: not known to exist on every Windows".into())
            }
            Some(_) => None,
        }
    }

    fn parse_line(&mut self, line: &str) -> Result<()> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (module, rest) = line.split_once(' ').context("a module and a name are needed")?;
        let rest = rest.trim_start();
        let (name, remark) = rest.split_once(' ').unwrap_or((rest, ""));
        let fresh = if module == NEVER {
            if remark.is_empty() {
                bail!("{name} is refused without a reason");
            }
            self.never.insert(name.into(), remark.trim().into()).is_none()
        } else {
            self.allowed.entry(module.into()).or_default().insert(name.into())
        };
        if !fresh {
            bail!("{module} {name} is listed twice");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_this_repository_parses() {
        let imports = Imports::load().unwrap();
        assert_eq!(imports.objection("ntoskrnl.exe", "IoCreateDevice"), None);
        assert_eq!(imports.objection("FWPKCLNT.SYS", "FwpsPendOperation0"), None);
    }

    #[test]
    fn names_that_only_wine_exports_are_refused_with_their_reason() {
        let imports = Imports::load().unwrap();
        for name in ["KeQueryInterruptTime", "KeTickCount", "IoCreateDeviceSecure"] {
            let reason = imports.objection("ntoskrnl.exe", name).unwrap();
            assert!(!reason.contains("not in packaging"), "{name}: {reason}");
        }
    }

    #[test]
    fn a_name_is_allowed_only_from_its_module() {
        let imports = Imports::parse("hal.dll KeQueryPerformanceCounter").unwrap();
        assert_eq!(imports.objection("hal.dll", "KeQueryPerformanceCounter"), None);
        assert!(imports.objection("ntoskrnl.exe", "KeQueryPerformanceCounter").is_some());
    }

    #[test]
    fn a_malformed_list_names_its_line() {
        for (text, message) in [
            ("# fine\nntoskrnl.exe", "line 2: a module and a name"),
            ("never KeTickCount", "line 1: KeTickCount is refused without a reason"),
            ("a.sys X\na.sys X", "line 2: a.sys X is listed twice"),
            ("a.sys X\nnever X why", "X is allowed from a.sys and also never"),
        ] {
            let error = format!("{:#}", Imports::parse(text).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }
}
