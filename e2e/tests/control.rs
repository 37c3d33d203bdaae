//! The device: who may open it, and what becomes of calls that make no sense.

use e2e::{Connect, Machine, Options, Outcome, Request, Service, every_setting, read_batch};
use nt_sim::{ProcessSpec, User};
use nt_sys::se::{GENERIC_READ, GENERIC_WRITE};
use nt_sys::status::{
    STATUS_ACCESS_DENIED, STATUS_BUFFER_TOO_SMALL, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_INVALID, STATUS_QUOTA_EXCEEDED,
    STATUS_SUCCESS,
};
use nt_sys::types::NTSTATUS;
use wire::batch::MIN_BATCH_BYTES;
use wire::command::{Forget, ForgetHead};
use wire::hello::{Hello, HelloReply};
use wire::ioctl;
use wire::request::MAX_PATH_BYTES;
use wire::settings::{Fallback, Settings};
use wire::stats::Stats;
use wire::verdict::{Answer, AnswersHead, MAX_ANSWERS, Outcome as Fate, OutcomesHead, RequestId, Scope, Verdict};
use zerocopy::IntoBytes;

const BOTH: u32 = GENERIC_READ | GENERIC_WRITE;

/// A machine with one held connection, so that there is something that a bad call could change.
fn with_one_held(options: Options, story: impl FnOnce(&Machine, &Service, &Connect, &Request)) {
    let machine = Machine::with_driver(options);
    let service = machine.service(Settings::INITIAL);
    let program = machine.program("node.exe");
    let (connect, request) = machine.hold(&program, &service, "192.0.2.1:443");
    story(&machine, &service, &connect, &request);
    machine.settle();
    assert_eq!(connect.outcome(), Outcome::Pending);
    assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
    machine.settle();
    assert_eq!(connect.outcome(), Outcome::Connected);
}

/// Makes a call that must fail with `status` and change nothing.
fn refused(service: &Service, what: &str, status: NTSTATUS, code: u32, input: &[u8], output_len: usize) {
    let before = service.stats();
    let (got, output) = service.call(code, input, output_len);
    assert_eq!((got, output.len()), (status, 0), "{what}");
    assert_eq!(service.stats(), before, "{what} changes nothing");
}

fn hello(service: &Service) -> Hello {
    Hello { version: wire::VERSION, reserved: [0; 3], process_id: service.pid(), settings: Settings::INITIAL }
}

fn answers(count: u32, reserved: u32, answers: &[Answer]) -> Vec<u8> {
    [AnswersHead { count, reserved }.as_bytes(), answers.as_bytes()].concat()
}

fn forget(what: u32, path_bytes: u32, path: &[u8]) -> Vec<u8> {
    [ForgetHead { what: Forget(what), path_bytes }.as_bytes(), path].concat()
}

/// Each field of the settings out of its range.
fn bad_settings() -> [Settings; 10] {
    let good = Settings::INITIAL;
    [
        Settings { fallback_outbound: Fallback(0), ..good },
        Settings { fallback_inbound: Fallback(4), ..good },
        Settings { hold: 0x200, ..good },
        Settings { deadline_ms: 9, ..good },
        Settings { deadline_ms: 600_001, ..good },
        Settings { max_pended: 0, max_pended_per_process: 0, ..good },
        Settings { max_pended: u32::MAX, ..good },
        Settings { max_pended_per_process: 0, ..good },
        Settings { max_pended_per_process: good.max_pended + 1, ..good },
        Settings { max_cached: (1 << 21) + 1, ..good },
    ]
}

/// D22, learn.microsoft.com "Controlling Device Access", "SDDL for Device Objects".
#[test]
fn the_device_belongs_to_system_and_administrators() {
    let machine = Machine::with_driver(Options::default());
    let sddl = machine.kernel().device_sddl(r"\Device\Tollgate").expect("the device has a list");
    assert!(["D:P(A;;FA;;;SY)(A;;FA;;;BA)", "D:P(A;;GA;;;SY)(A;;GA;;;BA)"].contains(&sddl.as_str()), "{sddl}");
    for (user, opened) in [(User::System, true), (User::Administrator, true), (User::Standard, false)] {
        let process = machine.kernel().process(ProcessSpec::new("any.exe").user(user));
        for access in [GENERIC_READ, GENERIC_WRITE, BOTH] {
            let file = machine.kernel().open(&process, wire::DEVICE_PATH, access);
            assert_eq!(file.as_ref().err(), if opened { None } else { Some(&STATUS_ACCESS_DENIED) }, "{user:?}");
        }
    }
}

/// D22, learn.microsoft.com "Controlling Device Namespace Access".
#[test]
fn no_name_below_the_device_can_be_opened() {
    let machine = Machine::with_driver(Options::default());
    for user in [User::Administrator, User::Standard] {
        let process = machine.kernel().process(ProcessSpec::new("any.exe").user(user));
        for name in [r"\\.\Tollgate\", r"\\.\Tollgate\x", r"\\.\Tollgate\..\Tollgate"] {
            let status = machine.kernel().open(&process, name, BOTH).err();
            let expected = if user == User::Standard { STATUS_ACCESS_DENIED } else { STATUS_OBJECT_NAME_INVALID };
            assert_eq!(status, Some(expected), "{name}");
        }
    }
}

/// D22, learn.microsoft.com "Security Issues for I/O Control Codes": every code asks for both rights.
#[test]
fn a_handle_that_may_only_read_or_only_write_can_do_nothing() {
    let machine = Machine::with_driver(Options::default());
    let process = machine.kernel().process(ProcessSpec::new("any.exe"));
    for access in [GENERIC_READ, GENERIC_WRITE] {
        let file = machine.kernel().open(&process, wire::DEVICE_PATH, access).unwrap();
        for code in
            [ioctl::HELLO, ioctl::NEXT_REQUESTS, ioctl::SUBMIT_VERDICTS, ioctl::CONFIGURE, ioctl::FORGET, ioctl::STATS]
        {
            let result = process.enter(|| file.ioctl(code, &[], 4096).result());
            assert_eq!(result, Some((STATUS_ACCESS_DENIED, vec![])));
        }
    }
}

/// D22, learn.microsoft.com "Defining I/O Control Codes".
#[test]
fn unknown_codes_are_refused() {
    every_setting(|options| {
        with_one_held(options, |_, service, _, _| {
            const METHOD_OUT_DIRECT: u32 = 2;
            const METHOD_NEITHER: u32 = 3;
            for code in
                [0, ioctl::STATS + 4, ioctl::HELLO - 4, ioctl::HELLO | METHOD_OUT_DIRECT, ioctl::HELLO | METHOD_NEITHER]
            {
                refused(service, "the code", STATUS_INVALID_DEVICE_REQUEST, code, &[0; 64], 64);
            }
        });
    });
}

/// D22.
#[test]
fn malformed_greetings_are_refused() {
    every_setting(|options| {
        with_one_held(options, |_, service, _, _| {
            let good = hello(service);
            let mut long = good.as_bytes().to_vec();
            long.push(0);
            let reply = size_of::<HelloReply>();
            let bad = |what: &str, input: &[u8]| {
                refused(service, what, STATUS_INVALID_PARAMETER, ioctl::HELLO, input, reply);
            };
            for len in [0, 1, 2, 8, 39] {
                bad("a short greeting", &good.as_bytes()[..len]);
            }
            bad("a long greeting", &long);
            bad("a reserved field", Hello { reserved: [0, 0, 1], ..good }.as_bytes());
            bad("another's process id", Hello { process_id: good.process_id + 1, ..good }.as_bytes());
            for settings in bad_settings() {
                bad("bad settings", Hello { settings, ..good }.as_bytes());
            }
            for len in [0, reply - 1] {
                refused(service, "no room", STATUS_BUFFER_TOO_SMALL, ioctl::HELLO, good.as_bytes(), len);
            }
        });
    });
}

/// D15, D22.
#[test]
fn malformed_batches_of_answers_are_refused() {
    every_setting(|options| {
        with_one_held(options, |_, service, _, request| {
            let answer = Answer::once(request.id(), Verdict::BLOCK);
            let room = size_of::<OutcomesHead>() + 1;
            let bad = |what: &str, input: &[u8]| {
                refused(service, what, STATUS_INVALID_PARAMETER, ioctl::SUBMIT_VERDICTS, input, 4096);
            };
            for len in [0, 1, 7, 8, 23] {
                bad("a short batch", &answers(1, 0, &[answer])[..len]);
            }
            bad("a long batch", &answers(1, 0, &[answer, answer]));
            bad("an empty batch", &answers(0, 0, &[]));
            bad("none with one behind", &answers(0, 0, &[answer]));
            bad("a reserved field", &answers(1, 1, &[answer]));
            bad("too many", &answers(MAX_ANSWERS + 1, 0, &vec![answer; MAX_ANSWERS as usize + 1]));
            for count in [1 << 28, (1 << 28) + 1, u32::MAX] {
                bad("a count that overflows", &answers(count, 0, &[answer]));
            }
            for len in [0, room - 1] {
                let input = answers(1, 0, &[answer]);
                refused(service, "no room", STATUS_BUFFER_TOO_SMALL, ioctl::SUBMIT_VERDICTS, &input, len);
            }
        });
    });
}

/// D22.
#[test]
fn other_malformed_calls_are_refused() {
    every_setting(|options| {
        with_one_held(options, |_, service, _, _| {
            let bad = |what: &str, code: u32, input: &[u8]| {
                refused(service, what, STATUS_INVALID_PARAMETER, code, input, 4096);
            };
            bad("input of NEXT_REQUESTS", ioctl::NEXT_REQUESTS, &[0]);
            bad("input of STATS", ioctl::STATS, &[0]);
            for len in [0, 1, 23, 25] {
                bad(
                    "settings of another size",
                    ioctl::CONFIGURE,
                    &[Settings::INITIAL.as_bytes(), &[0]].concat()[..len],
                );
            }
            for settings in bad_settings() {
                bad("bad settings", ioctl::CONFIGURE, settings.as_bytes());
            }
            for len in [0, 7] {
                bad("a short head", ioctl::FORGET, &forget(1, 0, &[])[..len]);
            }
            bad("an unknown FORGET", ioctl::FORGET, &forget(0, 0, &[]));
            bad("an unknown FORGET", ioctl::FORGET, &forget(3, 2, b"a\0"));
            bad("a path for all", ioctl::FORGET, &forget(1, 2, b"a\0"));
            bad("no path", ioctl::FORGET, &forget(2, 0, &[]));
            bad("half a character", ioctl::FORGET, &forget(2, 3, b"a\0b"));
            bad("less than it says", ioctl::FORGET, &forget(2, 4, b"a\0"));
            bad("more than it says", ioctl::FORGET, &forget(2, 2, b"a\0b\0"));
            bad("a length that overflows", ioctl::FORGET, &forget(2, u32::MAX, b"a\0"));
            let long = vec![0; MAX_PATH_BYTES + 2];
            bad("a long path", ioctl::FORGET, &forget(2, long.len() as u32, &long));
            let small = STATUS_BUFFER_TOO_SMALL;
            refused(service, "no room", small, ioctl::NEXT_REQUESTS, &[], MIN_BATCH_BYTES - 1);
            refused(service, "no room", small, ioctl::STATS, &[], size_of::<Stats>() - 1);
        });
    });
}

/// D15: each answer of a batch has an outcome of its own, and a bad one spoils no other.
#[test]
fn answers_that_are_late_twice_or_senseless_are_told_apart() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, "192.0.2.1:443");
        let (other, second) = machine.hold(&program, &service, "192.0.2.2:443");
        let good = Answer::once(request.id(), Verdict::PERMIT);
        let id = request.id().0;
        let outcomes = service.submit(&[
            Answer { verdict: Verdict(0), ..good },
            Answer { verdict: Verdict(3), ..good },
            Answer { scope: Scope(3), ..good },
            Answer { reserved: 1, ..good },
            Answer { request: RequestId(0), ..good },
            Answer { request: RequestId(id ^ 1 << 63), ..good },
            Answer { request: RequestId(u64::MAX), ..good },
            good,
            good,
            Answer { verdict: Verdict::BLOCK, ..good },
            Answer::once(second.id(), Verdict::BLOCK),
        ]);
        let (bad, late, ok) = (Fate::MALFORMED, Fate::STALE, Fate::ACCEPTED);
        assert_eq!(outcomes, [bad, bad, bad, bad, late, late, late, ok, late, late, ok]);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Connected);
        assert_eq!(other.outcome(), Outcome::Refused(e2e::WSAEACCES));
        let stats = service.stats();
        assert_eq!((stats.doors.verdict, stats.stale_answers), (2, 5));
    });
}

/// D15, D22: only the attached handle speaks for the service; even another handle of the same process does not.
#[test]
fn a_handle_that_is_not_attached_can_only_ask_for_the_counters() {
    every_setting(|options| {
        with_one_held(options, |machine, service, _, request| {
            let second = machine.kernel().open(service.process(), wire::DEVICE_PATH, BOTH).unwrap();
            let stranger = machine.client();
            let before = service.stats();
            let batch = answers(1, 0, &[Answer::once(request.id(), Verdict::BLOCK)]);
            for (code, input) in [
                (ioctl::NEXT_REQUESTS, &[][..]),
                (ioctl::SUBMIT_VERDICTS, &batch),
                (ioctl::CONFIGURE, Settings { epoch: 9, ..Settings::INITIAL }.as_bytes()),
                (ioctl::FORGET, &forget(1, 0, &[])),
            ] {
                let refused = Some((STATUS_INVALID_DEVICE_STATE, vec![]));
                let room = 2 * MIN_BATCH_BYTES;
                assert_eq!(service.process().enter(|| second.ioctl(code, input, room).result()), refused);
                assert_eq!(stranger.ioctl(code, input, room).result(), refused);
            }
            assert_eq!(stranger.stats(), before);
            second.close();
            stranger.close();
            assert_eq!(service.stats(), before);
        });
    });
}

/// D21, learn.microsoft.com "Cancel-Safe IRP Queues".
#[test]
fn a_parked_call_that_is_cancelled_comes_back_once_and_loses_no_request() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let calls = [service.park(), service.park(), service.park()];
        assert!(calls[1].cancel() && calls[0].cancel());
        for call in &calls[..2] {
            assert_eq!(call.result(), Some((STATUS_CANCELLED, vec![])));
            assert!(!call.cancel(), "there is nothing left to cancel");
        }
        let _connect = machine.connect(&program, "192.0.2.1:443");
        assert_eq!(read_batch(&calls[2]).len(), 1, "the request went to the one that is left");
        assert!(!calls[2].cancel(), "it is answered");
        assert_eq!(calls[2].result().unwrap().0, STATUS_SUCCESS);
    });
}

/// D20, D22: how many calls may wait is bounded.
#[test]
fn a_call_too_many_is_not_parked() {
    let machine = Machine::with_driver(Options::default());
    let client = machine.client();
    let reply = client.hello(wire::VERSION, Settings::INITIAL).1.unwrap();
    let calls: Vec<_> = (0..reply.max_parked).map(|_| client.park()).collect();
    assert!(calls.iter().all(|call| call.is_pending()));
    assert_eq!(client.park().result(), Some((STATUS_QUOTA_EXCEEDED, vec![])));
    calls[5].cancel();
    assert!(client.park().is_pending(), "there is room again");
}
