//! Requests on their way to the service: the inverted call.
//!
//! No wake-up is lost: whoever makes a request, and whoever parks a call, runs `deliver` afterwards, and `deliver` looks
//! again after it put a call back (Q1).

use crate::Tollgate;
use gate::Outgoing;
use nt::irp::Irp;
use nt::irql::Irql;
use nt::process;
use wire::batch::BatchWriter;
use wire::request::RequestFlags;

impl Tollgate {
    /// Completes parked calls with waiting requests, as long as there are both.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held. At `DISPATCH_LEVEL` the worker does it: naming the process needs less.
    pub(crate) fn deliver(&self) {
        if Irql::current() >= Irql::DISPATCH {
            return self.kick();
        }
        while self.gate.lock().has_requests() {
            let Some(mut irp) = self.parked.take() else { return };
            match self.fill(&mut irp) {
                Some(used) => drop(irp.complete(Ok(used))),
                // Somebody else delivered them in the meantime.
                None => self.parked.put_back(irp),
            }
        }
    }

    /// Writes waiting requests into the buffer of a call; `None` when there were none.
    fn fill(&self, irp: &mut Irp) -> Option<usize> {
        let mut buffer = irp.buffer();
        let mut batch = BatchWriter::new(buffer.output())?;
        let mut outgoing = Outgoing::default();
        while batch.has_room() && self.gate.lock().next_request(self.now(), &mut outgoing) {
            match process::start_key(outgoing.request.process_id) {
                Some(key) => outgoing.request.process_start_key = key,
                None => outgoing.request.flags |= RequestFlags::PROCESS_GONE.bits(),
            }
            outgoing.write(&mut batch);
        }
        let dropped_reports = self.gate.lock().take_dropped_reports();
        (batch.count() > 0).then(|| batch.finish(dropped_reports))
    }
}
