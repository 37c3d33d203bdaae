//! Another product beside ours where connections come in: heavier and lighter, hard and soft.
//!
//! Neighbours: `rights` has the same for connections that go out.

use e2e::{AfterHardBlock, Machine, Rival, Rule, SynFate, every_setting};
use wire::settings::{Fallback, Settings};
use wire::verdict::Verdict;

const PEERS: [(&str, &str); 2] = [("0.0.0.0:80", "192.0.2.7:40000"), ("[::]:80", "[2001:db8::7]:40000")];
const BLOCK_IN: Settings = Settings { fallback_inbound: Fallback::BLOCK, ..Settings::INITIAL };

/// D08, R1, learn.microsoft.com "Types of Callouts": who lacks FWPS_RIGHT_ACTION_WRITE must not pend.
#[test]
fn a_syn_that_a_heavier_product_decided_for_good_is_not_held() {
    every_setting(|options| {
        for (rule, fate) in [(Rule::PermitForGood, SynFate::Established), (Rule::Block, SynFate::Dropped)] {
            let machine = Machine::with_driver(options);
            let service = machine.service(BLOCK_IN);
            let program = machine.program("httpd.exe");
            let _rival = Rival::heavier(rule);
            for (local, peer) in PEERS {
                let listener = program.listen(machine.engine(), local);
                let accept = listener.syn_from(peer.parse().unwrap());
                machine.settle();
                assert_eq!(accept.fate(), fate);
            }
            let is_asked = rule != Rule::Block || options.knobs.after_hard_block != AfterHardBlock::Stop;
            let stats = service.stats();
            assert_eq!((stats.held, stats.without_right), (0, if is_asked { 2 } else { 0 }));
        }
    });
}

/// learn.microsoft.com "Filter Arbitration": a soft block of a heavier sublayer gives way to our permit, and a block of a
/// lighter one stands beside it.
#[test]
fn a_softer_or_lighter_product_has_its_say() {
    every_setting(|options| {
        for (is_heavier, rule, fate) in [
            (true, Rule::BlockSoftly, SynFate::Established),
            (true, Rule::Permit, SynFate::Established),
            (false, Rule::Permit, SynFate::Established),
            (false, Rule::Block, SynFate::Dropped),
        ] {
            let machine = Machine::with_driver(options);
            let service = machine.service(BLOCK_IN);
            let program = machine.program("httpd.exe");
            let _rival = if is_heavier { Rival::heavier(rule) } else { Rival::lighter(rule) };
            let listener = program.listen(machine.engine(), PEERS[0].0);
            let accept = listener.syn_from(PEERS[0].1.parse().unwrap());
            machine.settle();
            assert_eq!(accept.fate(), SynFate::Held, "{rule:?}");
            let request = service.take_held();
            service.answer(&request, Verdict::PERMIT);
            machine.settle();
            assert_eq!(accept.fate(), fate, "{rule:?}, heavier {is_heavier}");
        }
    });
}

/// R28: two products must not pend one operation; ours comes when the other is done with its own SYN.
#[test]
fn a_syn_that_another_product_holds_is_held_by_us_when_its_peer_tries_again() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK_IN);
        let program = machine.program("httpd.exe");
        let rival = Rival::heavier(Rule::Pend);
        let listener = program.listen(machine.engine(), PEERS[0].0);
        let accept = listener.syn_from(PEERS[0].1.parse().unwrap());
        assert_eq!((accept.fate(), rival.held(), service.stats().held), (SynFate::Held, 1, 0));
        rival.complete();
        machine.settle();
        assert_eq!(accept.fate(), SynFate::Dropped);
        accept.retransmit();
        assert_eq!(accept.fate(), SynFate::Held);
        let request = service.take_held();
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!((accept.fate(), service.stats().held), (SynFate::Established, 1));
    });
}
