//! Who connects: facts about processes, looked up once for each.
//!
//! Neighbours: `platform` describes processes, `gate` asks.

use std::fs::File;
use std::io;
use std::sync::Arc;

/// What the system tells about a running process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The full path of its program file, as a person writes it.
    pub path: Option<Arc<str>>,
    /// The full path of the program file of the process that started it.
    pub parent: Option<Arc<str>>,
    /// The user's id and name.
    pub user_id: Option<Arc<str>>,
    /// What people call the user.
    pub user_name: Option<Arc<str>>,
    /// Its command line.
    pub command_line: Option<Arc<str>>,
    /// Its package.
    pub package: Option<Arc<str>>,
    /// The service it runs as.
    pub service: Option<Arc<str>>,
}

/// The system's processes and program files. Any call may be slow; none is made on the thread that decides.
pub trait Processes: Send + Sync {
    /// Describes a process. `None` when it is gone, or another process has its id now.
    fn describe(&self, pid: u64, start_key: u64) -> Option<Description>;

    /// Opens a program file to read it.
    fn open(&self, path: &str) -> io::Result<File>;

    /// Who signed a program file, when the platform trusts the signature.
    fn publisher(&self, path: &str) -> Option<Arc<str>>;
}
