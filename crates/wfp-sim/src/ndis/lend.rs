//! Lists that callouts are shown.
//!
//! Invariant: what is lent has the packet's bytes, cut and placed as the seed says: in several pieces or one, with room before
//! the data or without. Where the data begins is documented (R18, learn.microsoft.com "Data Offset Positions").

#![expect(unsafe_code, reason = "links C records")]

use super::block::Block;
use super::buffer::{describe, set_window};
use super::lists::{Kind, List, ListPtr, Travel};
use crate::classify::{LayerData, POISON_BYTE};
use crate::machine::Machine;
use crate::packet::Packet;
use nt_sys::ndis::*;
use std::ptr;

/// Where the data of a lent list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// A packet that leaves: at the transport header, and there is no IP header yet.
    TransportHeader,
    /// A packet that arrives: behind the transport header, and all headers lie before it.
    Payload,
}

/// A list that is lent until it is dropped.
pub(crate) struct Lent<'a> {
    machine: &'a Machine,
    list: ListPtr,
    ip_header: u32,
    transport_header: u32,
}

impl<'a> Lent<'a> {
    /// Makes a list of `packets`, which is not empty.
    pub fn new(machine: &'a Machine, packets: &[Packet], start: Start, travel: Travel) -> Self {
        let list = build(machine, packets, start, travel);
        let list = machine.lists.adopt(list);
        let size = |header: usize| u32::try_from(header).unwrap_or(0);
        let (ip_header, transport_header) =
            packets.first().map_or((0, 0), |packet| (size(packet.ip_header), size(packet.transport_header)));
        let ip_header = if start == Start::Payload { ip_header } else { 0 };
        Self { machine, list, ip_header, transport_header }
    }

    /// What a classify function is given.
    pub fn data(&self) -> LayerData {
        LayerData { list: self.list.0.cast(), ip_header: self.ip_header, transport_header: self.transport_header }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.machine.lists.take_back(self.list) {
            self.machine.warn("V-NBL-07", "a clone or reference of a lent list outlived the indication".into());
        }
    }
}

fn build(machine: &Machine, packets: &[Packet], start: Start, travel: Travel) -> List {
    let mut blocks = Vec::new();
    let mut data = Vec::new();
    let mut next = ptr::null_mut();
    for packet in packets.iter().rev() {
        let buffer = buffer(machine, packet, start, next, &mut blocks, &mut data);
        next = buffer.start();
        blocks.push(buffer);
    }
    let list = Block::of(list_record(next, ptr::null_mut()), 0);
    List::new(ListPtr(list.start()), Kind::Lent, blocks.into_iter().chain([list]).collect(), data, travel)
}

/// One packet: its data in one to three pieces, its descriptor lists, its record.
fn buffer(
    machine: &Machine,
    packet: &Packet,
    start: Start,
    next: *mut NET_BUFFER,
    blocks: &mut Vec<Block>,
    data: &mut Vec<Block>,
) -> Block {
    let (bytes, skip) = match start {
        Start::TransportHeader => (&packet.bytes[packet.ip_header..], 0),
        Start::Payload => (&packet.bytes[..], packet.ip_header + packet.transport_header),
    };
    // Room before the data: none, less than an IP header, more than one.
    let room = [0, 8, 64][(machine.draw() % 3) as usize];
    let mut cuts: Vec<usize> = (0..machine.draw() % 3).map(|_| cut(machine, bytes.len(), skip)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in cuts {
        let room = if from == 0 { room } else { 0 };
        pieces.push(Block::holding(&[&vec![POISON_BYTE; room], &bytes[from..to]].concat()));
        from = to;
    }
    let mut chain = ptr::null_mut();
    let mut lens: Vec<usize> = pieces.iter().map(|piece| piece.bytes().len()).collect();
    if bytes.is_empty() {
        lens[0] = room;
    }
    for (piece, len) in pieces.iter().zip(lens).rev() {
        let mdl = Block::of(describe(piece.start(), len, chain), size_of::<u64>());
        chain = mdl.start();
        blocks.push(mdl);
    }
    data.extend(pieces);
    let record = Block::of(buffer_record(chain, next), 0);
    // SAFETY: the record is new, and its chain was just built.
    let fits = unsafe { set_window(record.start(), room + skip, bytes.len() - skip) };
    debug_assert!(fits, "a chain has what was put into it");
    record
}

/// Where to cut: between headers and payload, or anywhere.
fn cut(machine: &Machine, len: usize, skip: usize) -> usize {
    if machine.draw() & 1 == 0 && skip > 0 && skip < len {
        return skip;
    }
    (1 + machine.draw() as usize % len.max(1)).min(len)
}

pub(super) fn list_record(first: *mut NET_BUFFER, pool: NDIS_HANDLE) -> NET_BUFFER_LIST {
    NET_BUFFER_LIST {
        Next: ptr::null_mut(),
        FirstNetBuffer: first,
        Context: ptr::null_mut(),
        ParentNetBufferList: ptr::null_mut(),
        NdisPoolHandle: pool,
        NdisReserved: NDIS_RESERVED([ptr::null_mut(); 2]),
        ProtocolReserved: [ptr::null_mut(); 4],
        MiniportReserved: [ptr::null_mut(); 2],
        Scratch: ptr::null_mut(),
        SourceHandle: ptr::null_mut(),
        NblFlags: 0,
        ChildRefCount: 0,
        Flags: 0,
        Status: 0,
        NetBufferListInfo: [ptr::null_mut(); 28],
    }
}

pub(super) fn buffer_record(chain: *mut nt_sys::mdl::MDL, next: *mut NET_BUFFER) -> NET_BUFFER {
    NET_BUFFER {
        Next: next,
        CurrentMdl: chain,
        CurrentMdlOffset: 0,
        stDataLength: 0,
        MdlChain: chain,
        DataOffset: 0,
        stDataOffsetHigh: 0,
        ChecksumBias: 0,
        Reserved: 0,
        NdisPoolHandle: ptr::null_mut(),
        NdisReserved: NDIS_RESERVED([ptr::null_mut(); 2]),
        ProtocolReserved: [ptr::null_mut(); 6],
        MiniportReserved: [ptr::null_mut(); 4],
        DataPhysicalAddress: 0,
        SharedMemoryInfo: ptr::null_mut(),
    }
}
