//! The kernel's door for bytes from user mode: everything malformed is refused, everything well formed is understood.

use wire::batch::MIN_BATCH_BYTES;
use wire::command::{Command, Forget, ForgetHead, HelloCommand, ParseError};
use wire::hello::{Hello, HelloReply};
use wire::ioctl;
use wire::request::MAX_PATH_BYTES;
use wire::settings::{Fallback, Settings};
use wire::stats::Stats;
use wire::verdict::{Answer, AnswersHead, MAX_ANSWERS, OutcomesHead, RequestId, Verdict};
use zerocopy::IntoBytes;

const HELLO: Hello = Hello { version: wire::VERSION, reserved: [0; 3], process_id: 42, settings: Settings::INITIAL };
const ANSWER: Answer = Answer::once(RequestId(5), Verdict::PERMIT);

/// The well-formed calls: code, input, output length that is just enough.
fn good_calls() -> Vec<(u32, Vec<u8>, usize)> {
    vec![
        (ioctl::HELLO, HELLO.as_bytes().to_vec(), size_of::<HelloReply>()),
        (ioctl::NEXT_REQUESTS, vec![], MIN_BATCH_BYTES),
        (ioctl::SUBMIT_VERDICTS, answers(2, &[ANSWER; 2]), size_of::<OutcomesHead>() + 2),
        (ioctl::CONFIGURE, Settings::INITIAL.as_bytes().to_vec(), 0),
        (ioctl::FORGET, forget(Forget::ALL, 0, &[]), 0),
        (ioctl::FORGET, forget(Forget::PROGRAM, 4, b"a\0b\0"), 0),
        (ioctl::STATS, vec![], size_of::<Stats>()),
    ]
}

fn answers(count: u32, answers: &[Answer]) -> Vec<u8> {
    [AnswersHead { count, reserved: 0 }.as_bytes(), answers.as_bytes()].concat()
}

fn forget(what: Forget, path_bytes: u32, path: &[u8]) -> Vec<u8> {
    [ForgetHead { what, path_bytes }.as_bytes(), path].concat()
}

#[track_caller]
fn refused(code: u32, input: &[u8], output_len: usize) {
    assert_eq!(Command::parse(code, input, output_len), Err(ParseError::Invalid), "{input:02x?}");
}

#[test]
fn well_formed_calls_are_understood() {
    let calls = good_calls();
    let parsed: Vec<_> =
        calls.iter().map(|(code, input, out)| Command::parse(*code, input, *out).expect("well formed")).collect();
    assert_eq!(parsed[0], Command::Hello(HelloCommand::Ours(HELLO)));
    assert_eq!(parsed[1], Command::NextRequests);
    let Command::SubmitVerdicts(answers) = parsed[2] else { panic!("{:?}", parsed[2]) };
    assert_eq!((answers.len(), answers.is_empty()), (2, false));
    assert_eq!(answers.iter().collect::<Vec<_>>(), [ANSWER; 2]);
    assert_eq!(parsed[3], Command::Configure(Settings::INITIAL));
    assert_eq!(parsed[4], Command::ForgetAll);
    assert_eq!(parsed[5], Command::ForgetProgram(b"a\0b\0"));
    assert_eq!(parsed[6], Command::Stats);
}

#[test]
fn an_input_too_short_or_too_long_is_refused() {
    for (code, input, out) in good_calls() {
        for len in 0..input.len() {
            refused(code, &input[..len], out);
        }
        refused(code, &[input.as_slice(), &[0]].concat(), out);
        refused(code, &[input.as_slice(), &[0; 4096]].concat(), out);
    }
}

#[test]
fn an_output_buffer_too_small_is_told_from_a_bad_input() {
    for (code, input, enough) in good_calls() {
        for out in 0..enough {
            assert_eq!(Command::parse(code, &input, out), Err(ParseError::OutputTooSmall), "{code:#x} {out}");
        }
        assert!(Command::parse(code, &input, enough + 4096).is_ok());
        assert!(Command::parse(code, &input, usize::MAX).is_ok());
    }
}

#[test]
fn an_unknown_control_code_is_refused_whatever_comes_with_it() {
    let ours = good_calls().into_iter().map(|(code, ..)| code).collect::<Vec<_>>();
    // Other functions, methods, access rights and devices.
    let near = ours.iter().flat_map(|code| [code + 1, code + 3, code ^ 0x4000, code ^ 0x8000, code ^ 0x1_0000]);
    for code in near.chain([0, u32::MAX, ioctl::STATS + 4]).filter(|code| !ours.contains(code)) {
        for (_, input, out) in good_calls() {
            assert_eq!(Command::parse(code, &input, out), Err(ParseError::UnknownCode), "{code:#x}");
        }
    }
}

#[test]
fn bytes_need_no_alignment() {
    for (code, input, out) in good_calls() {
        let shifted = [&[0xff], input.as_slice()].concat();
        assert!(Command::parse(code, &shifted[1..], out).is_ok(), "{code:#x}");
    }
}

#[test]
fn a_hello_of_another_version_is_named_whatever_follows() {
    let out = size_of::<HelloReply>();
    for version in [0, wire::VERSION - 1, wire::VERSION + 1, u16::MAX] {
        let other = Hello { version, reserved: [9; 3], ..HELLO };
        let expected = Ok(Command::Hello(HelloCommand::Other { version }));
        assert_eq!(Command::parse(ioctl::HELLO, other.as_bytes(), out), expected);
        assert_eq!(Command::parse(ioctl::HELLO, &version.to_le_bytes(), out), expected, "only the version");
        assert_eq!(Command::parse(ioctl::HELLO, &[other.as_bytes(), &[1; 100]].concat(), out), expected);
    }
    refused(ioctl::HELLO, &[2], out);
}

#[test]
fn a_hello_with_reserved_bits_or_bad_settings_is_refused() {
    let out = size_of::<HelloReply>();
    for reserved in [[1, 0, 0], [0, 1, 0], [0, 0, 1]] {
        refused(ioctl::HELLO, Hello { reserved, ..HELLO }.as_bytes(), out);
    }
    for settings in bad_settings() {
        refused(ioctl::HELLO, Hello { settings, ..HELLO }.as_bytes(), out);
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for settings in bad_settings() {
        refused(ioctl::CONFIGURE, settings.as_bytes(), 0);
    }
}

#[test]
fn settings_at_the_ends_of_their_ranges_are_taken() {
    let least =
        Settings { deadline_ms: 10, max_pended: 1, max_pended_per_process: 1, max_cached: 0, ..Settings::INITIAL };
    let most = Settings {
        fallback_outbound: Fallback::LAST,
        deadline_ms: 600_000,
        max_pended: 131_072,
        max_pended_per_process: 131_072,
        max_cached: 2_097_152,
        epoch: u32::MAX,
        ..Settings::INITIAL
    };
    for settings in [least, most] {
        assert_eq!(Command::parse(ioctl::CONFIGURE, settings.as_bytes(), 0), Ok(Command::Configure(settings)));
    }
}

fn bad_settings() -> impl Iterator<Item = Settings> {
    let good = Settings::INITIAL;
    [
        Settings { fallback_outbound: Fallback(0), ..good },
        Settings { fallback_outbound: Fallback(4), ..good },
        Settings { fallback_inbound: Fallback(0xff), ..good },
        Settings { hold: 0x200, ..good },
        Settings { hold: 0x8000, ..good },
        Settings { max_packet_bytes: 0, ..good },
        Settings { max_packet_bytes: u32::MAX, ..good },
        Settings { deadline_ms: 9, ..good },
        Settings { deadline_ms: 600_001, ..good },
        Settings { max_pended: 0, ..good },
        Settings { max_pended: 131_073, ..good },
        Settings { max_pended_per_process: 0, ..good },
        Settings { max_pended_per_process: good.max_pended + 1, ..good },
        Settings { max_cached: 2_097_153, ..good },
        Settings { max_cached: u32::MAX, ..good },
    ]
    .into_iter()
}

#[test]
fn answers_whose_count_does_not_fit_are_refused() {
    let out = size_of::<OutcomesHead>() + MAX_ANSWERS as usize + 1;
    for count in [0, 1, 3, MAX_ANSWERS, 0x1000_0002, u32::MAX] {
        refused(ioctl::SUBMIT_VERDICTS, &answers(count, &[ANSWER; 2]), out);
    }
    refused(ioctl::SUBMIT_VERDICTS, &answers(0, &[]), out);
    let most = vec![ANSWER; MAX_ANSWERS as usize];
    assert!(Command::parse(ioctl::SUBMIT_VERDICTS, &answers(MAX_ANSWERS, &most), out).is_ok());
    let more = vec![ANSWER; MAX_ANSWERS as usize + 1];
    refused(ioctl::SUBMIT_VERDICTS, &answers(MAX_ANSWERS + 1, &more), out);
}

#[test]
fn answers_with_reserved_bits_in_their_head_are_refused() {
    let input = [AnswersHead { count: 1, reserved: 1 }.as_bytes(), ANSWER.as_bytes()].concat();
    refused(ioctl::SUBMIT_VERDICTS, &input, 4096);
}

/// One bad answer must not take the others with it.
#[test]
fn a_senseless_answer_is_for_the_gate_to_refuse() {
    let bad = Answer { verdict: Verdict(9), ..ANSWER };
    let input = answers(2, &[bad, ANSWER]);
    let Ok(Command::SubmitVerdicts(parsed)) = Command::parse(ioctl::SUBMIT_VERDICTS, &input, 4096) else {
        panic!("refused");
    };
    assert_eq!(parsed.iter().map(|answer| answer.is_valid()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_forget_whose_path_does_not_fit_is_refused() {
    for input in [
        forget(Forget::ALL, 4, b"a\0b\0"),
        forget(Forget::PROGRAM, 0, &[]),
        forget(Forget::PROGRAM, 3, b"a\0b"),
        forget(Forget::PROGRAM, 2, b"a\0b\0"),
        forget(Forget::PROGRAM, 6, b"a\0b\0"),
        forget(Forget::PROGRAM, u32::MAX, b"a\0b\0"),
        forget(Forget::PROGRAM, MAX_PATH_BYTES as u32 + 2, &[1; MAX_PATH_BYTES + 2]),
        forget(Forget(0), 0, &[]),
        forget(Forget(3), 4, b"a\0b\0"),
    ] {
        refused(ioctl::FORGET, &input, 0);
    }
    let longest = forget(Forget::PROGRAM, MAX_PATH_BYTES as u32, &[1; MAX_PATH_BYTES]);
    assert!(Command::parse(ioctl::FORGET, &longest, 0).is_ok());
}

/// Whatever the bytes: an answer, never a panic.
#[test]
fn no_single_changed_byte_surprises() {
    for (code, input, out) in good_calls() {
        for at in 0..input.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut input = input.clone();
                input[at] = value;
                if let Ok(Command::SubmitVerdicts(answers)) = Command::parse(code, &input, out) {
                    assert_eq!(answers.iter().count(), answers.len());
                }
            }
        }
    }
}
