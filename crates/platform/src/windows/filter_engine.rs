//! Our objects in the filter engine, through the base filtering engine (learn.microsoft.com "Windows Filtering Platform"
//! management functions).
//!
//! Invariants: a session is opened only when the service `BFE` runs, because opening one would else wait, or fail in ways
//! that say nothing; each list is asked for in pages and freed; a filter or callout is ours by its provider or sublayer.
//! Neighbours: `crate::filter_engine` has the vocabulary.

use super::service_manager::is_running;
use crate::driver_service::Change;
use crate::filter_engine::{FilterEngineError, Kind, Ours};
use std::ptr;
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::NetworkManagement::WindowsFilteringPlatform as fwp;
use windows_sys::Win32::System::Rpc::{RPC_C_AUTHN_DEFAULT, RPC_S_SERVER_UNAVAILABLE};
use windows_sys::core::GUID;

const PROVIDER: GUID = GUID::from_u128(wire::PROVIDER_KEY);
const SUBLAYER: GUID = GUID::from_u128(wire::SUBLAYER_KEY);

/// The service that keeps the filter engine's objects.
const BASE_FILTERING_ENGINE: &str = "BFE";

/// How long a change waits for the changes of others, in milliseconds.
const PATIENCE_MS: u32 = 5_000;

/// How many objects are asked for at a time.
const PAGE: u32 = 256;

/// Looks what there is.
pub fn look() -> Result<Ours, FilterEngineError> {
    let session = Session::open()?;
    Ok(Ours {
        filters: session.filters()?.len(),
        callouts: session.callouts()?.len(),
        sublayer: session.has_sublayer()?,
        provider: session.has_provider()?,
    })
}

/// Removes objects of ours.
pub fn remove(kind: Kind) -> Result<Change, FilterEngineError> {
    let session = Session::open()?;
    match kind {
        Kind::Filters => each(session.filters()?, |id| session.delete_filter(id)),
        Kind::Callouts => each(session.callouts()?, |id| session.delete_callout(id)),
        Kind::Sublayer => session.delete_sublayer(),
        Kind::Provider => session.delete_provider(),
    }
}

/// Deletes each, those after one that cannot be deleted, too.
fn each<T>(ids: Vec<T>, delete: impl Fn(T) -> Result<Change, FilterEngineError>) -> Result<Change, FilterEngineError> {
    let mut done = Ok(Change::Already);
    for id in ids {
        done = match (done, delete(id)) {
            (Err(first), _) => Err(first),
            (Ok(_), deleted) => deleted,
        };
    }
    done
}

/// A session with the base filtering engine.
struct Session(win::HANDLE);

impl Session {
    fn open() -> Result<Self, FilterEngineError> {
        if !is_running(BASE_FILTERING_ENGINE) {
            return Err(FilterEngineError::NotRunning);
        }
        let wanted = fwp::FWPM_SESSION0 { txnWaitTimeoutInMSec: PATIENCE_MS, ..Default::default() };
        let mut engine = ptr::null_mut();
        // SAFETY: `FwpmEngineOpen0` takes null for this machine and for the caller's own identity; the session's texts
        // are null, which is allowed; `engine` is room for a handle.
        let code = unsafe {
            let service = RPC_C_AUTHN_DEFAULT.cast_unsigned();
            fwp::FwpmEngineOpen0(ptr::null(), service, ptr::null(), &raw const wanted, &raw mut engine)
        };
        checked("FwpmEngineOpen", code)?;
        Ok(Self(engine))
    }

    /// The numbers of our filters.
    fn filters(&self) -> Result<Vec<u64>, FilterEngineError> {
        let mut list = ptr::null_mut();
        // SAFETY: `FwpmFilterCreateEnumHandle0` needs an open session, takes null for all filters, and has room.
        let code = unsafe { fwp::FwpmFilterCreateEnumHandle0(self.0, ptr::null(), &raw mut list) };
        checked("FwpmFilterCreateEnumHandle", code)?;
        let mut ours = Vec::new();
        let ended = loop {
            let (mut entries, mut count) = (ptr::null_mut(), 0);
            // SAFETY: `FwpmFilterEnum0` needs an open session, a list of it, and room for a pointer and a number.
            let code = unsafe { fwp::FwpmFilterEnum0(self.0, list, PAGE, &raw mut entries, &raw mut count) };
            if let Err(error) = checked("FwpmFilterEnum", code) {
                break Err(error);
            }
            for index in 0..count as usize {
                // SAFETY: the call gave `count` pointers to filters, and `index` is less.
                let filter = unsafe { entries.add(index) };
                // SAFETY: as above.
                let filter = unsafe { filter.read() };
                // SAFETY: it is a filter until the page is freed below.
                let filter = unsafe { &*filter };
                if same(&filter.subLayerKey, &SUBLAYER) || is_provider(filter.providerKey) {
                    ours.push(filter.filterId);
                }
            }
            free(entries.cast());
            if count < PAGE {
                break Ok(());
            }
        };
        // SAFETY: the list is of this session, and not used afterwards.
        unsafe { fwp::FwpmFilterDestroyEnumHandle0(self.0, list) };
        ended.map(|()| ours)
    }

    /// The numbers of our callouts.
    fn callouts(&self) -> Result<Vec<u32>, FilterEngineError> {
        let mut list = ptr::null_mut();
        // SAFETY: `FwpmCalloutCreateEnumHandle0` needs an open session, takes null for all callouts, and has room.
        let code = unsafe { fwp::FwpmCalloutCreateEnumHandle0(self.0, ptr::null(), &raw mut list) };
        checked("FwpmCalloutCreateEnumHandle", code)?;
        let mut ours = Vec::new();
        let ended = loop {
            let (mut entries, mut count) = (ptr::null_mut(), 0);
            // SAFETY: `FwpmCalloutEnum0` needs an open session, a list of it, and room for a pointer and a number.
            let code = unsafe { fwp::FwpmCalloutEnum0(self.0, list, PAGE, &raw mut entries, &raw mut count) };
            if let Err(error) = checked("FwpmCalloutEnum", code) {
                break Err(error);
            }
            for index in 0..count as usize {
                // SAFETY: the call gave `count` pointers to callouts, and `index` is less.
                let callout = unsafe { entries.add(index) };
                // SAFETY: as above.
                let callout = unsafe { callout.read() };
                // SAFETY: it is a callout until the page is freed below.
                let callout = unsafe { &*callout };
                if is_provider(callout.providerKey) {
                    ours.push(callout.calloutId);
                }
            }
            free(entries.cast());
            if count < PAGE {
                break Ok(());
            }
        };
        // SAFETY: the list is of this session, and not used afterwards.
        unsafe { fwp::FwpmCalloutDestroyEnumHandle0(self.0, list) };
        ended.map(|()| ours)
    }

    fn has_sublayer(&self) -> Result<bool, FilterEngineError> {
        let mut found = ptr::null_mut();
        // SAFETY: `FwpmSubLayerGetByKey0` needs an open session, a key, and room for a pointer.
        let code = unsafe { fwp::FwpmSubLayerGetByKey0(self.0, &SUBLAYER, &raw mut found) };
        free(found.cast());
        is_there("FwpmSubLayerGetByKey", code)
    }

    fn has_provider(&self) -> Result<bool, FilterEngineError> {
        let mut found = ptr::null_mut();
        // SAFETY: `FwpmProviderGetByKey0` needs an open session, a key, and room for a pointer.
        let code = unsafe { fwp::FwpmProviderGetByKey0(self.0, &PROVIDER, &raw mut found) };
        free(found.cast());
        is_there("FwpmProviderGetByKey", code)
    }

    fn delete_filter(&self, id: u64) -> Result<Change, FilterEngineError> {
        // SAFETY: `FwpmFilterDeleteById0` needs an open session.
        deleted("FwpmFilterDeleteById", unsafe { fwp::FwpmFilterDeleteById0(self.0, id) })
    }

    fn delete_callout(&self, id: u32) -> Result<Change, FilterEngineError> {
        // SAFETY: `FwpmCalloutDeleteById0` needs an open session.
        deleted("FwpmCalloutDeleteById", unsafe { fwp::FwpmCalloutDeleteById0(self.0, id) })
    }

    fn delete_sublayer(&self) -> Result<Change, FilterEngineError> {
        // SAFETY: `FwpmSubLayerDeleteByKey0` needs an open session and a key.
        deleted("FwpmSubLayerDeleteByKey", unsafe { fwp::FwpmSubLayerDeleteByKey0(self.0, &SUBLAYER) })
    }

    fn delete_provider(&self) -> Result<Change, FilterEngineError> {
        // SAFETY: `FwpmProviderDeleteByKey0` needs an open session and a key.
        deleted("FwpmProviderDeleteByKey", unsafe { fwp::FwpmProviderDeleteByKey0(self.0, &PROVIDER) })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: `FwpmEngineClose0` needs an open session that nobody uses afterwards: `self` owns it.
        unsafe { fwp::FwpmEngineClose0(self.0) };
    }
}

/// Frees what the base filtering engine gave; null is nothing.
fn free(mut memory: *mut core::ffi::c_void) {
    if !memory.is_null() {
        // SAFETY: `FwpmFreeMemory0` needs what a function of its family gave, which all callers pass, and sets it to null.
        unsafe { fwp::FwpmFreeMemory0(&raw mut memory) };
    }
}

/// Whether an object's provider is ours.
fn is_provider(key: *mut GUID) -> bool {
    // SAFETY: null, or a key that lives as long as the object, which the callers have.
    unsafe { key.as_ref() }.is_some_and(|key| same(key, &PROVIDER))
}

fn same(one: &GUID, other: &GUID) -> bool {
    (one.data1, one.data2, one.data3, one.data4) == (other.data1, other.data2, other.data3, other.data4)
}

fn is_there(call: &'static str, code: u32) -> Result<bool, FilterEngineError> {
    if is_absent(code) { Ok(false) } else { checked(call, code).map(|()| true) }
}

fn deleted(call: &'static str, code: u32) -> Result<Change, FilterEngineError> {
    if is_absent(code) { Ok(Change::Already) } else { checked(call, code).map(|()| Change::Done) }
}

fn is_absent(code: u32) -> bool {
    let absent = [
        win::FWP_E_FILTER_NOT_FOUND,
        win::FWP_E_CALLOUT_NOT_FOUND,
        win::FWP_E_SUBLAYER_NOT_FOUND,
        win::FWP_E_PROVIDER_NOT_FOUND,
        win::FWP_E_NOT_FOUND,
    ];
    absent.contains(&code.cast_signed())
}

fn checked(call: &'static str, code: u32) -> Result<(), FilterEngineError> {
    match code {
        win::ERROR_SUCCESS => Ok(()),
        win::ERROR_ACCESS_DENIED => Err(FilterEngineError::AccessDenied),
        code if code.cast_signed() == RPC_S_SERVER_UNAVAILABLE => Err(FilterEngineError::NotRunning),
        // Those of a session that ends with its owner belong to it.
        code if [win::FWP_E_IN_USE, win::FWP_E_WRONG_SESSION].contains(&code.cast_signed()) => {
            Err(FilterEngineError::InUse)
        }
        code => Err(FilterEngineError::Os { call, code }),
    }
}
