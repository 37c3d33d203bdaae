//! Matching a verdict to its operation, by the number of held operations, beside a walk through a list that compares
//! addresses, ports and process as the article that this project started from does.
//!
//! Prints one line per size: nanoseconds per round, median. The rounds go over the 10 operations held last.

mod common;

use common::{HANDLE, PROGRAM, flow, gate, p50, pend};
use gate::Instant;
use std::collections::VecDeque;
use wire::verdict::{Answer, Outcome, Verdict};

fn main() {
    let program: Vec<u8> = PROGRAM.encode_utf16().flat_map(u16::to_le_bytes).collect();
    println!(
        "answer, complete and reauthorize one held operation, then hold it again, ns (p50); list: only finding it"
    );
    println!("{:>10} {:>8} {:>10}", "held", "gate", "list walk");
    for held in [10_u32, 1_000, 100_000] {
        let mut gate = gate();
        let now = Instant::from_millis(1);
        let flows: Vec<_> = (0..held).map(|n| flow(n, &program)).collect();
        let mut ids: VecDeque<_> = flows.iter().map(|flow| (pend(&mut gate, now, flow), flow)).collect();
        ids.drain(..ids.len() - 10);
        let ours = p50(&[(); 32], |()| {
            let (id, flow) = ids.pop_front().expect("never empty");
            assert_eq!(gate.handle_answer(now, HANDLE, &Answer::once(id, Verdict::PERMIT)), Outcome::ACCEPTED);
            gate.poll_completion(now).expect("it is decided");
            gate.reauthorize(now, flow, true);
            ids.push_back((pend(&mut gate, now, flow), flow));
        });
        let wanted: Vec<_> = flows.iter().step_by((held as usize / 8).max(1)).collect();
        let theirs = p50(&wanted[..wanted.len().min(8)], |wanted| {
            flows.iter().position(|flow| {
                (flow.key.remote, flow.key.remote_port, flow.local_port, flow.key.protocol, flow.process_id)
                    == (
                        wanted.key.remote,
                        wanted.key.remote_port,
                        wanted.local_port,
                        wanted.key.protocol,
                        wanted.process_id,
                    )
            })
        });
        println!("{held:>10} {ours:>8.1} {theirs:>10.1}");
    }
}
