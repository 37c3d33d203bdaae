//! What goes out to the service: requests that wait for an answer, and reports.
//!
//! Invariants: a request is delivered at most once, unless its delivery failed and it was put back; requests go out in the
//! order in which they were held, and before reports, which nobody waits for.
//!
//! Neighbours: `outgoing` carries one; `service` takes the answers.

use crate::Gate;
use crate::facts::Sid;
use crate::flow::{Flow, Subject};
use crate::outgoing::Outgoing;
use crate::reports::Report;
use crate::time::Instant;
use wire::request::{Because, RequestFlags};
use wire::verdict::Verdict;

impl<P> Gate<P> {
    /// Whether anything waits for delivery.
    pub fn has_requests(&self) -> bool {
        self.pending.queued_count() > 0 || self.reports.len() > 0
    }

    /// Takes the next request or report into `out`; `false` when there is none.
    pub fn next_request(&mut self, now: Instant, out: &mut Outgoing) -> bool {
        let now = self.tick(now);
        if let Some(record) = self.pending.deliver(self.cache.stamp()) {
            let mut request = record.facts.request();
            request.flags |= RequestFlags::HELD.bits();
            request.id = record.id;
            request.waited_ms = now.millis_since(record.since);
            request.deadline_ms = record.since.after_millis(self.settings.deadline_ms).millis_since(now);
            out.fill(request, self.programs.path(record.facts.path), record.facts.sid.bytes());
            return true;
        }
        let Some(report) = self.reports.pop() else { return false };
        out.fill(report.request, self.programs.path(report.path), report.sid.bytes());
        self.programs.release(report.path);
        true
    }

    /// Puts back what [`Gate::next_request`] gave, because it could not be delivered. It will be the next one again,
    /// unless it has been decided meanwhile.
    pub fn undeliver(&mut self, out: &Outgoing) {
        if out.is_held() {
            self.pending.undeliver(out.request.id);
        } else if self.owner.is_some() {
            let path = self.programs.keep(out.request.program, out.path());
            let report = Report { request: out.request, path, sid: Sid::copy(out.sid()) };
            if let Some(dropped) = self.reports.put_back(report) {
                self.drop_report(&dropped);
            }
        }
    }

    /// How many reports were dropped since the last call, for [`wire::batch::BatchHead::dropped_reports`].
    pub fn take_dropped_reports(&mut self) -> u32 {
        core::mem::take(&mut self.untold_drops)
    }

    /// Tells the service, if there is one, what was decided without it.
    pub(crate) fn report(&mut self, flow: &Flow<'_>, subject: &Subject, verdict: Verdict, because: Because) {
        if self.owner.is_none() {
            return;
        }
        let facts = self.keep(flow, subject);
        let mut request = facts.request();
        request.verdict = verdict;
        request.because = because;
        if let Some(dropped) = self.reports.push(Report { request, path: facts.path, sid: facts.sid }) {
            self.drop_report(&dropped);
        }
    }

    pub(crate) fn drop_report(&mut self, report: &Report) {
        self.programs.release(report.path);
        self.untold_drops = self.untold_drops.saturating_add(1);
        self.counters.dropped_reports += 1;
    }
}
