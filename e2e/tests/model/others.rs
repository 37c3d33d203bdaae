//! Time, other products, the base filtering engine, and the driver's own end.

use crate::reference::{Foreign, Reference};
use crate::world::{State, TICK_MS, World};
use e2e::{Rival, Rule};
use nt_sys::fwp::FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE;
use wire::stats::Doors;

impl World {
    pub fn advance(&mut self) {
        let ms = self.dice.pick(&[1, 7, 30, 30, 120, 400]);
        self.note("advance", || format!("{ms} ms"));
        self.machine.advance(ms);
        self.expire();
    }

    /// Time goes on until no deadline is overdue.
    pub fn expire(&mut self) {
        let deadline = u64::from(self.reference.settings.deadline_ms);
        let is_due = |world: &Self| world.held().any(|(_, record)| record.since + deadline <= world.now());
        if !is_due(self) {
            return;
        }
        // What becomes due by that, too, must have its tick.
        let mut waited = 0;
        loop {
            let due: Vec<u64> = self.held().map(|(_, record)| record.since + deadline).collect();
            let now = self.now();
            if waited > 0 && !due.iter().any(|at| (now - TICK_MS..=now).contains(at)) {
                break;
            }
            self.machine.advance(TICK_MS + 1);
            waited += 1;
        }
        let now = self.now();
        self.fall_back(|record| record.since + deadline <= now, |doors| &mut doors.deadline);
    }

    /// Another product comes, or goes.
    pub fn rival(&mut self) {
        self.reference.policy += 1;
        if self.rival.take().is_some() {
            self.note("rival goes", String::new);
            self.reference.foreign = Foreign::None;
            return;
        }
        let (rival, foreign) = match self.dice.below(8) {
            0..3 => (Rival::lighter(Rule::Permit), Foreign::Permits),
            3..5 => (Rival::heavier(Rule::Permit), Foreign::Permits),
            5 => (Rival::heavier(Rule::PermitForGood), Foreign::PermitsForGood),
            6 => (Rival::lighter(Rule::Block), Foreign::BlocksAfterUs),
            _ => (Rival::heavier(Rule::Block), Foreign::BlocksBeforeUs),
        };
        self.note("rival comes", || format!("{foreign:?}"));
        self.rival = Some(rival);
        self.reference.foreign = foreign;
    }

    /// Everything alive is authorized again.
    pub fn reauthorize_all(&mut self) {
        if self.foreign() != Foreign::None || self.held().next().is_some() {
            return;
        }
        let now = self.now();
        let is_idle = |flow: &&crate::world::Flow| matches!(flow.state, State::Live { .. }) && !flow.is_live(now);
        if self.sockets.iter().flat_map(|socket| &socket.flows).any(|flow| is_idle(&flow)) {
            return;
        }
        self.note("reauthorize all", String::new);
        self.machine.engine().reauthorize_all(FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE);
        for at in 0..self.sockets.len() {
            for flow in 0..self.sockets[at].flows.len() {
                if matches!(self.sockets[at].flows[flow].state, State::Live { .. }) {
                    self.reauthorized(at, flow, true);
                }
            }
        }
    }

    /// The base filtering engine goes, and comes back after a while in which everything goes on.
    pub fn filter_engine(&mut self) {
        if self.rival.take().is_some() {
            self.reference.foreign = Foreign::None;
            self.reference.policy += 1;
        }
        self.note("filter engine stops", String::new);
        self.machine.engine().bfe_stop();
        self.reference.filtering = false;
        self.reference.policy += 1;
        self.compare();
        for _ in 0..self.dice.below(4) {
            match self.dice.below(3) {
                0 => self.packet(),
                1 => self.take(),
                _ => self.answer(),
            }
            self.compare();
        }
        self.machine.engine().bfe_start();
        self.note("filter engine starts", String::new);
        self.machine.settle();
        self.reference.filtering = true;
        self.reference.policy += 1;
        // What went on without us is told nowhere.
        for at in (0..self.sockets.len()).rev() {
            let flows = &self.sockets[at].flows;
            if flows.iter().any(|flow| flow.is_ghost) || !flows.iter().any(|flow| flow.is_held()) {
                self.close(at);
            }
        }
    }

    /// The driver is unloaded under everything that is held, and loaded again.
    pub fn unload(&mut self) {
        self.note("unload and load", String::new);
        self.end();
        assert_eq!(self.machine.load(), Ok(()));
        let policy = self.reference.policy;
        self.reference = Reference::new();
        self.reference.policy = policy + 1;
        self.doors = Doors::default();
        self.ids.clear();
        self.observer = Some(self.machine.client());
        self.stats = self.read_stats();
    }

    /// The driver goes; what it held is decided, and nothing of it is left.
    pub fn end(&mut self) {
        if self.rival.take().is_some() {
            self.reference.foreign = Foreign::None;
        }
        let is_first = self.dice.chance(50);
        if is_first {
            // While handles are open the unload waits for them.
            assert!(!self.machine.unload());
        }
        let parked = std::mem::take(&mut self.parked);
        let reads = self.service.take().into_iter().chain(self.observer.take());
        for handle in reads {
            handle.close();
        }
        self.machine.settle();
        assert!(parked.iter().all(|call| !call.is_pending()), "no call stays behind");
        if !is_first {
            assert!(self.machine.unload());
        }
        self.fall_back(|_| true, |doors| &mut doors.detach);
        self.machine.settle();
        self.compare_without_counters();
        let engine = self.machine.engine();
        let left = engine.snapshot();
        assert_eq!((left.pended, left.closures_held, engine.outstanding_packets()), (0, 0, 0));
        assert_eq!((left.sessions, left.callouts.len(), left.filters.len()), (0, 0, 0));
        assert_eq!(self.machine.kernel().all_pool_bytes(), 0);
    }
}
