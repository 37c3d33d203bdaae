//! A socket goes away.
//!
//! What it holds is completed before its closure classify returns, or, when another processor is about to do it, before the
//! closure goes on: nobody promises that an operation can be completed later (R32).

use crate::Tollgate;
use gate::{Closing, Closure};
use nt::debug::{self, Level};
use nt::wfp::classify::Classify;

/// Releases what the socket holds.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
pub(super) fn closure(driver: &Tollgate, classify: &mut Classify<'_>) {
    let Some(endpoint) = classify.endpoint().filter(|endpoint| *endpoint != 0) else { return };
    let closing = Closing { endpoint, parent: classify.parent_endpoint() };
    if driver.gate.lock().handle_closure(driver.now(), closing) == Closure::Clear {
        return;
    }
    // Not those of others: a completion may close its socket on this very stack, and a thousand must not nest.
    driver.complete_ready_of(endpoint);
    if driver.gate.lock().is_closing_busy(closing) {
        hold(driver, classify, closing);
    }
}

/// Another processor has an operation of the socket in its hands, or this one has, further up its stack.
fn hold(driver: &Tollgate, classify: &mut Classify<'_>, closing: Closing) {
    match classify.hold_closure() {
        Ok(held) => {
            driver.close_later(closing, held);
            // For what could not be completed here, because too many completions run.
            driver.kick();
        }
        // Nothing here may wait, so the socket closes.
        Err(status) => debug::print(Level::Warning, format_args!("Tollgate: cannot hold a closure: {status:?}")),
    }
}
