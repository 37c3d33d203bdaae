//! A Unix socket, in a directory that only we can change.
//!
//! The socket is made complete - owner, group, mode - in a folder that nobody else can enter, and then renamed to where
//! clients look: nobody reaches it a moment too early. A lock on the directory keeps two services from taking the same
//! name at once; a socket that nobody listens on is what a killed service left, and is replaced.
//!
//! Neighbours: `windows::ipc` is the twin, with the same names.
#![expect(unsafe_code, reason = "no crate asks for the groups of a socket's peer")]

use crate::ipc::Peer;
use nix::unistd::{Group, User};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SOCKET_MODE: u32 = 0o660;
const DIRECTORY_MODE: u32 = 0o755;
/// The most groups a peer may be in; the kernel allows no more (man 7 credentials, `NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Where the service listens unless told otherwise.
pub fn default_endpoint() -> &'static str {
    "/run/tollgate/control.sock"
}

/// A socket that clients connect to. Dropping it removes its file.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    stop: Arc<OwnedFd>,
    operators: Option<u32>,
    path: PathBuf,
    inode: u64,
}

/// Makes [`Listener::accept`] return, from any thread and for good.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<OwnedFd>);

/// A connected socket.
#[derive(Debug)]
pub struct Stream {
    socket: UnixStream,
    operators: Option<u32>,
}

/// Ends a stream, from any thread: both sides see its end.
#[derive(Clone, Debug)]
pub struct Closer(Arc<UnixStream>);

/// Listens at the path `endpoint`. Members of the group `operators` may connect, if there is such a group.
///
/// # Errors
/// [`AddrInUse`](io::ErrorKind::AddrInUse) when another process listens there.
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) when others could replace the socket.
pub fn listen(endpoint: &str, operators: Option<&str>) -> io::Result<Listener> {
    let path = PathBuf::from(endpoint);
    let (Some(folder), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{endpoint} is not the path of a socket")));
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(folder)?;
    let locked = lock(folder)?;
    refuse_shared(folder, &locked.metadata()?)?;
    // Who may rename a folder above puts another in the place of ours.
    for above in fs::canonicalize(folder)?.ancestors().skip(1) {
        refuse_shared(above, &fs::metadata(above)?)?;
    }
    if UnixStream::connect(&path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("another service listens on {endpoint}")));
    }
    refuse_other_than_socket(&path)?;
    let operators = operators.map(Group::from_name).transpose()?.flatten().map(|group| group.gid.as_raw());

    let nursery = folder.join(format!(".tollgate-{}", std::process::id()));
    remove_left(&nursery)?;
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let made = make(&nursery.join("socket"), operators, &path);
    let removed = fs::remove_dir_all(&nursery);
    let (socket, inode) = made?;
    removed?;
    let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    Ok(Listener { socket, stop, operators, path, inode })
}

/// Connects to the service at the path `endpoint`.
///
/// The usual path is in a directory that only root can change, so what listens there is the service.
pub fn connect(endpoint: &str) -> io::Result<Stream> {
    Ok(Stream { socket: UnixStream::connect(endpoint)?, operators: None })
}

impl Listener {
    /// Waits for a client. `None`: a [`Stopper`] was used. An error is about one client, or passes: try again after a
    /// moment.
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        loop {
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&*self.stop, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if !ready[1].revents().is_empty() {
                return Ok(None);
            }
            match self.socket.accept() {
                Ok((socket, _)) => {
                    socket.set_nonblocking(false)?;
                    return Ok(Some(Stream { socket, operators: self.operators }));
                }
                // The client went away before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What makes [`Self::accept`] return.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let is_ours = |file: Metadata| file.ino() == self.inode;
        if let Ok(_locked) = lock(folder)
            && fs::symlink_metadata(&self.path).is_ok_and(is_ours)
        {
            // A file that stays is replaced by the next service.
            let _left = fs::remove_file(&self.path);
        }
    }
}

impl Stopper {
    /// Does it.
    pub fn stop(&self) {
        // Fails only when it was done 2^64 times.
        let _done = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl Stream {
    /// Who is at the other end. May ask the network for a user's name.
    pub fn peer(&self) -> io::Result<Peer> {
        let credentials = rustix::net::sockopt::socket_peercred(&self.socket)?;
        let uid = credentials.uid.as_raw();
        let is_administrator = uid == 0 || credentials.uid == rustix::process::geteuid();
        let is_member = |group: u32| -> io::Result<bool> {
            Ok(credentials.gid.as_raw() == group || peer_groups(&self.socket)?.contains(&group))
        };
        Ok(Peer {
            user_id: uid.to_string(),
            user_name: User::from_uid(uid.into()).ok().flatten().map(|user| user.name),
            pid: credentials.pid.as_raw_nonzero().get().cast_unsigned(),
            is_administrator,
            is_operator: is_administrator || self.operators.map_or(Ok(false), is_member)?,
        })
    }

    /// The two halves, and what ends both.
    #[expect(clippy::type_complexity, reason = "three values, each named by the documentation")]
    pub fn split(self) -> io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>, Closer)> {
        let reader = self.socket.try_clone()?;
        let writer = self.socket.try_clone()?;
        Ok((Box::new(reader), Box::new(writer), Closer(Arc::new(self.socket))))
    }
}

impl Closer {
    /// Does it. What was written before still arrives.
    pub fn close(&self) {
        // Fails only when the other side closed already.
        let _closed = self.0.shutdown(Shutdown::Both);
    }
}

/// A socket at `nursery`, ready for clients, and moved to `path`; with its inode number.
fn make(nursery: &Path, operators: Option<u32>, path: &Path) -> io::Result<(UnixListener, u64)> {
    let socket = UnixListener::bind(nursery)?;
    socket.set_nonblocking(true)?;
    if operators.is_some() {
        chown(nursery, None, operators)?;
    }
    fs::set_permissions(nursery, fs::Permissions::from_mode(SOCKET_MODE))?;
    let inode = fs::symlink_metadata(nursery)?.ino();
    fs::rename(nursery, path)?;
    Ok((socket, inode))
}

/// Only one service at a time looks at a directory's sockets.
fn lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    rustix::fs::flock(&folder, FlockOperation::LockExclusive)?;
    Ok(folder)
}

/// Removes what a process with the same number left when it was killed; in a container that is the number of every service.
fn remove_left(nursery: &Path) -> io::Result<()> {
    match fs::symlink_metadata(nursery) {
        Ok(found) if found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() => {
            fs::remove_dir_all(nursery)
        }
        // Nothing is there, or what nobody of ours made, which creating the folder then refuses.
        _ => Ok(()),
    }
}

/// Refuses a directory in which somebody else could put another socket in place of ours.
fn refuse_shared(folder: &Path, found: &Metadata) -> io::Result<()> {
    let is_ours = found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw();
    let is_shared = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
    if is_ours && !is_shared {
        return Ok(());
    }
    let why =
        format!("others may replace files in {}: use a directory that only this user can change", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// A socket that is left over may be replaced, a file of another kind not.
fn refuse_other_than_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let why = format!("{} is there already, and is not a socket", path.display());
            Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
        }
        _ => Ok(()),
    }
}

/// The supplementary groups of a socket's peer when it connected (man 7 unix, `SO_PEERGROUPS`).
fn peer_groups(socket: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
        // SAFETY: `getsockopt` needs
        // 1. an open socket: `socket` is borrowed;
        // 2. room for as many bytes as it is told: `bytes` is the size of `groups`, and both outlive the call.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let needed = bytes as usize / size_of::<libc::gid_t>();
        if answer == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || needed <= groups.len() || needed > MAX_GROUPS {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}
