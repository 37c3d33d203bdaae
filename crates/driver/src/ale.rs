//! The gate's place in the filter engine: the classify functions.
//!
//! Read `connect` to follow a connection. It runs for the first authorization of every outbound connection, and again
//! for each reauthorization: ours, when a held operation was completed, and everybody else's.

use crate::Tollgate;
use gate::{Ability, Action, Flow, FlowKey, Reauthorized};
use nt::debug::{self, Level};
use nt::driver::Driver;
use nt::wfp::callout::{Callout, FilterChange};
use nt::wfp::classify::Classify;
use nt::wfp::connect::{AuthConnect, TCP};
use wire::request::{Address, Direction, FAMILY_V4, FAMILY_V6};
use wire::verdict::{RequestId, Verdict};

/// The callout at ALE_AUTH_CONNECT, V4 and V6.
pub(crate) enum Connect {}

impl Callout for Connect {
    fn classify(classify: &mut Classify<'_>) {
        if let Some(driver) = Tollgate::slot().enter() {
            connect(&driver, classify);
        }
    }

    fn filter_changed(change: FilterChange, filter_id: u64) {
        log_filter(change, filter_id);
    }

    fn flow_deleted(layer: u16, _context: u64) {
        log_flow_deleted(layer);
    }
}

/// The callout at ALE_ENDPOINT_CLOSURE, V4 and V6.
pub(crate) enum Closure {}

impl Callout for Closure {
    fn classify(classify: &mut Classify<'_>) {
        if let Some(driver) = Tollgate::slot().enter() {
            closure(&driver, classify);
        }
    }

    fn filter_changed(change: FilterChange, filter_id: u64) {
        log_filter(change, filter_id);
    }

    fn flow_deleted(layer: u16, _context: u64) {
        log_flow_deleted(layer);
    }
}

/// A socket goes away. What it holds is completed before this classify returns: nobody promises that the operation can be
/// completed later (R32).
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
fn closure(driver: &Tollgate, classify: &Classify<'_>) {
    if let Some(endpoint) = classify.endpoint() {
        driver.gate.lock().handle_closure(driver.now(), endpoint);
        // Not those of others: a completion may close its socket on this very stack, and a thousand must not nest.
        driver.complete_ready_of(endpoint);
    }
}

/// Authorizes an outbound operation.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
fn connect(driver: &Tollgate, classify: &mut Classify<'_>) {
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
                // The gate knows the id: it gave it to `connect` just now. Completing is right whatever happened.
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

fn log_filter(change: FilterChange, filter_id: u64) {
    debug::print(Level::Info, format_args!("Tollgate: filter {filter_id} {change:?}"));
}

/// We associate no contexts, so this is never called; the engine wants the function all the same.
fn log_flow_deleted(layer: u16) {
    debug::print(Level::Warning, format_args!("Tollgate: unexpected flow delete at layer {layer}"));
}

/// The flow of a classify, in the gate's words. What is missing is zero.
fn flow<'a>(classify: &Classify<'_>, values: &AuthConnect<'a>) -> Flow<'a> {
    Flow {
        key: FlowKey {
            family: if values.is_v6 { FAMILY_V6 } else { FAMILY_V4 },
            direction: Direction::OUTBOUND,
            protocol: values.protocol.unwrap_or_default(),
            endpoint: classify.endpoint().unwrap_or_default(),
            remote: values.remote.map(Address::from).unwrap_or_default(),
            remote_port: values.remote_port.unwrap_or_default(),
        },
        compartment: classify.compartment().unwrap_or_default(),
        local: values.local.map(Address::from).unwrap_or_default(),
        local_port: values.local_port.unwrap_or_default(),
        process_id: classify.process_id().unwrap_or_default(),
        program: values.app_id,
        user: values.user,
        interface_luid: values.interface_luid.unwrap_or_default(),
        interface_index: values.interface_index.unwrap_or_default(),
        remote_scope: classify.remote_scope().unwrap_or_default(),
        loopback: values.is_loopback(),
    }
}
