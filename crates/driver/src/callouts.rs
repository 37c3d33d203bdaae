//! Our callouts, a row each, and the objects in the filter engine that make it call them.

use crate::ale::{Authorize, Closure};
use crate::names;
use nt::device::Device;
use nt::status::{Result, Status};
use nt::string::NameRef;
use nt::wfp::callout::RegisteredCallout;
use nt::wfp::engine::{CalloutFilter, Marker, Session, SubLayer};
use nt::wfp::{Guid, authorize, closure};

/// One callout: where it stands, and who answers.
struct Row {
    callout: Guid,
    filter: Guid,
    layer: Guid,
    name: NameRef,
    register: fn(&Device, Guid) -> Result<RegisteredCallout>,
    /// The key of the filter that [`Objects::recheck`] adds and deletes.
    marker: Option<Guid>,
}

const ROWS: &[Row; COUNT] = &[
    Row {
        callout: names::CONNECT_V4,
        filter: names::CONNECT_V4_FILTER,
        layer: authorize::CONNECT_V4,
        name: nt::name!("Tollgate outbound IPv4"),
        register: RegisteredCallout::register::<Authorize>,
        marker: Some(names::CONNECT_V4_MARKER),
    },
    Row {
        callout: names::CONNECT_V6,
        filter: names::CONNECT_V6_FILTER,
        layer: authorize::CONNECT_V6,
        name: nt::name!("Tollgate outbound IPv6"),
        register: RegisteredCallout::register::<Authorize>,
        marker: Some(names::CONNECT_V6_MARKER),
    },
    Row {
        callout: names::ACCEPT_V4,
        filter: names::ACCEPT_V4_FILTER,
        layer: authorize::ACCEPT_V4,
        name: nt::name!("Tollgate inbound IPv4"),
        register: RegisteredCallout::register::<Authorize>,
        marker: Some(names::ACCEPT_V4_MARKER),
    },
    Row {
        callout: names::ACCEPT_V6,
        filter: names::ACCEPT_V6_FILTER,
        layer: authorize::ACCEPT_V6,
        name: nt::name!("Tollgate inbound IPv6"),
        register: RegisteredCallout::register::<Authorize>,
        marker: Some(names::ACCEPT_V6_MARKER),
    },
    Row {
        callout: names::CLOSURE_V4,
        filter: names::CLOSURE_V4_FILTER,
        layer: closure::LAYER_V4,
        name: nt::name!("Tollgate closure IPv4"),
        register: RegisteredCallout::register::<Closure>,
        marker: None,
    },
    Row {
        callout: names::CLOSURE_V6,
        filter: names::CLOSURE_V6_FILTER,
        layer: closure::LAYER_V6,
        name: nt::name!("Tollgate closure IPv6"),
        register: RegisteredCallout::register::<Closure>,
        marker: None,
    },
];

const COUNT: usize = 6;

/// How long a transaction of ours waits for those of others. The worker waits, and with it everything that it does: the
/// default of 15 seconds is too long.
const PATIENCE_MS: u32 = 100;

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

/// What we have added to the filter engine. Gone when dropped.
pub(crate) struct Objects {
    session: Session,
    /// Whether the markers are there.
    is_marked: bool,
}

/// Adds provider, sublayer, callouts and filters in one transaction. The callouts must be registered already: a filter
/// whose callout is not would block everything (R39).
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn add_objects() -> Result<Objects> {
    let mut session = Session::open(names::TITLE, PATIENCE_MS)?;
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
        })?;
    }
    transaction.commit()?;
    Ok(Objects { session, is_marked: false })
}

impl Objects {
    /// Makes the filter engine authorize every live flow once more, at its next packet (R16): a filter that decides nothing
    /// comes to each layer where we authorize, or goes.
    ///
    /// # Errors
    /// What the engine says; then nothing has changed, and the caller may try again.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn recheck(&mut self) -> Result<()> {
        let mut transaction = self.session.begin()?;
        for (row, marker) in ROWS.iter().filter_map(|row| Some((row, row.marker?))) {
            let done = if self.is_marked {
                transaction.delete_filter(marker)
            } else {
                transaction.add_marker(Marker {
                    filter: marker,
                    layer: row.layer,
                    sublayer: names::SUBLAYER,
                    provider: names::PROVIDER,
                    name: row.name,
                })
            };
            match done {
                // An administrator may delete what is ours. Then that has had the flows looked at, and the next time does.
                Err(Status::FWP_FILTER_NOT_FOUND | Status::FWP_ALREADY_EXISTS) => {}
                done => done?,
            }
        }
        transaction.commit()?;
        self.is_marked = !self.is_marked;
        Ok(())
    }
}
