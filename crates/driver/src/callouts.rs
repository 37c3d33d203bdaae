//! Our callouts, a row each, and the objects in the filter engine that make it call them.

use crate::ale::{Authorize, Closure};
use crate::names;
use nt::device::Device;
use nt::status::Result;
use nt::string::NameRef;
use nt::wfp::callout::RegisteredCallout;
use nt::wfp::engine::{CalloutFilter, Role, Session, SubLayer};
use nt::wfp::{Guid, closure, connect};

/// One callout: where it stands, who answers, and whether the answer counts.
struct Row {
    callout: Guid,
    filter: Guid,
    layer: Guid,
    name: NameRef,
    register: fn(&Device, Guid) -> Result<RegisteredCallout>,
    role: Role,
}

const ROWS: &[Row; COUNT] = &[
    Row {
        callout: names::CONNECT_V4,
        filter: names::CONNECT_V4_FILTER,
        layer: connect::LAYER_V4,
        name: nt::name!("Tollgate outbound IPv4"),
        register: RegisteredCallout::register::<Authorize>,
        role: Role::Decides,
    },
    Row {
        callout: names::CONNECT_V6,
        filter: names::CONNECT_V6_FILTER,
        layer: connect::LAYER_V6,
        name: nt::name!("Tollgate outbound IPv6"),
        register: RegisteredCallout::register::<Authorize>,
        role: Role::Decides,
    },
    Row {
        callout: names::CLOSURE_V4,
        filter: names::CLOSURE_V4_FILTER,
        layer: closure::LAYER_V4,
        name: nt::name!("Tollgate closure IPv4"),
        register: RegisteredCallout::register::<Closure>,
        role: Role::Observes,
    },
    Row {
        callout: names::CLOSURE_V6,
        filter: names::CLOSURE_V6_FILTER,
        layer: closure::LAYER_V6,
        name: nt::name!("Tollgate closure IPv6"),
        register: RegisteredCallout::register::<Closure>,
        role: Role::Observes,
    },
];

const COUNT: usize = 4;

/// All callouts, registered with the run-time engine. Unregistered when dropped; classifies may still be running then,
/// and the slot of the driver's state waits for them.
pub(crate) struct Registered {
    _callouts: [Option<RegisteredCallout>; COUNT],
}

/// Registers all callouts, or none.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn register(device: &Device) -> Result<Registered> {
    let mut callouts = [const { None }; COUNT];
    for (callout, row) in callouts.iter_mut().zip(ROWS) {
        // A failure drops, and so unregisters, what was registered before.
        *callout = Some((row.register)(device, row.callout)?);
    }
    Ok(Registered { _callouts: callouts })
}

/// Adds provider, sublayer, callouts and filters in one transaction. The callouts must be registered already: a filter
/// whose callout is not would block everything (R39).
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn add_filters() -> Result<Session> {
    let mut session = Session::open(names::TITLE)?;
    let mut transaction = session.begin()?;
    transaction.add_provider(names::PROVIDER, names::TITLE)?;
    transaction.add_sublayer(SubLayer {
        key: names::SUBLAYER,
        name: names::TITLE,
        provider: names::PROVIDER,
        weight: names::SUBLAYER_WEIGHT,
    })?;
    for row in ROWS {
        transaction.add_callout_filter(CalloutFilter {
            callout: row.callout,
            filter: row.filter,
            layer: row.layer,
            sublayer: names::SUBLAYER,
            provider: names::PROVIDER,
            name: row.name,
            role: row.role,
        })?;
    }
    transaction.commit()?;
    Ok(session)
}
