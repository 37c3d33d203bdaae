//! Processes: which one an id means.

use core::ptr::{null_mut, without_provenance_mut};
use nt_sys::ob::ObfDereferenceObject;
use nt_sys::ps::{EPROCESS, PsGetProcessStartKey, PsLookupProcessByProcessId};

/// The start key of process `id`, or `None` when there is no such process any more. Unlike an id, a start key is never
/// used again (R35).
///
/// # IRQL
/// `<= APC_LEVEL`.
#[doc(alias = "PsLookupProcessByProcessId")]
#[doc(alias = "PsGetProcessStartKey")]
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
