//! What goes out to the service: requests that wait for an answer, questions, and reports.
//!
//! Invariants: each is delivered at most once; requests go out in the order in which they were held, and before questions
//! about live flows, for which nothing waits, and these before reports, which nobody answers.
//!
//! Neighbours: `outgoing` carries one; `service` takes the answers.

use crate::Gate;
use crate::flow::{Flow, Subject};
use crate::memory::Memory;
use crate::outgoing::Outgoing;
use crate::packets::Packets;
use crate::reports::Report;
use crate::time::Instant;
use wire::request::{Because, RequestFlags};
use wire::verdict::Verdict;

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// Whether anything waits for delivery.
    pub fn has_requests(&self) -> bool {
        self.pending.queued_count() > 0 || self.questions.queued_count() > 0 || self.reports.len() > 0
    }

    /// Takes the next request, question or report into `out`; `false` when there is none.
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
        if let Some((id, facts)) = self.next_question(now) {
            let mut request = facts.request();
            request.flags |= RequestFlags::LIVE.bits();
            request.id = id;
            out.fill(request, self.programs.path(facts.path), facts.sid.bytes());
            self.programs.release(facts.path);
            return true;
        }
        let Some(report) = self.reports.pop() else { return false };
        out.fill(report.request, self.programs.path(report.path), report.sid.bytes());
        self.programs.release(report.path);
        true
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
