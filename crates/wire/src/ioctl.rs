//! The control codes of the device, `METHOD_BUFFERED`, for handles opened for reading and writing.
//!
//! Codes: learn.microsoft.com "Defining I/O Control Codes". Functions from 0x800 are for vendors. `FILE_ANY_ACCESS` is
//! avoided as "Security Issues for I/O Control Codes" asks.

/// Attach to the driver: [`crate::hello::Hello`] in, [`crate::hello::HelloReply`] out.
pub const HELLO: u32 = code(0);
/// Wait for requests: nothing in, a [`crate::batch`] out. Parks while there is none; cancel-safe.
pub const NEXT_REQUESTS: u32 = code(1);
/// Answer requests: [`crate::verdict::AnswersHead`] and answers in, [`crate::verdict::OutcomesHead`] and outcomes out.
pub const SUBMIT_VERDICTS: u32 = code(2);
/// Change fallback, deadline, limits or epoch: [`crate::settings::Settings`] in, nothing out.
pub const CONFIGURE: u32 = code(3);
/// Forget cached verdicts: [`crate::command::ForgetHead`] and a program path in, nothing out.
pub const FORGET: u32 = code(4);
/// Read the counters: nothing in, [`crate::stats::Stats`] out. Needs no attachment.
pub const STATS: u32 = code(5);

const FILE_DEVICE_NETWORK: u32 = 0x12;
const METHOD_BUFFERED: u32 = 0;
const FILE_READ_DATA: u32 = 1;
const FILE_WRITE_DATA: u32 = 2;

const fn code(function: u32) -> u32 {
    FILE_DEVICE_NETWORK << 16 | (FILE_READ_DATA | FILE_WRITE_DATA) << 14 | (0x800 + function) << 2 | METHOD_BUFFERED
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_are_frozen() {
        assert_eq!(super::HELLO, 0x0012_E000);
        assert_eq!(super::STATS, 0x0012_E014);
    }
}
