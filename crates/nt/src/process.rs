//! Processes: which one an id means.

use core::ptr::{null_mut, without_provenance_mut};
use nt_sys::io::IoGetCurrentProcess;
use nt_sys::ob::ObfDereferenceObject;
use nt_sys::ps::{EPROCESS, PsGetProcessId, PsGetProcessStartKey, PsLookupProcessByProcessId};

/// The start key of the calling thread's process, if that is process `id`.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
#[doc(alias = "PsGetProcessStartKey")]
pub fn current_start_key(id: u64) -> Option<u64> {
    // SAFETY: no precondition; the current process outlives this call.
    let process = unsafe { IoGetCurrentProcess() };
    // SAFETY: as above.
    let current = unsafe { PsGetProcessId(process) }.addr() as u64;
    // SAFETY: as above.
    (current == id).then(|| unsafe { PsGetProcessStartKey(process) })
}

/// The start key of process `id`, or `None` when there is no such process any more.
///
/// # IRQL
/// `<= APC_LEVEL`.
#[doc(alias = "PsLookupProcessByProcessId")]
pub fn start_key(id: u64) -> Option<u64> {
    let mut process: *mut EPROCESS = null_mut();
    let id = usize::try_from(id).ok()?;
    // SAFETY: the result is valid for a write; ids are numbers in the shape of handles.
    let status = unsafe { PsLookupProcessByProcessId(without_provenance_mut(id), &raw mut process) };
    if status < 0 {
        return None;
    }
    // SAFETY: the lookup referenced the process.
    let key = unsafe { PsGetProcessStartKey(process) };
    // SAFETY: gives back the reference of the lookup, once.
    unsafe { ObfDereferenceObject(process.cast()) };
    Some(key)
}
