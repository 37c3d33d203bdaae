//! What is kept of a flow after its classify has returned, for the service to decide on.
//!
//! Neighbours: `pending` and `reports` hold facts; `programs` holds the path that a [`PathRef`] counts.

use crate::flow::{Flow, FlowKey, Subject};
use crate::programs::PathRef;
use crate::siphash::SipKey;
use wire::request::{Address, MAX_PATH_BYTES, MAX_SID_BYTES, Request, RequestFlags};

/// The facts of one flow.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) key: FlowKey,
    compartment: u32,
    local: Address,
    /// The ICMP type for ICMP.
    pub(crate) local_port: u16,
    pub(crate) process_id: u64,
    /// Keyed hash of the whole path; 0 unknown.
    pub(crate) program: u64,
    pub(crate) path: PathRef,
    interface_luid: u64,
    interface_index: u32,
    remote_scope: u32,
    flags: RequestFlags,
    pub(crate) sid: Sid,
}

impl Facts {
    pub(crate) fn of(flow: &Flow, program: u64, path: PathRef) -> Self {
        let mut flags = RequestFlags::empty();
        flags.set(RequestFlags::LOOPBACK, flow.loopback);
        flags.set(RequestFlags::PATH_TRUNCATED, flow.program.len() > MAX_PATH_BYTES);
        Self {
            key: flow.key,
            compartment: flow.compartment,
            local: flow.local,
            local_port: flow.local_port,
            process_id: flow.process_id,
            program,
            path,
            interface_luid: flow.interface_luid,
            interface_index: flow.interface_index,
            remote_scope: flow.remote_scope,
            flags,
            sid: Sid::copy(flow.user),
        }
    }

    pub(crate) fn subject(&self, sip: SipKey) -> Subject {
        Subject::new(sip, &self.key, self.program)
    }

    /// The request these facts make; what only the moment of delivery knows is left zero.
    pub(crate) fn request(&self) -> Request {
        Request {
            flags: self.flags.bits(),
            process_id: self.process_id,
            program: self.program,
            interface_luid: self.interface_luid,
            interface_index: self.interface_index,
            compartment: self.compartment,
            remote_scope: self.remote_scope,
            local_port: self.local_port,
            remote_port: self.key.remote_port,
            local: self.local,
            remote: self.key.remote,
            family: self.key.family,
            direction: self.key.direction,
            protocol: self.key.protocol,
            ..Request::default()
        }
    }
}

/// A bounded copy of a SID; empty when unknown.
#[derive(Clone, Copy)]
pub(crate) struct Sid {
    len: u8,
    bytes: [u8; MAX_SID_BYTES],
}

impl Sid {
    pub(crate) const EMPTY: Self = Self { len: 0, bytes: [0; MAX_SID_BYTES] };

    pub(crate) fn copy(sid: &[u8]) -> Self {
        let mut copy = Self::EMPTY;
        if let (Some(room), Ok(len)) = (copy.bytes.get_mut(..sid.len()), u8::try_from(sid.len())) {
            room.copy_from_slice(sid);
            copy.len = len;
        }
        copy
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
