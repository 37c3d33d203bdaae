//! Who may do what.

use crate::house::{House, administrator, operator, prompt, refusal, say, stranger};
use control::client::ClientError;
use control::entry::Verdict;
use control::prompt::{Answer, Hold, Target};
use control::protocol::{ErrorKind, Greeting, MAX_ENTRIES, Reply, Request, Role, VERSION};
use control::status::Snooze;
use rules::source::Problem;
use service::server::Change;
use std::io::{BufRead, BufReader};

#[test]
fn a_client_is_told_who_it_is_taken_for_and_what_it_may_do() {
    let house = House::new();
    let welcome = house.client(operator(1000)).welcome().clone();
    assert_eq!((welcome.role, &*welcome.user), (Role::Operator, "user1000"));
    assert_eq!(house.client(administrator(0)).welcome().role, Role::Administrator);
}

#[test]
fn who_is_neither_operator_nor_administrator_is_refused_at_the_door_and_told_which_group_helps() {
    let house = House::new();
    let refusal = refusal(house.try_client(stranger(1001)).map(|client| client.welcome().clone()));
    assert_eq!(refusal.kind, ErrorKind::Denied);
    assert!(refusal.message.contains("user1001"), "{refusal:?}");
    assert!(refusal.help.unwrap().contains("\"tollgate\""));
}

#[test]
fn another_version_is_refused_with_both() {
    let house = House::new();
    let mut end = house.stream(operator(1000), 4096).unwrap();
    say(&mut end, r#"{"tollgate":7}"#);
    let mut line = String::new();
    let mut reader = BufReader::new(end.reader);
    reader.read_line(&mut line).unwrap();
    let Greeting::Refusal { tollgate, error } = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
    assert_eq!((tollgate, error.kind), (VERSION, ErrorKind::Version));
    assert!(error.message.contains("version 7") && error.message.contains("version 1"), "{line}");
    line.clear();
    assert_eq!(reader.read_line(&mut line).unwrap(), 0, "{line}");
}

#[test]
fn an_operator_reads_everything_and_changes_nothing() {
    let house = House::new();
    let mut client = house.client(operator(1000));
    for request in [
        Request::Status,
        Request::Entries { filter: Default::default(), after: None, before: None, limit: 10 },
        Request::Prompts,
        Request::Ruleset { revision: None },
        Request::Proposals,
    ] {
        client.call(request).unwrap();
    }
    for request in [
        Request::Snooze(Snooze { seconds: 60, verdict: None }),
        Request::Reload,
        Request::Review { ids: vec!["git".to_owned()], adopt: true },
    ] {
        let refusal = refusal(client.call(request.clone()));
        assert_eq!(refusal.kind, ErrorKind::Denied, "{request:?}");
        assert!(refusal.message.starts_with("only an administrator may"), "{refusal:?}");
        assert!(refusal.help.is_some());
    }
    let papers = house.desk.papers();
    assert!(papers.snoozed.is_empty() && papers.reloads == 0 && papers.reviewed.is_empty());
    assert_eq!(papers.audited.len(), 3);
    assert!(papers.audited.iter().all(|(who, _, refused)| who == "user1000" && *refused == Some(ErrorKind::Denied)));
}

#[test]
fn an_administrator_changes_policy_and_the_journal_is_told_who_and_what() {
    let house = House::new();
    let mut client = house.client(administrator(0));
    let snooze = Snooze { seconds: 60, verdict: Some(Verdict::Permit) };
    assert_eq!(client.call(Request::Snooze(snooze)).unwrap(), Reply::Done);
    assert_eq!(client.call(Request::Reload).unwrap(), Reply::Done);
    let ids = vec!["git".to_owned()];
    assert_eq!(client.call(Request::Review { ids: ids.clone(), adopt: false }).unwrap(), Reply::Done);
    let papers = house.desk.papers();
    assert_eq!(papers.snoozed, [snooze]);
    assert_eq!(papers.reviewed, [(ids.clone(), false)]);
    let told = |change| ("user0".to_owned(), change, None);
    let expected = [told(Change::Snooze(snooze)), told(Change::Reload), told(Change::Review { ids, adopt: false })];
    assert_eq!(papers.audited, expected);
}

#[test]
fn rules_that_do_not_compile_are_refused_with_every_problem() {
    let house = House::new();
    let problem =
        |line| Problem { file: "user/a.toml".into(), line, column: 1, message: "no such field".to_owned(), help: None };
    house.desk.papers().bad_rules = vec![problem(1), problem(2)];
    let refusal = refusal(house.client(administrator(0)).call(Request::Reload));
    assert_eq!((refusal.kind, refusal.problems), (ErrorKind::BadRules, vec![problem(1), problem(2)]));
}

#[test]
fn an_answer_forever_makes_a_rule_and_takes_an_administrator() {
    let house = House::new();
    house.desk.open(prompt(1, 1000));
    let answer = Answer { verdict: Verdict::Permit, hold: Hold::Forever, target: Target::Everything, note: None };
    let request = Request::Answer { prompt: 1, answer };
    let refusal = refusal(house.client(operator(1000)).call(request.clone()));
    assert_eq!(refusal.kind, ErrorKind::Denied);
    assert!(house.desk.papers().answered.is_empty());
    house.client(administrator(0)).call(request).unwrap();
    assert_eq!(house.desk.papers().answered.len(), 1);
}

#[test]
fn what_is_out_of_range_is_refused_and_the_session_goes_on() {
    let house = House::new();
    house.desk.open(prompt(1, 1000));
    let mut client = house.client(administrator(0));
    let answer = |hold, target, note| Request::Answer {
        prompt: 1,
        answer: Answer { verdict: Verdict::Permit, hold, target, note },
    };
    for request in [
        Request::Snooze(Snooze { seconds: 86_401, verdict: None }),
        Request::Review { ids: vec![String::new(); 1_001], adopt: true },
        answer(Hold::Duration { seconds: 0 }, Target::Remote, None),
        answer(Hold::Duration { seconds: 31_622_401 }, Target::Remote, None),
        answer(Hold::Once, Target::Domain, None),
        answer(Hold::Once, Target::Remote, Some("x".repeat(501))),
    ] {
        assert_eq!(refusal(client.call(request.clone())).kind, ErrorKind::BadRequest, "{request:?}");
    }
    client.call(Request::Entries { filter: Default::default(), after: None, before: None, limit: u32::MAX }).unwrap();
    assert_eq!(house.desk.papers().queries[0].limit, MAX_ENTRIES);
}

#[test]
fn an_unknown_request_is_refused_by_its_name_and_an_unknown_field_is_ignored() {
    let house = House::new();
    let mut end = house.stream(operator(1000), 4096).unwrap();
    say(&mut end, r#"{"tollgate":1,"mood":"good"}"#);
    say(&mut end, r#"{"id":7,"do":"fly","to":"the moon"}"#);
    say(&mut end, r#"{"id":8,"do":"answer","prompt":"one"}"#);
    say(&mut end, r#"{"id":9,"do":"prompts","quickly":true}"#);
    let mut lines = BufReader::new(end.reader).lines().map(Result::unwrap).skip(1);
    let unknown = lines.next().unwrap();
    assert!(unknown.starts_with(r#"{"id":7,"error":{"kind":"bad_request","message":"there is no request \"fly\""#));
    assert!(unknown.contains("follow_prompts"), "{unknown}");
    let wrong = lines.next().unwrap();
    assert!(wrong.starts_with(r#"{"id":8,"error":{"kind":"bad_request","message":"the request \"answer\""#), "{wrong}");
    assert_eq!(lines.next().unwrap(), r#"{"id":9,"reply":{"prompts":[]}}"#);
}

#[test]
fn a_service_that_ends_ends_its_clients() {
    let house = House::new();
    let mut client = house.client(operator(1000));
    house.server.close();
    assert!(matches!(client.call(Request::Status), Err(ClientError::Closed)));
    assert!(house.try_client(operator(1000)).is_err());
}
