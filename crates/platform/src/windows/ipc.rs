//! A named pipe that lets in administrators and the operators' group, and nobody from the network.
//!
//! The first instance fails if the name is taken, and from then on one instance always exists: nobody else can become the
//! server of that name while we are. A client looks at the pipe's owner before it says anything, so a program that took
//! the name while no service ran is found out; and it lets the server see who it is, not act in its name.
//!
//! Neighbours: `linux::ipc` is the twin, with the same names.

use super::overlapped::{End, Event, Operation};
use super::security::{ADMINISTRATORS, Descriptor, SYSTEM, Sid, current_user, done, is_member, owner_of, user_of};
use super::{last_error, os_error, wide};
use crate::ipc::Peer;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Security::{RevertToSelf, TOKEN_QUERY};
use windows_sys::Win32::Storage::FileSystem as fs_sys;
use windows_sys::Win32::System::Pipes as pipe;
use windows_sys::Win32::System::Threading::{GetCurrentThread, OpenThreadToken};

/// What a client may do, and what it asks for: read and write, but not make another instance of the pipe, which is what
/// the right to append means there (learn.microsoft.com "Named Pipe Security and Access Rights").
const CLIENT_ACCESS: u32 = (fs_sys::FILE_GENERIC_READ | fs_sys::FILE_GENERIC_WRITE) & !fs_sys::FILE_APPEND_DATA;
/// How much the pipe holds in each direction before a writer waits.
const BUFFER_BYTES: u32 = 64 * 1024;
/// How long a client waits for an instance when all are taken.
const BUSY_PATIENCE_MS: u32 = 2_000;
/// How long a client that named no quality of service may take to say its first byte, before which Windows does not tell
/// who it is (learn.microsoft.com ImpersonateNamedPipeClient).
const FIRST_BYTE_PATIENCE: Duration = Duration::from_secs(5);

/// Where the service listens unless told otherwise.
pub fn default_endpoint() -> &'static str {
    r"\\.\pipe\Tollgate.Control"
}

/// A pipe that clients connect to.
pub struct Listener {
    name: Vec<u16>,
    descriptor: Descriptor,
    operators: Option<Arc<Sid>>,
    stop: Arc<Event>,
    /// The instance that the next client gets.
    next: Mutex<Option<OwnedHandle>>,
}

/// Makes [`Listener::accept`] return, from any thread and for good.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Event>);

/// A connected pipe.
#[derive(Debug)]
pub struct Stream {
    end: Arc<Connection>,
    operators: Option<Arc<Sid>>,
}

/// Ends a stream, from any thread: reads and writes here fail, and the other side sees the end when both halves are gone.
#[derive(Clone, Debug)]
pub struct Closer(Arc<Event>);

#[derive(Debug)]
struct Connection {
    handle: OwnedHandle,
    closed: Arc<Event>,
    /// What was read to learn who the client is.
    first: Mutex<Option<u8>>,
}

/// Listens on the pipe `endpoint`. Members of the group `operators` may connect, if there is such a group; it may be
/// given as a SID.
///
/// # Errors
/// [`AddrInUse`](io::ErrorKind::AddrInUse) when another process has that name.
pub fn listen(endpoint: &str, operators: Option<&str>) -> io::Result<Listener> {
    let operators = operators.and_then(Sid::of_group);
    let owner = if is_member(None, &Sid::parse(ADMINISTRATORS)?)? {
        ADMINISTRATORS.to_owned()
    } else {
        current_user()?.text()?
    };
    let descriptor = Descriptor::from_text(&access(&owner, operators.as_ref())?)?;
    let name = wide(endpoint);
    let taken = || io::Error::new(io::ErrorKind::AddrInUse, format!("another process listens on {endpoint}"));
    // The flag below decides, except under Wine, which passes over it.
    if exists(&name) {
        return Err(taken());
    }
    let first = instance(&name, &descriptor, fs_sys::FILE_FLAG_FIRST_PIPE_INSTANCE).map_err(|error| {
        // What another's instance gives, with rights that differ (learn.microsoft.com CreateNamedPipeW).
        if error.raw_os_error() == Some(win::ERROR_ACCESS_DENIED.cast_signed()) { taken() } else { error }
    })?;
    let operators = operators.map(Arc::new);
    Ok(Listener { name, descriptor, operators, stop: Arc::new(Event::new()?), next: Mutex::new(Some(first)) })
}

/// Connects to the service at the pipe `endpoint`.
///
/// # Errors
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) also when the pipe is not a service's: its owner is neither
/// SYSTEM, nor the administrators, nor this user.
pub fn connect(endpoint: &str) -> io::Result<Stream> {
    let open = || {
        OpenOptions::new()
            .access_mode(CLIENT_ACCESS)
            .custom_flags(fs_sys::FILE_FLAG_OVERLAPPED)
            .security_qos_flags(fs_sys::SECURITY_IDENTIFICATION)
            .open(endpoint)
    };
    let is_busy = |error: &io::Error| error.raw_os_error() == Some(win::ERROR_PIPE_BUSY.cast_signed());
    let file = match open() {
        Err(error) if is_busy(&error) => {
            let name = wide(endpoint);
            // SAFETY: `WaitNamedPipeW` needs a name that ends with NUL.
            done(unsafe { pipe::WaitNamedPipeW(name.as_ptr(), BUSY_PATIENCE_MS) })?;
            open()
        }
        opened => opened,
    };
    let handle = OwnedHandle::from(file?);
    let owner = owner_of(&handle)?;
    let trusted = [Sid::parse(SYSTEM)?, Sid::parse(ADMINISTRATORS)?, current_user()?];
    if !trusted.contains(&owner) {
        let owner = owner.name().or_else(|| owner.text().ok()).unwrap_or_default();
        let why = format!("{endpoint} belongs to {owner}, so it is not the service's");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Stream::new(handle, None)
}

impl Listener {
    /// Waits for a client. `None`: a [`Stopper`] was used. An error is about one client, or passes: try again after a
    /// moment.
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        let taken = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let handle = match taken {
            Some(handle) => handle,
            None => instance(&self.name, &self.descriptor, 0)?,
        };
        let connect = |overlapped| {
            // SAFETY: `ConnectNamedPipe` needs the server's end of a pipe, opened for overlapped operations as all
            // instances are, and an `OVERLAPPED`, as `Operation::run` gives.
            unsafe { pipe::ConnectNamedPipe(handle.as_raw_handle(), overlapped) }
        };
        // SAFETY: `connect` starts one operation on `handle`, which writes to nothing but the `OVERLAPPED`.
        let ended = unsafe { Operation::new()?.run(&handle, &self.stop, None, connect) };
        match ended {
            Ok(End::Stopped | End::TimedOut) => {
                *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
                return Ok(None);
            }
            Ok(End::Done(_)) => {}
            // It was quicker than we.
            Err(error) if error.raw_os_error() == Some(win::ERROR_PIPE_CONNECTED.cast_signed()) => {}
            Err(error) => return Err(error),
        }
        // Before the connected instance can end: the name must never be free.
        let next = instance(&self.name, &self.descriptor, 0)?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        Stream::new(handle, self.operators.clone()).map(Some)
    }

    /// What makes [`Self::accept`] return.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }
}

impl Stopper {
    /// Does it.
    pub fn stop(&self) {
        self.0.set();
    }
}

impl Stream {
    fn new(handle: OwnedHandle, operators: Option<Arc<Sid>>) -> io::Result<Self> {
        let end = Connection { handle, closed: Arc::new(Event::new()?), first: Mutex::new(None) };
        Ok(Self { end: Arc::new(end), operators })
    }

    /// Who is at the other end: the client, for a listener's stream. May ask a domain controller for a user's name, and
    /// may wait some seconds for a client that is not ours to say something.
    pub fn peer(&self) -> io::Result<Peer> {
        let mut pid = 0;
        // SAFETY: `GetNamedPipeClientProcessId` needs a pipe's handle, and room for a number.
        done(unsafe { pipe::GetNamedPipeClientProcessId(self.end.handle.as_raw_handle(), &raw mut pid) })?;
        let token = self.end.client_token()?;
        let user = user_of(&token)?;
        let user_id = user.text()?;
        let is_administrator = user_id == SYSTEM || is_member(Some(&token), &Sid::parse(ADMINISTRATORS)?)?;
        let is_operator = match &self.operators {
            Some(operators) if !is_administrator => is_member(Some(&token), operators)?,
            _ => is_administrator,
        };
        Ok(Peer { user_id, user_name: user.name(), pid, is_administrator, is_operator })
    }

    /// The two halves, and what ends both.
    #[expect(clippy::type_complexity, reason = "three values, each named by the documentation")]
    pub fn split(self) -> io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>, Closer)> {
        let reader = Half { end: self.end.clone(), operation: Operation::new()? };
        let writer = Half { end: self.end.clone(), operation: Operation::new()? };
        let closer = Closer(self.end.closed.clone());
        Ok((Box::new(reader), Box::new(writer), closer))
    }
}

impl Closer {
    /// Does it. What was written before still arrives.
    pub fn close(&self) {
        self.0.set();
    }
}

/// One direction of a stream; a thread has it for itself.
struct Half {
    end: Arc<Connection>,
    operation: Operation,
}

impl Read for Half {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(to) = bytes.first_mut() else { return Ok(0) };
        let first = self.end.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(first) = first {
            *to = first;
            return Ok(1);
        }
        match self.end.read(&mut self.operation, bytes, None) {
            Ok(End::Done(length)) => Ok(length),
            Ok(End::Stopped | End::TimedOut) => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let handle = &self.end.handle;
        let start = |overlapped| {
            // SAFETY: `WriteFile` needs an open handle, as many readable bytes as it is told, null for a count that an
            // overlapped operation gives later, and an `OVERLAPPED`, as `Operation::run` gives.
            unsafe { fs_sys::WriteFile(handle.as_raw_handle(), bytes.as_ptr(), length, ptr::null_mut(), overlapped) }
        };
        // SAFETY: `start` starts one operation on `handle`, which reads `bytes`: borrowed until this function returns.
        match unsafe { self.operation.run(handle, &self.end.closed, None, start) }? {
            End::Done(length) => Ok(length),
            End::Stopped | End::TimedOut => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Bytes are in the pipe when they are written.
        Ok(())
    }
}

impl Connection {
    fn read(&self, operation: &mut Operation, bytes: &mut [u8], patience: Option<Duration>) -> io::Result<End> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let start = |overlapped| {
            // SAFETY: `ReadFile` needs an open handle, room for as many bytes as it is told, null for a count that an
            // overlapped operation gives later, and an `OVERLAPPED`, as `Operation::run` gives.
            unsafe {
                fs_sys::ReadFile(self.handle.as_raw_handle(), bytes.as_mut_ptr(), length, ptr::null_mut(), overlapped)
            }
        };
        // SAFETY: `start` starts one operation on `self.handle`, which writes to `bytes`: borrowed until this returns.
        unsafe { operation.run(&self.handle, &self.closed, patience, start) }
    }

    /// The client's token, for queries.
    fn client_token(&self) -> io::Result<OwnedHandle> {
        match self.impersonated() {
            Err(error) if error.raw_os_error() == Some(win::ERROR_CANNOT_IMPERSONATE.cast_signed()) => {}
            known => return known,
        }
        let mut byte = [0];
        match self.read(&mut Operation::new()?, &mut byte, Some(FIRST_BYTE_PATIENCE))? {
            End::Done(1) => *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(byte[0]),
            End::Done(_) | End::Stopped => return Err(io::ErrorKind::UnexpectedEof.into()),
            End::TimedOut => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.impersonated()
    }

    /// Becomes the client for as long as it takes to open its token.
    fn impersonated(&self) -> io::Result<OwnedHandle> {
        // SAFETY: `ImpersonateNamedPipeClient` needs the server's end of a pipe. It changes this thread's rights, which
        // `Impersonation` takes back.
        done(unsafe { pipe::ImpersonateNamedPipeClient(self.handle.as_raw_handle()) })?;
        let _impersonation = Impersonation;
        let mut token = ptr::null_mut();
        // SAFETY: `GetCurrentThread` has no preconditions.
        let current = unsafe { GetCurrentThread() };
        // SAFETY: `OpenThreadToken` needs a thread's handle, and room for a handle. TRUE checks the right to open it
        // against this process, since the client's token may be for looking only.
        done(unsafe { OpenThreadToken(current, TOKEN_QUERY, win::TRUE, &raw mut token) })?;
        // SAFETY: `token` is a new handle that nobody else owns.
        Ok(unsafe { OwnedHandle::from_raw_handle(token) })
    }
}

/// While this is there, the thread has the rights of a client.
struct Impersonation;

impl Drop for Impersonation {
    fn drop(&mut self) {
        // SAFETY: `RevertToSelf` has no preconditions.
        if unsafe { RevertToSelf() } == win::FALSE {
            // "Your application continues to run in the context of the client, which is not appropriate. You should
            // shut down the process" (learn.microsoft.com RevertToSelf).
            std::process::abort();
        }
    }
}

/// One instance of the pipe.
fn instance(name: &[u16], descriptor: &Descriptor, flags: u32) -> io::Result<OwnedHandle> {
    let attributes = descriptor.attributes();
    // SAFETY: `CreateNamedPipeW` needs
    // 1. a name that ends with NUL: `wide` made it;
    // 2. attributes whose descriptor is valid: `descriptor` is borrowed.
    let handle = unsafe {
        pipe::CreateNamedPipeW(
            name.as_ptr(),
            fs_sys::PIPE_ACCESS_DUPLEX | fs_sys::FILE_FLAG_OVERLAPPED | flags,
            pipe::PIPE_TYPE_BYTE | pipe::PIPE_READMODE_BYTE | pipe::PIPE_WAIT | pipe::PIPE_REJECT_REMOTE_CLIENTS,
            pipe::PIPE_UNLIMITED_INSTANCES,
            BUFFER_BYTES,
            BUFFER_BYTES,
            0,
            &raw const attributes,
        )
    };
    if handle == win::INVALID_HANDLE_VALUE {
        return Err(os_error(last_error()));
    }
    // SAFETY: `handle` is new, and nobody else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Whether some process is the server of that name.
fn exists(name: &[u16]) -> bool {
    // SAFETY: `WaitNamedPipeW` needs a name that ends with NUL: `wide` made it.
    let ok = unsafe { pipe::WaitNamedPipeW(name.as_ptr(), 1) };
    ok != win::FALSE || last_error() == win::ERROR_SEM_TIMEOUT
}

/// Who may do what, in the language of security descriptors: nobody from the network; SYSTEM and administrators
/// everything; operators as much as a client needs. The owner is named, since a policy of the machine may say which of
/// two an administrator's things get.
fn access(owner: &str, operators: Option<&Sid>) -> io::Result<String> {
    let mut text = format!("O:{owner}D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)");
    if let Some(sid) = operators {
        text.push_str(&format!("(A;;{CLIENT_ACCESS:#x};;;{})", sid.text()?));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_cannot_become_servers_of_the_name() {
        let text = access(ADMINISTRATORS, Some(&Sid::parse("S-1-5-32-545").unwrap())).unwrap();
        assert_eq!(text, "O:S-1-5-32-544D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;S-1-5-32-545)");
        Descriptor::from_text(&text).unwrap();
    }
}
