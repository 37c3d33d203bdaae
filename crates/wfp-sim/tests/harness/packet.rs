//! What a driver does with packets: looking into lent lists, making lists of its own, injecting them.

#![expect(unsafe_code, reason = "plays a driver with raw lists")]

use super::session::done;
use nt_sys::fwps::*;
use nt_sys::mdl::{MDL, MDL_SOURCE_IS_NONPAGED_POOL};
use nt_sys::ndis::*;
use nt_sys::status::*;
use nt_sys::types::{BOOLEAN, HANDLE, NTSTATUS};
use std::ffi::c_void;
use std::net::IpAddr;
use std::ptr;
use std::sync::{Arc, Mutex};

use wfp_sim as _;

unsafe extern "system-unwind" {
    fn FwpsAllocateCloneNetBufferList0(
        original: *mut NET_BUFFER_LIST,
        listPool: NDIS_HANDLE,
        bufferPool: NDIS_HANDLE,
        flags: u32,
        clone: *mut *mut NET_BUFFER_LIST,
    ) -> NTSTATUS;
    fn FwpsFreeCloneNetBufferList0(list: *mut NET_BUFFER_LIST, flags: u32);
    fn FwpsReferenceNetBufferList0(list: *mut NET_BUFFER_LIST, intendToModify: BOOLEAN);
    fn FwpsDereferenceNetBufferList0(list: *mut NET_BUFFER_LIST, dispatchLevel: BOOLEAN);
}

/// A list, lent or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List(pub *mut NET_BUFFER_LIST);

// SAFETY: an address.
unsafe impl Send for List {}
// SAFETY: an address.
unsafe impl Sync for List {}

impl List {
    pub fn lent(layer_data: *mut c_void) -> Self {
        assert!(!layer_data.is_null(), "this indication shows no packet");
        Self(layer_data.cast())
    }

    /// Its net buffers.
    pub fn buffers(self) -> Vec<*mut NET_BUFFER> {
        // SAFETY: the list is there.
        let mut next = unsafe { (*self.0).FirstNetBuffer };
        let mut buffers = Vec::new();
        while !next.is_null() {
            buffers.push(next);
            // SAFETY: as above.
            next = unsafe { (*next).Next };
        }
        buffers
    }

    /// The data of each net buffer, through NDIS.
    pub fn read(self) -> Vec<Vec<u8>> {
        self.buffers().into_iter().map(|buffer| read(buffer).expect("the data")).collect()
    }

    pub fn retreat(self, delta: u32) -> Result<(), NTSTATUS> {
        self.buffers().into_iter().try_for_each(|buffer| {
            // SAFETY: the net buffer is there.
            done(unsafe { NdisRetreatNetBufferDataStart(buffer, delta, 0, None) })
        })
    }

    pub fn advance(self, delta: u32) {
        for buffer in self.buffers() {
            // SAFETY: the net buffer is there.
            unsafe { NdisAdvanceNetBufferDataStart(buffer, delta, 1, None) };
        }
    }

    /// How many descriptor lists the first net buffer has.
    pub fn pieces(self) -> usize {
        // SAFETY: the net buffer is there.
        let mut mdl = unsafe { (*self.buffers()[0]).MdlChain };
        let mut count = 0;
        while !mdl.is_null() {
            count += 1;
            // SAFETY: as above.
            mdl = unsafe { (*mdl).Next };
        }
        count
    }

    pub fn clone_list(self) -> Result<Self, NTSTATUS> {
        let mut clone = ptr::null_mut();
        let null = ptr::null_mut();
        // SAFETY: the engine looks the list up.
        done(unsafe { FwpsAllocateCloneNetBufferList0(self.0, null, null, 0, &mut clone) })?;
        Ok(Self(clone))
    }

    pub fn free_clone(self) {
        // SAFETY: the engine looks the list up.
        unsafe { FwpsFreeCloneNetBufferList0(self.0, 0) };
    }

    pub fn free(self) {
        // SAFETY: the engine looks the list up.
        unsafe { FwpsFreeNetBufferList0(self.0) };
    }

    pub fn reference(self) {
        // SAFETY: the engine looks the list up.
        unsafe { FwpsReferenceNetBufferList0(self.0, 0) };
    }

    pub fn dereference(self) {
        // SAFETY: the engine looks the list up.
        unsafe { FwpsDereferenceNetBufferList0(self.0, 0) };
    }

    /// Bits of what IPsec did with it.
    pub fn ipsec(self) -> u32 {
        let mut information = FWPS_PACKET_LIST_INFORMATION0::default();
        let flags = FWPS_PACKET_LIST_INFORMATION_QUERY_IPSEC | FWPS_PACKET_LIST_INFORMATION_QUERY_INBOUND;
        // SAFETY: the engine looks the list up; the record lives for the call.
        done(unsafe { FwpsGetPacketListSecurityInformation0(self.0, flags, &mut information) }).expect("information");
        information.ipsecInformation
    }
}

/// The data of a net buffer, through NDIS; nothing when NDIS has none to give.
pub fn read(buffer: *mut NET_BUFFER) -> Option<Vec<u8>> {
    // SAFETY: the net buffer is there.
    let len = unsafe { (*buffer).stDataLength };
    let mut storage = vec![0_u8; len];
    if len == 0 {
        return Some(storage);
    }
    let count = u32::try_from(len).expect("small");
    // SAFETY: the storage has room.
    let data = unsafe { NdisGetDataBuffer(buffer, count, storage.as_mut_ptr().cast(), 1, 0) };
    if data.is_null() {
        return None;
    }
    if data.cast_const().cast() != storage.as_ptr() {
        // SAFETY: NDIS has promised so many bytes there.
        unsafe { ptr::copy_nonoverlapping(data.cast::<u8>(), storage.as_mut_ptr(), len) };
    }
    Some(storage)
}

/// The first bytes of a net buffer where they lie; null when they are in several pieces.
pub fn in_one_piece(buffer: *mut NET_BUFFER, count: u32) -> bool {
    // SAFETY: the net buffer is there.
    !unsafe { NdisGetDataBuffer(buffer, count, ptr::null_mut(), 1, 0) }.is_null()
}

/// Writes over the first byte of a list.
pub fn scribble(list: List) {
    // SAFETY: the net buffer is there.
    let data: *mut u8 = unsafe { NdisGetDataBuffer(list.buffers()[0], 1, ptr::null_mut(), 1, 0) }.cast();
    // SAFETY: NDIS has promised one byte there.
    unsafe { *data ^= 0xFF };
}

/// What a pool and injection handles need.
pub struct Pool {
    object: NDIS_HANDLE,
    pub pool: NDIS_HANDLE,
}

// SAFETY: handles.
unsafe impl Send for Pool {}
// SAFETY: handles.
unsafe impl Sync for Pool {}

impl Pool {
    pub fn new() -> Self {
        // SAFETY: the driver object is not looked into.
        let object = unsafe { NdisAllocateGenericObject(ptr::null_mut(), 0x7473_6574, 0) };
        let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_DEFAULT,
                Revision: NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                Size: NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
            },
            ProtocolId: NDIS_PROTOCOL_ID_DEFAULT,
            fAllocateNetBuffer: 1,
            ContextSize: 0,
            PoolTag: 0x7473_6574,
            DataSize: 0,
        };
        // SAFETY: the record lives for the call.
        let pool = unsafe { NdisAllocateNetBufferListPool(object, &parameters) };
        Self { object, pool }
    }

    /// A list over a copy of `bytes`, and that copy.
    pub fn make(&self, bytes: &[u8]) -> Result<Own, NTSTATUS> {
        let data = Box::into_raw(bytes.to_vec().into_boxed_slice());
        let mdl = Box::new(MDL {
            Next: ptr::null_mut(),
            Size: 56,
            MdlFlags: MDL_SOURCE_IS_NONPAGED_POOL,
            Process: ptr::null_mut(),
            MappedSystemVa: data.cast(),
            StartVa: ptr::null_mut(),
            ByteCount: u32::try_from(bytes.len()).expect("small"),
            ByteOffset: 0,
        });
        let mdl = Box::into_raw(mdl);
        let mut list = ptr::null_mut();
        // SAFETY: the descriptor list and its memory live as long as `Own`.
        let status = unsafe { FwpsAllocateNetBufferAndNetBufferList0(self.pool, 0, 0, mdl, 0, bytes.len(), &mut list) };
        let own = Own { list: List(list), data, mdl };
        done(status).map(|()| own)
    }

    pub fn free(&self) {
        // SAFETY: the engine looks both up.
        unsafe { NdisFreeNetBufferListPool(self.pool) };
        // SAFETY: as above.
        unsafe { NdisFreeGenericObject(self.object) };
    }
}

/// A list of a driver's own, with its memory.
pub struct Own {
    pub list: List,
    data: *mut [u8],
    mdl: *mut MDL,
}

// SAFETY: owns what it points to.
unsafe impl Send for Own {}

impl Own {
    pub fn free(self) {
        self.list.free();
    }

    /// Links `other`'s net buffer behind its own.
    pub fn chain(&self, other: &Self) {
        let buffer = self.list.buffers()[0];
        // SAFETY: the net buffer is there.
        unsafe { (*buffer).Next = other.list.buffers()[0] };
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, and freed only here.
        drop(unsafe { Box::from_raw(self.data) });
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(self.mdl) });
    }
}

/// An injection handle, and what became of what was injected with it.
#[derive(Clone)]
pub struct Injector {
    pub handle: u64,
    family: u16,
    done: Arc<Mutex<Vec<NTSTATUS>>>,
}

/// What a completion function gets.
struct Ticket {
    own: Own,
    done: Arc<Mutex<Vec<NTSTATUS>>>,
    destroys: Option<u64>,
}

impl Injector {
    pub fn new(family: u16) -> Self {
        Self::create(family, FWPS_INJECTION_TYPE_TRANSPORT).expect("an injection handle")
    }

    pub fn create(family: u16, kinds: u32) -> Result<Self, NTSTATUS> {
        let mut handle = ptr::null_mut();
        // SAFETY: the handle lives for the call.
        done(unsafe { FwpsInjectionHandleCreate0(family, kinds, &mut handle) })?;
        Ok(Self { handle: handle.addr() as u64, family, done: Arc::default() })
    }

    /// What the engine says about a list.
    pub fn state(&self, list: List) -> FWPS_PACKET_INJECTION_STATE {
        // SAFETY: the engine looks both up.
        unsafe { FwpsQueryPacketInjectionState0(number(self.handle), list.0, ptr::null_mut()) }
    }

    pub fn is_mine(&self, list: List) -> bool {
        let state = self.state(list);
        state == FWPS_PACKET_INJECTED_BY_SELF || state == FWPS_PACKET_PREVIOUSLY_INJECTED_BY_SELF
    }

    /// Sends a packet that begins at its transport header; what is refused comes back.
    pub fn send(&self, endpoint: u64, remote: IpAddr, own: Own) -> Result<(), (Own, NTSTATUS)> {
        self.send_as(self.family, endpoint, remote, own, None)
    }

    pub fn send_as(
        &self,
        family: u16,
        endpoint: u64,
        remote: IpAddr,
        own: Own,
        destroys: Option<u64>,
    ) -> Result<(), (Own, NTSTATUS)> {
        let mut address = match remote {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mut args = FWPS_TRANSPORT_SEND_PARAMS1 {
            remoteAddress: address.as_mut_ptr(),
            remoteScopeId: 0,
            controlData: ptr::null_mut(),
            controlDataLength: 0,
            headerIncludeHeader: ptr::null_mut(),
            headerIncludeHeaderLength: 0,
        };
        let list = own.list;
        let ticket = Box::into_raw(Box::new(Ticket { own, done: Arc::clone(&self.done), destroys }));
        // SAFETY: arguments live for the call; the ticket until the completion function has it.
        let status = unsafe {
            FwpsInjectTransportSendAsync1(
                number(self.handle),
                ptr::null_mut(),
                endpoint,
                0,
                &mut args,
                family,
                1,
                list.0,
                Some(completed),
                ticket.cast(),
            )
        };
        refused(status, ticket)
    }

    /// Sends a list that the caller frees when the injection is over.
    pub fn send_list(&self, endpoint: u64, remote: IpAddr, list: List) {
        let IpAddr::V4(ip) = remote else { panic!("an IPv4 address") };
        let mut address = ip.octets();
        let mut args = FWPS_TRANSPORT_SEND_PARAMS1 {
            remoteAddress: address.as_mut_ptr(),
            remoteScopeId: 0,
            controlData: ptr::null_mut(),
            controlDataLength: 0,
            headerIncludeHeader: ptr::null_mut(),
            headerIncludeHeaderLength: 0,
        };
        let (handle, null) = (number(self.handle), ptr::null_mut());
        // SAFETY: arguments live for the call, and the completion function asks for nothing.
        let status = unsafe {
            FwpsInjectTransportSendAsync1(
                handle,
                null,
                endpoint,
                0,
                &mut args,
                self.family,
                1,
                list.0,
                Some(over),
                null,
            )
        };
        done(status).expect("injected");
    }

    /// Receives a whole packet; what is refused comes back.
    pub fn receive(&self, own: Own) -> Result<(), (Own, NTSTATUS)> {
        let list = own.list;
        let ticket = Box::into_raw(Box::new(Ticket { own, done: Arc::clone(&self.done), destroys: None }));
        let null = ptr::null_mut();
        // SAFETY: the ticket lives until the completion function has it.
        let status = unsafe {
            FwpsInjectTransportReceiveAsync0(
                number(self.handle),
                null,
                null,
                0,
                self.family,
                1,
                7,
                2,
                list.0,
                Some(completed),
                ticket.cast(),
            )
        };
        refused(status, ticket)
    }

    /// The status of every injection that is over.
    pub fn completed(&self) -> Vec<NTSTATUS> {
        self.done.lock().unwrap().clone()
    }

    pub fn destroy(&self) {
        // SAFETY: the engine looks the handle up.
        done(unsafe { FwpsInjectionHandleDestroy0(number(self.handle)) }).expect("destroyed");
    }
}

fn number(handle: u64) -> HANDLE {
    ptr::without_provenance_mut(handle as usize)
}

fn refused(status: NTSTATUS, ticket: *mut Ticket) -> Result<(), (Own, NTSTATUS)> {
    if status == STATUS_SUCCESS {
        return Ok(());
    }
    // SAFETY: a refused injection never calls its completion function, so the ticket is ours.
    let ticket = unsafe { Box::from_raw(ticket) };
    Err((ticket.own, status))
}

unsafe extern "system-unwind" fn over(_context: *mut c_void, _list: *mut NET_BUFFER_LIST, _dispatch: BOOLEAN) {}

unsafe extern "system-unwind" fn completed(context: *mut c_void, list: *mut NET_BUFFER_LIST, _dispatch: BOOLEAN) {
    // SAFETY: the ticket of this injection, which is over.
    let ticket = unsafe { Box::from_raw(context.cast::<Ticket>()) };
    assert_eq!(ticket.own.list.0, list);
    // SAFETY: the list is there until it is freed.
    let status = unsafe { (*list).Status };
    ticket.done.lock().unwrap().push(status);
    if let Some(handle) = ticket.destroys {
        // SAFETY: the engine looks the handle up.
        unsafe { FwpsInjectionHandleDestroy0(number(handle)) };
    }
    ticket.own.free();
}
