//! Requests on their way to the service: the inverted call.
//!
//! No wake-up is lost: whoever makes a request, and whoever parks a call, runs `deliver` afterwards, and `deliver` looks
//! again after it put a call back (Q1). No call stays behind when its handle is closed: whoever puts one into the queue
//! looks afterwards whether it may be there.

use crate::{Tollgate, control};
use gate::Outgoing;
use nt::irp::{FileId, Irp};
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
            let file = irp.file();
            match self.fill(&mut irp) {
                Some(used) => drop(irp.complete(Ok(used))),
                // Somebody else delivered them in the meantime, or the call's handle is not the service's any more.
                None => {
                    self.parked.put_back(irp);
                    control::cancel_if_detached(self, file);
                }
            }
        }
    }

    /// Writes waiting requests into the buffer of a call; `None` when there were none.
    fn fill(&self, irp: &mut Irp) -> Option<usize> {
        let file = irp.file();
        let mut buffer = irp.buffer();
        let mut batch = BatchWriter::new(buffer.output())?;
        let mut outgoing = Outgoing::default();
        while batch.has_room() && self.next_request(file, &mut outgoing) {
            match process::start_key(outgoing.request.process_id) {
                Some(key) => outgoing.request.process_start_key = key,
                None => outgoing.request.flags |= RequestFlags::PROCESS_GONE.bits(),
            }
            outgoing.write(&mut batch);
        }
        if batch.count() == 0 {
            return None;
        }
        let dropped_reports = self.gate.lock().take_dropped_reports();
        Some(batch.finish(dropped_reports))
    }

    /// The next request for the service, if it is still that of this handle: a call that was taken just before its handle
    /// was closed must not swallow what is meant for the next service.
    fn next_request(&self, file: FileId, outgoing: &mut Outgoing) -> bool {
        let mut gate = self.gate.lock();
        gate.is_attached(file.number()) && gate.next_request(self.now(), outgoing)
    }
}
