//! Who may import whom, compared with `cargo metadata`.
//!
//! Invariants: every crate of the workspace has a line in the table; the kernel's crates use two
//! crates of other people and no more.
//! Neighbours: ARCHITECTURE.md draws the same table.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::run::Run;

/// What a crate may import of ours, other than in its tests. The emulators know Windows and not
/// us; `gate` knows us and not Windows; nobody imports `driver`, `service`, `cli` or an emulator,
/// but `e2e`, `fuzz` and the laboratory.
const MAY_IMPORT: [(&str, &[&str]); 23] = [
    ("wire", &[]),
    ("gate", &["wire"]),
    ("nt-sys", &[]),
    ("nt", &["nt-sys"]),
    ("driver", &["nt", "gate", "wire"]),
    ("nt-sim", &["nt-sys"]),
    ("wfp-sim", &["nt-sys"]),
    ("rules", &["wire"]),
    ("control", &["rules", "wire"]),
    ("platform", &["wire"]),
    ("service", &["control", "platform", "rules", "wire"]),
    ("cli", &["control", "platform", "rules", "service", "wire"]),
    (
        "e2e",
        &["wire", "gate", "nt-sys", "nt", "driver", "nt-sim", "wfp-sim", "platform", "rules", "control", "service"],
    ),
    ("fuzz", &["wire", "gate", "nt-sim", "e2e"]),
    ("lab-crowd", &[]),
    ("lab-experiments", &["platform", "wire"]),
    ("lab-fwpkclnt", &["nt-sys", "wfp-sim", "lab-shim", "lab-sockets"]),
    ("lab-shim", &["nt-sys", "lab-sockets"]),
    ("lab-hook", &["lab-sockets"]),
    ("lab-launch", &["lab-sockets"]),
    ("lab-prng", &[]),
    ("lab-sockets", &[]),
    ("xtask", &["lab-sockets"]),
];

/// Crates that run in the kernel, and what they may use of other people's.
const KERNEL: [&str; 5] = ["wire", "gate", "nt-sys", "nt", "driver"];
const KERNEL_MAY_USE: [&str; 2] = ["bitflags", "zerocopy"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None`, `dev` or `build`.
    kind: Option<String>,
    /// Where a crate of ours is; other people's have none.
    path: Option<String>,
}

pub fn check() -> Result<()> {
    let json = Run::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .log("metadata")
        .stdout()?;
    let objections = objections(&serde_json::from_str(&json).context("cargo metadata")?);
    if objections.is_empty() { Ok(()) } else { bail!("{}", objections.join("\n")) }
}

fn objections(metadata: &Metadata) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut objections = Vec::new();
    for Package { name, dependencies } in &metadata.packages {
        let Some(allowed) = table.get(name.as_str()) else {
            objections.push(format!("{name} has no line in the table of imports"));
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            let other = dependency.name.as_str();
            if dependency.path.is_some() {
                if !allowed.contains(&other) {
                    objections.push(format!("{name} imports {other}"));
                }
            } else if KERNEL.contains(&name.as_str()) && !KERNEL_MAY_USE.contains(&other) {
                objections.push(format!("{name} runs in the kernel and uses {other}"));
            }
        }
    }
    let present: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    for name in table.keys().filter(|name| !present.contains(*name)) {
        objections.push(format!("the table of imports knows {name}, which does not exist"));
    }
    objections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_against_the_direction_is_named() {
        let mut metadata = whole();
        depend(&mut metadata, "gate", "nt", None, true);
        assert_eq!(objections(&metadata), ["gate imports nt"]);
    }

    #[test]
    fn tests_may_import_what_they_need() {
        let mut metadata = whole();
        depend(&mut metadata, "nt", "nt-sim", Some("dev"), true);
        assert_eq!(objections(&metadata), [""; 0]);
    }

    #[test]
    fn a_third_party_in_the_kernel_is_named() {
        let mut metadata = whole();
        depend(&mut metadata, "driver", "zerocopy", None, false);
        depend(&mut metadata, "driver", "hashbrown", None, false);
        depend(&mut metadata, "service", "hashbrown", None, false);
        assert_eq!(objections(&metadata), ["driver runs in the kernel and uses hashbrown"]);
    }

    #[test]
    fn a_crate_without_a_line_is_named() {
        let mut metadata = whole();
        metadata.packages.push(Package { name: "utils".into(), dependencies: vec![] });
        assert_eq!(objections(&metadata), ["utils has no line in the table of imports"]);
    }

    /// Every crate of the table, importing nothing.
    fn whole() -> Metadata {
        let package = |(name, _): (&str, _)| Package { name: name.into(), dependencies: vec![] };
        Metadata { packages: MAY_IMPORT.into_iter().map(package).collect() }
    }

    fn depend(metadata: &mut Metadata, name: &str, on: &str, kind: Option<&str>, ours: bool) {
        let package = metadata.packages.iter_mut().find(|package| package.name == name).unwrap();
        package.dependencies.push(Dependency {
            name: on.into(),
            kind: kind.map(Into::into),
            path: ours.then(|| "somewhere".into()),
        });
    }
}
