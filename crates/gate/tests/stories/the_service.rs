//! The service: attached, absent, exempt, told what was decided without it.

use crate::*;

#[test]
fn without_a_service_the_cache_and_then_the_fallback_answer() {
    let mut t = Harness::idle();
    assert_eq!(t.connect(WEB), Connect::Permitted);
    t.expect(|s| (s.classified, s.fell_back) = (1, 1));
    t.configure(|s| s.fallback_outbound = Fallback::BLOCK);
    assert_eq!(t.connect(WEB), Connect::Blocked);
    t.expect(|s| (s.classified, s.fell_back) = (2, 2));
    assert!(t.deliveries().is_empty(), "nobody to tell");
}

#[test]
fn the_service_itself_is_never_held() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    assert_eq!(t.connect(OWN), Connect::Permitted);
    assert_eq!(t.reauthorize(OWN), Reauthorized::Leave);
    t.expect(|s| (s.classified, s.exempted, s.foreign_reauthorized) = (1, 1, 1));
    t.detach();
    assert_eq!(t.connect(OWN), Connect::Blocked, "it is nobody special any more");
}

#[test]
fn one_service_at_a_time() {
    let mut t = Harness::new();
    let other = Owner { process_id: 200, handle: 8 };
    let settings = wire::settings::Settings { epoch: 9, ..t.settings };
    let mut room = Room::new(t.gate.settings(), &settings).expect("memory");
    assert_eq!(t.gate.attach(t.now(), other, settings, &mut room), Err(Busy { process_id: 100 }));
    t.expect(|_| {});
    t.gate.detach(t.now(), other.handle);
    assert!(t.gate.is_attached(SERVICE.handle), "only its own handle detaches it");
    t.detach();
    assert_eq!(t.gate.attach(t.now(), other, settings, &mut room), Ok(()));
    t.expect(|s| (s.attached_process_id, s.epoch) = (200, 9));
}

#[test]
fn a_detach_releases_what_is_held_and_drops_what_is_not_delivered() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    let (_, first) = t.connect(WEB).held();
    t.deliveries();
    let (_, second) = t.connect(OTHER).held();
    t.pass(DNS);
    t.detach();
    t.expect(|s| {
        (s.classified, s.held, s.fell_back, s.doors.detach) = (3, 2, 1, 2);
        (s.attached, s.attached_process_id, s.dropped_reports) = (0, 0, 1);
    });
    assert!(!t.gate.has_requests());
    assert_eq!(t.completions(), [first, second]);
    for story in [WEB, OTHER] {
        assert_eq!(t.reauthorize(story), Reauthorized::Verdict(BLOCK));
    }
    assert_eq!(t.connect(ELSEWHERE), Connect::Blocked, "not held");
}

#[test]
fn the_last_known_verdict_answers_for_an_absent_service() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::LAST);
    let (id, _) = t.connect(WEB).held();
    t.submit(&Answer { scope: Scope::REMOTE, lifetime_ms: 10, ..Answer::once(id, PERMIT) });
    t.detach();
    t.configure(|s| s.epoch += 1);
    t.advance(1_000);
    assert_eq!(t.connect(OTHER), Connect::Permitted, "expired, of an old epoch, and still the last known");
    assert_eq!(t.connect(ELSEWHERE), Connect::Blocked, "nothing known");
}

#[test]
fn settings_stay_in_force_after_a_detach() {
    let mut t = Harness::with(|s| (s.fallback_outbound, s.epoch) = (Fallback::BLOCK, 3));
    t.detach();
    assert_eq!(t.connect(WEB), Connect::Blocked);
    assert_eq!(t.stats().epoch, 3);
}

#[test]
fn what_cannot_be_held_is_answered_at_once_and_reported() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    assert_eq!(t.pass(DNS), Action::Block);
    t.expect(|s| (s.classified, s.fell_back, s.queued) = (1, 1, 1));
    let [report] = t.deliveries().try_into().ok().expect("one report");
    assert_eq!((report.request.id, report.path, report.sid.as_slice()), (RequestId(0), utf16("app"), SID));
    assert_eq!((report.request.verdict, report.request.because), (BLOCK, Because::FALLBACK));
    assert_eq!((report.request.flags(), report.request.deadline_ms), (RequestFlags::empty(), 0));
}

#[test]
fn cached_answers_are_reported_only_for_what_cannot_be_held() {
    let mut t = Harness::new();
    t.decide(WEB, PERMIT, Scope::PROGRAM);
    assert_eq!(t.connect(OTHER), Connect::Permitted);
    assert!(t.deliveries().is_empty());
    assert_eq!(t.pass(DNS), Action::Permit);
    assert_eq!(t.deliveries()[0].request.because, Because::CACHED);
}

#[test]
fn too_many_reports_drop_the_oldest_and_say_so() {
    let mut t = Harness::new();
    for port in 1..=1_030 {
        t.pass(&format!("udp 10.0.0.2:6000 -> 9.9.9.9:{port}"));
    }
    t.expect(|s| (s.classified, s.fell_back, s.queued, s.dropped_reports) = (1_030, 1_030, 1_024, 6));
    assert_eq!((t.gate.take_dropped_reports(), t.gate.take_dropped_reports()), (6, 0));
    assert_eq!(t.deliveries()[0].request.remote_port, 7);
}

#[test]
fn a_classify_without_the_right_is_counted() {
    let mut t = Harness::new();
    assert!(!t.vetoes(WEB));
    t.expect(|s| s.without_right = 1);
}
