//! Processes: who owns sockets and user-mode sessions.

use super::socket::Socket;
use crate::bfe::{Owner, SessionSpec};
use crate::machine::Machine;
use crate::sync::Lock;
use nt_sys::types::NTSTATUS;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// Domain and account of the default user: S-1-5-21-1-2-3-1001.
const DEFAULT_USER: &[u8] = &[1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xE9, 3, 0, 0];

/// A process to start.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// Its id.
    pub pid: u32,
    /// The NT path of its program; none for the system process.
    pub path: Option<String>,
    /// The SIDs of its token, in binary form, the user first.
    pub sids: Vec<Vec<u8>>,
    /// The tag of the Windows service that its sockets belong to, if it hosts one.
    pub service_tag: Option<u32>,
}

impl ProcessSpec {
    /// A program at an NT path, run by the default user.
    pub fn new(pid: u32, path: &str) -> Self {
        Self { pid, path: Some(path.into()), sids: vec![DEFAULT_USER.to_vec()], service_tag: None }
    }

    /// The system process.
    pub fn system() -> Self {
        Self { pid: 4, path: None, sids: vec![vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]], service_tag: None }
    }
}

/// What a classify says about a process.
pub(crate) struct Identity {
    pub pid: u32,
    /// The lower-case path with its terminator, as UTF-16 bytes (learn.microsoft.com "FwpmGetAppIdFromFileName0").
    pub app_id: Vec<u8>,
    /// The same with its case.
    pub path: Vec<u8>,
    pub has_path: bool,
    pub sids: Vec<Vec<u8>>,
    pub token: u64,
    pub service_tag: Option<u32>,
}

/// A running process.
#[derive(Clone)]
pub struct Process {
    pub(super) machine: Arc<Machine>,
    pub(super) owner: Arc<Owned>,
}

/// What a process has.
pub(crate) struct Owned {
    pub identity: Identity,
    sockets: Mutex<HashMap<u64, Weak<Socket>>>,
}

impl Process {
    pub(crate) fn start(machine: Arc<Machine>, spec: ProcessSpec) -> Self {
        let path = spec.path.as_deref().unwrap_or("System");
        let identity = Identity {
            pid: spec.pid,
            app_id: utf16_bytes(&path.to_lowercase()),
            path: utf16_bytes(path),
            has_path: spec.path.is_some(),
            sids: spec.sids,
            token: machine.new_handle(),
            service_tag: spec.service_tag,
        };
        Self { owner: Arc::new(Owned { identity, sockets: Mutex::default() }), machine }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.owner.identity.pid
    }

    /// The value that classifies carry as its ALE_APP_ID.
    pub fn app_id(&self) -> &[u8] {
        &self.owner.identity.app_id
    }

    /// Opens a session as user mode does; `flags` as in `FWPM_SESSION0`. The functions of the management interface take the
    /// handle like any other. The session ends with the process.
    ///
    /// # Errors
    /// What `FwpmEngineOpen0` answers.
    pub fn open_session(&self, flags: u32) -> Result<u64, NTSTATUS> {
        let spec = SessionSpec { flags, ..SessionSpec::default() };
        self.machine.bfe.open(&self.machine, Owner::User(self.pid()), &spec)
    }

    /// Ends the process: its sessions and its sockets close, whatever they were doing.
    pub fn kill(&self) {
        self.machine.bfe.close_all_of(&self.machine, self.pid());
        let mut sockets: Vec<Arc<Socket>> = self.owner.sockets.hold().values().filter_map(Weak::upgrade).collect();
        sockets.sort_by_key(|socket| socket.endpoint);
        for socket in sockets {
            socket.close(&self.machine);
        }
    }
}

impl Owned {
    pub fn adopt(&self, socket: &Arc<Socket>) {
        self.sockets.hold().insert(socket.endpoint, Arc::downgrade(socket));
    }

    pub fn release(&self, socket: &Socket) {
        self.sockets.hold().remove(&socket.endpoint);
    }
}

fn utf16_bytes(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}
