//! Pending, completing, reauthorizing.

mod harness;

use harness::*;
use std::sync::{Arc, Mutex};
use wfp_sim::Outcome;

// E93: learn.microsoft.com "ALE Reauthorization", "Processing Classify Callouts Asynchronously"
#[test]
fn a_completed_connect_is_reauthorized_once_and_connects() {
    each_knob(|mut bench| {
        let context = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&context);
        let fake = bench.callout_at(100, CONNECT_V4, move |call| {
            if call.is_reauthorization() { call.permit() } else { *kept.lock().unwrap() = Some(call.pend()) }
        });
        let connect = bench.connect();
        assert_eq!(connect.outcome(), Outcome::Pending);
        context.lock().unwrap().unwrap().complete();
        bench.host.run_deferred();
        assert_eq!(connect.outcome(), Outcome::Connected);
        assert_eq!(fake.calls(), 2);
    });
}
