//! The management functions, from the driver's side.

#![expect(unsafe_code, reason = "calls the C symbols")]

use super::filter::FilterDraft;
use super::fresh_key;
use nt_sys::fwpm::*;
use nt_sys::status::*;
use nt_sys::types::{GUID, HANDLE, NTSTATUS};
use std::cell::RefCell;
use std::ptr;

use wfp_sim as _;

/// A session.
#[derive(Clone, Copy, Debug)]
pub struct Session(pub u64);

pub fn done(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if status == STATUS_SUCCESS { Ok(()) } else { Err(status) }
}

/// A zero-terminated name.
pub struct Name(Vec<u16>);

impl Name {
    pub fn new(text: &str) -> Self {
        Self(text.encode_utf16().chain([0]).collect())
    }

    pub fn display(&mut self) -> FWPM_DISPLAY_DATA0 {
        FWPM_DISPLAY_DATA0 { name: self.0.as_mut_ptr(), description: ptr::null_mut() }
    }
}

pub const NO_BLOB: FWP_BYTE_BLOB = FWP_BYTE_BLOB { size: 0, data: ptr::null_mut() };
pub const NO_NAME: FWPM_DISPLAY_DATA0 = FWPM_DISPLAY_DATA0 { name: ptr::null_mut(), description: ptr::null_mut() };

/// What an object of any kind is added with.
#[derive(Clone, Copy, Default)]
pub struct Common {
    pub key: GUID,
    pub flags: u32,
    pub provider: Option<GUID>,
    pub is_nameless: bool,
}

impl Session {
    pub fn open(flags: u32) -> Result<Self, NTSTATUS> {
        Self::open_as(GUID::default(), flags, 0)
    }

    pub fn open_as(key: GUID, flags: u32, wait_ms: u32) -> Result<Self, NTSTATUS> {
        let session = FWPM_SESSION0 {
            sessionKey: key,
            displayData: NO_NAME,
            flags,
            txnWaitTimeoutInMSec: wait_ms,
            processId: 0,
            sid: ptr::null_mut(),
            username: ptr::null_mut(),
            kernelMode: 0,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: both records live for the call.
        let status = unsafe { FwpmEngineOpen0(ptr::null(), RPC_C_AUTHN_WINNT, ptr::null_mut(), &session, &mut handle) };
        done(status).map(|()| Self(handle.addr() as u64))
    }

    fn handle(self) -> HANDLE {
        ptr::without_provenance_mut(self.0 as usize)
    }

    pub fn close(self) -> Result<(), NTSTATUS> {
        CLOSED.with_borrow_mut(|closed| closed.push(self.0));
        // SAFETY: takes a handle.
        done(unsafe { FwpmEngineClose0(self.handle()) })
    }

    pub fn close_if_open(self) {
        if !CLOSED.with_borrow(|closed| closed.contains(&self.0)) {
            self.close().expect("closed");
        }
    }

    pub fn begin(self) -> Result<(), NTSTATUS> {
        self.begin_with(0)
    }

    pub fn begin_with(self, flags: u32) -> Result<(), NTSTATUS> {
        // SAFETY: takes a handle.
        done(unsafe { FwpmTransactionBegin0(self.handle(), flags) })
    }

    pub fn commit(self) -> Result<(), NTSTATUS> {
        // SAFETY: takes a handle.
        done(unsafe { FwpmTransactionCommit0(self.handle()) })
    }

    pub fn abort(self) -> Result<(), NTSTATUS> {
        // SAFETY: takes a handle.
        done(unsafe { FwpmTransactionAbort0(self.handle()) })
    }

    pub fn add_provider(self, common: Common, service: Option<&str>) -> Result<(), NTSTATUS> {
        let (mut name, mut service) = (Name::new("provider"), service.map(Name::new));
        let provider = FWPM_PROVIDER0 {
            providerKey: common.key,
            displayData: if common.is_nameless { NO_NAME } else { name.display() },
            flags: common.flags,
            providerData: NO_BLOB,
            serviceName: service.as_mut().map_or(ptr::null_mut(), |service| service.display().name),
        };
        // SAFETY: the record and its strings live for the call.
        done(unsafe { FwpmProviderAdd0(self.handle(), &provider, ptr::null_mut()) })
    }

    pub fn add_sublayer(self, weight: u16) -> Result<GUID, NTSTATUS> {
        let key = fresh_key();
        self.add_sublayer_as(Common { key, ..Common::default() }, weight).map(|()| key)
    }

    pub fn add_sublayer_as(self, mut common: Common, weight: u16) -> Result<(), NTSTATUS> {
        let mut name = Name::new("sublayer");
        let sublayer = FWPM_SUBLAYER0 {
            subLayerKey: common.key,
            displayData: if common.is_nameless { NO_NAME } else { name.display() },
            flags: common.flags,
            providerKey: common.provider.as_mut().map_or(ptr::null_mut(), ptr::from_mut),
            providerData: NO_BLOB,
            weight,
        };
        // SAFETY: the record and its strings live for the call.
        done(unsafe { FwpmSubLayerAdd0(self.handle(), &sublayer, ptr::null_mut()) })
    }

    pub fn add_callout(self, key: GUID, layer: GUID) -> Result<u32, NTSTATUS> {
        self.add_callout_as(Common { key, ..Common::default() }, layer)
    }

    pub fn add_callout_as(self, mut common: Common, layer: GUID) -> Result<u32, NTSTATUS> {
        let mut name = Name::new("callout");
        let callout = FWPM_CALLOUT0 {
            calloutKey: common.key,
            displayData: if common.is_nameless { NO_NAME } else { name.display() },
            flags: common.flags,
            providerKey: common.provider.as_mut().map_or(ptr::null_mut(), ptr::from_mut),
            providerData: NO_BLOB,
            applicableLayer: layer,
            calloutId: 0,
        };
        let mut id = 0;
        // SAFETY: the record and its strings live for the call.
        done(unsafe { FwpmCalloutAdd0(self.handle(), &callout, ptr::null_mut(), &mut id) }).map(|()| id)
    }

    pub fn add(self, draft: &FilterDraft) -> Result<u64, NTSTATUS> {
        let mut id = 0;
        // SAFETY: the draft keeps the record and what it points to for the call.
        draft.with_record(|record| done(unsafe { FwpmFilterAdd0(self.handle(), record, ptr::null_mut(), &mut id) }))?;
        Ok(id)
    }

    pub fn delete(self, id: u64) -> Result<(), NTSTATUS> {
        // SAFETY: takes a handle and a number.
        done(unsafe { FwpmFilterDeleteById0(self.handle(), id) })
    }

    pub fn delete_filter(self, key: GUID) -> Result<(), NTSTATUS> {
        // SAFETY: the key lives for the call.
        done(unsafe { FwpmFilterDeleteByKey0(self.handle(), &key) })
    }

    pub fn delete_callout(self, key: GUID) -> Result<(), NTSTATUS> {
        // SAFETY: the key lives for the call.
        done(unsafe { FwpmCalloutDeleteByKey0(self.handle(), &key) })
    }

    pub fn delete_sublayer(self, key: GUID) -> Result<(), NTSTATUS> {
        // SAFETY: the key lives for the call.
        done(unsafe { FwpmSubLayerDeleteByKey0(self.handle(), &key) })
    }

    pub fn delete_provider(self, key: GUID) -> Result<(), NTSTATUS> {
        // SAFETY: the key lives for the call.
        done(unsafe { FwpmProviderDeleteByKey0(self.handle(), &key) })
    }

    /// The effective weight of a filter.
    pub fn weight_of(self, id: u64) -> Result<u64, NTSTATUS> {
        let mut record = ptr::null_mut();
        // SAFETY: the pointer lives for the call.
        done(unsafe { FwpmFilterGetById0(self.handle(), id, &mut record) })?;
        // SAFETY: the call succeeded, so the record is there until it is freed.
        let value = unsafe { (*record).effectiveWeight };
        assert_eq!(value.r#type, FWP_UINT64);
        // SAFETY: the type says which member is alive.
        let pointer = unsafe { value.u.uint64 };
        // SAFETY: as long as the record.
        let weight = unsafe { pointer.read() };
        let mut memory = record.cast();
        // SAFETY: what the engine lent goes back once.
        unsafe { FwpmFreeMemory0(&mut memory) };
        assert!(memory.is_null());
        Ok(weight)
    }
}

/// Forgets which handles were closed: another engine gives the same ones out.
pub fn forget_closed() {
    CLOSED.with_borrow_mut(Vec::clear);
}

thread_local! {
    static CLOSED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}
