//! What the lab's device answers to a person: its state, and orders to the engine.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::windows::io::AsRawHandle;
use std::process::ExitCode;
use std::ptr;

use lab_sockets::{DEVICE_PATH, ioctl};
use windows_sys::Win32::System::IO::DeviceIoControl;

use crate::run::Outcome;

/// More than the state of a lab with hundreds of filters.
const SNAPSHOT_LEN: usize = 4 << 20;

/// Prints the state of engine and kernel.
pub fn print_snapshot() -> Outcome {
    let json = call(ioctl::SNAPSHOT, &[], SNAPSHOT_LEN)?;
    io::stdout().write_all(&json)?;
    Ok(ExitCode::SUCCESS)
}

/// Orders the engine to do what `word` says.
pub fn control(word: &[u8]) -> Outcome {
    call(ioctl::CONTROL, word, 0)?;
    Ok(ExitCode::SUCCESS)
}

fn call(code: u32, input: &[u8], output_len: usize) -> io::Result<Vec<u8>> {
    let device: File = OpenOptions::new().read(true).write(true).open(DEVICE_PATH)?;
    let mut output = vec![0; output_len];
    let mut returned = 0;
    // SAFETY: an open, synchronous handle and two buffers with their own lengths, alive through the call.
    let done = unsafe {
        DeviceIoControl(
            device.as_raw_handle(),
            code,
            input.as_ptr().cast(),
            input.len() as u32,
            output.as_mut_ptr().cast(),
            output.len() as u32,
            &raw mut returned,
            ptr::null_mut(),
        )
    };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    output.truncate(returned as usize);
    Ok(output)
}
