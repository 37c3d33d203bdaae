//! What Wine's kernel lacks, for every driver loaded after it, and a small driver verifier.
//!
//! Wine tells a load-image callback of every driver before its `DriverEntry` runs. The shim then points the driver's
//! imports at its own functions ([`table`]) where Wine has none, only a stub, or does not check; and it goes between
//! Wine and the driver's entry, dispatch and unload functions ([`drivers`]), so that a request is seen from both ends.
//!
//! Invariants: only the driver's own import table and entry point are changed, never its code; what the driver does
//! wrong is reported ([`violations`]) and goes on where Windows would stop, so that one run shows everything.
//! Neighbours: `lab/fwpkclnt` links this crate into the one image that is loaded first, and asks it for the IRQL.

#![cfg(windows)]
#![expect(unsafe_code, reason = "implements kernel functions and rewrites import tables")]

mod dpc;
mod drivers;
mod image;
pub mod irql;
mod kernel;
mod mdl;
mod pool;
mod process;
mod requests;
mod rundown;
mod spin;
mod system;
mod table;
pub mod violations;
mod wait;

pub use drivers::Resolver;
use nt_sys::types::NTSTATUS;
use serde_json::{Value, json};

/// Starts to watch: every driver that Wine loads from now on is served and checked. What a driver imports from
/// `ndis.sys` is asked of `ndis` first, because Wine's has little of it.
///
/// # Errors
/// The status of Wine's refusal to call back.
pub fn install(ndis: Resolver) -> Result<(), NTSTATUS> {
    drivers::watch(ndis)
}

/// What the shim has seen, for `lab status`.
#[must_use]
pub fn report() -> Value {
    json!({
        "drivers": drivers::report(),
        "violations": violations::report(),
        "etw_events": system::events_written(),
    })
}
