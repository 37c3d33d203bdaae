//! A run: the gate and the model, side by side.

use crate::common::{Heap, KEY, Numbered, SID, assert_balanced, utf16};
use crate::dice::Dice;
use crate::reference::{Model, PROGRAMS, Stage, Who};
use gate::{Flow, FlowKey, GRACE_MS, Gate, Instant, Ticket};
use wire::request::{Address, Direction, FAMILY_V4};
use wire::settings::Settings;
use wire::verdict::RequestId;

pub struct Run {
    pub dice: Dice,
    pub gate: Gate<u64, Numbered, Heap>,
    pub model: Model,
    pub now: u64,
    pub last_number: u64,
    /// Operations that are in and not out yet.
    pub operations: Vec<u64>,
    /// And packets.
    pub packets: Vec<u64>,
    /// Completions that run: the ticket, the socket and its endpoint.
    pub tickets: Vec<(Ticket, u64, u64)>,
    pub old_ids: Vec<RequestId>,
    pub paths: Vec<Vec<u8>>,
}

impl Run {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let settings = Settings {
            max_pended: 6,
            max_pended_per_process: 4,
            max_cached: 8_192,
            max_packet_bytes: 400,
            max_packet_bytes_per_operation: 150,
            ..Settings::INITIAL
        };
        let model = Model::new(settings);
        // With a fixed key: programs with the same low bits of their ids would be forgotten together.
        let gate = Gate::new(KEY, settings).expect("memory");
        let paths = PROGRAMS.iter().map(|path| utf16(path)).collect();
        let now = dice.below(1_000_000);
        Self {
            dice,
            gate,
            model,
            now,
            last_number: 0,
            operations: Vec::new(),
            packets: Vec::new(),
            tickets: Vec::new(),
            old_ids: vec![RequestId(0)],
            paths,
        }
    }

    pub fn time(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// A name for an operation or a packet.
    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// A flow. Some of the sockets that hear from others were accepted for the endpoint.
    pub fn who(&mut self) -> Who {
        let dice = &mut self.dice;
        let program = dice.below(PROGRAMS.len() as u64) as usize;
        let (direction, endpoint) = (dice.pick(&[Direction::OUTBOUND, Direction::INBOUND]), 1 + dice.below(5));
        let accepted = direction == Direction::INBOUND && dice.chance(40);
        Who {
            key: FlowKey {
                family: FAMILY_V4,
                direction,
                protocol: dice.pick(&[1, 6, 6, 17, 17, 132]),
                endpoint,
                remote: Address::v4([1, 1, 1, dice.below(2) as u8]),
                remote_port: 53,
            },
            socket: if accepted { endpoint * 10 + dice.below(2) } else { endpoint },
            process_id: dice.pick(&[41, 42, 42, 100]),
            program: if dice.chance(60) { 1 } else { program },
            loopback: dice.chance(15),
            local_port: dice.pick(&[8, 8, 8, 13]),
        }
    }

    pub fn step(&mut self) {
        self.now += if self.dice.chance(20) { self.dice.below(400) } else { 0 };
        match self.dice.below(100) {
            0..28 => self.classify(),
            28..36 => self.hand_in(),
            36..40 => self.join(),
            40..54 => self.answer(),
            54..63 => self.complete(),
            63..68 => self.complete_returns(),
            68..78 => self.reauthorize(),
            78..84 => self.deliver(),
            84..86 => self.take_packets(),
            86..88 => self.time_out(),
            88..90 => self.attach_or_detach(),
            90..93 => self.configure(),
            93..96 => self.close(),
            96..98 => self.forget(),
            98 => self.poll_recheck(),
            _ => self.classify_without_right(),
        }
        self.compare();
    }

    fn compare(&self) {
        let stats = self.gate.stats(self.time());
        assert_eq!(stats, self.model.stats(self.now));
        assert_balanced(&stats);
        assert_eq!(self.gate.poll_timeout(), self.model.next_timeout().map(Instant::from_millis));
        assert_eq!(self.gate.has_requests(), stats.queued > 0);
        assert_eq!(self.gate.has_completions(), self.model.records.iter().any(|r| r.stage == Stage::Ready));
        assert_eq!(self.gate.has_packets(), !self.model.inject.is_empty() || !self.model.drop.is_empty());
        let inside = self.model.records.iter().filter(|r| r.op.is_some()).count();
        assert_eq!(self.operations.len(), inside, "operations in, not out yet");
        assert_eq!(self.packets.len(), stats.kept_packets as usize, "packets in, not out yet");
    }

    /// At the end everything comes out again.
    pub fn finish(mut self) {
        self.gate.drain(self.time());
        self.model.drain();
        for _ in 0..20 {
            self.classify();
        }
        for id in self.old_ids.clone() {
            if self.model.records.iter().any(|r| r.id == id && r.stage == Stage::Pending) {
                self.pended(id);
            }
        }
        while self.gate.has_completions() {
            self.complete();
            self.complete_returns();
        }
        while !self.tickets.is_empty() {
            self.complete_returns();
        }
        self.now += u64::from(GRACE_MS);
        self.time_out();
        self.take_packets();
        self.compare();
        assert!(self.operations.is_empty() && self.packets.is_empty() && self.model.records.is_empty());
        assert!(!self.gate.has_records() && !self.gate.poll_recheck());
        let stats = self.gate.stats(self.time());
        assert_eq!((stats.pended, stats.kept_packets, stats.kept_bytes), (0, 0, 0));
    }
}

pub fn flow<'a>(who: &Who, program: &'a [u8]) -> Flow<'a> {
    Flow {
        key: who.key,
        own_endpoint: who.socket,
        compartment: 1,
        local: Address::v4([10, 0, 0, 2]),
        local_port: who.local_port,
        process_id: who.process_id,
        program,
        user: SID,
        interface_luid: 0,
        interface_index: 0,
        remote_scope: 0,
        loopback: who.loopback,
    }
}
