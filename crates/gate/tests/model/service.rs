//! The service's part of a run: answers, deliveries, settings, time.

use crate::reference::PROGRAMS;
use crate::run::Run;
use gate::{Outgoing, Owner, Room};
use wire::request::RequestFlags;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Answer, Outcome, RequestId, Scope, Verdict};

impl Run {
    pub fn answer(&mut self) {
        let recent = self.old_ids.len().saturating_sub(12);
        let id = self.dice.pick(&self.old_ids[recent..]);
        let handle = if self.dice.chance(95) { self.model.owner.map_or(1, |owner| owner.handle) } else { 999 };
        let answer = Answer {
            request: if self.dice.chance(97) { id } else { RequestId(self.dice.next()) },
            verdict: if self.dice.chance(97) { self.dice.pick(&[Verdict::PERMIT, Verdict::BLOCK]) } else { Verdict(7) },
            scope: self.dice.pick(&[
                Scope::OPERATION,
                Scope::OPERATION,
                Scope::OPERATION,
                Scope::REMOTE,
                Scope::PROGRAM,
            ]),
            reserved: 0,
            lifetime_ms: self.dice.pick(&[0, 1, 500, 5_000]),
        };
        let expected = self.model.answer(self.now, handle, &answer);
        assert_eq!(self.gate.handle_answer(self.time(), handle, &answer), expected, "{answer:?}");
        let again = self.model.answer(self.now, handle, &answer);
        assert_ne!(again, Outcome::ACCEPTED);
        assert_eq!(self.gate.handle_answer(self.time(), handle, &answer), again, "once only");
    }

    pub fn deliver(&mut self) {
        let mut out = Outgoing::default();
        let some = self.gate.next_request(self.time(), &mut out);
        let request = out.request;
        let (rules, deadline) = (self.model.known.rules, u64::from(self.model.settings.deadline_ms));
        let (who, flags) = if let Some(id) = self.model.deliveries.pop_front() {
            let record = self.model.records.iter_mut().find(|r| r.id == id).expect("a record");
            record.asked = rules;
            let left = (record.since + deadline).saturating_sub(self.now);
            assert_eq!(request.id, id);
            assert_eq!((request.waited_ms, request.deadline_ms), ((self.now - record.since) as u32, left as u32));
            (record.who, RequestFlags::HELD)
        } else if let Some(question) = self.model.questions.iter_mut().find(|q| q.id.is_none()) {
            (question.asked, question.id) = (rules, Some(request.id));
            assert!(!self.old_ids.contains(&request.id), "an id used before");
            self.old_ids.push(request.id);
            assert_eq!((request.waited_ms, request.deadline_ms), (0, 0));
            (question.who, RequestFlags::LIVE)
        } else if let Some((who, verdict, because)) = self.model.reports.pop_front() {
            assert_eq!((request.id, request.verdict, request.because), (RequestId(0), verdict, because));
            (who, RequestFlags::empty())
        } else {
            return assert!(!some, "nothing waits");
        };
        assert!(some);
        assert_eq!(request.flags().difference(RequestFlags::LOOPBACK), flags);
        assert_eq!(request.flags().contains(RequestFlags::LOOPBACK), who.loopback);
        assert_eq!(out.path(), self.paths[who.program]);
        assert_eq!(
            (request.process_id, request.remote, request.remote_port),
            (who.process_id, who.key.remote, who.key.remote_port,)
        );
        self.gate.take_dropped_reports();
    }

    pub fn poll_recheck(&mut self) {
        assert_eq!(self.gate.poll_recheck(), std::mem::take(&mut self.model.recheck));
        assert!(!self.gate.poll_recheck(), "once");
    }

    pub fn time_out(&mut self) {
        self.now += self.dice.below(3_000);
        let (now, deadline) = (self.now, u64::from(self.model.settings.deadline_ms));
        self.model.counters.doors.deadline += self.model.release(|r| r.since + deadline <= now);
        self.model.expire(now);
        self.gate.handle_timeout(self.time());
    }

    pub fn attach_or_detach(&mut self) {
        if let Some(owner) = self.model.owner {
            let settings = self.settings();
            let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
            let other = Owner { process_id: 7, handle: 999 };
            let refused = self.gate.attach(self.time(), other, settings, &mut room);
            assert_eq!(refused, Err(gate::Busy { process_id: owner.process_id }));
            self.gate.detach(self.time(), 999);
            if self.dice.chance(30) {
                self.gate.detach(self.time(), owner.handle);
                self.model.detach();
            }
            return;
        }
        let settings = self.settings();
        let owner = Owner { process_id: 100, handle: 1 + self.dice.below(5) };
        let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
        assert_eq!(self.gate.attach(self.time(), owner, settings, &mut room), Ok(()));
        self.model.configure(settings);
        (self.model.owner, self.model.recheck) = (Some(owner), true);
    }

    pub fn configure(&mut self) {
        let settings = self.settings();
        let mut room = Room::new(self.gate.settings(), &settings).expect("memory");
        self.gate.configure(self.time(), settings, &mut room);
        self.model.configure(settings);
    }

    fn settings(&mut self) -> Settings {
        let dice = &mut self.dice;
        let max_pended = 1 + dice.below(12) as u32;
        let old = self.model.settings;
        let fallbacks = [Fallback::PERMIT, Fallback::BLOCK, Fallback::LAST];
        let max_packet_bytes = dice.pick(&[0, 200, 1_000, 1_000, 10_000]);
        Settings {
            fallback_outbound: dice.pick(&fallbacks),
            fallback_inbound: dice.pick(&fallbacks),
            hold: if dice.chance(70) { Holds::USUAL.bits() } else { dice.below(0x200) as u16 },
            deadline_ms: dice.pick(&[10, 3_000, 20_000, 20_000]),
            max_pended,
            max_pended_per_process: 1 + dice.below(max_pended.into()) as u32,
            // Large enough that no set ever overflows: the model forgets nothing by age.
            max_cached: if dice.chance(90) { old.max_cached } else { dice.pick(&[0, 8_192, 8_200]) },
            epoch: if dice.chance(70) { old.epoch } else { dice.below(3) as u32 },
            max_packet_bytes,
            max_packet_bytes_per_operation: max_packet_bytes.min(dice.pick(&[30, 150, 150, 1_000])),
        }
    }

    pub fn forget(&mut self) {
        self.model.known.rules += 1;
        if self.dice.chance(30) {
            self.gate.forget_all();
            self.model.known.forgotten_at = self.model.known.rules;
            self.model.known.cache.clear();
        } else {
            let program = 1 + self.dice.below(PROGRAMS.len() as u64 - 1) as usize;
            self.gate.forget_program(&self.paths[program]);
            self.model.known.programs_at[program] = self.model.known.rules;
        }
    }
}
