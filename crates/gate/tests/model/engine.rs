//! The filter engine's part of a run: classifies, reauthorizes, completions, packets, closures.

use crate::common::{Numbered, classify};
use crate::reference::{Expected, Record, Stage};
use crate::run::{Run, flow};
use gate::{Ability, Action, Closing, Closure, Pended, Released, Then};
use wire::verdict::{RequestId, Verdict};

impl Run {
    pub fn classify(&mut self) {
        let again: Vec<_> = self.model.records.iter().map(|r| r.who).collect();
        let who = if again.is_empty() || self.dice.chance(65) { self.who() } else { self.dice.pick(&again) };
        let packet_bytes = if who.is_connect() { 0 } else { self.dice.pick(&[0, 10, 20, 40, 40, 160]) };
        let ability = if self.dice.chance(85) { Ability::Hold { packet_bytes } } else { Ability::ReportOnly };
        let expected = self.model.classify(self.now, who, ability);
        let now = self.time();
        let flow = flow(&who, &self.paths[who.program]);
        // The front must say what the gate would: so sometimes only the gate is asked.
        let action = match self.dice.chance(70) {
            true => classify(&mut self.gate, now, &flow, ability),
            false => self.gate.classify(now, &flow, ability),
        };
        match expected {
            Expected::Answer(verdict) => assert_eq!(action, Action::from(verdict), "{who:?}"),
            Expected::Absorb => assert_eq!(action, Action::Absorb, "{who:?}"),
            Expected::Join(id) => {
                assert_eq!(action, Action::Join(id), "{who:?}");
                if self.dice.chance(80) {
                    self.join_one(id);
                }
            }
            Expected::Hold => {
                let Action::Pend(id) = action else { panic!("{action:?}, not held: {who:?}") };
                self.model.records.push(Record::new(id, who, self.now, self.model.known.rules, packet_bytes));
                assert!(!self.old_ids.contains(&id), "an id used before");
                self.old_ids.push(id);
                if self.dice.chance(80) {
                    self.pended(id);
                }
            }
        }
    }

    pub fn classify_without_right(&mut self) {
        let who = self.who();
        let expected = self.model.classify_without_right(self.now, who);
        let now = self.time();
        assert_eq!(self.gate.classify_without_right(now, &flow(&who, &self.paths[who.program])), expected, "{who:?}");
    }

    pub fn hand_in(&mut self) {
        let pending: Vec<_> = self.model.records.iter().filter(|r| r.stage == Stage::Pending).map(|r| r.id).collect();
        if pending.is_empty() {
            let refused = self.gate.handle_pended(self.time(), RequestId(0), u64::MAX, Numbered::one(u64::MAX, 1));
            let (operation, packets) = refused.expect_err("nobody waits for it");
            assert_eq!((operation, packets.numbers()), (u64::MAX, vec![u64::MAX]));
            self.model.counters.packets_refused += 1;
            return;
        }
        let id = self.dice.pick(&pending);
        if self.dice.chance(70) {
            return self.pended(id);
        }
        let expected = self.model.pend_failed(id);
        assert_eq!(self.gate.handle_pend_failed(self.time(), id), expected);
    }

    pub fn pended(&mut self, id: RequestId) {
        let op = self.number();
        // The copy may cost somewhat more than was said.
        let more = self.dice.below(3) as u32;
        let record = self.model.records.iter_mut().find(|r| r.id == id).expect("a record");
        record.op = Some(op);
        let mut packets = Numbered::default();
        if record.reserved > 0 {
            let bytes = record.reserved + more;
            packets = Numbered::one(op, bytes);
            record.packets.insert(0, (op, bytes));
            self.packets.push(op);
            self.model.counters.packets_kept += 1;
        }
        record.reserved = 0;
        self.operations.push(op);
        let expected = if record.verdict.is_some() {
            record.stage = Stage::Ready;
            Pended::Ready
        } else {
            record.stage = Stage::Held;
            self.model.deliveries.push_back(id);
            Pended::Held
        };
        assert_eq!(self.gate.handle_pended(self.time(), id, op, packets), Ok(expected));
        let again = self.gate.handle_pended(self.time(), id, op, Numbered::default());
        assert_eq!(again, Err((op, Numbered::default())), "once only");
    }

    /// A further packet of something that was held at some time.
    pub fn join(&mut self) {
        let recent = self.old_ids.len().saturating_sub(8);
        let id = self.dice.pick(&self.old_ids[recent..]);
        self.join_one(id);
    }

    fn join_one(&mut self, id: RequestId) {
        let (number, bytes) = (self.number(), self.dice.pick(&[10, 20, 40, 160]));
        let joined = self.gate.handle_joined(self.time(), id, Numbered::one(number, bytes));
        if self.model.join(id, number, bytes) {
            assert_eq!(joined, Ok(()));
            self.packets.push(number);
        } else {
            assert_eq!(joined.expect_err("no room, or no use").numbers(), [number]);
        }
    }

    pub fn complete(&mut self) {
        let endpoint = if self.dice.chance(30) { Some(self.socket()) } else { None };
        let completion = match endpoint {
            Some(endpoint) => self.gate.poll_completion_of(self.time(), endpoint),
            None => self.gate.poll_completion(self.time()),
        };
        let asked = |r: &&Record| endpoint.is_none_or(|e| r.who.key.endpoint == e || r.who.socket == e);
        let Some(completion) = completion else {
            let ready = self.model.records.iter().filter(asked).any(|r| r.stage == Stage::Ready);
            assert!(!ready || self.tickets.len() == 64, "one is ready");
            return;
        };
        let op = completion.operation;
        let at = self.operations.iter().position(|out| *out == op).expect("handed in, and not handed out before");
        self.operations.remove(at);
        let record = self.model.records.iter().find(|r| r.op == Some(op)).expect("its record");
        assert!(asked(&record));
        assert_eq!(record.stage, Stage::Ready);
        self.tickets.push((completion.ticket, record.who.socket, record.who.key.endpoint));
        let (id, expected) = (record.id, self.model.complete(self.now, record.id));
        let then = match completion.then {
            Then::Reauthorizes => None,
            Then::Inject(packets) => Some((Verdict::PERMIT, packets.numbers())),
            Then::Drop(packets) => Some((Verdict::BLOCK, packets.numbers())),
        };
        assert_eq!(then, expected, "{id:?}");
        for number in then.into_iter().flat_map(|(_, numbers)| numbers) {
            self.packet_left(number);
        }
    }

    pub fn complete_returns(&mut self) {
        if !self.tickets.is_empty() {
            let at = self.dice.below(self.tickets.len() as u64) as usize;
            let (ticket, ..) = self.tickets.swap_remove(at);
            self.gate.handle_completed(ticket);
        }
    }

    pub fn reauthorize(&mut self) {
        // Mostly of flows that wait for it.
        let waiting: Vec<_> =
            self.model.records.iter().filter(|r| matches!(r.stage, Stage::HandedOut(_))).map(|r| r.who).collect();
        let who = if waiting.is_empty() || self.dice.chance(40) { self.who() } else { self.dice.pick(&waiting) };
        let completion = self.dice.chance(50);
        let expected = self.model.reauthorize(self.now, who, completion);
        let now = self.time();
        let answer = self.gate.reauthorize(now, &flow(&who, &self.paths[who.program]), completion);
        assert_eq!(answer, expected, "{who:?}");
    }

    pub fn take_packets(&mut self) {
        let Released { inject, drop } = self.gate.take_packets();
        let (inject, drop) = (inject.numbers(), drop.numbers());
        let expected = self.model.take_packets();
        assert_eq!((&inject, &drop), (&expected.0, &expected.1));
        for number in inject.into_iter().chain(drop) {
            self.packet_left(number);
        }
    }

    fn packet_left(&mut self, number: u64) {
        let at = self.packets.iter().position(|inside| *inside == number).expect("kept, and not given out before");
        self.packets.remove(at);
    }

    /// A socket, its parent, or nobody.
    fn socket(&mut self) -> u64 {
        let endpoint = self.dice.below(6);
        if self.dice.chance(60) { endpoint } else { endpoint * 10 + self.dice.below(2) }
    }

    pub fn close(&mut self) {
        let endpoint = self.socket();
        let parent = if endpoint >= 10 && self.dice.chance(80) { Some(endpoint / 10) } else { None };
        let closing = Closing { endpoint, parent };
        let concerns = |socket, of| endpoint != 0 && (socket == endpoint || parent.is_none() && of == endpoint);
        let held = |r: &&Record| r.verdict.is_none() && concerns(r.who.socket, r.who.key.endpoint);
        for id in self.model.records.iter().filter(held).map(|r| r.id).collect::<Vec<_>>() {
            self.model.decide(id, Verdict::BLOCK, self.model.known.rules);
            self.model.counters.doors.closure += 1;
        }
        let mut records = self.model.records.iter().filter(|r| concerns(r.who.socket, r.who.key.endpoint));
        let busy = self.tickets.iter().any(|(_, socket, of)| concerns(*socket, *of))
            || records.any(|r| matches!(r.stage, Stage::Pending | Stage::Ready));
        let closure = self.gate.handle_closure(self.time(), closing);
        assert_eq!(closure, if busy { Closure::Busy } else { Closure::Clear }, "{closing:?}");
        assert_eq!(self.gate.is_closing_busy(closing), busy);
    }
}
