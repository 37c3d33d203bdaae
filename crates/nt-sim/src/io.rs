//! `Io*`: the I/O manager.

mod cancel;
pub(crate) mod device;
pub(crate) mod driver;
mod file;
mod irp;
mod link;
pub(crate) mod work;

use nt_sys::io::IRP;
use nt_sys::ps::EPROCESS;
use nt_sys::types::DISPATCH_LEVEL;

pub use driver::Driver;
pub use file::{File, Io};
pub(crate) use file::{cancel_all_of, close_all_of};
pub use work::defer;

use crate::{ps, thread};

/// Process of the calling thread.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoGetCurrentProcess() -> *mut EPROCESS {
    ps::current()
}

/// Process that made a request.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoGetRequestorProcess(irp: *mut IRP) -> *mut EPROCESS {
    thread::require_irql("IoGetRequestorProcess", DISPATCH_LEVEL);
    irp::requestor("IoGetRequestorProcess", irp)
}

/// What still exists of what drivers made, one line each.
pub(crate) fn leftovers() -> Vec<String> {
    [device::leftovers(), link::leftovers(), irp::leftovers(), work::leftovers(), file::leftovers()].concat()
}

pub(crate) fn reset() {
    irp::reset();
    work::reset();
    file::reset();
    link::reset();
    device::reset();
    driver::reset();
    cancel::reset();
}
