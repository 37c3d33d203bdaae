//! A process, as `/proc` tells (man 5 proc).
//!
//! Its start key is the time at which it started, in clock ticks since the system did. Nothing here opens a file that
//! another user's file system could keep us waiting for: links are read, not followed. Reading a command line waits while
//! its process holds a lock on its memory.
//!
//! Neighbours: `windows::process` is the twin, with the same names; `control_groups` reads units and packages.

use super::control_groups;
use crate::process::{Description, MAX_COMMAND_LINE, ProcessError, PublisherError};
use nix::unistd::User;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::fs::{self, File};
use std::io::{self, Read};

/// More than any of these files has, but for a command line.
const MAX_FILE: usize = 64 * 1024;

/// Names the process that has the id `pid` now.
pub fn start_key(pid: u32) -> Result<u64, ProcessError> {
    Stat::read(pid).map(|stat| stat.started)
}

/// Whether that process still runs. What cannot be found out counts as yes.
pub fn is_running(pid: u32, start_key: u64) -> bool {
    match Stat::read(pid) {
        Ok(stat) => (start_key == 0 || stat.started == start_key) && !stat.is_dead,
        Err(ProcessError::Gone { .. }) => false,
        Err(_) => true,
    }
}

/// Describes a process.
pub fn describe(pid: u32, start_key: u64) -> Result<Description, ProcessError> {
    let before = Stat::read(pid)?;
    if start_key != 0 && before.started != start_key {
        return Err(ProcessError::Gone { pid });
    }
    let groups = read(pid, "cgroup", MAX_FILE).unwrap_or_default();
    let uid = read(pid, "status", MAX_FILE).ok().as_deref().and_then(effective_user);
    let path = program(pid);
    let package = control_groups::flatpak(&groups)
        .or_else(|| read(pid, "attr/current", MAX_FILE).ok().as_deref().and_then(snap_by_label))
        .or_else(|| path.as_deref().and_then(snap_by_path));
    let description = Description {
        parent: parent(&before),
        command_line: read(pid, "cmdline", MAX_COMMAND_LINE).ok().as_deref().and_then(joined),
        user_id: uid.map(|uid| uid.to_string()),
        user_name: uid.and_then(|uid| User::from_uid(uid.into()).ok().flatten()).map(|user| user.name),
        package,
        service: control_groups::system_unit(&groups),
        path,
    };
    // Everything above was about the same process only if it is still there.
    if Stat::read(pid)?.started == before.started { Ok(description) } else { Err(ProcessError::Gone { pid }) }
}

/// Who signed a program: on Linux, files carry no signatures.
pub fn publisher(_path: &str) -> Result<Option<String>, PublisherError> {
    Ok(None)
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    started: u64,
    is_dead: bool,
}

impl Stat {
    fn read(pid: u32) -> Result<Self, ProcessError> {
        let text = read(pid, "stat", MAX_FILE).map_err(|source| refused(pid, source))?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text).ok_or_else(|| {
            let source = io::Error::new(io::ErrorKind::InvalidData, "its fields make no sense");
            ProcessError::Os { call: "reading /proc/PID/stat", pid, source }
        })
    }

    /// The second field is a name in parentheses, which may hold spaces and parentheses itself.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        // Fields 3 and 4 are taken; the next is the fifth, and the start time is the twenty-second.
        let started = fields.nth(22 - 5)?.parse().ok()?;
        Some(Self { parent, started, is_dead })
    }
}

/// The program of the parent. A process that started later than its child is not its parent, but has its number.
fn parent(child: &Stat) -> Option<String> {
    let stat = Stat::read(child.parent).ok().filter(|parent| parent.started <= child.started)?;
    let path = program(child.parent)?;
    (Stat::read(child.parent).ok()?.started == stat.started).then_some(path)
}

/// The file that a process runs, as it was called when it was started.
fn program(pid: u32) -> Option<String> {
    let link = format!("/proc/{pid}/exe");
    let target = fs::read_link(&link).ok()?.into_os_string().into_string().ok()?;
    let Some(removed) = target.strip_suffix(" (deleted)") else { return Some(target) };
    // What the kernel remembers of the file is enough, and asks no file system.
    let file = statx(CWD, link.as_str(), AtFlags::STATX_DONT_SYNC, StatxFlags::NLINK).ok()?;
    Some(if file.stx_nlink == 0 { removed.to_owned() } else { target })
}

fn read(pid: u32, file: &str, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{file}"))?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn refused(pid: u32, source: io::Error) -> ProcessError {
    match source.kind() {
        io::ErrorKind::NotFound => ProcessError::Gone { pid },
        io::ErrorKind::PermissionDenied => ProcessError::AccessDenied { pid },
        // What a process that ends meanwhile gives (man 5 proc).
        _ if source.raw_os_error() == Some(libc::ESRCH) => ProcessError::Gone { pid },
        _ => ProcessError::Os { call: "reading /proc/PID/stat", pid, source },
    }
}

/// Arguments end with NUL each. A kernel thread has none.
fn joined(arguments: &[u8]) -> Option<String> {
    let arguments = arguments.strip_suffix(&[0]).unwrap_or(arguments);
    let text = String::from_utf8_lossy(arguments).replace('\0', " ");
    (!text.is_empty()).then_some(text)
}

/// The second number of the line `Uid:`.
fn effective_user(status: &[u8]) -> Option<u32> {
    let status = String::from_utf8_lossy(status);
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// `snap.firefox.firefox (enforce)`: what AppArmor confines a snap's program to.
fn snap_by_label(label: &[u8]) -> Option<String> {
    let label = String::from_utf8_lossy(label);
    let (name, _) = label.strip_prefix("snap.")?.split_once('.')?;
    Some(name.to_owned())
}

/// `/snap/firefox/4336/usr/lib/firefox/firefox`: where snaps are mounted, read-only.
fn snap_by_path(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/snap/").or_else(|| path.strip_prefix("/var/lib/snapd/snap/"))?;
    let (name, rest) = rest.split_once('/')?;
    let (revision, _) = rest.split_once('/')?;
    (!name.is_empty() && revision.trim_start_matches('x').parse::<u32>().is_ok()).then(|| name.to_owned())
}
