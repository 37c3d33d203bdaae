//! Event tracing. Cites learn.microsoft.com "EtwRegister", "EtwWriteTransfer", "EtwUnregister".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ptr::{null, null_mut};

use nt_sim::{Kernel, TraceValue, bugcheck_of, on_dispatch, rules};
use nt_sys::etw::*;
use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::GUID;
use sample::boot;

const ID: GUID = GUID::from_u128(7);
const PROVIDER: &[u8] = b"\x09\0Sample\0";

fn register() -> REGHANDLE {
    let mut handle = 0;
    // SAFETY: valid arguments; no callback.
    assert_eq!(unsafe { EtwRegister(&ID, None, null_mut(), &mut handle) }, STATUS_SUCCESS);
    handle
}

fn unregister(handle: REGHANDLE) {
    // SAFETY: at worst breaks the rule that a test is about, which the kernel reports.
    unsafe { EtwUnregister(handle) };
}

fn write(handle: REGHANDLE, event: &[u8], data: &[&[u8]]) {
    let descriptor = EVENT_DESCRIPTOR {
        Id: 0,
        Version: 0,
        Channel: WINEVENT_CHANNEL_TRACELOGGING,
        Level: 4,
        Opcode: 0,
        Task: 0,
        Keyword: 0,
    };
    let piece = |bytes: &[u8], kind| EVENT_DATA_DESCRIPTOR {
        Ptr: bytes.as_ptr().cast(),
        Size: bytes.len() as u32,
        Type: kind,
        Reserved1: 0,
        Reserved2: 0,
    };
    let mut pieces = vec![
        piece(PROVIDER, EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA),
        piece(event, EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA),
    ];
    pieces.extend(data.iter().map(|bytes| piece(bytes, EVENT_DATA_DESCRIPTOR_TYPE_NONE)));
    // SAFETY: everything is valid for the call.
    unsafe { EtwWriteTransfer(handle, &descriptor, null(), null(), pieces.len() as u32, pieces.as_ptr()) };
}

/// One 16-bit number, `N`.
const EVENT: &[u8] = b"\x0a\0\0Hit\0N\0\x06";

fn listening() -> (Kernel, REGHANDLE) {
    let kernel = boot();
    kernel.listen(ID, 0);
    (kernel, register())
}

#[test]
fn an_event_is_decoded_as_a_listener_would() {
    let (kernel, handle) = listening();
    on_dispatch(|| write(handle, EVENT, &[&[1, 2]]));
    let events = kernel.trace_events();
    assert_eq!((events[0].provider.as_str(), events[0].name.as_str(), events[0].level), ("Sample", "Hit", 4));
    assert_eq!(events[0].fields, [("N".to_owned(), TraceValue::Number(0x0201))]);
    unregister(handle);
    kernel.shutdown();
}

#[test]
fn an_event_that_is_not_what_it_says_is_reported() {
    let cases: [(&[u8], &[&[u8]]); 5] = [
        (EVENT, &[]),
        (EVENT, &[&[1]]),
        (EVENT, &[&[1, 2], &[3, 4]]),
        (b"\x09\0\0Hit\0N\0\x06", &[&[1, 2]]),
        (b"\x0a\0\0Hit\0N\0\x63", &[&[1, 2]]),
    ];
    for (event, data) in cases {
        let (_kernel, handle) = listening();
        assert!(bugcheck_of(|| write(handle, event, data)).is(rules::TRACE_EVENT_MALFORMED), "{event:?} {data:?}");
    }
}

#[test]
fn a_provider_that_is_gone_writes_no_events() {
    let (_kernel, handle) = listening();
    unregister(handle);
    assert!(bugcheck_of(|| write(handle, EVENT, &[&[1, 2]])).is(rules::HANDLE_INVALID));
}

#[test]
fn a_provider_is_unregistered_once() {
    let (_kernel, handle) = listening();
    unregister(handle);
    assert!(bugcheck_of(|| unregister(handle)).is(rules::HANDLE_INVALID));
}

#[test]
fn a_provider_that_is_left_is_reported_at_shutdown() {
    let (kernel, _handle) = listening();
    let violation = bugcheck_of(|| kernel.shutdown());
    assert!(violation.is(rules::UNLOADED_WITH_PENDING));
    assert!(violation.message.contains("1 registered event providers"), "{violation}");
}
