//! Weights, conditions, arbitration, the log.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::net::Ipv4Addr;
use wfp_sim::{AfterHardBlock, Config, Knobs, NetEventKind, Outcome, ProcessSpec, WSAEACCES};

const REFUSED: Outcome = Outcome::Refused(WSAEACCES);
const DISCARDED_V4: GUID = FWPM_LAYER_ALE_AUTH_CONNECT_V4_DISCARD;
const PORT: GUID = FWPM_CONDITION_IP_REMOTE_PORT;
const ADDRESS: GUID = FWPM_CONDITION_IP_REMOTE_ADDRESS;
const PROTOCOL: GUID = FWPM_CONDITION_IP_PROTOCOL;

fn warned(bench: &Bench) -> Vec<&'static str> {
    bench.engine.warnings().iter().map(|warning| warning.rule).collect()
}

/// Whether a connect to `remote` is blocked.
fn blocks(bench: &Bench, remote: &str) -> bool {
    bench.connect_to(remote).outcome() == REFUSED
}

// E45: learn.microsoft.com "Filter Weight Assignment"
#[test]
fn a_weight_is_exact_ranged_or_automatic() {
    let bench = Bench::new();
    let weigh =
        |weight| bench.session.add(&filter(CONNECT_V4).weight(weight)).and_then(|id| bench.session.weight_of(id));
    assert_eq!(weigh(Weight::U64(u64::MAX)), Ok(u64::MAX));
    assert!(weigh(Weight::Empty).unwrap() < 1 << 60);
    assert_eq!(weigh(Weight::U8(5)).unwrap() >> 60, 5);
    assert_eq!(weigh(Weight::U8(16)), Err(STATUS_FWP_INVALID_WEIGHT));
    assert_eq!(weigh(Weight::U32(1)), Err(STATUS_FWP_INVALID_WEIGHT));
}

// E46: learn.microsoft.com "Reserving Ports"
#[test]
fn a_more_specific_filter_weighs_more() {
    let bench = Bench::new();
    for weight in [Weight::Empty, Weight::U8(3)] {
        let weigh = |draft: FilterDraft| {
            let id = bench.session.add(&draft.weight(weight)).unwrap();
            bench.session.weight_of(id).unwrap()
        };
        let net = |mask| Operand::V4Net(Ipv4Addr::new(10, 0, 0, 0), mask);
        let any = weigh(filter(CONNECT_V4));
        let wide = weigh(filter(CONNECT_V4).when(ADDRESS, FWP_MATCH_EQUAL, net(0xFF00_0000)));
        let narrow = weigh(filter(CONNECT_V4).when(ADDRESS, FWP_MATCH_EQUAL, net(0xFFFF_FF00)));
        let exact = weigh(filter(CONNECT_V4).when(ADDRESS, FWP_MATCH_EQUAL, Operand::U32(0x0A00_0001)));
        let two_fields = weigh(filter(CONNECT_V4).when(ADDRESS, FWP_MATCH_EQUAL, net(0xFF00_0000)).when(
            PORT,
            FWP_MATCH_EQUAL,
            Operand::U16(80),
        ));
        let order = [any, wide, narrow, exact, two_fields];
        assert!(order.is_sorted_by(|lighter, heavier| lighter < heavier), "{order:?}");
    }
}

// E47: learn.microsoft.com "FWPM_SUBLAYER0"
#[test]
fn heavier_sublayers_are_asked_first_and_no_two_weigh_the_same() {
    let mut bench = Bench::new();
    let light = bench.callout_at(50, CONNECT_V4, |call| call.permit());
    let heavy = bench.callout_at(60, CONNECT_V4, |call| call.permit());
    bench.connect();
    assert_eq!(heavy.seen()[0].action, FWP_ACTION_NONE);
    assert_eq!(light.seen()[0].action, FWP_ACTION_PERMIT);

    bench.session.add_sublayer(50).unwrap();
    bench.session.add_sublayer(50).unwrap();
    let weights: Vec<u16> = bench.engine.snapshot().sublayers.iter().map(|sublayer| sublayer.weight).collect();
    assert!(weights.is_sorted_by(|heavier, lighter| heavier > lighter), "{weights:?}");
    assert!(weights.contains(&49) && weights.contains(&51), "the closest free ones");
}

// E48: learn.microsoft.com "Filtering Conditions"
#[test]
fn conditions_on_one_field_are_alternatives_and_on_several_all_needed() {
    let bench = Bench::new();
    let ports = filter(CONNECT_V4).block().when(PORT, FWP_MATCH_EQUAL, Operand::U16(80)).when(
        PORT,
        FWP_MATCH_EQUAL,
        Operand::U16(443),
    );
    bench.session.add(&ports.clone().when(ADDRESS, FWP_MATCH_EQUAL, Operand::U32(0x0101_0101))).unwrap();
    assert!(blocks(&bench, "1.1.1.1:80"));
    assert!(blocks(&bench, "1.1.1.1:443"));
    assert!(!blocks(&bench, "1.1.1.1:22"));
    assert!(!blocks(&bench, "2.2.2.2:80"));
}

// E49: the same page: alternatives, also where two of them exclude everything together
#[test]
fn two_inequalities_on_one_field_match_everything() {
    let bench = Bench::new();
    let draft = filter(CONNECT_V4).block().when(PORT, FWP_MATCH_NOT_EQUAL, Operand::U16(80)).when(
        PORT,
        FWP_MATCH_NOT_EQUAL,
        Operand::U16(443),
    );
    bench.session.add(&draft).unwrap();
    for remote in ["1.1.1.1:80", "1.1.1.1:443", "1.1.1.1:22"] {
        assert!(blocks(&bench, remote), "{remote}");
    }
}

// E50: learn.microsoft.com "Processing Classify Callouts"
#[test]
fn a_filter_without_conditions_matches_everything() {
    let mut bench = Bench::new();
    let fake = bench.callout_at(1, CONNECT_V4, |call| call.permit());
    bench.connect_to("1.1.1.1:1");
    bench.connect_to("127.0.0.1:2");
    assert_eq!(fake.calls(), 2);
}

// E51: learn.microsoft.com "FWP_MATCH_TYPE"
#[test]
fn match_types_are_checked_against_the_type_of_the_value() {
    const ALL: u32 = 13;
    let ordered = [
        FWP_MATCH_EQUAL,
        FWP_MATCH_GREATER,
        FWP_MATCH_LESS,
        FWP_MATCH_GREATER_OR_EQUAL,
        FWP_MATCH_LESS_OR_EQUAL,
        FWP_MATCH_NOT_EQUAL,
    ];
    let flags = [FWP_MATCH_FLAGS_ALL_SET, FWP_MATCH_FLAGS_ANY_SET, FWP_MATCH_FLAGS_NONE_SET];
    let prefix = [FWP_MATCH_PREFIX, FWP_MATCH_NOT_PREFIX];
    let low_high = |low, high| Operand::Range(Box::new(low), Box::new(high));
    let cases = [
        (CONNECT_V4, PROTOCOL, Operand::U8(6), [&ordered[..], &flags].concat()),
        (CONNECT_V4, PORT, Operand::U16(443), [&ordered[..], &flags].concat()),
        (CONNECT_V4, FWPM_CONDITION_FLAGS, Operand::U32(1), [&ordered[..], &flags].concat()),
        (CONNECT_V4, FWPM_CONDITION_IP_LOCAL_INTERFACE, Operand::U64(1), [&ordered[..], &flags].concat()),
        (CONNECT_V6, ADDRESS, Operand::Bytes16([0; 16]), ordered.to_vec()),
        (CONNECT_V4, FWPM_CONDITION_ALE_APP_ID, Operand::Blob(vec![1]), [&ordered[..], &prefix].concat()),
        (
            CONNECT_V4,
            FWPM_CONDITION_PEER_NAME,
            Operand::Text("peer"),
            [&ordered[..], &prefix, &[FWP_MATCH_EQUAL_CASE_INSENSITIVE]].concat(),
        ),
        (CONNECT_V4, PORT, low_high(Operand::U16(1), Operand::U16(2)), vec![FWP_MATCH_RANGE]),
        (CONNECT_V4, FWPM_CONDITION_ALE_USER_ID, Operand::Descriptor(vec![0; 20]), vec![FWP_MATCH_EQUAL]),
        (CONNECT_V4, PORT, Operand::Empty, vec![FWP_MATCH_EQUAL]),
    ];
    let bench = Bench::new();
    for (layer, field, operand, allowed) in cases {
        for match_type in 0..ALL {
            let added = bench.session.add(&filter(layer).when(field, match_type, operand.clone())).map(drop);
            let expected = if allowed.contains(&match_type) { Ok(()) } else { Err(STATUS_FWP_MATCH_TYPE_MISMATCH) };
            assert_eq!(added, expected, "{operand:?}, match type {match_type}");
        }
    }
}

// E51: and they compare
#[test]
fn match_types_compare() {
    let cases = [
        (FWP_MATCH_EQUAL, Operand::U16(80), vec![80]),
        (FWP_MATCH_NOT_EQUAL, Operand::U16(80), vec![79, 81]),
        (FWP_MATCH_GREATER, Operand::U16(80), vec![81]),
        (FWP_MATCH_LESS, Operand::U16(80), vec![79]),
        (FWP_MATCH_GREATER_OR_EQUAL, Operand::U16(80), vec![80, 81]),
        (FWP_MATCH_LESS_OR_EQUAL, Operand::U16(80), vec![79, 80]),
        (FWP_MATCH_FLAGS_ALL_SET, Operand::U16(0x51), vec![81]),
        (FWP_MATCH_FLAGS_ANY_SET, Operand::U16(0x01), vec![79, 81]),
        (FWP_MATCH_FLAGS_NONE_SET, Operand::U16(0x01), vec![80]),
    ];
    for (match_type, operand, expected) in cases {
        let bench = Bench::new();
        bench.session.add(&filter(CONNECT_V4).block().when(PORT, match_type, operand)).unwrap();
        let blocked: Vec<u16> = (79..=81).filter(|port| blocks(&bench, &format!("1.1.1.1:{port}"))).collect();
        assert_eq!(blocked, expected, "match type {match_type}");
    }
}

// E52: learn.microsoft.com "ALE Reauthorization"
#[test]
fn a_missing_value_matches_only_missing() {
    let bench = Bench::new();
    // Nothing has arrived yet when a connect is authorized.
    let field = FWPM_CONDITION_ARRIVAL_INTERFACE_INDEX;
    for (match_type, operand) in [
        (FWP_MATCH_NOT_EQUAL, Operand::U32(0)),
        (FWP_MATCH_GREATER_OR_EQUAL, Operand::U32(0)),
        (FWP_MATCH_FLAGS_NONE_SET, Operand::U32(1)),
        (FWP_MATCH_EQUAL, Operand::U32(0xCCCC_CCCC)),
    ] {
        bench.session.add(&filter(CONNECT_V4).block().when(field, match_type, operand)).unwrap();
    }
    assert!(!blocks(&bench, REMOTE));
    bench.session.add(&filter(CONNECT_V4).block().when(field, FWP_MATCH_EQUAL, Operand::Empty)).unwrap();
    assert!(blocks(&bench, REMOTE));
}

// E53: learn.microsoft.com "WFP Error Codes"
#[test]
fn networks_and_ranges_are_checked_and_include_their_ends() {
    let bench = Bench::new();
    let range = |low, high| Operand::Range(Box::new(Operand::U16(low)), Box::new(Operand::U16(high)));
    let net = |mask| Operand::V4Net(Ipv4Addr::new(10, 1, 0, 0), mask);
    let mut prefix = [0; 16];
    prefix[..2].copy_from_slice(&[0x20, 0x01]);
    let add =
        |layer, field, match_type, operand| bench.session.add(&filter(layer).block().when(field, match_type, operand));
    assert_eq!(add(CONNECT_V4, PORT, FWP_MATCH_RANGE, range(9, 8)), Err(STATUS_FWP_INVALID_RANGE));
    assert_eq!(add(CONNECT_V4, ADDRESS, FWP_MATCH_EQUAL, net(0xFF00_FF00)), Err(STATUS_FWP_INVALID_NET_MASK));
    assert_eq!(add(CONNECT_V6, ADDRESS, FWP_MATCH_EQUAL, Operand::V6Net(prefix, 129)), Err(STATUS_FWP_OUT_OF_BOUNDS));
    add(CONNECT_V4, PORT, FWP_MATCH_RANGE, range(100, 102)).unwrap();
    add(CONNECT_V4, ADDRESS, FWP_MATCH_EQUAL, net(0xFFFF_0000)).unwrap();
    add(CONNECT_V6, ADDRESS, FWP_MATCH_EQUAL, Operand::V6Net(prefix, 16)).unwrap();
    let blocked: Vec<u16> = (99..=103).filter(|port| blocks(&bench, &format!("1.1.1.1:{port}"))).collect();
    assert_eq!(blocked, [100, 101, 102]);
    assert!(blocks(&bench, "10.1.255.255:1") && !blocks(&bench, "10.2.0.0:1"));
    assert!(blocks(&bench, "[2001:ffff::1]:1") && !blocks(&bench, "[2002::1]:1"));
}

// E54: learn.microsoft.com "WFP Error Codes"
#[test]
fn conditions_name_fields_of_the_layer_and_have_their_type() {
    let bench = Bench::new();
    let add = |field, operand| bench.session.add(&filter(CONNECT_V4).when(field, FWP_MATCH_EQUAL, operand)).map(drop);
    assert_eq!(add(FWPM_CONDITION_ALE_PROMISCUOUS_MODE, Operand::U32(0)), Err(STATUS_FWP_CONDITION_NOT_FOUND));
    assert_eq!(add(fresh_key(), Operand::U32(0)), Err(STATUS_FWP_CONDITION_NOT_FOUND));
    assert_eq!(add(PORT, Operand::U32(80)), Err(STATUS_FWP_TYPE_MISMATCH));
    assert_eq!(add(PORT, Operand::I32(80)), Err(STATUS_FWP_TYPE_MISMATCH));
    assert_eq!(add(ADDRESS, Operand::Bytes16([0; 16])), Err(STATUS_FWP_TYPE_MISMATCH));
}

// E55: learn.microsoft.com "FwpmGetAppIdFromFileName0"
#[test]
fn a_program_is_its_lower_case_path_with_the_terminator() {
    let bench = Bench::new();
    let app_id = |bytes: Vec<u8>| {
        filter(CONNECT_V4).block().when(FWPM_CONDITION_ALE_APP_ID, FWP_MATCH_EQUAL, Operand::Blob(bytes))
    };
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let path = r"\device\harddiskvolume3\program files\curl\curl.exe";
    bench.session.add(&app_id(utf16(path))).unwrap();
    bench.session.add(&app_id(utf16(&format!("{}\0", path.to_uppercase())))).unwrap();
    assert!(!blocks(&bench, REMOTE), "neither length nor case is right");
    bench.session.add(&app_id(utf16(&format!("{path}\0")))).unwrap();
    assert!(blocks(&bench, REMOTE));
}

/// A self-relative descriptor that allows or denies a match to SIDs.
fn descriptor(entries: &[(bool, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (allows, sid) in entries {
        let size = u16::try_from(8 + sid.len()).unwrap();
        list.extend([u8::from(!allows), 0]);
        list.extend(size.to_le_bytes());
        list.extend(FWP_ACTRL_MATCH_FILTER.to_le_bytes());
        list.extend(*sid);
    }
    let mut descriptor = vec![1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0];
    descriptor.extend([2, 0]);
    descriptor.extend(u16::try_from(8 + list.len()).unwrap().to_le_bytes());
    descriptor.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    descriptor.extend([0, 0]);
    descriptor.extend(list);
    descriptor
}

// E56: learn.microsoft.com "Permitting and Blocking Applications and Users"
#[test]
fn a_user_matches_a_descriptor_that_grants_it() {
    let alice: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0];
    let admins: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 2, 0, 0, 0];
    let bench = Bench::new();
    let user = |sids: &[&[u8]]| {
        let sids = sids.iter().map(|sid| sid.to_vec()).collect();
        bench.engine.process(ProcessSpec { sids, ..ProcessSpec::new(1, r"\Device\a.exe") })
    };
    let entries = [(false, admins), (true, alice)];
    let draft = filter(CONNECT_V4).block();
    let field = FWPM_CONDITION_ALE_USER_ID;
    bench.session.add(&draft.when(field, FWP_MATCH_EQUAL, Operand::Descriptor(descriptor(&entries)))).unwrap();
    let outcome = |sids: &[&[u8]]| {
        let spec = wfp_sim::ConnectSpec::to(addr(REMOTE));
        bench.engine.tcp_connect(&user(sids), spec).outcome()
    };
    assert_eq!(outcome(&[alice]), REFUSED);
    assert_eq!(outcome(&[alice, admins]), Outcome::Connected, "the denial comes first");
    assert_eq!(outcome(&[admins]), Outcome::Connected);
}

/// What a sublayer concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Nothing,
    SoftPermit,
    HardPermit,
    StaticBlock,
    SoftBlock,
    HardBlock,
}

impl Does {
    fn set_up(self, bench: &mut Bench, weight: u16) {
        let answer: Answer = match self {
            Self::Nothing => return,
            Self::SoftBlock => |call| {
                if call.seen.has_right || call.seen.action == FWP_ACTION_PERMIT {
                    call.block_soft()
                }
            },
            Self::HardBlock => |call| {
                if call.seen.has_right || call.seen.action == FWP_ACTION_PERMIT {
                    call.block()
                }
            },
            Self::SoftPermit | Self::HardPermit | Self::StaticBlock => {
                let sublayer = bench.session.add_sublayer(weight).unwrap();
                let draft = filter(CONNECT_V4).at(sublayer);
                let draft = match self {
                    Self::StaticBlock => draft.block(),
                    Self::HardPermit => draft.flags(FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT),
                    _ => draft,
                };
                bench.session.add(&draft).unwrap();
                return;
            }
        };
        bench.callout_at(weight, CONNECT_V4, answer);
    }
}

/// Whether a connect is blocked where a heavier sublayer does the one and a lighter the other.
fn arbitrated(higher: Does, lower: Does) -> bool {
    arbitrated_with(Knobs::default(), higher, lower)
}

fn arbitrated_with(knobs: Knobs, higher: Does, lower: Does) -> bool {
    let mut bench = Bench::with_knobs(knobs);
    higher.set_up(&mut bench, 200);
    lower.set_up(&mut bench, 100);
    blocks(&bench, REMOTE)
}

// E57: learn.microsoft.com "Filter Arbitration"; ebpf-for-windows socket_tests
#[test]
fn a_block_below_overrides_a_soft_permit() {
    assert!(arbitrated(Does::SoftPermit, Does::StaticBlock));
}

// E58: ebpf-for-windows socket_tests connection_test_connect_hard_permit
#[test]
fn a_block_filter_below_does_not_override_a_hard_permit() {
    assert!(!arbitrated(Does::HardPermit, Does::StaticBlock));
}

// E59: learn.microsoft.com "Filter Arbitration", "Audit Filtering Platform Connection"
#[test]
fn a_callout_below_vetoes_a_hard_permit() {
    let mut bench = Bench::new();
    Does::HardPermit.set_up(&mut bench, 200);
    let fake = bench.callout_at(100, CONNECT_V4, |call| call.block_soft());
    assert!(blocks(&bench, REMOTE));
    assert!(!fake.seen()[0].has_right);
    assert!(bench.engine.net_events()[0].veto);
    let status = bench.engine.snapshot();
    let counts = status.callouts.iter().find(|callout| callout.id == fake.id).unwrap().counts;
    assert_eq!((counts.veto, counts.without_right), (1, 1));
}

// E60: learn.microsoft.com "Filter Arbitration"
#[test]
fn a_permit_below_overrides_a_soft_block() {
    assert!(!arbitrated(Does::SoftBlock, Does::SoftPermit));
}

// E61: learn.microsoft.com "Filter Arbitration"
#[test]
fn a_hard_block_is_final() {
    let mut bench = Bench::new();
    Does::StaticBlock.set_up(&mut bench, 200);
    bench.callout_at(100, CONNECT_V4, |call| {
        if call.seen.has_right {
            call.permit()
        }
    });
    assert!(blocks(&bench, REMOTE));
}

// E62: learn.microsoft.com "Filter Arbitration"
#[test]
fn every_pair_of_sublayers_is_arbitrated_by_the_book() {
    use Does::*;
    let lower = [Nothing, SoftPermit, HardPermit, StaticBlock, SoftBlock, HardBlock];
    let table = [
        (Nothing, [false, false, false, true, true, true]),
        (SoftPermit, [false, false, false, true, true, true]),
        (HardPermit, [false, false, false, false, true, true]),
        (SoftBlock, [true, false, false, true, true, true]),
        (StaticBlock, [true; 6]),
        (HardBlock, [true; 6]),
    ];
    for after_hard_block in [AfterHardBlock::CallWithoutRight, AfterHardBlock::Stop] {
        let knobs = Knobs { after_hard_block, ..Knobs::default() };
        for (higher, row) in table {
            for (lower, is_blocked) in lower.into_iter().zip(row) {
                assert_eq!(arbitrated_with(knobs, higher, lower), is_blocked, "{higher:?} above {lower:?}");
            }
        }
    }
}

// E63: learn.microsoft.com "Filter Arbitration"
#[test]
fn within_a_sublayer_the_first_decision_wins() {
    let bench = Bench::new();
    bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(10))).unwrap();
    let block = bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(5)).block()).unwrap();
    assert!(!blocks(&bench, REMOTE));
    let status = bench.engine.snapshot();
    assert_eq!(status.filters.iter().find(|filter| filter.id == block).unwrap().counts.matched, 0);
}

// E64: learn.microsoft.com "Filter Arbitration"
#[test]
fn who_continues_leaves_the_decision_to_the_next_filter() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.out.actionType = FWP_ACTION_CONTINUE);
    bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(30)).action(FWP_ACTION_CONTINUE)).unwrap();
    bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(20)).unknown(fake.key)).unwrap();
    bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(10)).block()).unwrap();
    assert!(blocks(&bench, REMOTE));
    assert_eq!(fake.calls(), 1);
}

// E65: learn.microsoft.com "FWPS_ACTION0"
#[test]
fn a_terminating_callout_that_does_not_decide_blocks() {
    for action in [FWP_ACTION_CONTINUE, FWP_ACTION_NONE, FWP_ACTION_NONE_NO_MATCH] {
        let mut bench = Bench::new();
        bench.callout_at(1, CONNECT_V4, move |call| call.out.actionType = action);
        assert!(blocks(&bench, REMOTE));
        assert_eq!(warned(&bench), ["V-CLS-08"]);
    }
}

// E66: learn.microsoft.com "FWPS_ACTION0"
#[test]
fn an_inspecting_callout_decides_nothing() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.block());
    bench.session.add(&filter(CONNECT_V4).inspection(fake.key)).unwrap();
    assert!(!blocks(&bench, REMOTE));
    assert_eq!(warned(&bench), ["V-CLS-08"]);
}

// E67: learn.microsoft.com "Filter Arbitration"
#[test]
fn callouts_below_a_hard_block_are_called_without_the_right_or_not_at_all() {
    for (after_hard_block, calls) in [(AfterHardBlock::CallWithoutRight, 1), (AfterHardBlock::Stop, 0)] {
        let mut bench = Bench::with_knobs(Knobs { after_hard_block, ..Knobs::default() });
        Does::StaticBlock.set_up(&mut bench, 200);
        let fake = bench.callout_at(100, CONNECT_V4, |_| {});
        assert!(blocks(&bench, REMOTE));
        assert_eq!(fake.calls(), calls);
        assert!(fake.seen().iter().all(|seen| !seen.has_right && seen.action == FWP_ACTION_BLOCK));
    }
}

// E68: AdguardForWindows issue 2384: permitting a block without the right stopped real machines
#[test]
fn a_callout_without_the_right_does_not_permit() {
    let mut bench = Bench::new();
    Does::StaticBlock.set_up(&mut bench, 200);
    bench.callout_at(100, CONNECT_V4, |call| call.permit());
    assert_eq!(violation(|| bench.connect()), "V-CLS-01");
}

// E69: learn.microsoft.com "FWPS_CALLOUT_CLASSIFY_FN0"
#[test]
fn a_block_that_keeps_the_right_is_soft_and_noted() {
    let mut bench = Bench::new();
    bench.callout_at(200, CONNECT_V4, |call| call.block_soft());
    Does::SoftPermit.set_up(&mut bench, 100);
    assert!(!blocks(&bench, REMOTE));
    assert_eq!(warned(&bench), ["V-CLS-02"]);
}

// V-CLS-03: learn.microsoft.com "FWPS_CALLOUT_CLASSIFY_FN0"
#[test]
fn a_permit_for_a_filter_that_clears_the_right_should_clear_it() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.permit());
    let draft = filter(CONNECT_V4).flags(FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT).terminating(fake.key);
    bench.session.add(&draft).unwrap();
    bench.connect();
    assert_eq!(warned(&bench), ["V-CLS-03"]);
}

// V-CLS-04, V-CLS-05, V-CLS-12: learn.microsoft.com "FWPS_CLASSIFY_OUT0"
#[test]
fn a_callout_keeps_to_its_part_of_the_answer() {
    let cases: [(&str, Answer); 4] = [
        ("V-CLS-04", |call| call.out.rights |= 2),
        ("V-CLS-05", |call| {
            call.permit();
            call.out.flags |= FWPS_CLASSIFY_OUT_FLAG_ABSORB;
        }),
        ("V-CLS-12", |call| call.out.filterId = 1),
        ("V-CLS-12", |call| call.out.outContext = 1),
    ];
    for (rule, misbehave) in cases {
        let mut bench = Bench::new();
        bench.callout_at(1, CONNECT_V4, misbehave);
        assert_eq!(violation(|| bench.connect()), rule);
    }
}

// E70: learn.microsoft.com "Filter Arbitration"
#[test]
fn layers_decide_on_their_own() {
    let bench = Bench::new();
    let permit = filter(FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4).flags(FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT);
    bench.session.add(&permit).unwrap();
    bench.session.add(&filter(CONNECT_V4).block()).unwrap();
    assert!(blocks(&bench, REMOTE));
}

// E71: a bare Windows without firewall filters lets traffic pass
#[test]
fn what_no_filter_matches_is_permitted() {
    let bench = Bench::new();
    bench.engine.collect_allow_events(true);
    assert!(!blocks(&bench, REMOTE));
    assert!(bench.engine.net_events().iter().all(|event| event.filter_id == 0));
}

// E72: learn.microsoft.com "FWPS_CLASSIFY_OUT0", "Types of Callouts"
#[test]
fn a_block_is_logged_and_indicated_as_discarded_unless_absorbed() {
    let mut bench = Bench::new();
    let discarded = bench.watch(DISCARDED_V4);
    let fake = bench.callout(CONNECT_V4, |call| {
        if call.seen.numbers[FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_PORT] == Some(1) {
            call.absorb()
        } else {
            call.block()
        }
    });
    let id = bench.session.add(&filter(CONNECT_V4).terminating(fake.key)).unwrap();
    assert!(blocks(&bench, "1.1.1.1:1"));
    assert!(bench.engine.net_events().is_empty());
    assert_eq!(discarded.calls(), 0);

    assert!(blocks(&bench, "1.1.1.1:2"));
    let events = bench.engine.net_events();
    assert_eq!((events[0].kind, events[0].filter_id), (NetEventKind::ClassifyDrop, id));
    let seen = &discarded.seen()[0];
    assert!(seen.has(FWPS_METADATA_FIELD_DISCARD_REASON) && !seen.has(FWPS_METADATA_FIELD_COMPLETION_HANDLE));
    assert_eq!(seen.discard_filter, id);
}

// E72: what is discarded already cannot be absorbed
#[test]
fn a_discard_layer_cannot_absorb() {
    let mut bench = Bench::new();
    bench.callout_at(1, DISCARDED_V4, |call| call.absorb());
    bench.session.add(&filter(CONNECT_V4).block()).unwrap();
    assert_eq!(violation(|| bench.connect()), "V-CLS-05");
}

// E73: learn.microsoft.com "Logging"
#[test]
fn the_log_is_a_ring_of_drops_and_on_request_permits() {
    let bench = Bench::new();
    let block = filter(CONNECT_V4).block().when(PORT, FWP_MATCH_LESS, Operand::U16(1000));
    bench.session.add(&block).unwrap();
    bench.connect_to("127.0.0.1:2000");
    assert!(bench.engine.net_events().is_empty(), "permits are not asked for");
    for port in 1..=150 {
        bench.connect_to(&format!("127.0.0.1:{port}"));
    }
    let events = bench.engine.net_events();
    assert!(events.len() < 150 && events.len() >= 100);
    assert_eq!(events[0].remote.unwrap().port(), 151 - u16::try_from(events.len()).unwrap(), "the oldest gave way");
    assert!(events.iter().all(|event| event.loopback && event.reauth_reason == 0 && event.pid == bench.process.pid()));

    bench.engine.collect_allow_events(true);
    bench.connect_to("1.1.1.1:2000");
    assert!(bench.engine.net_events().iter().any(|event| event.kind == NetEventKind::ClassifyAllow));
}

// E73: and a silent filter leaves no trace
#[test]
fn a_silent_filter_is_not_logged() {
    let bench = Bench::new();
    bench.session.add(&filter(CONNECT_V4).block().flags(FWPM_FILTER_FLAG_SILENT_MODE)).unwrap();
    assert!(blocks(&bench, REMOTE));
    assert!(bench.engine.net_events().is_empty());
}

// Equal weights are ordered by the seed: a driver must not depend on either order.
#[test]
fn filters_of_one_weight_have_no_order_of_their_own() {
    let outcomes: Vec<bool> = (0..16)
        .map(|seed| {
            let bench = Bench::with(Config { seed, ..Config::default() });
            bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(1))).unwrap();
            bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(1)).block()).unwrap();
            blocks(&bench, REMOTE)
        })
        .collect();
    assert!(outcomes.contains(&true) && outcomes.contains(&false));
}

// Inspection filters only: learn.microsoft.com "Management Filtering Sublayer Identifiers"
#[test]
fn the_inspection_sublayer_takes_inspection_filters_only() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |_| {});
    let at = filter(CONNECT_V4).at(FWPM_SUBLAYER_INSPECTION);
    assert_eq!(bench.session.add(&at.clone().block()), Err(STATUS_FWP_ACTION_INCOMPATIBLE_WITH_SUBLAYER));
    bench.session.add(&at.clone().inspection(fake.key)).unwrap();
    assert_eq!(bench.session.add(&at.action(FWP_ACTION_NONE)), Err(STATUS_FWP_INVALID_ACTION_TYPE));
}
