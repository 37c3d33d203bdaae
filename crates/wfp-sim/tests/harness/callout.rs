//! Fake callouts: a closure answers, and everything that was seen is written down.

#![expect(unsafe_code, reason = "is called by the engine with C records, and calls it")]

use super::session::done;
use nt_sys::fwps::*;
use nt_sys::status::*;
use nt_sys::types::{GUID, HANDLE, NTSTATUS};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wfp_sim as _;

/// What a classify does, where nothing needs to be captured.
pub type Answer = fn(&mut Call<'_>);

type AnswerFn = Box<dyn Fn(&mut Call<'_>) + Send + Sync>;

/// A registered callout.
pub struct Fake {
    pub key: GUID,
    pub id: u32,
    answer: AnswerFn,
    seen: Mutex<Vec<Seen>>,
    notified: Mutex<Vec<Notified>>,
    flow_deletes: Mutex<Vec<u64>>,
    /// What its notify function returns.
    pub notify_status: AtomicI32,
    /// The context that its notify function gives to new filters, if not zero.
    pub notify_context: AtomicU64,
}

/// One call of the notify function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notified {
    pub what: u32,
    pub key: Option<GUID>,
    pub filter: u64,
}

/// What one classify was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub layer: u16,
    pub value_count: usize,
    /// The integer values, by index.
    pub numbers: Vec<Option<u64>>,
    /// Types of the values, by index.
    pub types: Vec<u32>,
    pub metadata: u32,
    pub pid: u64,
    pub endpoint: u64,
    pub parent_endpoint: u64,
    pub ip_header: u32,
    pub transport_header: u32,
    pub flow: u64,
    pub direction: u32,
    pub discard_filter: u64,
    pub has_packet: bool,
    pub flow_context: u64,
    pub filter_context: u64,
    pub action: u32,
    pub has_right: bool,
}

impl Seen {
    pub fn has(&self, bit: u32) -> bool {
        self.metadata & bit != 0
    }

    pub fn flags(&self) -> u64 {
        let at = match self.layer {
            FWPS_LAYER_ALE_AUTH_CONNECT_V4 | FWPS_LAYER_ALE_AUTH_CONNECT_V6 => FWPS_FIELD_ALE_AUTH_CONNECT_FLAGS,
            FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4 | FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6 => {
                FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_FLAGS
            }
            FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V4 => FWPS_FIELD_ALE_RESOURCE_ASSIGNMENT_FLAGS,
            _ => FWPS_FIELD_ALE_FLOW_ESTABLISHED_FLAGS,
        };
        self.numbers[at].expect("flags")
    }

    pub fn is_reauthorization(&self) -> bool {
        self.flags() & u64::from(FWP_CONDITION_FLAG_IS_REAUTHORIZE) != 0
    }

    pub fn reason(&self) -> u32 {
        let at = match self.layer {
            FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4 | FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6 => {
                FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_REAUTHORIZE_REASON
            }
            _ => FWPS_FIELD_ALE_AUTH_CONNECT_REAUTHORIZE_REASON,
        };
        u32::try_from(self.numbers[at].expect("a reason")).expect("small")
    }

    /// The listener, where there is one.
    pub fn parent(&self) -> Option<u64> {
        self.has(FWPS_METADATA_FIELD_PARENT_ENDPOINT_HANDLE).then_some(self.parent_endpoint)
    }
}

/// One classify, while it runs.
pub struct Call<'a> {
    pub seen: Seen,
    pub values: *const FWPS_INCOMING_VALUES0,
    pub metadata: *const FWPS_INCOMING_METADATA_VALUES0,
    pub layer_data: *mut c_void,
    pub classify_context: *const c_void,
    pub filter_id: u64,
    pub out: &'a mut FWPS_CLASSIFY_OUT0,
    pub fake: &'a Fake,
}

impl Call<'_> {
    pub fn permit(&mut self) {
        self.out.actionType = FWP_ACTION_PERMIT;
    }

    pub fn permit_hard(&mut self) {
        self.permit();
        self.out.rights &= !FWPS_RIGHT_ACTION_WRITE;
    }

    pub fn block_soft(&mut self) {
        self.out.actionType = FWP_ACTION_BLOCK;
    }

    pub fn block(&mut self) {
        self.block_soft();
        self.out.rights &= !FWPS_RIGHT_ACTION_WRITE;
    }

    pub fn absorb(&mut self) {
        self.block();
        self.out.flags |= FWPS_CLASSIFY_OUT_FLAG_ABSORB;
    }

    pub fn is_reauthorization(&self) -> bool {
        self.seen.is_reauthorization()
    }

    /// The handle to pend by.
    pub fn completion_handle(&self) -> HANDLE {
        assert!(self.seen.has(FWPS_METADATA_FIELD_COMPLETION_HANDLE));
        // SAFETY: the record lives for the classify, and the bit says that the member is there.
        unsafe { (*self.metadata).completionHandle }
    }

    /// Pends, without answering.
    pub fn pend_only(&self) -> Result<Context, NTSTATUS> {
        pend(self.completion_handle())
    }

    /// Names the running classify.
    pub fn acquire(&self) -> Result<ClassifyHandle, NTSTATUS> {
        let mut handle = 0;
        // SAFETY: the context is of the running classify, and the result lives for the call.
        done(unsafe { FwpsAcquireClassifyHandle0(self.classify_context.cast_mut(), 0, &mut handle) })
            .map(|()| ClassifyHandle(handle))
    }

    /// Pends the running classify, without answering.
    pub fn pend_classify_only(&mut self, handle: ClassifyHandle) -> Result<(), NTSTATUS> {
        // SAFETY: the record is the one that the engine gave.
        done(unsafe { FwpsPendClassify0(handle.0, self.filter_id, 0, self.out) })
    }

    /// Pends the running classify, and answers as it has to.
    pub fn pend_classify(&mut self) -> ClassifyHandle {
        let handle = self.acquire().expect("acquired");
        self.pend_classify_only(handle).expect("pended");
        self.block();
        handle
    }

    /// Pends, and blocks and absorbs as it has to.
    pub fn pend(&mut self) -> Context {
        let context = self.pend_only().expect("pended");
        self.absorb();
        context
    }
}

/// A classify handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassifyHandle(pub u64);

impl ClassifyHandle {
    /// Completes without an answer.
    pub fn again(self) {
        // SAFETY: the engine looks the handle up.
        unsafe { FwpsCompleteClassify0(self.0, 0, ptr::null()) };
    }

    /// Completes with an answer.
    pub fn complete(self) {
        let out = FWPS_CLASSIFY_OUT0 {
            actionType: FWP_ACTION_PERMIT,
            outContext: 0,
            filterId: 0,
            rights: 0,
            flags: 0,
            reserved: 0,
        };
        // SAFETY: as above; the record lives for the call.
        unsafe { FwpsCompleteClassify0(self.0, 0, &out) };
    }

    pub fn release(self) {
        // SAFETY: the engine looks the handle up.
        unsafe { FwpsReleaseClassifyHandle0(self.0) };
    }

    pub fn end(self) {
        self.complete();
        self.release();
    }
}

/// A completion context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context(u64);

impl Context {
    pub fn complete(self) {
        let context = ptr::without_provenance_mut(self.0 as usize);
        // SAFETY: the engine looks the context up.
        unsafe { FwpsCompleteOperation0(context, ptr::null_mut()) };
    }
}

pub fn pend(handle: HANDLE) -> Result<Context, NTSTATUS> {
    let mut context = ptr::null_mut();
    // SAFETY: the context lives for the call.
    done(unsafe { FwpsPendOperation0(handle, &mut context) }).map(|()| Context(context.addr() as u64))
}

pub fn unregister(id: u32) -> NTSTATUS {
    // SAFETY: takes a number.
    unsafe { FwpsCalloutUnregisterById0(id) }
}

pub fn associate(flow: u64, layer: u16, callout: u32, context: u64) -> NTSTATUS {
    // SAFETY: takes numbers.
    unsafe { FwpsFlowAssociateContext0(flow, layer, callout, context) }
}

pub fn dissociate(flow: u64, layer: u16, callout: u32) -> NTSTATUS {
    // SAFETY: takes numbers.
    unsafe { FwpsFlowRemoveContext0(flow, layer, callout) }
}

impl Fake {
    pub fn register(
        key: GUID,
        flags: u32,
        answer: impl Fn(&mut Call<'_>) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, NTSTATUS> {
        let callout = FWPS_CALLOUT3 {
            calloutKey: key,
            flags,
            classifyFn: Some(classify),
            notifyFn: Some(notify),
            flowDeleteFn: Some(flow_delete),
        };
        let mut id = 0;
        let device = &raw const callout;
        // SAFETY: the record lives for the call, and its functions for ever; the device is only compared with null.
        done(unsafe { FwpsCalloutRegister3(device.cast_mut().cast(), &callout, &mut id) })?;
        let fake = Arc::new(Self {
            key,
            id,
            answer: Box::new(answer),
            seen: Mutex::default(),
            notified: Mutex::default(),
            flow_deletes: Mutex::default(),
            notify_status: AtomicI32::new(STATUS_SUCCESS),
            notify_context: AtomicU64::new(0),
        });
        FAKES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(id, Arc::clone(&fake));
        Ok(fake)
    }

    pub fn unregister(&self) -> NTSTATUS {
        unregister(self.id)
    }

    pub fn unregister_if_registered(&self) {
        let status = self.unregister();
        assert!(matches!(status, STATUS_SUCCESS | STATUS_FWP_CALLOUT_NOT_FOUND), "unregister: {status:#x}");
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn calls(&self) -> usize {
        self.seen().len()
    }

    pub fn notified(&self) -> Vec<Notified> {
        self.notified.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn notified_of(&self, what: u32) -> usize {
        self.notified().iter().filter(|one| one.what == what).count()
    }

    pub fn flow_deletes(&self) -> Vec<u64> {
        self.flow_deletes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The fakes by run-time id. Engines follow one another in a test process, and so do ids: the latest owner counts.
static FAKES: Mutex<Option<HashMap<u32, Arc<Fake>>>> = Mutex::new(None);

fn fake(id: u32) -> Arc<Fake> {
    let fakes = FAKES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(fakes.as_ref().and_then(|fakes| fakes.get(&id)).expect("a fake callout"))
}

unsafe extern "system-unwind" fn classify(
    values: *const FWPS_INCOMING_VALUES0,
    metadata: *const FWPS_INCOMING_METADATA_VALUES0,
    layer_data: *mut c_void,
    classify_context: *const c_void,
    filter: *const FWPS_FILTER3,
    flow_context: u64,
    out: *mut FWPS_CLASSIFY_OUT0,
) {
    // SAFETY: the engine lends whole records for the call.
    let filter = unsafe { &*filter };
    // SAFETY: as above.
    let out = unsafe { &mut *out };
    let fake = fake(filter.action.calloutId);
    // SAFETY: as above.
    let fixed = unsafe { &*values };
    // SAFETY: the array has `valueCount` elements.
    let array = unsafe { std::slice::from_raw_parts(fixed.incomingValue, fixed.valueCount as usize) };
    // SAFETY: as above.
    let meta = unsafe { &*metadata };
    let seen = Seen {
        layer: fixed.layerId,
        value_count: array.len(),
        numbers: array.iter().map(|one| number(&one.value)).collect(),
        types: array.iter().map(|one| one.value.r#type).collect(),
        metadata: meta.currentMetadataValues,
        pid: meta.processId,
        endpoint: meta.transportEndpointHandle,
        parent_endpoint: meta.parentEndpointHandle,
        ip_header: meta.ipHeaderSize,
        transport_header: meta.transportHeaderSize,
        flow: meta.flowHandle,
        direction: meta.packetDirection,
        discard_filter: meta.discardMetadata.filterId,
        has_packet: !layer_data.is_null(),
        flow_context,
        filter_context: filter.context,
        action: out.actionType,
        has_right: out.rights & FWPS_RIGHT_ACTION_WRITE != 0,
    };
    fake.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    (fake.answer)(&mut Call {
        seen,
        values,
        metadata,
        layer_data,
        classify_context,
        filter_id: filter.filterId,
        out,
        fake: &fake,
    });
}

fn number(value: &FWP_VALUE0) -> Option<u64> {
    match value.r#type {
        // SAFETY: the type says which member is alive, here and below.
        FWP_UINT8 => Some(unsafe { value.u.uint8 }.into()),
        // SAFETY: as above.
        FWP_UINT16 => Some(unsafe { value.u.uint16 }.into()),
        // SAFETY: as above.
        FWP_UINT32 => Some(unsafe { value.u.uint32 }.into()),
        FWP_UINT64 => {
            // SAFETY: as above.
            let pointer = unsafe { value.u.uint64 };
            // SAFETY: it lives for the classify.
            Some(unsafe { *pointer })
        }
        _ => None,
    }
}

unsafe extern "system-unwind" fn notify(what: u32, key: *const GUID, filter: *mut FWPS_FILTER3) -> NTSTATUS {
    // SAFETY: the engine lends whole records for the call.
    let filter = unsafe { &mut *filter };
    let fake = fake(filter.action.calloutId);
    // SAFETY: null or readable.
    let key = unsafe { key.as_ref() }.copied();
    let notified = Notified { what, key, filter: filter.filterId };
    fake.notified.lock().unwrap_or_else(PoisonError::into_inner).push(notified);
    let context = fake.notify_context.load(Ordering::SeqCst);
    if what == FWPS_CALLOUT_NOTIFY_ADD_FILTER && context != 0 {
        filter.context = context;
    }
    fake.notify_status.load(Ordering::SeqCst)
}

unsafe extern "system-unwind" fn flow_delete(_layer: u16, callout: u32, context: u64) {
    fake(callout).flow_deletes.lock().unwrap_or_else(PoisonError::into_inner).push(context);
}
