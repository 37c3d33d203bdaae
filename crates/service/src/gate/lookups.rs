//! Looking facts up, away from where connections are decided.
//!
//! Two queues, both bounded: processes that a connection waits for, and those that nobody waits for yet. Invariants:
//! asking never waits; what has no room is asked again later. Neighbours: `gate` asks and is told, `identity` and `files`
//! know how.

use crate::files::Files;
use crate::identity::{self, Key, Processes};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use rules::facts::{Identity, Needs};
use std::sync::Arc;

/// How many processes may be in a queue.
const QUEUE: usize = 1_024;
/// How many threads look facts up.
pub const WORKERS: usize = 2;

/// Where facts are asked for.
pub struct Lookups {
    urgent: Sender<Key>,
    idle: Sender<Key>,
}

/// The other end of the queues, and how facts are found out. One for each worker.
#[derive(Clone)]
pub struct Worker {
    urgent: Receiver<Key>,
    idle: Receiver<Key>,
    processes: Arc<dyn Processes>,
    files: Arc<Files>,
}

/// Who wants to know facts.
pub trait Asker {
    /// Who a process is, as far as it is known; `None` when nobody wants to know any more.
    fn identity(&self, process: Key) -> Option<Arc<Identity>>;
    /// Something is known now.
    fn learn(&self, process: Key, change: &mut dyn FnMut(&mut Identity));
}

impl Lookups {
    /// Queues, and who empties them.
    pub fn new(processes: Arc<dyn Processes>) -> (Self, Worker) {
        let ((urgent, urgent_end), (idle, idle_end)) = (bounded(QUEUE), bounded(QUEUE));
        let files = Arc::new(Files::new(processes.clone()));
        (Self { urgent, idle }, Worker { urgent: urgent_end, idle: idle_end, processes, files })
    }

    /// Asks for the facts of a process. Gives `false` when there is no room.
    pub fn ask(&self, process: Key, is_urgent: bool) -> bool {
        let queue = if is_urgent { &self.urgent } else { &self.idle };
        queue.try_send(process).is_ok()
    }
}

impl Worker {
    /// Looks facts up until `stop` is closed.
    pub fn run(&self, asker: &dyn Asker, stop: &Receiver<()>) {
        loop {
            let process = select_biased! {
                recv(stop) -> _ => return,
                recv(self.urgent) -> process => process,
                recv(self.idle) -> process => process,
            };
            let Ok(process) = process else { return };
            self.look_up(asker, process);
        }
    }

    /// The cheapest first. Others may have found some out meanwhile.
    fn look_up(&self, asker: &dyn Asker, process: Key) {
        let pending = |need| asker.identity(process).filter(|identity| identity.pending.contains(need));
        if pending(Needs::PROCESS).is_some() {
            let mut told = self.processes.describe(process);
            asker.learn(process, &mut |identity| identity::describe(identity, told.take()));
        }
        if let Some(identity) = pending(Needs::HASH) {
            let hash = identity.program.path.as_deref().and_then(|path| self.files.sha256(path));
            asker.learn(process, &mut |identity| {
                identity.program.sha256.clone_from(&hash);
                identity.pending.remove(Needs::HASH);
            });
        }
        if let Some(identity) = pending(Needs::PUBLISHER) {
            let publisher = identity.program.path.as_deref().and_then(|path| self.files.publisher(path));
            asker.learn(process, &mut |identity| {
                identity.program.publisher.clone_from(&publisher);
                identity.pending.remove(Needs::PUBLISHER);
            });
        }
    }
}
