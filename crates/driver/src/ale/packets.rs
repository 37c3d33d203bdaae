//! The packets of held operations.
//!
//! Pending an operation drops its packet (R17). So a deep copy is made first, of memory of our own: to hold on to the
//! engine's packet, or to a clone of it, while a person thinks is forbidden (R19).
//!
//! Invariant: only a packet that goes the way of its layer is kept. On a flow that went out one may come in, and the other
//! way round (R13).

use crate::kept::Kept;
use crate::{Tollgate, names};
use nt::debug::{self, Level};
use nt::status::Result;
use nt::wfp::authorize::{Authorization, TCP};
use nt::wfp::classify::{Classify, Direction};
use wire::verdict::RequestId;

/// What keeping the packet of a first classify costs; zero when there is none to lose; `None` when there must be one and
/// it cannot be kept.
pub(super) fn packet_bytes(classify: &Classify<'_>, values: &Authorization<'_>) -> Option<u32> {
    if is_keepable(classify, values) {
        return Some(classify.packet_bytes());
    }
    is_tcp_connect(values).then_some(0)
}

/// Copies the packets of a classify; none when there is none to keep.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
pub(super) fn copy(classify: &Classify<'_>, values: &Authorization<'_>) -> Result<Kept> {
    if is_keepable(classify, values) {
        classify.copy_packets(names::PACKET_TAG).map(Kept::from)
    } else {
        Ok(Kept::default())
    }
}

/// A further packet of a flow whose operation is held: it waits with the first, as far as there is room, and is lost to
/// those who sent it as the first was.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
pub(super) fn keep_further(driver: &Tollgate, classify: &mut Classify<'_>, values: &Authorization<'_>, id: RequestId) {
    if is_ours(driver, classify, values) {
        return classify.permit();
    }
    // Without the right it may go its way all the same, and a copy would be a second one. TCP sends again by itself.
    if classify.may_set_action() && values.protocol != Some(TCP) {
        join(driver, classify, values, id);
    }
    classify.absorb();
}

fn join(driver: &Tollgate, classify: &Classify<'_>, values: &Authorization<'_>, id: RequestId) {
    let Ok(packets) = copy(classify, values) else {
        return debug::print(Level::Warning, format_args!("Tollgate: cannot keep a further packet"));
    };
    let (refused, is_late) = {
        let mut gate = driver.gate.lock();
        (gate.handle_joined(driver.now(), id, packets), gate.has_packets())
    };
    // What finds no room is freed without the lock.
    drop(refused);
    if is_late {
        // The operation went on while this packet was copied.
        driver.kick();
    }
}

/// Whether we injected the packet, now or before some other product did (R23).
///
/// What comes in on loopback may be what we injected on its way out. That it was permitted there is no permit here.
pub(super) fn is_ours(driver: &Tollgate, classify: &Classify<'_>, values: &Authorization<'_>) -> bool {
    if !classify.has_packet() {
        return false;
    }
    match (values.direction, values.is_loopback()) {
        (Direction::Inbound, true) => classify.is_last_injected_by(&driver.injector),
        _ => classify.is_injected_by(&driver.injector),
    }
}

fn is_keepable(classify: &Classify<'_>, values: &Authorization<'_>) -> bool {
    let goes_the_way_of_its_layer = match classify.packet_direction() {
        Some(direction) => direction == values.direction,
        // Then it is what the layer is about, unless somebody asks again.
        None => values.is_first(),
    };
    goes_the_way_of_its_layer && classify.has_packet() && !is_tcp_connect(values)
}

/// It has no packet (R17); and had it one, TCP would send that again by itself, so an injected copy would be a second one.
fn is_tcp_connect(values: &Authorization<'_>) -> bool {
    values.protocol == Some(TCP) && values.direction == Direction::Outbound
}
