//! Classify with a cached verdict, by the number of cached verdicts, beside a plain hash map with the same key.
//!
//! Prints one line per size: nanoseconds per call, median. The calls go over a working set of 64 flows.

mod common;

use common::{HANDLE, PROGRAM, flow, gate, p50, pend};
use gate::{Ability, Action, Instant, Reauthorized};
use std::collections::HashMap;
use wire::request::Address;
use wire::verdict::{Answer, Scope, Verdict};

fn main() {
    let program: Vec<u8> = PROGRAM.encode_utf16().flat_map(u16::to_le_bytes).collect();
    println!("classify with a cached verdict, ns per call (p50)");
    println!("{:>10} {:>8} {:>8}", "verdicts", "gate", "HashMap");
    for verdicts in [1_u32, 1_000, 1_000_000] {
        let working_set: Vec<_> = (0..64).map(|n| flow(n % verdicts, &program)).collect();
        let mut gate = gate();
        let now = Instant::from_millis(1);
        // The working set comes last: it is what a full set would still have.
        for n in (0..verdicts).rev() {
            let flow = flow(n, &program);
            let answer = Answer { scope: Scope::REMOTE, ..Answer::once(pend(&mut gate, now, &flow), Verdict::PERMIT) };
            gate.handle_answer(now, HANDLE, &answer);
            gate.poll_completion(now).expect("it is decided");
            assert_eq!(gate.reauthorize(now, &flow, true), Reauthorized::Verdict(Verdict::PERMIT));
        }
        let ours = p50(&working_set, |flow| gate.classify(now, flow, Ability::Hold));
        assert!(working_set.iter().all(|flow| gate.classify(now, flow, Ability::Hold) == Action::Permit));

        let map: HashMap<(Vec<u8>, Address, u16), Verdict> =
            (0..verdicts).map(|n| (key(&flow(n, &program)), Verdict::PERMIT)).collect();
        let keys: Vec<_> = working_set.iter().map(key).collect();
        let theirs = p50(&keys, |key| map.get(key).copied());
        println!("{verdicts:>10} {ours:>8.1} {theirs:>8.1}");
    }
}

fn key(flow: &gate::Flow<'_>) -> (Vec<u8>, Address, u16) {
    (flow.program.to_vec(), flow.key.remote, flow.key.remote_port)
}
