//! Asking the emulated engine about one call.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Result};
use std::os::windows::io::AsRawHandle;
use std::ptr;

use lab_sockets::{Answer, DEVICE_PATH, Question, ioctl};
use windows_sys::Win32::Foundation::{GetLastError, SetLastError};
use windows_sys::Win32::System::IO::DeviceIoControl;

use crate::journal;

/// What the engine says to `question`; waits until it has decided. Without an engine the answer is to permit, and the
/// journal has a line about it.
pub fn decide(question: &Question) -> Answer {
    // SAFETY: reads a word of the calling thread's own block.
    let last_error = unsafe { GetLastError() };
    let answer = ask(question).unwrap_or_else(|error| {
        journal::unanswered(question, &error);
        Answer::Permit
    });
    // SAFETY: writes a word of the calling thread's own block.
    unsafe { SetLastError(last_error) };
    answer
}

/// A handle for each question: the thread may be killed while it waits, and closing the handle is what tells the engine.
fn ask(question: &Question) -> Result<Answer> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE_PATH)?;
    let input = question.to_bytes();
    let mut output = [0; Answer::LEN];
    let mut returned = 0;
    // SAFETY: `DeviceIoControl` needs an open handle and buffers of the given lengths that live through the call:
    // 1. `device` is open until the end of this function;
    // 2. both buffers are locals and their own lengths are given (64 and 4 bytes);
    // 3. the handle is synchronous, so nothing is written after the return.
    let done = unsafe {
        DeviceIoControl(
            device.as_raw_handle(),
            ioctl::ASK,
            input.as_ptr().cast(),
            input.len() as u32,
            output.as_mut_ptr().cast(),
            output.len() as u32,
            &raw mut returned,
            ptr::null_mut(),
        )
    };
    if done == 0 {
        return Err(Error::last_os_error());
    }
    Answer::from_bytes(output).ok_or_else(|| ErrorKind::InvalidData.into())
}
