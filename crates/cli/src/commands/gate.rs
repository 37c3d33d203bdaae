//! `tollgate permit` and `tollgate block`: attach, decide, show, until asked to stop.
//!
//! Invariants: detached before the last line is printed. Neighbours: `service::session` does the work, `output` shows it.

use crate::args::{Gate, YesNo};
use crate::failure::Failure;
use crate::output::narrator::{Narrator, Style};
use crate::output::printer::Printer;
use service::decide::{Mode, Policy};
use service::exempt::Exemptions;
use service::session::Session;
use std::io;
use std::time::SystemTime;
use wire::settings::{Holds, Settings};

/// Keeps the gate.
pub fn run(mode: Mode, options: Gate) -> Result<(), Failure> {
    let volumes = platform::volumes();
    let mut exemptions = Exemptions::new(volumes.clone(), platform::system_directory().as_deref());
    for program in &options.exempt {
        exemptions.add(program).map_err(io::Error::other)?;
    }
    let programs = exemptions.programs();
    let policy = Policy { mode, remember: options.remember.into(), exemptions };

    let session = Session::attach(platform::open()?, settings(&options), policy)?;
    let stopper = session.stopper();
    platform::console::on_stop(move || stopper.stop())?;

    let stopper = session.stopper();
    let printer = Printer::start(io::stdout(), move || stopper.stop())?;
    let style = Style { json: options.json, quiet: options.quiet, reports: options.log_reports == YesNo::Yes };
    let mut narrator = Narrator::new(printer, style, volumes);
    narrator.attached(session.attached(), mode, programs);
    let (summary, ended) = session.run(&mut narrator);
    let printed = narrator.detached(&summary);
    ended?;
    Ok(printed?)
}

fn settings(options: &Gate) -> Settings {
    let fallback = options.fallback.into();
    Settings {
        fallback_outbound: fallback,
        fallback_inbound: fallback,
        hold: options.hold.iter().fold(Holds::empty(), |all, one| all | Holds::from(*one)).bits(),
        deadline_ms: options.deadline,
        epoch: fresh_epoch(),
        ..Settings::INITIAL
    }
}

/// An epoch that no earlier run had, so that what they left in the driver's cache does not decide for this one: the low
/// bits of the time in milliseconds, which come again after 49 days.
fn fresh_epoch() -> u32 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let [a, b, c, d, ..] = since_1970.as_millis().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
