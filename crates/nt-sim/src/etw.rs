//! Event tracing: registrations, who listens, and the events that were written, decoded for the test to read.
//!
//! Events describe themselves (TraceLogging): what a listener would decode is decoded here, so an event whose description
//! does not fit its data is reported. Provider and event metadata: a 16-bit size that counts itself; the event's has a tag
//! byte; then a name with its zero, and for each field a name with its zero and a type.

use std::collections::BTreeMap;
use std::ffi::c_void;

use nt_sys::etw::*;
use nt_sys::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_HANDLE, STATUS_SUCCESS};
use nt_sys::types::{GUID, NTSTATUS, PASSIVE_LEVEL};

use crate::global::{Global, Ptr};
use crate::{fault, rules, thread, verifier};

static PROVIDERS: Global<Providers> =
    Global::new(Providers { by_handle: BTreeMap::new(), last: 0, listeners: Vec::new() });
static EVENTS: Global<Vec<TraceEvent>> = Global::new(Vec::new());

struct Providers {
    by_handle: BTreeMap<REGHANDLE, Provider>,
    last: REGHANDLE,
    /// Who is listened to, and up to which level.
    listeners: Vec<(GUID, u8)>,
}

#[derive(Clone, Copy)]
struct Provider {
    id: GUID,
    callback: Option<ETWENABLECALLBACK>,
    context: Ptr<c_void>,
}

impl Provider {
    fn tell(self, code: u32, level: u8) {
        if let Some(callback) = self.callback {
            // SAFETY: the provider's own callback, with its context, while it is registered.
            unsafe { callback(&raw const self.id, code, level, u64::MAX, 0, std::ptr::null_mut(), self.context.0) };
        }
    }
}

/// A value of an event's field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TraceValue {
    /// An unsigned number of any width.
    Number(u64),
    /// A string.
    Text(String),
}

/// One event that somebody listened to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceEvent {
    /// The provider's name, as the event says it.
    pub provider: String,
    /// The event's name.
    pub name: String,
    /// 1 critical, 2 error, 3 warning, 4 information, 5 verbose.
    pub level: u8,
    /// The fields, in order.
    pub fields: Vec<(String, TraceValue)>,
}

impl TraceEvent {
    /// The number in a field.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields.iter().find_map(|(name, value)| match value {
            TraceValue::Number(number) if name == field => Some(*number),
            _ => None,
        })
    }

    /// The string in a field.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.iter().find_map(|(name, value)| match value {
            TraceValue::Text(text) if name == field => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Registers a provider.
///
/// # Safety
/// `id` is readable, `handle` writable, and `callback` may be called with `context` until the provider is unregistered.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn EtwRegister(
    id: *const GUID,
    callback: Option<ETWENABLECALLBACK>,
    context: *mut c_void,
    handle: *mut REGHANDLE,
) -> NTSTATUS {
    thread::require_irql("EtwRegister", PASSIVE_LEVEL);
    if fault::should_fail("EtwRegister") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: the caller's promise.
    let provider = Provider { id: unsafe { id.read() }, callback, context: Ptr(context) };
    let mut providers = PROVIDERS.lock();
    providers.last += 1;
    let new = providers.last;
    providers.by_handle.insert(new, provider);
    let level = providers.listeners.iter().find(|(id, _)| *id == provider.id).map(|(_, level)| *level);
    drop(providers);
    // SAFETY: the caller's promise.
    unsafe { handle.write(new) };
    if let Some(level) = level {
        provider.tell(EVENT_CONTROL_CODE_ENABLE_PROVIDER, level);
    }
    STATUS_SUCCESS
}

/// Ends a registration.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn EtwUnregister(handle: REGHANDLE) -> NTSTATUS {
    thread::require_irql("EtwUnregister", PASSIVE_LEVEL);
    let removed = PROVIDERS.lock().by_handle.remove(&handle);
    if removed.is_none() {
        verifier::report(rules::HANDLE_INVALID, format!("EtwUnregister of {handle:#x}"));
        return STATUS_INVALID_HANDLE;
    }
    STATUS_SUCCESS
}

/// Writes an event.
///
/// # Safety
/// The descriptor and each piece of data are readable.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn EtwWriteTransfer(
    handle: REGHANDLE,
    descriptor: *const EVENT_DESCRIPTOR,
    _activity: *const GUID,
    _related: *const GUID,
    count: u32,
    data: *const EVENT_DATA_DESCRIPTOR,
) -> NTSTATUS {
    let Some(provider) = PROVIDERS.lock().by_handle.get(&handle).copied() else {
        verifier::report(rules::HANDLE_INVALID, format!("EtwWriteTransfer to {handle:#x}, which is not registered"));
        return STATUS_INVALID_HANDLE;
    };
    // SAFETY: the caller's promise.
    let descriptor = unsafe { descriptor.read() };
    // SAFETY: the caller's promise.
    let pieces = unsafe { std::slice::from_raw_parts(data, count as usize) };
    let bytes = |piece: &EVENT_DATA_DESCRIPTOR| {
        // SAFETY: the caller's promise.
        (piece.Type, unsafe { std::slice::from_raw_parts(piece.Ptr.cast::<u8>(), piece.Size as usize) })
    };
    let pieces: Vec<(u8, &[u8])> = pieces.iter().map(bytes).collect();
    let Some(event) = decode(&descriptor, &pieces) else {
        verifier::report(rules::TRACE_EVENT_MALFORMED, format!("an event of {:?} cannot be decoded", provider.id));
        return STATUS_SUCCESS;
    };
    let listens = |(id, level): &(GUID, u8)| *id == provider.id && (*level == 0 || descriptor.Level <= *level);
    if PROVIDERS.lock().listeners.iter().any(listens) {
        EVENTS.lock().push(event);
    }
    STATUS_SUCCESS
}

/// What a listener makes of an event.
#[expect(non_upper_case_globals, reason = "names are the ones of the public driver documentation")]
fn decode(descriptor: &EVENT_DESCRIPTOR, pieces: &[(u8, &[u8])]) -> Option<TraceEvent> {
    if descriptor.Channel != WINEVENT_CHANNEL_TRACELOGGING {
        return None;
    }
    let [
        (EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA, provider),
        (EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA, event),
        data @ ..,
    ] = pieces
    else {
        return None;
    };
    let (provider, traits) = text(sized(provider)?)?;
    let (name, mut described) = text(sized(event)?.strip_prefix(&[0])?)?;
    if !traits.is_empty() || name.is_empty() {
        return None;
    }
    let mut fields = Vec::new();
    for (kind, bytes) in data {
        let (field, rest) = text(described)?;
        let (&of, rest) = rest.split_first()?;
        described = rest;
        let value = match (of, bytes.len()) {
            (TlgInUINT8, 1) | (TlgInUINT16, 2) | (TlgInUINT32, 4) | (TlgInUINT64, 8) => {
                TraceValue::Number(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            (TlgInANSISTRING, _) => match text(bytes)? {
                (value, []) => TraceValue::Text(value),
                _ => return None,
            },
            _ => return None,
        };
        if *kind != EVENT_DATA_DESCRIPTOR_TYPE_NONE {
            return None;
        }
        fields.push((field, value));
    }
    described.is_empty().then_some(TraceEvent { provider, name, level: descriptor.Level, fields })
}

/// Metadata without its size, which must be right.
fn sized(metadata: &[u8]) -> Option<&[u8]> {
    let (size, rest) = metadata.split_first_chunk::<2>()?;
    (usize::from(u16::from_le_bytes(*size)) == metadata.len()).then_some(rest)
}

/// A string up to its zero, and what follows.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let value = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((value.to_owned(), &bytes[end + 1..]))
}

/// Begins to listen to a provider, registered or not, up to `level`; 0 is all.
pub(crate) fn listen(id: GUID, level: u8) {
    let mut providers = PROVIDERS.lock();
    providers.listeners.retain(|(other, _)| *other != id);
    providers.listeners.push((id, level));
    drop(providers);
    tell(id, EVENT_CONTROL_CODE_ENABLE_PROVIDER, level);
}

/// Ends that.
pub(crate) fn ignore(id: GUID) {
    PROVIDERS.lock().listeners.retain(|(other, _)| *other != id);
    tell(id, EVENT_CONTROL_CODE_DISABLE_PROVIDER, 0);
}

fn tell(id: GUID, code: u32, level: u8) {
    let found: Vec<Provider> =
        PROVIDERS.lock().by_handle.values().filter(|provider| provider.id == id).copied().collect();
    for provider in found {
        provider.tell(code, level);
    }
}

/// The events so far.
pub(crate) fn events() -> Vec<TraceEvent> {
    EVENTS.lock().clone()
}

/// Providers that are registered.
pub(crate) fn registered() -> usize {
    PROVIDERS.lock().by_handle.len()
}

pub(crate) fn reset() {
    let mut providers = PROVIDERS.lock();
    providers.by_handle.clear();
    providers.listeners.clear();
    drop(providers);
    EVENTS.take();
}
