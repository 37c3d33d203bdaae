//! What is known about a connection: who connects, and where.
//!
//! Invariants: nothing is invented; what is not known is `None`, and [`Identity::pending`] says what may yet be learnt.
//! Neighbours: `service` fills these in, `ruleset` decides by them.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::request::Direction;

/// Who connects: one process, as it was when it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The program file.
    #[serde(flatten)]
    pub program: Program,
    /// The program file of the process that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<Program>>,
    /// The user it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Its command line. Written by the program that started it, so it proves nothing alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<Arc<str>>,
    /// What is not known yet, but is being looked up.
    #[serde(skip)]
    pub pending: Needs,
}

/// A program file, and what vouches for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// Its full path as a person writes it: `C:\Tools\node.exe`, `/usr/bin/git`. `None` when unknown or cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Arc<str>>,
    /// SHA-256 of its contents, in lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Arc<str>>,
    /// Who signed it: the subject's common name of a signature that the platform trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Arc<str>>,
    /// The package it belongs to: a package family name on Windows, a snap or flatpak id on Linux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Arc<str>>,
    /// The service it runs as: a Windows service name, a systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// What the system calls it: a SID (`S-1-5-18`), a user id (`1000`).
    pub id: Arc<str>,
    /// What people call it: `DOMAIN\name`, `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
}

bitflags::bitflags! {
    /// Facts about a process that take time to learn.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Needs: u8 {
        /// Parent, command line, user name, package and service: what the system tells about a process.
        const PROCESS = 1;
        /// [`Program::sha256`].
        const HASH = 2;
        /// [`Program::publisher`].
        const PUBLISHER = 4;
    }
}

/// Where to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<'a> {
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol number.
    pub protocol: u8,
    /// The local end.
    pub local: SocketAddr,
    /// The remote end.
    pub remote: SocketAddr,
    /// The name that the remote address was looked up by: lower case, no final dot.
    pub name: Option<&'a str>,
    /// Whether it is the only name that the address may have been looked up by. What permits does not rest on a guess.
    pub is_name_sure: bool,
    /// The local interface, as the system calls it.
    pub interface: Option<&'a str>,
    /// When, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
}
