//! The service's end of the control protocol and its clients': a byte stream, and who is at the other end.
//!
//! * [`listen`] and [`Listener::accept`] are the service's, [`connect`] the client's. [`Stream::split`] gives one half to
//!   each of two threads.
//! * [`Peer`] is what the operating system vouches for. Nothing that the other side sent is in it.
//!
//! Invariants: a listener's name is taken by one process at a time; nobody but administrators and the operators' group
//! gets in. A read waits until there is something, and a write until there is room, however long that takes: whoever will
//! not wait so long calls [`Closer::close`], and both return. Neighbours: `control` has the
//! messages; `linux::ipc` and `windows::ipc` do it.

#[cfg(unix)]
pub use crate::linux::ipc::{Closer, Listener, Stopper, Stream, connect, default_endpoint, listen};
#[cfg(windows)]
pub use crate::windows::ipc::{Closer, Listener, Stopper, Stream, connect, default_endpoint, listen};

/// The group whose members may talk to the service, when the configuration names no other.
pub const OPERATORS: &str = "tollgate";

/// Who is at the other end of a stream: as it was when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// A user id (`1000`), or a SID (`S-1-5-18`).
    pub user_id: String,
    /// `name`, or `DOMAIN\name`, when the system knows it.
    pub user_name: Option<String>,
    /// Its process id. For display: the process may have ended, and the number may have been given to another.
    pub pid: u32,
    /// May change policy: root or the user of this process; SYSTEM, or an administrator with all rights.
    pub is_administrator: bool,
    /// May read: a member of the operators' group, or an administrator.
    pub is_operator: bool,
}
