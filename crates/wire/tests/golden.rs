//! The bytes that cross the boundary are frozen: one file per message, version 2.
//!
//! A file here is never edited. When a message changes, the version does, and new files are added. To write files that do
//! not exist yet: `WIRE_GOLDEN=new cargo test -p wire --test golden`.

use std::path::PathBuf;
use wire::batch::BatchWriter;
use wire::command::{Forget, ForgetHead};
use wire::hello::{Capabilities, Hello, HelloOutcome, HelloReply};
use wire::ioctl;
use wire::request::{Address, Because, Direction, FAMILY_V4, FAMILY_V6, Request, RequestFlags};
use wire::settings::{Fallback, Settings};
use wire::stats::{Doors, Stats};
use wire::verdict::{Answer, AnswersHead, Outcome, OutcomesHead, RequestId, Scope, Verdict};
use zerocopy::IntoBytes;

const SETTINGS: Settings = Settings {
    fallback_outbound: Fallback::BLOCK,
    fallback_inbound: Fallback::LAST,
    hold: 0x0125,
    deadline_ms: 0x0001_1170,
    max_pended: 0x0000_1234,
    max_pended_per_process: 0x0000_0123,
    max_cached: 0x0001_5678,
    epoch: 0x89ab_cdef,
    max_packet_bytes: 0x0034_5678,
    max_packet_bytes_per_operation: 0x0002_1436,
};

#[test]
fn control_codes_are_frozen() {
    let codes =
        [ioctl::HELLO, ioctl::NEXT_REQUESTS, ioctl::SUBMIT_VERDICTS, ioctl::CONFIGURE, ioctl::FORGET, ioctl::STATS];
    frozen("control-codes", codes.as_bytes());
}

#[test]
fn settings_are_frozen() {
    frozen("settings", SETTINGS.as_bytes());
}

#[test]
fn hello_is_frozen() {
    let hello = Hello { version: 2, reserved: [0; 3], process_id: 0x0102_0304_0506_0708, settings: SETTINGS };
    frozen("hello", hello.as_bytes());
}

#[test]
fn hello_reply_is_frozen() {
    let reply = HelloReply {
        outcome: HelloOutcome::BUSY,
        driver_version: 2,
        service_version: 0x0203,
        reserved: 0,
        capabilities: Capabilities::all().bits(),
        max_parked: 64,
        attached_process_id: 0x0102_0304_0506_0708,
    };
    frozen("hello-reply", reply.as_bytes());
}

#[test]
fn a_batch_is_frozen() {
    let held = Request {
        flags: (RequestFlags::HELD | RequestFlags::PATH_TRUNCATED).bits(),
        id: RequestId(0x1122_3344_5566_7788),
        process_id: 4242,
        process_start_key: 0x0001_0000_0000_00aa,
        program: 0xdead_beef_0bad_cafe,
        interface_luid: 0x0006_0080_0100_0000,
        interface_index: 3,
        compartment: 1,
        waited_ms: 30,
        deadline_ms: 19_970,
        local_port: 50_000,
        remote_port: 443,
        local: Address::v4([10, 0, 0, 2]),
        remote: Address::v4([1, 1, 1, 1]),
        family: FAMILY_V4,
        direction: Direction::OUTBOUND,
        protocol: 6,
        ..Request::default()
    };
    let report = Request {
        flags: RequestFlags::LOOPBACK.bits(),
        remote_scope: 9,
        local_port: 5353,
        remote_port: 53,
        local: Address::v6(*b"\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"),
        remote: Address::v6(*b"\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
        family: FAMILY_V6,
        direction: Direction::INBOUND,
        protocol: 17,
        verdict: Verdict::BLOCK,
        because: Because::FALLBACK,
        ..Request::default()
    };
    let path: Vec<u8> = "\\a.exe".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut buffer = vec![0xee; 4096];
    let mut batch = BatchWriter::new(&mut buffer).expect("large enough");
    assert!(batch.push(held, &path, &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]));
    assert!(batch.push(report, &[], &[]));
    let used = batch.finish(7);
    frozen("batch", &buffer[..used]);
}

#[test]
fn answers_are_frozen() {
    let head = AnswersHead { count: 2, reserved: 0 };
    let first = Answer::once(RequestId(0x1122_3344_5566_7788), Verdict::PERMIT);
    let second =
        Answer { scope: Scope::PROGRAM, lifetime_ms: 0x0102_0304, ..Answer::once(RequestId(2), Verdict::BLOCK) };
    frozen("answers", &[head.as_bytes(), first.as_bytes(), second.as_bytes()].concat());
}

#[test]
fn outcomes_are_frozen() {
    let head = OutcomesHead { count: 3, accepted: 1 };
    let outcomes = [Outcome::ACCEPTED, Outcome::STALE, Outcome::MALFORMED];
    frozen("outcomes", &[head.as_bytes(), outcomes.as_bytes()].concat());
}

#[test]
fn forget_is_frozen() {
    let all = ForgetHead { what: Forget::ALL, path_bytes: 0 };
    let program = ForgetHead { what: Forget::PROGRAM, path_bytes: 4 };
    frozen("forget", &[all.as_bytes(), program.as_bytes(), b"a\0b\0"].concat());
}

#[test]
fn stats_are_frozen() {
    let stats = Stats {
        version: 2,
        attached: 1,
        filtering: 1,
        pended: 2,
        oldest_ms: 3,
        queued: 4,
        cached: 5,
        epoch: 6,
        kept_packets: 28,
        kept_bytes: 29,
        attached_process_id: 7,
        classified: 8,
        cache_permitted: 9,
        cache_blocked: 10,
        exempted: 11,
        fell_back: 12,
        limited: 13,
        held: 14,
        doors: Doors { verdict: 15, deadline: 16, closure: 17, detach: 18, unload: 19, pend_failed: 20 },
        claimed: 21,
        unclaimed: 22,
        foreign_reauthorized: 23,
        orphaned: 24,
        without_right: 25,
        stale_answers: 26,
        dropped_reports: 27,
        packets_kept: 30,
        packets_released: 31,
        packets_dropped: 32,
        packets_refused: 33,
        inject_failed: 34,
        closures_held: 35,
        live_asked: 36,
        rechecked: 37,
    };
    frozen("stats", stats.as_bytes());
}

#[track_caller]
fn frozen(name: &str, bytes: &[u8]) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", &format!("{name}-v2.bin")].iter().collect();
    if !path.exists() && std::env::var_os("WIRE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).expect("the golden file can be written");
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(bytes, golden, "{name} has changed: so must the version");
}
