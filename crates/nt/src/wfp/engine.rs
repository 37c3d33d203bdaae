//! A dynamic session with the filter engine, and the objects added through it.
//!
//! The session is dynamic: whatever it added is gone when it is closed, however that happens (R41).

use crate::status::{Result, Status};
use crate::string::NameRef;
use core::ptr::{null, null_mut};
use nt_sys::fwpm::*;
use nt_sys::types::{GUID, HANDLE};

/// An open session. Closed when dropped, at `PASSIVE_LEVEL`.
#[must_use = "the session's objects go when it is dropped"]
pub struct Session(HANDLE);

// SAFETY: an engine handle may be used by any thread.
unsafe impl Send for Session {}

impl Session {
    /// Opens a dynamic session, whose transactions wait at most `wait_ms` for those of others; 0 means 15 seconds.
    ///
    /// # Errors
    /// What the engine says, for example while the base filtering engine is not running.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmEngineOpen0")]
    pub fn open(name: NameRef, wait_ms: u32) -> Result<Self> {
        let session = FWPM_SESSION0 {
            sessionKey: GUID::default(),
            displayData: display(name),
            flags: FWPM_SESSION_FLAG_DYNAMIC,
            txnWaitTimeoutInMSec: wait_ms,
            processId: 0,
            sid: null_mut(),
            username: null_mut(),
            kernelMode: 0,
        };
        let mut handle = null_mut();
        // SAFETY: no server, default authentication, valid session and result.
        Status::check(unsafe {
            FwpmEngineOpen0(null(), RPC_C_AUTHN_WINNT, null_mut(), &raw const session, &raw mut handle)
        })?;
        Ok(Self(handle))
    }

    /// Begins a transaction; at most one per session, which the borrow sees to.
    ///
    /// # Errors
    /// `STATUS_FWP_TIMEOUT` when others hold the engine too long.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmTransactionBegin0")]
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        // SAFETY: the session is open.
        Status::check(unsafe { FwpmTransactionBegin0(self.0, 0) })?;
        Ok(Transaction { session: self, open: true })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: open, closed once. A failure to close has no remedy.
        let _ = unsafe { FwpmEngineClose0(self.0) };
    }
}

/// A running transaction. Undone when dropped without [`Transaction::commit`].
#[must_use = "a transaction is undone unless it is committed"]
pub struct Transaction<'a> {
    session: &'a mut Session,
    open: bool,
}

/// A sublayer to add.
#[derive(Clone, Copy)]
pub struct SubLayer {
    /// Its key.
    pub key: GUID,
    /// Its name.
    pub name: NameRef,
    /// The key of its provider.
    pub provider: GUID,
    /// Its weight among the sublayers; the engine may choose the nearest free one.
    pub weight: u16,
}

/// A callout's management object and the one filter that calls it.
#[derive(Clone, Copy)]
pub struct CalloutFilter {
    /// The key under which the callout was registered.
    pub callout: GUID,
    /// The key of the filter.
    pub filter: GUID,
    /// The management layer of both.
    pub layer: GUID,
    /// The sublayer of the filter.
    pub sublayer: GUID,
    /// The provider of both.
    pub provider: GUID,
    /// The name of both.
    pub name: NameRef,
}

/// A filter that matches everything and decides nothing. Adding or deleting one makes the filter engine authorize every
/// live flow of its layer again (R16), and does nothing else.
#[derive(Clone, Copy)]
pub struct Marker {
    /// Its key.
    pub filter: GUID,
    /// Its management layer.
    pub layer: GUID,
    /// Its sublayer.
    pub sublayer: GUID,
    /// Its provider.
    pub provider: GUID,
    /// Its name.
    pub name: NameRef,
}

/// A filter with no condition.
struct Unconditional {
    key: GUID,
    layer: GUID,
    sublayer: GUID,
    provider: GUID,
    name: NameRef,
    action: FWPM_ACTION0,
}

impl Transaction<'_> {
    /// Adds a provider.
    ///
    /// # Errors
    /// What the engine says.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmProviderAdd0")]
    pub fn add_provider(&mut self, key: GUID, name: NameRef) -> Result<()> {
        let provider = FWPM_PROVIDER0 {
            providerKey: key,
            displayData: display(name),
            flags: 0,
            providerData: NO_BYTES,
            serviceName: null_mut(),
        };
        // SAFETY: the session is open; the record is valid; the default security is wanted.
        Status::check(unsafe { FwpmProviderAdd0(self.session.0, &raw const provider, null_mut()) })
    }

    /// Adds a sublayer.
    ///
    /// # Errors
    /// What the engine says.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmSubLayerAdd0")]
    pub fn add_sublayer(&mut self, sublayer: SubLayer) -> Result<()> {
        let mut provider = sublayer.provider;
        let record = FWPM_SUBLAYER0 {
            subLayerKey: sublayer.key,
            displayData: display(sublayer.name),
            flags: 0,
            providerKey: &raw mut provider,
            providerData: NO_BYTES,
            weight: sublayer.weight,
        };
        // SAFETY: as in `add_provider`.
        Status::check(unsafe { FwpmSubLayerAdd0(self.session.0, &raw const record, null_mut()) })
    }

    /// Adds the management object of a registered callout, and an unconditional filter that calls it.
    ///
    /// While the callout is not registered the filter blocks; so register first (R39).
    ///
    /// # Errors
    /// What the engine says.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmCalloutAdd0")]
    #[doc(alias = "FwpmFilterAdd0")]
    pub fn add_callout_filter(&mut self, what: CalloutFilter) -> Result<()> {
        let mut provider = what.provider;
        let callout = FWPM_CALLOUT0 {
            calloutKey: what.callout,
            displayData: display(what.name),
            flags: 0,
            providerKey: &raw mut provider,
            providerData: NO_BYTES,
            applicableLayer: what.layer,
            calloutId: 0,
        };
        // SAFETY: as in `add_provider`; the id is not wanted.
        Status::check(unsafe { FwpmCalloutAdd0(self.session.0, &raw const callout, null_mut(), null_mut()) })?;
        self.add_filter(Unconditional {
            key: what.filter,
            layer: what.layer,
            sublayer: what.sublayer,
            provider: what.provider,
            name: what.name,
            // Permit and block count, and no answer leaves the decision to others (R29).
            action: FWPM_ACTION0 { r#type: FWP_ACTION_CALLOUT_UNKNOWN, calloutKey: what.callout },
        })
    }

    /// Adds a filter that decides nothing.
    ///
    /// # Errors
    /// What the engine says.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn add_marker(&mut self, marker: Marker) -> Result<()> {
        self.add_filter(Unconditional {
            key: marker.filter,
            layer: marker.layer,
            sublayer: marker.sublayer,
            provider: marker.provider,
            name: marker.name,
            action: FWPM_ACTION0 { r#type: FWP_ACTION_CONTINUE, calloutKey: GUID::default() },
        })
    }

    /// Deletes a filter.
    ///
    /// # Errors
    /// `STATUS_FWP_FILTER_NOT_FOUND` and what else the engine says.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmFilterDeleteByKey0")]
    pub fn delete_filter(&mut self, filter: GUID) -> Result<()> {
        // SAFETY: the session is open; the key is valid for the call.
        Status::check(unsafe { FwpmFilterDeleteByKey0(self.session.0, &raw const filter) })
    }

    fn add_filter(&mut self, what: Unconditional) -> Result<()> {
        let mut provider = what.provider;
        let empty = FWP_VALUE0 { r#type: FWP_EMPTY, u: FWP_VALUE0_UNION { uint64: null_mut() } };
        let filter = FWPM_FILTER0 {
            filterKey: what.key,
            displayData: display(what.name),
            flags: 0,
            providerKey: &raw mut provider,
            providerData: NO_BYTES,
            layerKey: what.layer,
            subLayerKey: what.sublayer,
            // Empty: the engine chooses. In a sublayer of our own it has nothing to compete with.
            weight: empty,
            numFilterConditions: 0,
            filterCondition: null_mut(),
            action: what.action,
            context: FWPM_FILTER0_CONTEXT { rawContext: 0 },
            reserved: null_mut(),
            filterId: 0,
            effectiveWeight: empty,
        };
        // SAFETY: as in `add_provider`.
        Status::check(unsafe { FwpmFilterAdd0(self.session.0, &raw const filter, null_mut(), null_mut()) })
    }

    /// Makes all additions take effect at once.
    ///
    /// # Errors
    /// What the engine says; then nothing takes effect.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmTransactionCommit0")]
    pub fn commit(mut self) -> Result<()> {
        // SAFETY: the session is open and in this transaction.
        let committed = Status::check(unsafe { FwpmTransactionCommit0(self.session.0) });
        // A transaction that failed to commit is still to be aborted; `drop` does.
        self.open = committed.is_err();
        committed
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            // SAFETY: the session is open. That the engine aborted the transaction by itself is no problem of ours.
            let _ = unsafe { FwpmTransactionAbort0(self.session.0) };
        }
    }
}

const NO_BYTES: FWP_BYTE_BLOB = FWP_BYTE_BLOB { size: 0, data: null_mut() };

const fn display(name: NameRef) -> FWPM_DISPLAY_DATA0 {
    FWPM_DISPLAY_DATA0 { name: name.as_ptr(), description: null_mut() }
}
