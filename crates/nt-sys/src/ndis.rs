//! `Ndis*`: network packets: lists of net buffers, each a chain of memory descriptor lists.
//!
//! Layouts are those of NDIS 6.x on x64 (learn.microsoft.com "NET_BUFFER_LIST structure", "NET_BUFFER structure"); a driver gets
//! such records from a pool or from the stack, and never makes one itself.

use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

use crate::io::DRIVER_OBJECT;
use crate::mdl::MDL;
use crate::types::{BOOLEAN, NTSTATUS};

pub type NDIS_HANDLE = *mut c_void;
/// An `NTSTATUS`, or a code of NDIS's own.
pub type NDIS_STATUS = i32;

/// Packets that travel together.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER_LIST {
    pub Next: *mut NET_BUFFER_LIST,
    pub FirstNetBuffer: *mut NET_BUFFER,
    pub Context: *mut c_void,
    pub ParentNetBufferList: *mut NET_BUFFER_LIST,
    pub NdisPoolHandle: NDIS_HANDLE,
    /// Its alignment of 16 leaves eight bytes before it.
    pub NdisReserved: NDIS_RESERVED,
    pub ProtocolReserved: [*mut c_void; 4],
    pub MiniportReserved: [*mut c_void; 2],
    pub Scratch: *mut c_void,
    pub SourceHandle: NDIS_HANDLE,
    pub NblFlags: u32,
    pub ChildRefCount: i32,
    pub Flags: u32,
    pub Status: NDIS_STATUS,
    /// By [`TcpIpChecksumNetBufferListInfo`] and its like. How many there are grew with NDIS; the last are of no use here.
    pub NetBufferListInfo: [*mut c_void; 28],
}

/// Two pointers, aligned as the headers ask.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RESERVED(pub [*mut c_void; 2]);

/// One packet.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER {
    pub Next: *mut NET_BUFFER,
    pub CurrentMdl: *mut MDL,
    pub CurrentMdlOffset: u32,
    /// `SIZE_T stDataLength`, of which `ULONG DataLength` is the low half.
    pub stDataLength: usize,
    pub MdlChain: *mut MDL,
    pub DataOffset: u32,
    /// `DataOffset` is the low half of a `SIZE_T` too.
    pub stDataOffsetHigh: u32,
    pub ChecksumBias: u16,
    pub Reserved: u16,
    pub NdisPoolHandle: NDIS_HANDLE,
    pub NdisReserved: NDIS_RESERVED,
    pub ProtocolReserved: [*mut c_void; 6],
    pub MiniportReserved: [*mut c_void; 4],
    pub DataPhysicalAddress: i64,
    pub SharedMemoryInfo: *mut c_void,
}

/// Head of a versioned record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_OBJECT_HEADER {
    pub Type: u8,
    pub Revision: u8,
    pub Size: u16,
}

/// What a pool gives.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER_LIST_POOL_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub ProtocolId: u8,
    pub fAllocateNetBuffer: BOOLEAN,
    pub ContextSize: u16,
    pub PoolTag: u32,
    pub DataSize: u32,
}

const _: () = {
    assert!(size_of::<NET_BUFFER_LIST>() == 368 && align_of::<NET_BUFFER_LIST>() == 16);
    assert!(offset_of!(NET_BUFFER_LIST, FirstNetBuffer) == 8);
    assert!(offset_of!(NET_BUFFER_LIST, Context) == 16);
    assert!(offset_of!(NET_BUFFER_LIST, ParentNetBufferList) == 24);
    assert!(offset_of!(NET_BUFFER_LIST, NdisPoolHandle) == 32);
    assert!(offset_of!(NET_BUFFER_LIST, NdisReserved) == 48);
    assert!(offset_of!(NET_BUFFER_LIST, ProtocolReserved) == 64);
    assert!(offset_of!(NET_BUFFER_LIST, MiniportReserved) == 96);
    assert!(offset_of!(NET_BUFFER_LIST, Scratch) == 112);
    assert!(offset_of!(NET_BUFFER_LIST, SourceHandle) == 120);
    assert!(offset_of!(NET_BUFFER_LIST, NblFlags) == 128);
    assert!(offset_of!(NET_BUFFER_LIST, ChildRefCount) == 132);
    assert!(offset_of!(NET_BUFFER_LIST, Flags) == 136);
    assert!(offset_of!(NET_BUFFER_LIST, Status) == 140);
    assert!(offset_of!(NET_BUFFER_LIST, NetBufferListInfo) == 144);
    assert!(size_of::<NET_BUFFER>() == 176 && align_of::<NET_BUFFER>() == 16);
    assert!(offset_of!(NET_BUFFER, CurrentMdl) == 8);
    assert!(offset_of!(NET_BUFFER, CurrentMdlOffset) == 16);
    assert!(offset_of!(NET_BUFFER, stDataLength) == 24);
    assert!(offset_of!(NET_BUFFER, MdlChain) == 32);
    assert!(offset_of!(NET_BUFFER, DataOffset) == 40);
    assert!(offset_of!(NET_BUFFER, ChecksumBias) == 48);
    assert!(offset_of!(NET_BUFFER, Reserved) == 50);
    assert!(offset_of!(NET_BUFFER, NdisPoolHandle) == 56);
    assert!(offset_of!(NET_BUFFER, NdisReserved) == 64);
    assert!(offset_of!(NET_BUFFER, ProtocolReserved) == 80);
    assert!(offset_of!(NET_BUFFER, MiniportReserved) == 128);
    assert!(offset_of!(NET_BUFFER, DataPhysicalAddress) == 160);
    assert!(offset_of!(NET_BUFFER, SharedMemoryInfo) == 168);
    assert!(size_of::<NDIS_OBJECT_HEADER>() == 4 && align_of::<NDIS_OBJECT_HEADER>() == 2);
    assert!(offset_of!(NDIS_OBJECT_HEADER, Revision) == 1);
    assert!(offset_of!(NDIS_OBJECT_HEADER, Size) == 2);
    assert!(size_of::<NET_BUFFER_LIST_POOL_PARAMETERS>() == 16);
    assert!(offset_of!(NET_BUFFER_LIST_POOL_PARAMETERS, ProtocolId) == 4);
    assert!(offset_of!(NET_BUFFER_LIST_POOL_PARAMETERS, fAllocateNetBuffer) == 5);
    assert!(offset_of!(NET_BUFFER_LIST_POOL_PARAMETERS, ContextSize) == 6);
    assert!(offset_of!(NET_BUFFER_LIST_POOL_PARAMETERS, PoolTag) == 8);
    assert!(offset_of!(NET_BUFFER_LIST_POOL_PARAMETERS, DataSize) == 12);
};

/// Index into [`NET_BUFFER_LIST::NetBufferListInfo`]: what the adapter is to compute, or has checked, of the checksums.
pub const TcpIpChecksumNetBufferListInfo: usize = 0;

pub const NDIS_OBJECT_TYPE_DEFAULT: u8 = 0x80;
pub const NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1: u16 =
    size_of::<NET_BUFFER_LIST_POOL_PARAMETERS>() as u16;
pub const NDIS_PROTOCOL_ID_DEFAULT: u8 = 0;

/// Allocates a list for data that is put in front of a packet.
pub type NET_BUFFER_ALLOCATE_MDL_HANDLER = unsafe extern "system-unwind" fn(BufferSize: *mut u32) -> *mut MDL;
/// Frees what the allocate handler made.
pub type NET_BUFFER_FREE_MDL_HANDLER = unsafe extern "system-unwind" fn(Mdl: *mut MDL);

#[cfg_attr(windows, link(name = "ndis.sys", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Makes a handle for a driver that has none of a protocol, miniport or filter; null when there is no memory
    /// (learn.microsoft.com "Obtaining Pool Handles"). `PASSIVE_LEVEL`.
    pub fn NdisAllocateGenericObject(DriverObject: *mut DRIVER_OBJECT, Tag: u32, Size: u16) -> NDIS_HANDLE;

    /// Frees such a handle. `PASSIVE_LEVEL`.
    pub fn NdisFreeGenericObject(NdisObject: NDIS_HANDLE);

    /// Makes a pool of net buffer lists; null on failure. `<= DISPATCH_LEVEL`.
    pub fn NdisAllocateNetBufferListPool(
        NdisHandle: NDIS_HANDLE,
        Parameters: *const NET_BUFFER_LIST_POOL_PARAMETERS,
    ) -> NDIS_HANDLE;

    /// Frees a pool, to which everything has come back. `<= DISPATCH_LEVEL`.
    pub fn NdisFreeNetBufferListPool(PoolHandle: NDIS_HANDLE);

    /// The first bytes of a packet in one piece: where they lie, or copied to `Storage` when they lie in several; null when
    /// there are fewer, or there is no storage and they are in several. `<= DISPATCH_LEVEL`.
    pub fn NdisGetDataBuffer(
        NetBuffer: *mut NET_BUFFER,
        BytesNeeded: u32,
        Storage: *mut c_void,
        AlignMultiple: u32,
        AlignOffset: u32,
    ) -> *mut c_void;

    /// Lets a packet begin earlier. Without a handler NDIS allocates what is missing. `<= DISPATCH_LEVEL`.
    pub fn NdisRetreatNetBufferDataStart(
        NetBuffer: *mut NET_BUFFER,
        DataOffsetDelta: u32,
        DataBackFill: u32,
        AllocateMdlHandler: Option<NET_BUFFER_ALLOCATE_MDL_HANDLER>,
    ) -> NTSTATUS;

    /// Lets a packet begin later; `FreeMdl` frees lists that a retreat allocated. `<= DISPATCH_LEVEL`.
    pub fn NdisAdvanceNetBufferDataStart(
        NetBuffer: *mut NET_BUFFER,
        DataOffsetDelta: u32,
        FreeMdl: BOOLEAN,
        FreeMdlHandler: Option<NET_BUFFER_FREE_MDL_HANDLER>,
    );
}
