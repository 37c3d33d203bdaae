//! The metadata of an indication.
//!
//! Invariant: a member whose bit is clear holds poison, never zero, so that a callout that does not test the bit is found
//! out (V-CLS-09). Which layer provides what: learn.microsoft.com "Metadata Fields at Each Filtering Layer".

#![expect(unsafe_code, reason = "fills a C record in place")]

use super::arena::{Arena, POISON_BYTE};
use super::data::LayerData;
use super::facts::Facts;
use super::layer::{
    AUTH_CONNECT, AUTH_LISTEN, AUTH_RECV_ACCEPT, BIND_REDIRECT, CONNECT_REDIRECT, ENDPOINT_CLOSURE, FLOW_ESTABLISHED,
    Layer, RESOURCE_ASSIGNMENT, RESOURCE_RELEASE,
};
use crate::ale::Direction;
use nt_sys::fwps::*;
use std::mem::size_of;
use std::ptr;

const SIZE: usize = size_of::<FWPS_INCOMING_METADATA_VALUES0>();

/// Why a discard layer is indicated.
#[derive(Clone, Copy)]
pub(crate) struct Discard {
    pub filter_id: u64,
}

/// The record lent to a callout, and what it said when it was lent.
pub(super) struct Metadata {
    record: *mut FWPS_INCOMING_METADATA_VALUES0,
    original: [u8; SIZE],
}

impl Metadata {
    /// Fills a record for `layer`; `completion` is the handle by which the operation can be pended.
    pub fn new(
        arena: &mut Arena,
        layer: &Layer,
        facts: &Facts<'_>,
        completion: Option<u64>,
        data: &LayerData,
        discard: Option<Discard>,
    ) -> Self {
        let record: *mut FWPS_INCOMING_METADATA_VALUES0 = arena.room(SIZE).cast();
        // SAFETY: `record` has room for it.
        unsafe { ptr::write_bytes(record, POISON_BYTE, 1) };
        // SAFETY: every member is an integer or a pointer, for which any initialised bytes are a value, and nobody else
        // knows the record yet.
        let meta = unsafe { &mut *record };
        meta.currentMetadataValues = 0;
        meta.flags = 0;
        let provided = provided(layer) & !facts.omit_metadata;
        let mut set = |bit: u32, fill: &mut dyn FnMut(&mut FWPS_INCOMING_METADATA_VALUES0)| {
            if provided & bit != 0 {
                meta.currentMetadataValues |= bit;
                fill(meta);
            }
        };
        if let Some(flow) = facts.flow_id {
            set(FWPS_METADATA_FIELD_FLOW_HANDLE, &mut |meta| meta.flowHandle = flow);
        }
        if facts.identity.has_path {
            let path = arena.blob(&facts.identity.path);
            set(FWPS_METADATA_FIELD_PROCESS_PATH, &mut |meta| meta.processPath = path);
        }
        set(FWPS_METADATA_FIELD_TOKEN, &mut |meta| meta.token = facts.identity.token);
        set(FWPS_METADATA_FIELD_PROCESS_ID, &mut |meta| meta.processId = facts.identity.pid.into());
        set(FWPS_METADATA_FIELD_COMPARTMENT_ID, &mut |meta| meta.compartmentId = facts.compartment());
        set(FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE, &mut |meta| meta.transportEndpointHandle = facts.endpoint);
        if let Some(handle) = completion {
            set(FWPS_METADATA_FIELD_COMPLETION_HANDLE, &mut |meta| {
                meta.completionHandle = ptr::without_provenance_mut(handle as usize);
            });
        }
        if let Some(parent) = facts.parent {
            set(FWPS_METADATA_FIELD_PARENT_ENDPOINT_HANDLE, &mut |meta| meta.parentEndpointHandle = parent);
        }
        if let Some(tag) = facts.identity.service_tag {
            set(FWPS_METADATA_FIELD_SUB_PROCESS_TAG, &mut |meta| {
                meta.subProcessTag = ptr::without_provenance_mut(tag as usize);
            });
        }
        if data.is_packet() {
            set(FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE, &mut |meta| {
                meta.transportHeaderSize = data.transport_header
            });
        }
        if data.ip_header > 0 {
            set(FWPS_METADATA_FIELD_IP_HEADER_SIZE, &mut |meta| meta.ipHeaderSize = data.ip_header);
        }
        if let Some(direction) = facts.packet {
            set(FWPS_METADATA_FIELD_PACKET_DIRECTION, &mut |meta| {
                meta.packetDirection = match direction {
                    Direction::Outbound => FWP_DIRECTION_OUTBOUND,
                    Direction::Inbound => FWP_DIRECTION_INBOUND,
                };
            });
        }
        if let Some(std::net::SocketAddr::V6(remote)) = facts.peer.map(|peer| peer.addr)
            && remote.scope_id() != 0
        {
            set(FWPS_METADATA_FIELD_REMOTE_SCOPE_ID, &mut |meta| meta.remoteScopeId = remote.scope_id());
        }
        if let Some(icmp) = facts.peer.and_then(|peer| peer.icmp) {
            set(FWPS_METADATA_FIELD_ICMP_ID_AND_SEQUENCE, &mut |meta| {
                meta.icmpIdAndSequence = u32::from(icmp.id) << 16
            });
        }
        if let Some(discard) = discard {
            set(FWPS_METADATA_FIELD_DISCARD_REASON, &mut |meta| {
                meta.discardMetadata = FWPS_DISCARD_METADATA0 {
                    discardModule: FWPS_DISCARD_MODULE_GENERAL,
                    discardReason: FWPS_DISCARD_FIREWALL_POLICY,
                    filterId: discard.filter_id,
                };
            });
        }
        let original = bytes(record);
        Self { record, original }
    }

    pub fn as_ptr(&self) -> *const FWPS_INCOMING_METADATA_VALUES0 {
        self.record
    }

    /// Whether the callout left the record alone (V-CLS-12).
    pub fn is_untouched(&self) -> bool {
        bytes(self.record) == self.original
    }
}

fn bytes(record: *const FWPS_INCOMING_METADATA_VALUES0) -> [u8; SIZE] {
    // SAFETY: the arena that holds the record outlives `Metadata`; all bytes, padding included, were written by
    // `write_bytes`, and members are only assigned in place.
    unsafe { record.cast::<[u8; SIZE]>().read() }
}

/// The bits that a layer provides at most.
fn provided(layer: &Layer) -> u32 {
    const PROCESS: u32 = FWPS_METADATA_FIELD_TOKEN | FWPS_METADATA_FIELD_PROCESS_ID;
    const ENDPOINT: u32 = PROCESS | FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE;
    const PROGRAM: u32 = ENDPOINT | FWPS_METADATA_FIELD_PROCESS_PATH;
    const ASSIGNMENT: u32 = PROGRAM | FWPS_METADATA_FIELD_SUB_PROCESS_TAG;
    const CHILD: u32 = FWPS_METADATA_FIELD_PARENT_ENDPOINT_HANDLE;
    const AUTH: u32 = PROGRAM
        | CHILD
        | FWPS_METADATA_FIELD_SUB_PROCESS_TAG
        | FWPS_METADATA_FIELD_FLOW_HANDLE
        | FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE
        | FWPS_METADATA_FIELD_COMPARTMENT_ID
        | FWPS_METADATA_FIELD_COMPLETION_HANDLE
        | FWPS_METADATA_FIELD_PACKET_DIRECTION
        | FWPS_METADATA_FIELD_ICMP_ID_AND_SEQUENCE;
    let of = |step: super::layer::Step| step.includes(layer);
    if layer.is_discard {
        let indicated = Layer::by_id(layer.id - 1);
        (provided(indicated) & !FWPS_METADATA_FIELD_COMPLETION_HANDLE) | FWPS_METADATA_FIELD_DISCARD_REASON
    } else if of(AUTH_CONNECT) {
        AUTH | FWPS_METADATA_FIELD_REMOTE_SCOPE_ID
    } else if of(AUTH_RECV_ACCEPT) {
        AUTH | FWPS_METADATA_FIELD_IP_HEADER_SIZE
    } else if of(FLOW_ESTABLISHED) {
        PROGRAM | CHILD | FWPS_METADATA_FIELD_FLOW_HANDLE
    } else if of(ENDPOINT_CLOSURE) || of(RESOURCE_RELEASE) {
        ENDPOINT | CHILD | FWPS_METADATA_FIELD_COMPARTMENT_ID
    } else if of(RESOURCE_ASSIGNMENT) || of(AUTH_LISTEN) {
        ASSIGNMENT
    } else if of(BIND_REDIRECT) || of(CONNECT_REDIRECT) {
        PROGRAM
    } else {
        0
    }
}
