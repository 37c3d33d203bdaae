//! The way of a connection through the gate: held, asked about, answered, completed, reauthorized.

use crate::*;

#[test]
fn a_connection_is_held_asked_about_answered_and_reauthorized() {
    for verdict in [PERMIT, BLOCK] {
        let mut t = Harness::new();
        let (id, op) = t.connect(WEB).held();
        t.expect(|s| (s.classified, s.held, s.pended, s.queued) = (1, 1, 1, 1));
        assert_eq!(t.deliveries().len(), 1);
        t.expect(|s| s.queued = 0);
        assert_eq!(t.answer(id, verdict), Outcome::ACCEPTED);
        t.expect(|s| (s.pended, s.doors.verdict) = (0, 1));
        assert_eq!(t.completions(), [op]);
        assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(verdict));
        t.expect(|s| s.claimed = 1);
    }
}

#[test]
fn a_request_says_all_that_is_known() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    t.advance(30);
    let [delivered] = t.deliveries().try_into().ok().expect("one request");
    let request = delivered.request;
    assert_eq!((delivered.path, delivered.sid.as_slice()), (utf16("app"), SID));
    assert_eq!((request.id, request.process_id, request.interface_index), (id, 42, 3));
    assert_eq!((request.local_ip().to_string(), request.local_port), ("10.0.0.2".into(), 5000));
    assert_eq!((request.remote_ip().to_string(), request.remote_port), ("1.1.1.1".into(), 443));
    assert_eq!((request.protocol, request.compartment, request.flags()), (6, 1, RequestFlags::HELD));
    assert_eq!((request.waited_ms, request.deadline_ms), (30, t.settings.deadline_ms - 30));
    assert_eq!((request.verdict, request.because), (Verdict::default(), Because::HELD));
    assert_ne!(request.program, 0);
}

#[test]
fn every_operation_gets_its_own_answer() {
    let mut t = Harness::with(|s| (s.max_pended, s.max_pended_per_process) = (1_000, 1_000));
    let story = |n: usize| format!("tcp 10.0.0.2:{} -> 1.1.1.1:443", 2_000 + n);
    let held: Vec<_> = (0..1_000).map(|n| t.connect(&story(n)).held()).collect();
    let verdict = |n: usize| if n.is_multiple_of(3) { PERMIT } else { BLOCK };
    // In an order that has nothing to do with that of the requests.
    for n in (0..1_000).map(|n| n * 7 % 1_000) {
        assert_eq!(t.answer(held[n].0, verdict(n)), Outcome::ACCEPTED);
    }
    assert_eq!(t.completions().len(), 1_000);
    for n in (0..1_000).map(|n| n * 3 % 1_000) {
        assert_eq!(t.reauthorize(&story(n)), Reauthorized::Verdict(verdict(n)), "{n}");
    }
    t.expect(|s| (s.classified, s.held, s.doors.verdict, s.claimed) = (1_000, 1_000, 1_000, 1_000));
}

#[test]
fn requests_are_delivered_once_and_in_order_before_reports() {
    let mut t = Harness::new();
    t.pass(DNS);
    let ids = [WEB, OTHER, ELSEWHERE].map(|story| t.connect(story).held().0);
    let seen: Vec<_> = t.deliveries().iter().map(|delivered| delivered.request.id).collect();
    assert_eq!(seen, [ids[0], ids[1], ids[2], RequestId(0)]);
    assert!(t.deliveries().is_empty());
    assert!(!t.gate.has_requests());
}

#[test]
fn a_request_decided_before_its_delivery_is_not_delivered() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    assert_eq!(t.answer(id, BLOCK), Outcome::ACCEPTED);
    assert!(t.deliveries().is_empty());
}

#[test]
fn a_request_is_written_to_a_batch_and_read_back() {
    let mut t = Harness::new();
    let (id, _) = t.connect(ELSEWHERE).held();
    let mut out = Outgoing::default();
    assert!(t.gate.next_request(t.now(), &mut out));
    let mut buffer = vec![0; batch::MIN_BATCH_BYTES];
    let mut writer = BatchWriter::new(&mut buffer).expect("large enough");
    assert!(out.write(&mut writer));
    let used = writer.finish(0);
    let view = batch::requests(&buffer[..used]).expect("a batch").1.next().expect("a request").expect("well formed");
    assert_eq!((view.request.id, view.path, view.sid), (id, utf16("app").as_slice(), SID));
    assert_eq!(view.request.remote_ip().to_string(), "2001:db8::1");
}

#[test]
fn a_long_path_is_cut_and_still_names_its_own_program() {
    let mut t = Harness::new();
    let long = "x".repeat(MAX_PATH_BYTES);
    for (end, port) in [("a", 1), ("b", 2)] {
        t.connect(&format!("{long}{end}[9] tcp 10.0.0.2:{port} -> 1.1.1.1:443"));
    }
    let [one, other] = t.deliveries().try_into().ok().expect("two requests");
    assert_eq!(one.path, utf16(&long[..MAX_PATH_BYTES / 2]));
    assert_eq!(one.path, other.path);
    assert!(one.request.flags().contains(RequestFlags::PATH_TRUNCATED));
    assert_ne!(one.request.program, other.request.program);
}

#[test]
fn paths_are_kept_for_as_long_as_they_are_needed() {
    let mut t = Harness::new();
    for n in 0..2_000 {
        let story = format!("app{n}[42] tcp 10.0.0.2:5000 -> 1.1.1.1:443");
        let (id, _) = t.connect(&story).held();
        t.pass(&format!("app{n}[42] udp 10.0.0.2:6000 -> 9.9.9.9:53"));
        for delivered in t.deliveries() {
            assert_eq!(delivered.path, utf16(&format!("app{n}")));
        }
        t.answer(id, PERMIT);
        t.completions();
        t.reauthorize(&story);
    }
}
