//! Every net buffer list there is, every pool, and who may do what with them.
//!
//! Invariants: an address is found here exactly as long as the list exists; memory of lists that are over stays poisoned for a
//! while, so that neither its bytes nor its address serve anybody.

#![expect(unsafe_code, reason = "reads and writes C records by their address")]

use super::Broken;
use super::block::Block;
use super::buffer::{self, Window, describe, set_window, window};
use super::lend::{buffer_record, list_record};
use crate::sync::Lock;
use nt_sys::mdl::MDL;
use nt_sys::ndis::*;
use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;

/// How many lists stay poisoned before their memory is used again.
const QUARANTINE: usize = 64;

/// The address of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListPtr(pub *mut NET_BUFFER_LIST);

// SAFETY: an address; what it leads to is guarded by the table.
unsafe impl Send for ListPtr {}

/// What a packet carries beside its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Travel {
    /// The handles that it was injected with, the latest last, and the contexts given then. Zero stands for the stack, which
    /// has turned the packet round since.
    pub injected_by: Vec<(u64, u64)>,
    /// `FWPS_PACKET_LIST_INBOUND_IPSEC_*`.
    pub ipsec: u32,
}

/// Who a list belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The engine, for one indication.
    Lent,
    /// The engine, which keeps it because it is cloned or referenced.
    Kept,
    /// A driver; from `FwpsAllocateNetBufferAndNetBufferList0`.
    Made,
    /// A driver; from `FwpsAllocateCloneNetBufferList0` of the list at this address.
    Clone(usize),
}

pub(super) struct List {
    address: ListPtr,
    kind: Kind,
    records: Vec<Block>,
    data: Vec<Block>,
    /// The data as it was lent.
    original: Vec<Vec<u8>>,
    windows: Vec<Window>,
    travel: Travel,
    /// Descriptor lists that a retreat put in front, with their memory: the last is first in its chain.
    grown: Vec<Grown>,
    users: usize,
    is_injected: bool,
}

struct Grown {
    buffer: usize,
    mdl: Block,
    room: Block,
}

impl List {
    pub fn new(address: ListPtr, kind: Kind, records: Vec<Block>, data: Vec<Block>, travel: Travel) -> Self {
        let original = data.iter().map(Block::bytes).collect();
        let windows = buffers(address.0).into_iter().map(|buffer| {
            // SAFETY: the list was just built.
            unsafe { window(buffer) }
        });
        Self {
            windows: windows.collect(),
            address,
            kind,
            records,
            data,
            original,
            travel,
            grown: Vec::new(),
            users: 0,
            is_injected: false,
        }
    }

    fn retire(self) -> Vec<Block> {
        let grown = self.grown.into_iter().flat_map(|grown| [grown.mdl, grown.room]);
        let blocks: Vec<Block> = self.records.into_iter().chain(self.data).chain(grown).collect();
        blocks.iter().for_each(Block::poison);
        blocks
    }
}

/// The net buffers of a list that is there.
fn buffers(list: *mut NET_BUFFER_LIST) -> Vec<*mut NET_BUFFER> {
    // SAFETY: callers pass a list of the table.
    let mut next = unsafe { (*list).FirstNetBuffer };
    let mut buffers = Vec::new();
    while !next.is_null() && buffers.len() < 1024 {
        buffers.push(next);
        // SAFETY: not null, and linked by who made the list.
        next = unsafe { (*next).Next };
    }
    buffers
}

/// What an injection takes from a list.
pub(crate) struct Injected {
    /// The data of each net buffer.
    pub data: Vec<Vec<u8>>,
    pub travel: Travel,
}

#[derive(Default)]
pub(crate) struct Lists(Mutex<Table>);

#[derive(Default)]
struct Table {
    lists: HashMap<usize, List>,
    /// Lists by their net buffers.
    owners: HashMap<usize, usize>,
    /// Lists out of each pool.
    pools: HashMap<usize, (Block, usize)>,
    objects: HashMap<usize, Block>,
    quarantine: VecDeque<Vec<Block>>,
}

impl Table {
    fn get(&mut self, list: *const NET_BUFFER_LIST, rule: &'static str) -> Result<&mut List, Broken> {
        self.lists.get_mut(&list.addr()).ok_or_else(|| (rule, format!("there is no list at {:#x}", list.addr())))
    }

    fn insert(&mut self, list: List) -> ListPtr {
        let address = list.address;
        for buffer in buffers(address.0) {
            self.owners.insert(buffer.addr(), address.0.addr());
        }
        self.lists.insert(address.0.addr(), list);
        address
    }

    fn remove(&mut self, address: usize) {
        let Some(list) = self.lists.remove(&address) else { return };
        self.owners.retain(|_, owner| *owner != address);
        let blocks = list.retire();
        if !cfg!(miri) {
            self.quarantine.push_back(blocks);
            if self.quarantine.len() > QUARANTINE {
                self.quarantine.pop_front();
            }
        }
    }

    /// One user of a list less; the engine's own goes with its last.
    fn leave(&mut self, address: usize) {
        let Some(list) = self.lists.get_mut(&address) else { return };
        list.users = list.users.saturating_sub(1);
        // SAFETY: the list is in the table.
        unsafe { (*list.address.0).ChildRefCount = i32::try_from(list.users).unwrap_or(i32::MAX) };
        if list.users == 0 && list.kind == Kind::Kept {
            self.remove(address);
        }
    }
}

impl Lists {
    pub(super) fn adopt(&self, list: List) -> ListPtr {
        self.0.hold().insert(list)
    }

    /// Ends a loan; says whether somebody uses the list still.
    pub(super) fn take_back(&self, list: ListPtr) -> bool {
        let mut table = self.0.hold();
        let address = list.0.addr();
        let Some(list) = table.lists.get_mut(&address) else { return false };
        if list.users > 0 {
            list.kind = Kind::Kept;
            return true;
        }
        table.remove(address);
        false
    }

    /// Checks that a callout left a lent list as it was.
    pub fn check_lent(&self, list: *const c_void) -> Result<(), Broken> {
        if list.is_null() {
            return Ok(());
        }
        let table = self.0.hold();
        let Some(list) = table.lists.get(&list.addr()) else { return Ok(()) };
        let windows = buffers(list.address.0).into_iter().map(|buffer| {
            // SAFETY: a net buffer of a list of the table.
            unsafe { window(buffer) }
        });
        if windows.collect::<Vec<_>>() != list.windows {
            return Err(("V-NBL-01", "a lent list does not begin where it did".into()));
        }
        if list.data.iter().map(Block::bytes).ne(list.original.iter().cloned()) {
            return Err(("V-NBL-08", "the bytes of a lent packet were changed".into()));
        }
        Ok(())
    }

    /// Lists that drivers have: made, cloned, or kept by a reference.
    pub fn outstanding(&self) -> usize {
        self.0.hold().lists.values().filter(|list| list.kind != Kind::Lent).count()
    }

    /// Pools and generic objects.
    pub fn open(&self) -> usize {
        let table = self.0.hold();
        table.pools.len() + table.objects.len()
    }

    pub(super) fn new_pool(&self) -> NDIS_HANDLE {
        let pool = Block::poisoned(16);
        let handle: NDIS_HANDLE = pool.start();
        self.0.hold().pools.insert(handle.addr(), (pool, 0));
        handle
    }

    pub(super) fn free_pool(&self, pool: NDIS_HANDLE) -> Result<(), Broken> {
        let removed = self.0.hold().pools.remove(&pool.addr());
        match removed {
            None => Err(("V-NBL-06", "a pool was freed that is not there".into())),
            Some((_, 0)) => Ok(()),
            Some((_, out)) => Err(("V-NBL-06", format!("a pool was freed with {out} lists out"))),
        }
    }

    pub(super) fn new_object(&self, size: u16) -> NDIS_HANDLE {
        let object = Block::poisoned(size.into());
        let handle: NDIS_HANDLE = object.start();
        self.0.hold().objects.insert(handle.addr(), object);
        handle
    }

    pub(super) fn is_object(&self, object: NDIS_HANDLE) -> bool {
        self.0.hold().objects.contains_key(&object.addr())
    }

    pub(super) fn free_object(&self, object: NDIS_HANDLE) -> Result<(), Broken> {
        let removed = self.0.hold().objects.remove(&object.addr());
        removed.map(drop).ok_or_else(|| ("V-NBL-06", "a generic object was freed that is not there".into()))
    }

    pub(super) fn is_pool(&self, pool: NDIS_HANDLE) -> bool {
        self.0.hold().pools.contains_key(&pool.addr())
    }

    /// Makes a list of one packet over a driver's chain.
    ///
    /// # Safety
    /// `chain` is a chain of descriptor lists that outlives the list.
    pub(super) unsafe fn make(
        &self,
        pool: NDIS_HANDLE,
        chain: *mut MDL,
        offset: usize,
        len: usize,
    ) -> Result<ListPtr, Broken> {
        let buffer = Block::of(buffer_record(chain, ptr::null_mut()), 0);
        // SAFETY: the buffer is new; the chain is there by contract.
        let begins = unsafe { set_window(buffer.start(), offset, len) };
        // SAFETY: as above.
        if !begins || unsafe { buffer::pieces(buffer.start()) }.is_none() {
            return Err(("V-NBL-09", format!("a chain does not have bytes {offset} to {}", offset + len)));
        }
        let record = Block::of(list_record(buffer.start(), pool), 0);
        let address = ListPtr(record.start());
        let list = List::new(address, Kind::Made, vec![buffer, record], Vec::new(), Travel::default());
        let mut table = self.0.hold();
        let Some((_, out)) = table.pools.get_mut(&pool.addr()) else {
            return Err(("V-NBL-06", "a list was allocated from a pool that is not there".into()));
        };
        *out += 1;
        Ok(table.insert(list))
    }

    /// Frees what [`Self::make`] made.
    pub(super) fn free_made(&self, list: *mut NET_BUFFER_LIST) -> Result<(), Broken> {
        let mut table = self.0.hold();
        let found = table.get(list, "V-NBL-03")?;
        may_free(found, |kind| kind == Kind::Made)?;
        // SAFETY: the list is in the table.
        let pool = unsafe { (*list).NdisPoolHandle };
        if let Some((_, out)) = table.pools.get_mut(&pool.addr()) {
            *out = out.saturating_sub(1);
        }
        table.remove(list.addr());
        Ok(())
    }

    /// Makes a list that describes the same bytes.
    pub(super) fn clone_of(&self, list: *mut NET_BUFFER_LIST, pool: NDIS_HANDLE) -> Result<ListPtr, Broken> {
        let mut table = self.0.hold();
        let found = table.get(list, "V-NBL-05")?;
        let travel = found.travel.clone();
        let mut records = Vec::new();
        let mut next = ptr::null_mut();
        for buffer in buffers(list).into_iter().rev() {
            // SAFETY: a net buffer of a list of the table, over a chain that lives as long.
            let Some(pieces) = (unsafe { buffer::pieces(buffer) }) else {
                return Err(("V-NBL-09", "a list was cloned that claims more than its chain has".into()));
            };
            let len = pieces.iter().map(|(_, len)| len).sum();
            let mut chain = ptr::null_mut();
            for (start, len) in pieces.into_iter().rev() {
                let mdl = Block::of(describe(start, len, chain), size_of::<u64>());
                chain = mdl.start();
                records.push(mdl);
            }
            let clone = Block::of(buffer_record(chain, next), 0);
            // SAFETY: the record is new, over the chain just made; an empty packet has no chain.
            unsafe { set_window(clone.start(), 0, len) };
            next = clone.start();
            records.push(clone);
        }
        found.users += 1;
        // SAFETY: the list is in the table.
        unsafe { (*list).ChildRefCount += 1 };
        let mut record = list_record(next, pool);
        record.ParentNetBufferList = list;
        let record = Block::of(record, 0);
        let address = ListPtr(record.start());
        records.push(record);
        Ok(table.insert(List::new(address, Kind::Clone(list.addr()), records, Vec::new(), travel)))
    }

    pub(super) fn free_clone(&self, list: *mut NET_BUFFER_LIST) -> Result<(), Broken> {
        let mut table = self.0.hold();
        let found = table.get(list, "V-NBL-03")?;
        may_free(found, |kind| matches!(kind, Kind::Clone(_)))?;
        let Kind::Clone(parent) = found.kind else { return Ok(()) };
        table.remove(list.addr());
        table.leave(parent);
        Ok(())
    }

    pub(super) fn reference(&self, list: *mut NET_BUFFER_LIST) -> Result<(), Broken> {
        self.0.hold().get(list, "V-NBL-05")?.users += 1;
        Ok(())
    }

    pub(super) fn dereference(&self, list: *mut NET_BUFFER_LIST) -> Result<(), Broken> {
        let mut table = self.0.hold();
        if table.get(list, "V-NBL-05")?.users == 0 {
            return Err(("V-NBL-03", "a list was dereferenced that has no reference".into()));
        }
        table.leave(list.addr());
        Ok(())
    }

    /// What a packet carries.
    pub fn travel(&self, list: *const NET_BUFFER_LIST) -> Result<Travel, Broken> {
        Ok(self.0.hold().get(list, "V-NBL-05")?.travel.clone())
    }

    /// Hands a driver's list to the stack.
    pub fn begin_injection(&self, list: *mut NET_BUFFER_LIST) -> Result<Injected, Broken> {
        let mut table = self.0.hold();
        let found = table.get(list, "V-NBL-05")?;
        if matches!(found.kind, Kind::Lent | Kind::Kept) {
            return Err(("V-NBL-02", "a list was injected that the engine had lent".into()));
        }
        if found.is_injected {
            return Err(("V-INJ-03", "a list was injected again before its first injection was over".into()));
        }
        let data = buffers(list).into_iter().map(|buffer| {
            // SAFETY: a net buffer of a list of the table, over memory that its driver keeps.
            unsafe { buffer::read(buffer) }
        });
        let Some(data) = data.collect() else {
            return Err(("V-NBL-09", "a list was injected that claims more than its chain has".into()));
        };
        found.is_injected = true;
        Ok(Injected { data, travel: found.travel.clone() })
    }

    /// Gives it back, with what became of it.
    pub fn end_injection(&self, list: ListPtr, status: NDIS_STATUS) {
        if let Ok(found) = self.0.hold().get(list.0, "V-NBL-05") {
            found.is_injected = false;
            // SAFETY: the list is in the table.
            unsafe { (*list.0).Status = status };
        }
    }

    /// Lets a net buffer begin `delta` earlier, in memory of its own if the chain has none.
    pub(super) fn retreat(&self, buffer: *mut NET_BUFFER, delta: usize, backfill: usize) -> Result<(), Broken> {
        let mut table = self.0.hold();
        let owner = owner(&table, buffer)?;
        let list = table.get(owner, "V-NBL-05")?;
        // SAFETY: a net buffer of a list of the table.
        let record = unsafe { buffer.read() };
        let (chain, offset, len) = (record.MdlChain, record.DataOffset as usize, record.stDataLength);
        let mut offset = offset;
        if offset < delta {
            let size = delta - offset + backfill;
            let room = Block::poisoned(size);
            let mdl = Block::of(describe(room.start(), size, chain), size_of::<u64>());
            // SAFETY: as above; the chain goes on behind the new piece.
            unsafe { (*buffer).MdlChain = mdl.start() };
            list.grown.push(Grown { buffer: buffer.addr(), mdl, room });
            offset += size;
        }
        // SAFETY: as above, and the chain reaches back far enough.
        unsafe { set_window(buffer, offset - delta, len + delta) };
        Ok(())
    }

    /// Lets a net buffer begin `delta` later, and frees what a retreat had put in front of it.
    pub(super) fn advance(&self, buffer: *mut NET_BUFFER, delta: usize, frees: bool) -> Result<(), Broken> {
        let mut table = self.0.hold();
        let owner = owner(&table, buffer)?;
        let list = table.get(owner, "V-NBL-05")?;
        // SAFETY: a net buffer of a list of the table.
        let record = unsafe { buffer.read() };
        let (offset, len) = (record.DataOffset as usize, record.stDataLength);
        if delta > len {
            return Err(("V-NBL-09", format!("a packet of {len} bytes was advanced by {delta}")));
        }
        let mut offset = offset + delta;
        while frees
            && let Some(at) = list.grown.iter().rposition(|grown| grown.buffer == buffer.addr())
            && let Some(grown) = list.grown.get(at)
            // SAFETY: as above.
            && unsafe { (*buffer).MdlChain } == grown.mdl.start()
        {
            let mdl: *mut MDL = grown.mdl.start();
            // SAFETY: the block holds a descriptor list.
            let head = unsafe { mdl.read() };
            let (size, next) = (head.ByteCount as usize, head.Next);
            if offset < size {
                break;
            }
            offset -= size;
            // SAFETY: as above.
            unsafe { (*buffer).MdlChain = next };
            list.grown.remove(at);
        }
        // SAFETY: as above.
        unsafe { set_window(buffer, offset, len - delta) };
        Ok(())
    }

    /// Checks that a net buffer may be looked into.
    pub(super) fn check_buffer(&self, buffer: *const NET_BUFFER) -> Result<(), Broken> {
        owner(&self.0.hold(), buffer).map(drop)
    }
}

fn owner(table: &Table, buffer: *const NET_BUFFER) -> Result<*const NET_BUFFER_LIST, Broken> {
    let owner = table.owners.get(&buffer.addr()).and_then(|owner| table.lists.get(owner));
    owner
        .map(|list| list.address.0.cast_const())
        .ok_or_else(|| ("V-NBL-05", format!("there is no net buffer at {:#x}", buffer.addr())))
}

fn may_free(list: &List, is_mine: impl Fn(Kind) -> bool) -> Result<(), Broken> {
    match list.kind {
        Kind::Lent | Kind::Kept => Err(("V-NBL-02", "a list was freed that the engine had lent".into())),
        kind if !is_mine(kind) => Err(("V-NBL-03", "a list was freed by the wrong function".into())),
        _ if list.is_injected => Err(("V-NBL-04", "a list was freed while it is injected".into())),
        _ if list.users > 0 => Err(("V-NBL-04", "a list was freed that is cloned or referenced".into())),
        _ => Ok(()),
    }
}
