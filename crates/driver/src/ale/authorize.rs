//! Authorizing: the first classify of a connection, and each reauthorization of it: ours, when a held operation was
//! completed, and everybody else's.
//!
//! Invariants: what is pended has its record already (R3); a reauthorization is never pended; a flow of which nothing is
//! known is left alone (R11). Neighbours: `gate` decides; `flow` is what it hears.

use super::flow::flow;
use crate::Tollgate;
use gate::{Ability, Action, Flow, Reauthorized};
use nt::debug::{self, Level};
use nt::wfp::classify::Classify;
use nt::wfp::connect::{AuthConnect, TCP};
use wire::verdict::{RequestId, Verdict};

/// Answers an authorization.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
pub(super) fn authorize(driver: &Tollgate, classify: &mut Classify<'_>) {
    let values = AuthConnect::read(classify);
    if values.honors_redirect_policy() {
        return classify.permit();
    }
    let flow = flow(classify, &values);
    if values.is_reauthorize() {
        return reauthorize(driver, classify, &flow, values.is_completion());
    }
    if !classify.may_set_action() {
        return without_right(driver, classify, &flow);
    }
    let ability = if can_hold(classify, &values) { Ability::Hold } else { Ability::ReportOnly };
    let action = driver.gate.lock().classify(driver.now(), &flow, ability);
    match action {
        Action::Permit => classify.permit(),
        Action::Block => classify.block(),
        Action::Pend(id) => pend(driver, classify, id),
    }
    if ability == Ability::ReportOnly {
        driver.deliver();
    }
}

/// A heavier callout has decided for good, or holds the operation itself. A block in force vetoes a permit (R12).
fn without_right(driver: &Tollgate, classify: &mut Classify<'_>, flow: &Flow<'_>) {
    let vetoes = driver.gate.lock().classify_without_right(driver.now(), flow);
    if vetoes {
        classify.block();
    }
}

/// Only TCP connects are held: they have no packet that would be lost (R17). The engine must let us, and we must know
/// that nobody has asked before, where the connection goes, and which socket it is, by which its reauthorize will be found.
fn can_hold(classify: &Classify<'_>, values: &AuthConnect<'_>) -> bool {
    values.protocol == Some(TCP)
        && values.is_first()
        && values.remote.is_some()
        && classify.endpoint().is_some_and(|endpoint| endpoint != 0)
        && classify.can_pend()
}

/// Holds the operation. The gate has made its record already, so nothing can fail once the engine has pended (R3).
fn pend(driver: &Tollgate, classify: &mut Classify<'_>, id: RequestId) {
    match classify.pend() {
        Ok(operation) => {
            let handed_in = driver.gate.lock().handle_pended(driver.now(), id, operation);
            match handed_in {
                Ok(gate::Pended::Held) => driver.deliver(),
                // It was decided in the meantime. It must not be completed inside its own classify (R5).
                Ok(gate::Pended::Ready) => driver.kick(),
                // The gate knows the id: it gave it to `authorize` just now. Completing is right whatever happened.
                Err(operation) => operation.complete(),
            }
        }
        Err(status) => {
            debug::print(Level::Warning, format_args!("Tollgate: cannot pend: {status:?}"));
            let verdict = driver.gate.lock().handle_pend_failed(driver.now(), id);
            apply(classify, verdict);
        }
    }
}

/// Answers a reauthorization. Whatever its reason, the record of a completed operation is looked for first, and consumed
/// even when we hold no right to permit (R12); a flow we know nothing about is left alone (R11).
fn reauthorize(driver: &Tollgate, classify: &mut Classify<'_>, flow: &Flow<'_>, is_completion: bool) {
    let answer = driver.gate.lock().reauthorize(driver.now(), flow, is_completion);
    match answer {
        Reauthorized::Verdict(verdict) | Reauthorized::Cached(verdict) => apply(classify, verdict),
        Reauthorized::Waiting => classify.absorb(),
        Reauthorized::Leave => classify.permit(),
    }
}

fn apply(classify: &mut Classify<'_>, verdict: Verdict) {
    match verdict {
        Verdict::PERMIT => classify.permit(),
        _ => classify.block(),
    }
}
