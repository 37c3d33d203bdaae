//! Files in, decisions out.
//!
//! Invariants: immutable; a [`Subject`] is for the ruleset that made it. Neighbours: `model` has the rules, `decision`
//! what comes out.

use crate::decision::{Judgement, Revision};
use crate::facts::{Flow, Identity};
use crate::model::Rule;
use crate::source::{Problem, SourceFile};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a ruleset must know about the machine it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// How program paths are compared.
    pub paths: PathStyle,
    /// What `%NAME%` means in a program path, by upper-case name.
    pub variables: BTreeMap<String, String>,
    /// The time zone of `when`.
    pub time_zone: Option<jiff::tz::TimeZone>,
    /// The program that resolves names for the others, which the floor permits to do so.
    pub resolver: Option<String>,
}

/// How program paths are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathStyle {
    /// `/`, and case matters.
    #[default]
    Unix,
    /// `\`, and case does not matter.
    Windows,
}

/// A compiled ruleset.
#[derive(Debug)]
pub struct Ruleset {}

/// One process, prepared for a ruleset: which of its program, parent, user and command line conditions hold.
#[derive(Clone, Debug)]
pub struct Subject {}

impl Ruleset {
    /// Compiles files, with the built-in floor. Gives every error there is.
    pub fn compile(files: &[SourceFile], environment: &Environment) -> Result<Self, Vec<Problem>> {
        todo!("{files:?} {environment:?}")
    }

    /// Names its contents.
    pub fn revision(&self) -> &Revision {
        todo!()
    }

    /// Its files, the floor's excepted.
    pub fn files(&self) -> &[SourceFile] {
        todo!()
    }

    /// Its rules, in the order in which they are walked.
    pub fn rules(&self) -> &[Arc<Rule>] {
        todo!()
    }

    /// Prepares a process. Once per process and ruleset, and again when a pending fact is known.
    pub fn subject(&self, identity: Arc<Identity>) -> Subject {
        todo!("{identity:?}")
    }

    /// Decides one connection.
    pub fn decide(&self, subject: &Subject, flow: &Flow<'_>) -> Judgement {
        todo!("{subject:?} {flow:?}")
    }
}
