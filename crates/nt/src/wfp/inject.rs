//! Injection: packets that were kept go on where they were stopped.
//!
//! Invariants: a packet given to an [`Injector`] is freed exactly once, by the completion function, or here when there is
//! nothing to complete (R21); what describes it to the network stack (an MDL, a net buffer list) exists only while it is
//! injected; a driver does not unload while a packet of its own is on its way (R46).

use super::packet::{Family, Head, Packet, Way};
use super::pend::Pended;
use crate::pool::{PoolBox, Tag};
use crate::status::{Result, Status};
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU64, Ordering};
use nt_sys::fwps::*;
use nt_sys::mdl::{IoAllocateMdl, IoFreeMdl, MDL, MmBuildMdlForNonPagedPool};
use nt_sys::ndis::*;
use nt_sys::status::NT_SUCCESS;
use nt_sys::types::{BOOLEAN, FALSE, HANDLE, TRUE};

const TAG: Tag = Tag(*b"NtIj");

/// Sends and receives packets that were kept.
pub struct Injector {
    v4: Handle,
    v6: Handle,
    pool: ListPool,
    /// Completion functions count here, so it does not move, and it is the last to go: the handles wait for them.
    failed: PoolBox<AtomicU64>,
}

impl Injector {
    /// Makes the handles and the pool.
    ///
    /// # Errors
    /// What the filter engine says, or `STATUS_INSUFFICIENT_RESOURCES`.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`. Dropping it too: it waits for every packet on its way, so never from a completion (R46).
    #[doc(alias = "FwpsInjectionHandleCreate0")]
    pub fn new() -> Result<Self> {
        Ok(Self {
            v4: Handle::create(Family::V4)?,
            v6: Handle::create(Family::V6)?,
            pool: ListPool::create()?,
            failed: PoolBox::new(AtomicU64::new(0), TAG)?,
        })
    }

    /// How many packets did not get through, whatever the reason.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Lets a packet go on the way it was going: it is sent, or received.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held and not inside a classify (R22).
    #[doc(alias = "FwpsInjectTransportSendAsync1")]
    #[doc(alias = "FwpsInjectTransportReceiveAsync0")]
    pub fn inject(&self, packet: Packet) {
        if let Some(ready) = self.describe(packet) {
            self.go(ready);
        }
    }

    /// Completes an operation at ALE_AUTH_RECV_ACCEPT, which goes on with this packet: the engine is shown the very list
    /// that is then received. If the packet cannot be described the operation is completed all the same.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held and not inside a classify (R22).
    #[doc(alias = "FwpsCompleteOperation0")]
    pub fn complete_and_receive(&self, operation: Pended, packet: Packet) {
        let Some(ready) = self.describe(packet) else { return operation.complete() };
        // SAFETY: the list is alive and one that this driver made.
        unsafe { operation.complete_with(ready.list) };
        self.go(ready);
    }

    pub(super) fn handle(&self, family: Family) -> HANDLE {
        match family {
            Family::V4 => self.v4.0,
            Family::V6 => self.v6.0,
        }
    }

    /// Describes a packet to the network stack. A packet that cannot be is counted and freed.
    fn describe(&self, packet: Packet) -> Option<Ready> {
        let ready = Ready::new(packet, &self.pool, &self.failed);
        if ready.is_none() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        ready
    }

    fn go(&self, ready: Ready) {
        let (facts, sizes) = (ready.packet.head().facts, ready.packet.head().sizes);
        let (handle, family) = (self.handle(facts.family), facts.family.number());
        // No page says that the stack copies what the parameters point to, so it all lives in the packet.
        let (remote, control, header) = (ready.packet.remote(), ready.packet.control(), ready.packet.included_header());
        // From here on the packet belongs to the completion function, which may run at once.
        let (list, head) = ready.into_raw();
        let context = head.as_ptr().cast::<c_void>();
        let status = match facts.way {
            Way::Send { endpoint, scope } => {
                let mut params = FWPS_TRANSPORT_SEND_PARAMS1 {
                    remoteAddress: remote,
                    remoteScopeId: scope,
                    controlData: or_null(control, sizes.control).cast(),
                    controlDataLength: sizes.control,
                    headerIncludeHeader: or_null(header, sizes.included_header),
                    headerIncludeHeaderLength: sizes.included_header,
                };
                // SAFETY: the handle lives as long as `self`; the parameters live through the call, and what they point to
                // as long as the packet; list and packet live until the completion function frees them.
                unsafe {
                    FwpsInjectTransportSendAsync1(
                        handle,
                        null_mut(),
                        endpoint,
                        0,
                        &raw mut params,
                        family,
                        facts.compartment,
                        list.as_ptr(),
                        Some(completed),
                        context,
                    )
                }
            }
            // SAFETY: as above.
            Way::Receive { interface, sub_interface } => unsafe {
                FwpsInjectTransportReceiveAsync0(
                    handle,
                    null_mut(),
                    null_mut(),
                    0,
                    family,
                    facts.compartment,
                    interface,
                    sub_interface,
                    list.as_ptr(),
                    Some(completed),
                    context,
                )
            },
        };
        if !NT_SUCCESS(status) {
            // SAFETY: when the call fails the completion function is not called, so both are ours again.
            drop(unsafe { Ready::from_raw(list, head) });
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn or_null(start: *mut u8, len: u32) -> *mut u8 {
    if len == 0 { null_mut() } else { start }
}

/// The network stack is done with a packet.
unsafe extern "system-unwind" fn completed(context: *mut c_void, list: *mut NET_BUFFER_LIST, _dispatch_level: BOOLEAN) {
    let (Some(list), Some(head)) = (NonNull::new(list), NonNull::new(context.cast::<Head>())) else { return };
    // SAFETY: `Injector::go` gave up these two, and the engine gives them back once.
    let ready = unsafe { Ready::from_raw(list, head) };
    // SAFETY: the list is alive until `ready` is dropped.
    if !NT_SUCCESS(unsafe { (*list.as_ptr()).Status }) {
        // SAFETY: the injector that set the counter waits for this function before it goes.
        unsafe { &*ready.packet.head().failed }.fetch_add(1, Ordering::Relaxed);
    }
}

/// A packet with its description: a net buffer list over an MDL over its data. Dropping it frees all three.
struct Ready {
    list: NonNull<NET_BUFFER_LIST>,
    packet: Packet,
}

impl Ready {
    fn new(mut packet: Packet, pool: &ListPool, failed: &AtomicU64) -> Option<Self> {
        let (data, len) = (packet.data(), packet.head().sizes.data);
        // SAFETY: the buffer is the packet's data; no request, no chain.
        let mdl = NonNull::new(unsafe { IoAllocateMdl(data.cast(), len, FALSE, FALSE, null_mut()) })?;
        // SAFETY: the list was just allocated for the packet's data, which is in nonpaged pool.
        unsafe { MmBuildMdlForNonPagedPool(mdl.as_ptr()) };
        let Some(list) = pool.list(mdl, len) else {
            // SAFETY: allocated above; nobody else has it.
            unsafe { IoFreeMdl(mdl.as_ptr()) };
            return None;
        };
        if let Some(place) =
            // SAFETY: the list is ours.
            unsafe { &mut (*list.as_ptr()).NetBufferListInfo }.get_mut(TcpIpChecksumNetBufferListInfo)
        {
            *place = core::ptr::without_provenance_mut(packet.head().facts.checksum);
        }
        let head = packet.head_mut();
        head.list = Some(mdl);
        head.failed = failed;
        Some(Self { list, packet })
    }

    fn into_raw(self) -> (NonNull<NET_BUFFER_LIST>, NonNull<Head>) {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, nor dropped.
        (this.list, unsafe { core::ptr::read(&raw const this.packet) }.into_raw())
    }

    /// # Safety
    /// Both came from [`Ready::into_raw`], once, and nobody uses them any more.
    unsafe fn from_raw(list: NonNull<NET_BUFFER_LIST>, head: NonNull<Head>) -> Self {
        // SAFETY: as the caller vouches.
        Self { list, packet: unsafe { Packet::from_raw(head) } }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // SAFETY: the list came from the pool; nobody uses it any more; it is freed once.
        unsafe { FwpsFreeNetBufferList0(self.list.as_ptr()) };
        if let Some(mdl) = self.packet.head_mut().list.take() {
            // SAFETY: allocated in `new`; the list that used it is gone; freed once, before the data it describes.
            unsafe { IoFreeMdl(mdl.as_ptr()) };
        }
    }
}

/// A transport injection handle.
struct Handle(HANDLE);

// SAFETY: the handle is an opaque token that any thread may use.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    fn create(family: Family) -> Result<Self> {
        let mut handle = null_mut();
        // SAFETY: the handle is valid for a write.
        Status::check(unsafe {
            FwpsInjectionHandleCreate0(family.number(), FWPS_INJECTION_TYPE_TRANSPORT, &raw mut handle)
        })?;
        Ok(Self(handle))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: created once, destroyed once; nobody injects any more, because the injector is going. A failure has no
        // remedy.
        let _ = unsafe { FwpsInjectionHandleDestroy0(self.0) };
    }
}

/// Where net buffer lists come from.
struct ListPool {
    /// For a driver that is no protocol, miniport or filter (learn.microsoft.com "Obtaining Pool Handles").
    object: NDIS_HANDLE,
    pool: NDIS_HANDLE,
}

// SAFETY: both are opaque handles; NDIS lets any processor allocate from a pool.
unsafe impl Send for ListPool {}
// SAFETY: as above.
unsafe impl Sync for ListPool {}

impl ListPool {
    fn create() -> Result<Self> {
        // SAFETY: the driver object is optional.
        let object = unsafe { NdisAllocateGenericObject(null_mut(), TAG.code(), 0) };
        if object.is_null() {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_DEFAULT,
                Revision: NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                Size: NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
            },
            ProtocolId: NDIS_PROTOCOL_ID_DEFAULT,
            fAllocateNetBuffer: TRUE,
            ContextSize: 0,
            PoolTag: TAG.code(),
            DataSize: 0,
        };
        // SAFETY: the object was just made; the parameters are valid for the call.
        let pool = unsafe { NdisAllocateNetBufferListPool(object, &raw const parameters) };
        if pool.is_null() {
            // SAFETY: made above, freed once.
            unsafe { NdisFreeGenericObject(object) };
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        Ok(Self { object, pool })
    }

    /// A list of one packet whose data is all that `mdl` describes.
    fn list(&self, mdl: NonNull<MDL>, len: u32) -> Option<NonNull<NET_BUFFER_LIST>> {
        let mut list = null_mut();
        // SAFETY: the pool is alive; the MDL describes `len` bytes; the result is valid for a write.
        let made = Status::check(unsafe {
            FwpsAllocateNetBufferAndNetBufferList0(self.pool, 0, 0, mdl.as_ptr(), 0, len as usize, &raw mut list)
        });
        made.ok().and(NonNull::new(list))
    }
}

impl Drop for ListPool {
    fn drop(&mut self) {
        // SAFETY: made once, freed once; every list has come back, because the handles were destroyed before.
        unsafe { NdisFreeNetBufferListPool(self.pool) };
        // SAFETY: as above.
        unsafe { NdisFreeGenericObject(self.object) };
    }
}
