//! The service's side: control requests on the device.
//!
//! Bytes from user mode are parsed once, by `wire`; a malformed request changes nothing.

use crate::Tollgate;
use nt::irp::{Answered, FileId, Irp};
use nt::status::{Result, Status};
use wire::command::{Answers, Command, HelloCommand, ParseError};
use wire::hello::{Capabilities, Hello, HelloOutcome, HelloReply};
use wire::verdict::{Outcome, OutcomesHead};
use zerocopy::IntoBytes;

/// How many `NEXT_REQUESTS` calls may be parked.
pub(crate) const MAX_PARKED: usize = 64;

/// Answers or parks one control request.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn device_control(driver: &Tollgate, mut irp: Irp) -> Answered {
    let (code, file, process_id) = (irp.control_code(), irp.file(), irp.process_id());
    let mut buffer = irp.buffer();
    let result = match Command::parse(code, buffer.input(), buffer.output_len()) {
        Err(error) => Err(status_of(error)),
        Ok(Command::Hello(hello)) => {
            attach(driver, file, process_id, hello).map(|reply| put(buffer.output(), reply.as_bytes()))
        }
        Ok(Command::Stats) => Ok(put(buffer.output(), driver.stats().as_bytes())),
        Ok(_) if !driver.gate.lock().is_attached(token(file)) => Err(Status::INVALID_DEVICE_STATE),
        Ok(Command::NextRequests) => return next_requests(driver, irp, file),
        Ok(Command::SubmitVerdicts(answers)) => {
            let count = answers.len();
            Ok(submit(driver, file, count, buffer.whole()))
        }
        Ok(Command::Configure(settings)) => driver.configure(token(file), settings).map(|()| 0),
        Ok(Command::ForgetAll) => {
            driver.gate.lock().forget_all();
            Ok(0)
        }
        Ok(Command::ForgetProgram(path)) => {
            driver.gate.lock().forget_program(path);
            Ok(0)
        }
    };
    irp.complete(result)
}

/// The last handle of a file is closed: whatever it held is released by the fallback, at once.
pub(crate) fn cleanup(driver: &Tollgate, file: FileId) {
    driver.gate.lock().detach(driver.now(), token(file));
    cancel_parked(driver, file);
    driver.complete_ready();
    driver.tell_events();
}

fn cancel_parked(driver: &Tollgate, file: FileId) {
    while let Some(irp) = driver.parked.take_of(file) {
        let _ = irp.complete(Err(Status::CANCELLED));
    }
}

fn next_requests(driver: &Tollgate, irp: Irp, file: FileId) -> Answered {
    let answered = driver.parked.park(irp, MAX_PARKED);
    driver.deliver();
    cancel_if_detached(driver, file);
    answered
}

/// For calls that came into the queue while a cleanup ran, which may not have seen them.
pub(crate) fn cancel_if_detached(driver: &Tollgate, file: FileId) {
    if !driver.gate.lock().is_attached(token(file)) {
        cancel_parked(driver, file);
    }
}

/// Decides the operations that the answers name, then completes them. Answers and outcomes share the memory: outcome `i`
/// lies at byte `8 + i`, answer `i` at `8 + 16 * i`, so an outcome never overwrites an answer that was not read yet.
fn submit(driver: &Tollgate, file: FileId, count: usize, bytes: &mut [u8]) -> usize {
    let head_len = size_of::<OutcomesHead>();
    let mut accepted = 0;
    for index in 0..count {
        let Some(answer) = Answers::at(bytes, index) else { break };
        let outcome = driver.gate.lock().handle_answer(driver.now(), token(file), &answer);
        accepted += u32::from(outcome == Outcome::ACCEPTED);
        if let Some(place) = bytes.get_mut(head_len + index) {
            *place = outcome.0;
        }
    }
    driver.complete_ready();
    driver.look_at_live_flows();
    let head = OutcomesHead { count: u32::try_from(count).unwrap_or(u32::MAX), accepted };
    put(bytes, head.as_bytes()) + count
}

fn attach(driver: &Tollgate, file: FileId, process_id: u64, hello: HelloCommand) -> Result<HelloReply> {
    let mut reply = HelloReply {
        outcome: HelloOutcome::VERSION_MISMATCH,
        driver_version: wire::VERSION,
        service_version: 0,
        reserved: 0,
        capabilities: Capabilities::all().bits(),
        max_parked: MAX_PARKED as u32,
        attached_process_id: 0,
    };
    match hello {
        HelloCommand::Other { version } => reply.service_version = version,
        HelloCommand::Ours(Hello { version, process_id: claimed, settings, .. }) => {
            if claimed != process_id {
                return Err(Status::INVALID_PARAMETER);
            }
            reply.service_version = version;
            (reply.outcome, reply.attached_process_id) = match driver.attach(token(file), process_id, settings)? {
                Ok(()) => (HelloOutcome::ATTACHED, process_id),
                Err(busy) => (HelloOutcome::BUSY, busy.process_id),
            };
        }
    }
    Ok(reply)
}

/// The name of a handle towards the gate.
fn token(file: FileId) -> u64 {
    file.number()
}

fn put(output: &mut [u8], answer: &[u8]) -> usize {
    let Some(place) = output.get_mut(..answer.len()) else { return 0 };
    place.copy_from_slice(answer);
    answer.len()
}

fn status_of(error: ParseError) -> Status {
    match error {
        ParseError::UnknownCode => Status::INVALID_DEVICE_REQUEST,
        ParseError::Invalid => Status::INVALID_PARAMETER,
        ParseError::OutputTooSmall => Status::BUFFER_TOO_SMALL,
    }
}
