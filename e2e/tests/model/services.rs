//! What the service does, and those who would like to be it.

use crate::dice::Dice;
use crate::world::{State, World};
use e2e::Wired;
use nt_sys::status::{STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS};
use wire::command::{Forget, ForgetHead};
use wire::hello::HelloOutcome;
use wire::ioctl;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::{Answer, AnswersHead, Outcome, RequestId, Scope, Verdict};
use zerocopy::IntoBytes;

/// Programs whose ids have these bits in common are forgotten together.
const FORGOTTEN_TOGETHER: u64 = 4096;
const MOST_PARKED: usize = 3;

pub fn settings(dice: &mut Dice) -> Settings {
    let fallbacks = [Fallback::PERMIT, Fallback::BLOCK, Fallback::LAST];
    let max_pended = dice.pick(&[4, 64, 64]);
    let max_packet_bytes = dice.pick(&[0, 1_600, 8 << 20, 8 << 20, 8 << 20]);
    let some = dice.below(256) as u16;
    Settings {
        fallback_outbound: dice.pick(&fallbacks),
        fallback_inbound: dice.pick(&fallbacks),
        hold: if dice.chance(70) { Holds::USUAL.bits() } else { some },
        deadline_ms: dice.pick(&[20, 300, 5_000]),
        max_pended,
        max_pended_per_process: dice.pick(&[2, max_pended]),
        max_cached: dice.pick(&[0, 8_192, 8_192, 8_192]),
        epoch: dice.below(3) as u32,
        max_packet_bytes,
        max_packet_bytes_per_operation: max_packet_bytes / 2,
    }
}

impl World {
    /// Attaches a service, or tries to.
    pub fn attach(&mut self) {
        let settings = self.settings();
        self.note("attach", || format!("{settings:?}"));
        let client = self.machine.client();
        let (status, reply) = client.hello(wire::VERSION, settings);
        let outcome = reply.map(|reply| reply.outcome);
        assert_eq!(status, STATUS_SUCCESS);
        if self.service.is_some() {
            assert_eq!(outcome, Some(HelloOutcome::BUSY));
            client.close();
            return;
        }
        assert_eq!(outcome, Some(HelloOutcome::ATTACHED));
        self.reference.attach(settings);
        self.service = Some(client);
    }

    /// The service goes, in good order or not.
    pub fn detach(&mut self) {
        let Some(service) = self.service.take() else { return };
        let dies = self.dice.chance(50);
        self.note(if dies { "death of the service" } else { "detach" }, String::new);
        let parked = std::mem::take(&mut self.parked);
        if dies {
            service.kill()
        } else {
            service.close()
        }
        self.machine.settle();
        assert!(parked.iter().all(|call| !call.is_pending()), "no call stays behind");
        self.reference.attached = false;
        self.fall_back(|_| true, |doors| &mut doors.detach);
        self.reference.detach();
    }

    pub fn configure(&mut self) {
        let settings = self.settings();
        self.note("configure", || format!("{settings:?}"));
        let observer = self.observer.as_ref().expect("the device is open");
        let (status, _) = observer.call(ioctl::CONFIGURE, settings.as_bytes(), 0);
        assert_eq!(status, STATUS_INVALID_DEVICE_STATE, "only the service may");
        if let Some(service) = &self.service {
            service.configure(settings);
            self.reference.configure(settings);
            // What is held may be overdue by now.
            self.expire();
        }
    }

    pub fn forget(&mut self) {
        let program = self.dice.below(3) as usize;
        let group = |id: &u64| id % FORGOTTEN_TOGETHER;
        let own = self.ids.get(&program).map(group);
        let others = self.ids.iter().filter(|(other, _)| **other != program);
        let is_alone = self.ids.len() == 3 && !others.map(|(_, id)| group(id)).any(|other| Some(other) == own);
        let all = !is_alone || self.dice.chance(30);
        self.note("forget", || format!("all {all}, program{program}"));
        let path: Vec<u8> = match all {
            true => Vec::new(),
            false => self.program(program).path().encode_utf16().flat_map(u16::to_le_bytes).collect(),
        };
        let what = if all { Forget::ALL } else { Forget::PROGRAM };
        let mut input = ForgetHead { what, path_bytes: path.len() as u32 }.as_bytes().to_vec();
        input.extend(path);
        let observer = self.observer.as_ref().expect("the device is open");
        assert_eq!(observer.call(ioctl::FORGET, &input, 0).0, STATUS_INVALID_DEVICE_STATE, "only the service may");
        let Some(service) = &self.service else { return };
        assert_eq!(service.call(ioctl::FORGET, &input, 0).0, STATUS_SUCCESS);
        if all { self.reference.forget_all() } else { self.reference.forget_program(program) }
    }

    /// Takes all that waits: nothing is missing.
    pub fn take(&mut self) {
        let Some(service) = &self.service else { return };
        let batch = service.take();
        self.note("take", || format!("{}", batch.len()));
        self.delivered(batch);
        // A parked call may have had them.
        self.compare();
        assert!(self.held().all(|(_, record)| record.id.is_some()), "every request was delivered");
        let left = |question: &&crate::reference::Question| question.id.is_none() && !question.maybe;
        assert_eq!(self.reference.questions.iter().find(left).map(|one| one.who), None, "every question was delivered");
        self.reference.questions.retain(|question| question.id.is_some());
        assert_eq!(self.reference.reports, [], "every report was delivered");
    }

    pub fn park(&mut self) {
        let Some(service) = self.service.as_ref().filter(|_| self.parked.len() < MOST_PARKED) else { return };
        self.parked.push(service.park());
        self.note("park", String::new);
    }

    pub fn cancel(&mut self) {
        if self.parked.is_empty() {
            self.park();
            // It may have been answered at once.
            self.compare();
        }
        let Some(call) = self.parked.pop() else { return };
        self.note("cancel", String::new);
        call.cancel();
        self.machine.settle();
        assert!(!call.is_pending());
    }

    fn answer_to(&mut self, id: RequestId) -> Answer {
        let dice = &mut self.dice;
        Answer {
            verdict: dice.pick(&[Verdict::PERMIT, Verdict::PERMIT, Verdict::BLOCK]),
            scope: dice.pick(&[Scope::OPERATION, Scope::OPERATION, Scope::REMOTE, Scope::PROGRAM]),
            lifetime_ms: dice.pick(&[0, 40, 400]),
            ..Answer::once(id, Verdict::PERMIT)
        }
    }

    /// Answers what is held, rightly: one, or several at once, and some of them twice.
    pub fn answer(&mut self) {
        let mut ids: Vec<RequestId> = self.held().filter_map(|(_, record)| record.id).collect();
        if ids.is_empty() {
            return self.take();
        }
        let count = if self.dice.chance(20) { ids.len() } else { 1 };
        let is_doubled = self.dice.chance(15);
        let mut answers = Vec::new();
        for _ in 0..count {
            let id = ids.swap_remove(self.dice.below(ids.len() as u64) as usize);
            answers.push(self.answer_to(id));
        }
        let kind = match (is_doubled, count) {
            (true, _) => "duplicate answers",
            (false, 1) => "answer",
            _ => "several answers",
        };
        self.note(kind, || format!("{answers:?}"));
        let mut all = answers.clone();
        let mut expected = vec![Outcome::ACCEPTED; count];
        if is_doubled {
            all.push(Answer::once(answers[0].request, Verdict::BLOCK));
            expected.push(Outcome::STALE);
        }
        let service = self.service.as_ref().expect("what is held has a service");
        assert_eq!(service.submit(&all), expected);
        // Without our filters nobody tells us that a socket closes.
        if count == 1 && self.reference.filtering && self.dice.chance(20) {
            return self.close_answered(&answers[0]);
        }
        self.machine.settle();
        for answer in &answers {
            let (at, flow) = self.accepted(answer);
            let State::Held(record) = &self.sockets[at].flows[flow].state else { continue };
            let asked = record.asked;
            self.decide(at, flow, answer.verdict, Some(asked));
        }
    }

    /// An answer was accepted: gives where, and remembers it.
    fn accepted(&mut self, answer: &Answer) -> (usize, usize) {
        let (at, flow) = self.find_held(|record| record.id == Some(answer.request)).expect("it is held");
        let one = &self.sockets[at].flows[flow];
        if let State::Held(record) = &one.state {
            let (who, asked, now) = (one.who, record.asked, self.now());
            self.reference.remember(now, &who, asked, answer);
            self.doors.verdict += 1;
        }
        (at, flow)
    }

    /// The socket closes before what follows the answer has run.
    fn close_answered(&mut self, answer: &Answer) {
        let (at, flow) = self.accepted(answer);
        let state = std::mem::replace(&mut self.sockets[at].flows[flow].state, State::Over);
        let State::Held(record) = state else { return };
        self.note("close after the answer", || format!("{record:?}"));
        let who = self.sockets[at].flows[flow].who;
        self.reference.say(who.key, answer.verdict, record.asked);
        let effect = self.reference.effect(answer.verdict);
        self.may_fail_to_inject = true;
        self.close_hurriedly(at, effect);
        // Its packets may leave, or go with it.
        let is_own = |packet: &Wired| record.packets.contains(&packet.payload);
        let left: Vec<_> = self.machine.engine().take_wire().into_iter().collect();
        assert!(left.iter().all(is_own) && (left.is_empty() || effect == Verdict::PERMIT), "{left:?}");
        assert!(left.len() <= record.packets.len());
        self.old_ids.extend(record.id);
    }
}

impl World {
    /// Answers a question about a live flow.
    pub fn answer_question(&mut self) {
        let ids: Vec<RequestId> = self.reference.questions.iter().filter_map(|question| question.id).collect();
        if ids.is_empty() {
            return;
        }
        let id = self.dice.pick(&ids);
        let is_maybe = |question: &crate::reference::Question| question.id == Some(id) && question.maybe;
        if self.reference.questions.iter().any(is_maybe) {
            self.reference.questions.retain(|question| question.id != Some(id));
            return;
        }
        let answer = self.answer_to(id);
        self.note("answer a question", || format!("{answer:?}"));
        let now = self.now();
        let expected = match self.reference.answer_question(now, &answer) {
            Some(true) => Outcome::ACCEPTED,
            _ => Outcome::STALE,
        };
        let service = self.service.as_ref().expect("it is attached");
        assert_eq!(service.submit(&[answer]), [expected]);
        self.old_ids.push(id);
    }

    /// Answers that decide nothing.
    pub fn answer_wrongly(&mut self) {
        if self.service.is_none() {
            return;
        }
        let held: Vec<RequestId> = self.held().filter_map(|(_, record)| record.id).collect();
        let old = self.dice.pick(&self.old_ids);
        let kind = self.dice.below(3);
        let known = if held.is_empty() { old } else { self.dice.pick(&held) };
        if kind == 0 {
            let mut input = AnswersHead { count: 1, reserved: 0 }.as_bytes().to_vec();
            input.extend_from_slice(Answer::once(known, Verdict::PERMIT).as_bytes());
            self.note("answer of another handle", || format!("{known:?}"));
            let observer = self.observer.as_ref().expect("the device is open");
            let (status, _) = observer.call(ioctl::SUBMIT_VERDICTS, &input, 64);
            assert_eq!(status, STATUS_INVALID_DEVICE_STATE, "only the service may");
            return;
        }
        let (kind, answer, expected) = match kind {
            1 => ("stale answer", Answer::once(old, Verdict::PERMIT), Outcome::STALE),
            _ => ("malformed answer", Answer::once(known, Verdict(9)), Outcome::MALFORMED),
        };
        self.note(kind, || format!("{answer:?}"));
        let service = self.service.as_ref().expect("it is attached");
        assert_eq!(service.submit(&[answer]), [expected]);
    }
}
