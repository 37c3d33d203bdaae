//! The log gives what a filter takes.

use super::made::{self, PATIENCE};
use control::entry::{Direction, Entry, Verdict};
use control::filter::Filter;
use proptest::prelude::*;
use std::sync::Arc;

fn piece() -> impl Strategy<Value = String> {
    prop_oneof!["[a-cA-C/%_.\\\\1:]{0,2}", "[äÄßſKİ\u{0}']{1}", "(user/)?[ab/]{1,2}", "::", "1.2.3"]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let exact = (
        prop::option::weighted(0.2, prop::sample::select(&[Verdict::Permit, Verdict::Block][..])),
        prop::option::weighted(0.2, prop::sample::select(&[Direction::Out, Direction::In][..])),
        prop::option::weighted(0.2, 0..3_u8),
        prop::option::weighted(0.2, 0..4_u16),
        prop::option::weighted(0.2, 0..3_u64),
    );
    let text = [(); 4].map(|()| prop::option::weighted(0.3, piece()));
    let times = (prop::option::weighted(0.3, made::time()), prop::option::weighted(0.3, made::time()));
    (exact, text, times).prop_map(|(exact, [program, user, remote, rule], (since, until))| {
        let (verdict, direction, protocol, port, pid) = exact;
        Filter { verdict, direction, protocol, program, user, remote, port, pid, rule, since, until }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_gives_exactly_what_a_filter_takes(
        entries in prop::collection::vec(made::any_entry(), 1..60),
        filters in prop::collection::vec(any_filter(), 1..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let log = made::log(&directory.path().join("log.db"));
        let mut put = entries;
        (1..).zip(&mut put).for_each(|(id, entry)| entry.id = id);
        put.iter().for_each(|entry| log.sink().put(Arc::new(entry.clone())));
        prop_assert!(log.flush(PATIENCE));
        for filter in filters {
            let taken: Vec<Entry> = put.iter().filter(|entry| filter.takes(entry)).cloned().collect();
            prop_assert_eq!(log.reader().entries(&filter, None, None, 500).unwrap(), taken.clone(), "{:?}", filter);
            let last: Vec<Entry> = taken.iter().rev().take(2).rev().cloned().collect();
            prop_assert_eq!(log.reader().entries(&filter, None, None, 2).unwrap(), last);
            let first: Vec<Entry> = taken.iter().filter(|entry| entry.id > 5).take(2).cloned().collect();
            prop_assert_eq!(log.reader().entries(&filter, Some(5), None, 2).unwrap(), first);
        }
    }
}

#[test]
fn what_a_filter_says_is_never_sql() {
    let directory = tempfile::tempdir().unwrap();
    let log = made::log(&directory.path().join("log.db"));
    log.sink().put(Arc::new(made::entry(1)));
    assert!(log.flush(PATIENCE));
    for text in ["'", "%", "_", "') OR 1=1 --", "\\", "\0", "?1"] {
        let text = Some(text.to_owned());
        for filter in [
            Filter { program: text.clone(), ..Filter::default() },
            Filter { user: text.clone(), ..Filter::default() },
            Filter { remote: text.clone(), ..Filter::default() },
            Filter { rule: text.clone(), ..Filter::default() },
        ] {
            assert_eq!(log.reader().entries(&filter, None, None, 10).unwrap(), [], "{filter:?}");
        }
    }
}
