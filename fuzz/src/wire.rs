//! Bytes from user mode, and batches that a service reads.

use crate::bytes::Bytes;
use wire::batch::{self, BatchError, BatchWriter, MIN_BATCH_BYTES, RequestView};
use wire::command::{Command, HelloCommand};
use wire::ioctl;
use wire::request::MAX_PATH_BYTES;
use wire::verdict::{Answer, MAX_ANSWERS};

const CODES: [u32; 6] =
    [ioctl::HELLO, ioctl::NEXT_REQUESTS, ioctl::SUBMIT_VERDICTS, ioctl::CONFIGURE, ioctl::FORGET, ioctl::STATS];

/// What is parsed is well formed; where it lies in memory makes no difference; a batch that is read can be written again.
///
/// # Panics
/// When one of that does not hold.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let which = bytes.byte();
    let code = CODES.get(usize::from(which)).copied().unwrap_or_else(|| u32::from(bytes.short()));
    let output_len = usize::from(bytes.short()) * 2;
    let input = bytes.take(data.len());
    let command = Command::parse(code, input, output_len);
    let moved = [&[0], input].concat();
    assert_eq!(Command::parse(code, &moved[1..], output_len), command);
    if let Ok(command) = command {
        check(command, input);
    }
    read(input);
}

fn check(command: Command<'_>, input: &[u8]) {
    match command {
        Command::Hello(HelloCommand::Ours(hello)) => {
            assert_eq!(hello.version, wire::VERSION);
            assert!(hello.settings.is_valid());
        }
        Command::Hello(HelloCommand::Other { version }) => assert_ne!(version, wire::VERSION),
        Command::SubmitVerdicts(answers) => {
            assert!((1..=MAX_ANSWERS as usize).contains(&answers.len()));
            let each: Vec<Answer> = answers.iter().collect();
            assert_eq!(each.len(), answers.len());
            for (index, answer) in each.iter().enumerate() {
                assert_eq!(wire::command::Answers::at(input, index), Some(*answer));
            }
        }
        Command::Configure(settings) => assert!(settings.is_valid()),
        Command::ForgetProgram(path) => {
            assert!(path.len().is_multiple_of(2) && (2..=MAX_PATH_BYTES).contains(&path.len()));
        }
        Command::NextRequests | Command::ForgetAll | Command::Stats => {}
    }
}

fn read(bytes: &[u8]) {
    let Ok((head, requests)) = batch::requests(bytes) else { return };
    let Ok(views) = requests.collect::<Result<Vec<RequestView<'_>>, BatchError>>() else { return };
    assert_eq!(views.len(), head.count as usize);
    let mut buffer = vec![0; bytes.len() + MIN_BATCH_BYTES];
    let Some(mut writer) = BatchWriter::new(&mut buffer) else { return };
    // What is read may be longer than what is written: padding is not part of it.
    assert!(views.iter().all(|view| writer.push(view.request, view.path, view.sid)));
    let length = writer.finish(head.dropped_reports);
    let (again, requests) = batch::requests(&buffer[..length]).expect("what was written is read");
    assert_eq!(again, head);
    let same = |(new, old): (RequestView<'_>, RequestView<'_>)| {
        let request = wire::request::Request { size: old.request.size, ..new.request };
        request == old.request && new.path == old.path && new.sid == old.sid
    };
    assert!(requests.map(|view| view.expect("whole")).zip(views).all(same));
}
