//! The wrappers of `nt` around sessions and transactions: both exits of each.

use e2e::{Machine, Options};
use nt::status::Status;
use nt::wfp::Guid;
use nt::wfp::authorize::CONNECT_V4;
use nt::wfp::engine::{CalloutFilter, Session, SubLayer, Transaction};
use nt_sys::status::STATUS_FWP_ALREADY_EXISTS;

const NAME: nt::string::NameRef = nt::name!("Test");
const PROVIDER: Guid = Guid::from_u128(0x9a1c_0001_0000_0000_0000_0000_0000_0001);
const SUBLAYER: Guid = Guid::from_u128(0x9a1c_0001_0000_0000_0000_0000_0000_0002);
const CALLOUT: Guid = Guid::from_u128(0x9a1c_0001_0000_0000_0000_0000_0000_0003);
const FILTER: Guid = Guid::from_u128(0x9a1c_0001_0000_0000_0000_0000_0000_0004);

fn add_all(transaction: &mut Transaction<'_>) -> Result<(), Status> {
    transaction.add_provider(PROVIDER, NAME)?;
    transaction.add_sublayer(SubLayer { key: SUBLAYER, name: NAME, provider: PROVIDER, weight: 9 })?;
    transaction.add_callout_filter(CalloutFilter {
        callout: CALLOUT,
        filter: FILTER,
        layer: CONNECT_V4,
        sublayer: SUBLAYER,
        provider: PROVIDER,
        name: NAME,
    })
}

/// Providers, sublayers of our weight, callouts and filters in force.
fn objects(machine: &Machine) -> (usize, usize, usize, usize) {
    let status = machine.engine().snapshot();
    let sublayers = status.sublayers.iter().filter(|sublayer| sublayer.key == SUBLAYER).count();
    (status.providers, sublayers, status.callouts.len(), status.filters.len())
}

#[test]
fn a_committed_transaction_stays_in_force_when_it_is_dropped() {
    let machine = Machine::boot(Options::default());
    let mut session = Session::open(NAME, 0).unwrap();
    let mut transaction = session.begin().unwrap();
    add_all(&mut transaction).unwrap();
    assert_eq!(objects(&machine), (0, 0, 0, 0), "not yet");
    transaction.commit().unwrap();
    assert_eq!(objects(&machine), (1, 1, 1, 1));
    drop(session);
    assert_eq!(objects(&machine), (0, 0, 0, 0), "the session is dynamic");
}

#[test]
fn a_transaction_that_is_dropped_is_undone_and_the_next_can_begin() {
    let machine = Machine::boot(Options::default());
    let mut session = Session::open(NAME, 0).unwrap();
    for _ in 0..2 {
        let mut transaction = session.begin().unwrap();
        add_all(&mut transaction).unwrap();
        drop(transaction);
        assert_eq!(objects(&machine), (0, 0, 0, 0));
    }
}

#[test]
fn a_commit_that_fails_is_undone() {
    let machine = Machine::boot(Options::default());
    let mut session = Session::open(NAME, 0).unwrap();
    let mut transaction = session.begin().unwrap();
    add_all(&mut transaction).unwrap();
    machine.kernel().fail_nth_call(1);
    assert!(transaction.commit().is_err());
    assert_eq!(machine.kernel().fault_hit(), Some("FwpmTransactionCommit0"));
    machine.kernel().fail_nth_call(0);
    assert_eq!(objects(&machine), (0, 0, 0, 0));
    let mut transaction = session.begin().expect("no transaction is left open");
    add_all(&mut transaction).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn what_exists_already_is_an_error_and_the_rest_is_undone_with_it() {
    let machine = Machine::boot(Options::default());
    let (mut first, mut second) = (Session::open(NAME, 0).unwrap(), Session::open(NAME, 0).unwrap());
    let mut transaction = first.begin().unwrap();
    transaction.add_provider(PROVIDER, NAME).unwrap();
    transaction.commit().unwrap();
    let mut transaction = second.begin().unwrap();
    let error = add_all(&mut transaction).unwrap_err();
    assert_eq!(error.code(), STATUS_FWP_ALREADY_EXISTS);
    drop(transaction);
    assert_eq!(objects(&machine), (1, 0, 0, 0));
}
