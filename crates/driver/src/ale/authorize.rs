//! Authorizing: the first classify of a connection, outbound or inbound, and each reauthorization of it: ours, when a held
//! outbound operation was completed, and everybody else's.
//!
//! Invariants: what is pended has its record and a copy of its packet already (R3, R17); a reauthorization is never pended;
//! a flow of which nothing is known is left alone (R11); a packet that we injected is never held again (R23).
//!
//! Neighbours: `gate` decides; `flow` is what it hears; `packets` keeps what would be lost.

use super::flow::flow;
use super::packets::{copy, is_ours, keep_further, packet_bytes};
use crate::Tollgate;
use gate::{Ability, Action, Flow, Reauthorized};
use nt::debug::{self, Level};
use nt::processor;
use nt::wfp::authorize::Authorization;
use nt::wfp::classify::{Classify, Direction, Protection};
use wire::verdict::{RequestId, Verdict};

/// Answers an authorization.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
pub(super) fn authorize(driver: &Tollgate, classify: &mut Classify<'_>) {
    let values = Authorization::read(classify);
    if values.honors_redirect_policy() {
        return classify.permit();
    }
    let flow = flow(classify, &values);
    if values.is_reauthorize() {
        return reauthorize(driver, classify, &values, &flow);
    }
    if is_ours(driver, classify, &values) {
        return classify.permit();
    }
    let protection = protection(classify, &values);
    if protection == Protection::Tunnel {
        // It comes again in the clear (R24).
        return classify.permit();
    }
    if !classify.may_set_action() {
        return without_right(driver, classify, &flow);
    }
    let ability = ability(classify, &values, protection);
    if let Some(verdict) = driver.front.classify(driver.now(), &flow, ability, processor::current()) {
        // Most connections are such, on all processors at once: there is no lock, and nothing to deliver.
        return apply(classify, verdict);
    }
    let (action, is_settled) = {
        let mut gate = driver.gate.lock();
        (gate.classify(driver.now(), &flow, ability), gate.has_packets())
    };
    if is_settled {
        // Those of an earlier connection with this key.
        driver.kick();
    }
    match action {
        Action::Permit => classify.permit(),
        Action::Block => classify.block(),
        Action::Pend(id) => return pend(driver, classify, &values, id),
        Action::Join(id) => return keep_further(driver, classify, &values, id),
        Action::Absorb => return classify.absorb(),
    }
    driver.deliver();
}

/// How IPsec protects the packet, which matters on its way in.
fn protection(classify: &Classify<'_>, values: &Authorization<'_>) -> Protection {
    match values.direction {
        Direction::Outbound => Protection::None,
        Direction::Inbound => classify.protection(),
    }
}

/// A heavier callout has decided for good, or holds the operation itself. A block in force vetoes a permit (R12).
fn without_right(driver: &Tollgate, classify: &mut Classify<'_>, flow: &Flow<'_>) {
    let vetoes = driver.gate.lock().classify_without_right(driver.now(), flow);
    if vetoes {
        classify.block();
    }
}

/// Whether the operation can be held: the engine lets us; nobody has asked before; we know where it goes, and its socket,
/// by which its reauthorize will be found; and its packet, if it has one that would be lost (R17), can be kept.
fn ability(classify: &Classify<'_>, values: &Authorization<'_>, protection: Protection) -> Ability {
    let may_hold = values.is_first()
        && values.remote.is_some()
        && classify.endpoint().is_some_and(|endpoint| endpoint != 0)
        && classify.can_pend()
        && protection == Protection::None;
    match packet_bytes(classify, values) {
        Some(packet_bytes) if may_hold => Ability::Hold { packet_bytes },
        _ => Ability::ReportOnly,
    }
}

/// Holds the operation. The gate has made its record already and its packet is copied first, so nothing can fail once the
/// engine has pended (R3).
fn pend(driver: &Tollgate, classify: &mut Classify<'_>, values: &Authorization<'_>, id: RequestId) {
    let pended = copy(classify, values).and_then(|packets| Ok((classify.pend()?, packets)));
    let (operation, packets) = match pended {
        Ok(pended) => pended,
        Err(status) => {
            debug::print(Level::Warning, format_args!("Tollgate: cannot pend: {status:?}"));
            let verdict = driver.gate.lock().handle_pend_failed(driver.now(), id);
            // For the packets that joined it, and for its socket, should that wait to be closed.
            driver.kick();
            return apply(classify, verdict);
        }
    };
    let handed_in = driver.gate.lock().handle_pended(driver.now(), id, operation, packets);
    match handed_in {
        Ok(gate::Pended::Held) => driver.deliver(),
        // It was decided in the meantime. It must not be completed inside its own classify (R5).
        Ok(gate::Pended::Ready) => driver.kick(),
        // The gate knows the id: it gave it to `authorize` just now. Completing is right whatever happened.
        Err((operation, packets)) => {
            operation.complete();
            drop(packets);
        }
    }
}

/// Answers a reauthorization. Whatever its reason, the record of a completed operation is looked for first, and consumed
/// even when we hold no right to permit (R12); a flow we know nothing about is left alone (R11), though the service may be
/// asked about it.
fn reauthorize(driver: &Tollgate, classify: &mut Classify<'_>, values: &Authorization<'_>, flow: &Flow<'_>) {
    let (answer, is_settled) = {
        let mut gate = driver.gate.lock();
        (gate.reauthorize(driver.now(), flow, values.is_completion()), gate.has_packets())
    };
    if is_settled {
        // Its packets go when this classify is over (R22): by whoever completed the operation, or by the worker.
        driver.kick();
    }
    match answer {
        Reauthorized::Verdict(verdict) | Reauthorized::Cached(verdict) => apply(classify, verdict),
        Reauthorized::Waiting(id) => keep_further(driver, classify, values, id),
        Reauthorized::Leave => {
            classify.permit();
            driver.deliver();
        }
    }
}

fn apply(classify: &mut Classify<'_>, verdict: Verdict) {
    match verdict {
        Verdict::PERMIT => classify.permit(),
        _ => classify.block(),
    }
}
