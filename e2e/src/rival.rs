//! Somebody else's policy in the filter engine: a firewall beside ours, heavier or lighter.
//!
//! Invariant: everything it has is gone when it is dropped. Neighbours: `Machine` has the engine it lives in.

use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::{GUID, HANDLE, NTSTATUS};
use std::ffi::c_void;
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What its filters do with every connection, in and out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Permit; lighter sublayers may still block.
    Permit,
    /// Permit, and take the right to set the action from lighter sublayers.
    PermitForGood,
    /// Block, which is final.
    Block,
    /// Block by a callout that leaves the right to set the action: lighter sublayers may permit.
    BlockSoftly,
    /// Hold it, by a callout.
    Pend,
}

impl Rule {
    /// Whether a callout does it.
    fn has_callout(self) -> bool {
        matches!(self, Self::BlockSoftly | Self::Pend)
    }
}

/// The filter context of a callout that holds; any other only blocks.
const PENDS: u64 = 1;

/// One of its operations is held: the completion contexts, oldest first. There is one rival that pends at a time.
static HELD: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// It has completed what it held, and permits from now on: nothing that comes in is authorized again after a completion, so
/// its peers try once more.
static HAS_COMPLETED: AtomicBool = AtomicBool::new(false);

const SUBLAYER: GUID = GUID::from_u128(0x0b7e5d1c_52a4_4d0b_9f61_6c2f4f0a8b11);
const FIRST_CALLOUT: u128 = 0x5a0c1e0e_86a7_4b5f_8df5_0d4f5b8f7a01;
const LAYERS: [GUID; 4] = [
    FWPM_LAYER_ALE_AUTH_CONNECT_V4,
    FWPM_LAYER_ALE_AUTH_CONNECT_V6,
    FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4,
    FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6,
];
const HEAVIER: u16 = 0x8000;
const LIGHTER: u16 = 1;

/// Another product. Adding it, and dropping it, is a change of policy at ALE_AUTH_CONNECT and ALE_AUTH_RECV_ACCEPT.
pub struct Rival {
    session: HANDLE,
    callouts: Vec<u32>,
}

impl Rival {
    /// A rival whose sublayer is asked before ours.
    pub fn heavier(rule: Rule) -> Self {
        Self::new(rule, HEAVIER)
    }

    /// A rival whose sublayer is asked after ours.
    pub fn lighter(rule: Rule) -> Self {
        Self::new(rule, LIGHTER)
    }

    fn new(rule: Rule, weight: u16) -> Self {
        let mut rival = Self { session: open(), callouts: Vec::new() };
        rival.add_sublayer(weight);
        HAS_COMPLETED.store(false, Ordering::SeqCst);
        for (number, layer) in (0..).zip(LAYERS) {
            let callout = GUID::from_u128(FIRST_CALLOUT + number);
            if rule.has_callout() {
                rival.add_callout(callout, layer);
            }
            rival.add_filter(rule, layer, callout);
        }
        rival
    }

    /// How many operations it holds.
    pub fn held(&self) -> usize {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Completes every operation that it holds; it will permit them, and what comes in after them.
    pub fn complete(&self) {
        HAS_COMPLETED.store(true, Ordering::SeqCst);
        let held = std::mem::take(&mut *HELD.lock().unwrap_or_else(PoisonError::into_inner));
        for context in held {
            // SAFETY: `classify` got the context from a successful pend, and it is taken out here, once.
            unsafe { FwpsCompleteOperation0(ptr::without_provenance_mut(context), null_mut()) };
        }
    }

    fn add_sublayer(&self, weight: u16) {
        let sublayer = FWPM_SUBLAYER0 {
            subLayerKey: SUBLAYER,
            displayData: name(),
            flags: 0,
            providerKey: null_mut(),
            providerData: NO_BYTES,
            weight,
        };
        // SAFETY: the session is open, and the record lives for the call.
        done(unsafe { FwpmSubLayerAdd0(self.session, &raw const sublayer, null_mut()) });
    }

    fn add_callout(&mut self, key: GUID, layer: GUID) {
        let functions = FWPS_CALLOUT3 {
            calloutKey: key,
            flags: 0,
            classifyFn: Some(classify),
            notifyFn: Some(notify),
            flowDeleteFn: None,
        };
        let mut id = 0;
        // Which device registers is only compared with null.
        let device = (&raw const functions).cast_mut().cast();
        // SAFETY: the record lives for the call, the functions for ever.
        done(unsafe { FwpsCalloutRegister3(device, &raw const functions, &raw mut id) });
        self.callouts.push(id);
        let callout = FWPM_CALLOUT0 {
            calloutKey: key,
            displayData: name(),
            flags: 0,
            providerKey: null_mut(),
            providerData: NO_BYTES,
            applicableLayer: layer,
            calloutId: 0,
        };
        // SAFETY: as in `add_sublayer`.
        done(unsafe { FwpmCalloutAdd0(self.session, &raw const callout, null_mut(), null_mut()) });
    }

    fn add_filter(&self, rule: Rule, layer: GUID, callout: GUID) {
        let empty = FWP_VALUE0 { r#type: FWP_EMPTY, u: FWP_VALUE0_UNION { uint64: null_mut() } };
        let filter = FWPM_FILTER0 {
            filterKey: GUID::default(),
            displayData: name(),
            flags: if rule == Rule::PermitForGood { FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT } else { 0 },
            providerKey: null_mut(),
            providerData: NO_BYTES,
            layerKey: layer,
            subLayerKey: SUBLAYER,
            weight: empty,
            numFilterConditions: 0,
            filterCondition: null_mut(),
            action: FWPM_ACTION0 {
                r#type: match rule {
                    Rule::Permit | Rule::PermitForGood => FWP_ACTION_PERMIT,
                    Rule::Block => FWP_ACTION_BLOCK,
                    Rule::BlockSoftly | Rule::Pend => FWP_ACTION_CALLOUT_UNKNOWN,
                },
                calloutKey: if rule.has_callout() { callout } else { GUID::default() },
            },
            context: FWPM_FILTER0_CONTEXT { rawContext: if rule == Rule::Pend { PENDS } else { 0 } },
            reserved: null_mut(),
            filterId: 0,
            effectiveWeight: empty,
        };
        // SAFETY: as in `add_sublayer`.
        done(unsafe { FwpmFilterAdd0(self.session, &raw const filter, null_mut(), null_mut()) });
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: opened by `new`, closed once; its objects go with it.
        done(unsafe { FwpmEngineClose0(self.session) });
        for callout in &self.callouts {
            // SAFETY: takes a number.
            done(unsafe { FwpsCalloutUnregisterById0(*callout) });
        }
    }
}

fn open() -> HANDLE {
    let session = FWPM_SESSION0 {
        sessionKey: GUID::default(),
        displayData: name(),
        flags: FWPM_SESSION_FLAG_DYNAMIC,
        txnWaitTimeoutInMSec: 0,
        processId: 0,
        sid: null_mut(),
        username: null_mut(),
        kernelMode: 0,
    };
    let mut handle = null_mut();
    // SAFETY: the record and the result live for the call.
    done(unsafe { FwpmEngineOpen0(ptr::null(), RPC_C_AUTHN_WINNT, null_mut(), &raw const session, &raw mut handle) });
    handle
}

const NO_BYTES: FWP_BYTE_BLOB = FWP_BYTE_BLOB { size: 0, data: null_mut() };

fn name() -> FWPM_DISPLAY_DATA0 {
    static NAME: [u16; 6] = [b'R' as u16, b'i' as u16, b'v' as u16, b'a' as u16, b'l' as u16, 0];
    FWPM_DISPLAY_DATA0 { name: NAME.as_ptr().cast_mut(), description: null_mut() }
}

#[track_caller]
fn done(status: NTSTATUS) {
    assert_eq!(status, STATUS_SUCCESS, "the filter engine takes the rival's objects");
}

/// Pends what can be pended and permits the rest, or blocks, as its filter says; without the right to act, it does nothing.
unsafe extern "system-unwind" fn classify(
    _values: *const FWPS_INCOMING_VALUES0,
    metadata: *const FWPS_INCOMING_METADATA_VALUES0,
    _layer_data: *mut c_void,
    _classify_context: *const c_void,
    filter: *const FWPS_FILTER3,
    _flow_context: u64,
    out: *mut FWPS_CLASSIFY_OUT0,
) {
    // SAFETY: the engine lends whole records for the call.
    let metadata = unsafe { &*metadata };
    // SAFETY: as above.
    let out = unsafe { &mut *out };
    // SAFETY: as above.
    let filter = unsafe { &*filter };
    if out.rights & FWPS_RIGHT_ACTION_WRITE == 0 {
        return;
    }
    if filter.context != PENDS {
        out.actionType = FWP_ACTION_BLOCK;
        return;
    }
    let mut context = null_mut();
    let can_pend = !HAS_COMPLETED.load(Ordering::SeqCst)
        && metadata.currentMetadataValues & FWPS_METADATA_FIELD_COMPLETION_HANDLE != 0;
    // SAFETY: the handle is of the running classify, and the result lives for the call.
    if can_pend && unsafe { FwpsPendOperation0(metadata.completionHandle, &raw mut context) } == STATUS_SUCCESS {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).push(context.addr());
        out.actionType = FWP_ACTION_BLOCK;
        out.rights &= !FWPS_RIGHT_ACTION_WRITE;
        out.flags |= FWPS_CLASSIFY_OUT_FLAG_ABSORB;
    } else {
        out.actionType = FWP_ACTION_PERMIT;
    }
}

unsafe extern "system-unwind" fn notify(_kind: u32, _key: *const GUID, _filter: *mut FWPS_FILTER3) -> NTSTATUS {
    STATUS_SUCCESS
}
