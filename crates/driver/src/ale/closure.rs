//! A socket goes away.
//!
//! What it holds is completed before its closure classify returns: nobody promises that an operation can be completed
//! later (R32).

use crate::Tollgate;
use nt::wfp::classify::Classify;

/// Releases what the socket holds.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
pub(super) fn closure(driver: &Tollgate, classify: &Classify<'_>) {
    if let Some(endpoint) = classify.endpoint() {
        driver.gate.lock().handle_closure(driver.now(), endpoint);
        // Not those of others: a completion may close its socket on this very stack, and a thousand must not nest.
        driver.complete_ready_of(endpoint);
    }
}
