//! Following and answering prompts.

use crate::house::{House, administrator, eventually, next, operator, permit_once, prompt, refusal};
use control::entry::Verdict;
use control::prompt::{Closed, Hold, HoldKind};
use control::protocol::{ErrorKind, Event, Reply, Request};

fn answer(id: u64) -> Request {
    Request::Answer { prompt: id, answer: permit_once() }
}

fn prompt_id(event: &Event) -> u64 {
    match event {
        Event::Prompt(prompt) => prompt.id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn following_begins_with_what_is_open_and_goes_on_with_each_change() {
    let house = House::new();
    house.desk.open(prompt(1, 1000));
    house.desk.open(prompt(2, 1000));
    let mut client = house.client(operator(1000));
    client.call(Request::FollowPrompts).unwrap();
    house.desk.open(prompt(3, 1000));
    house.desk.close(2, Closed::Expired);
    assert_eq!([1, 2, 3], [(); 3].map(|()| prompt_id(&next(&mut client))));
    assert_eq!(next(&mut client), Event::PromptClosed { id: 2, closed: Closed::Expired });
}

#[test]
fn of_two_clients_one_answers_and_the_other_sees_who_did_and_comes_too_late() {
    let house = House::new();
    let mut first = house.client(operator(1000));
    let mut second = house.client(administrator(0));
    first.call(Request::FollowPrompts).unwrap();
    second.call(Request::FollowPrompts).unwrap();
    house.desk.open(prompt(1, 1000));
    assert_eq!(prompt_id(&next(&mut first)), 1);
    assert_eq!(prompt_id(&next(&mut second)), 1);
    assert_eq!(first.call(answer(1)).unwrap(), Reply::Done);
    let closed = Closed::Answered { user: "user1000".into(), verdict: Verdict::Permit };
    assert_eq!(next(&mut second), Event::PromptClosed { id: 1, closed });
    let refusal = refusal(second.call(answer(1)));
    assert_eq!(refusal.kind, ErrorKind::NotFound);
    assert_eq!(refusal.message, "prompt 1 was answered: permit, by user1000");
}

#[test]
fn a_user_never_receives_or_answers_the_prompts_of_another_and_an_administrator_does_both() {
    let house = House::new();
    house.desk.open(prompt(1, 2000));
    let mut other = house.client(operator(1000));
    other.call(Request::FollowPrompts).unwrap();
    house.desk.open(prompt(2, 2000));
    for id in 0..100 {
        let refusal = refusal(other.call(answer(id)));
        assert_eq!(refusal.kind, ErrorKind::NotFound);
        assert_eq!(refusal.message, format!("there is no prompt {id} for you"));
    }
    assert_eq!(other.call(Request::Prompts).unwrap(), Reply::Prompts(Vec::new()));
    house.desk.close(1, Closed::Expired);
    // That it is closed is not for them to know either.
    assert_eq!(refusal(other.call(answer(1))).message, "there is no prompt 1 for you");
    // Whatever they were sent stands before this.
    house.desk.open(prompt(3, 1000));
    assert_eq!(prompt_id(&next(&mut other)), 3);
    assert!(house.desk.papers().answered.is_empty());

    let mut administrator = house.client(administrator(0));
    administrator.call(Request::FollowPrompts).unwrap();
    assert_eq!(prompt_id(&next(&mut administrator)), 2);
    administrator.call(answer(2)).unwrap();
    assert_eq!(house.desk.papers().answered[0].2, "user0");
}

#[test]
fn a_process_whose_user_is_unknown_is_for_administrators() {
    let house = House::new();
    let mut unknown = prompt(1, 0);
    unknown.identity = Default::default();
    house.desk.open(unknown);
    let mut operator = house.client(operator(1000));
    assert_eq!(operator.call(Request::Prompts).unwrap(), Reply::Prompts(Vec::new()));
    assert_eq!(refusal(operator.call(answer(1))).kind, ErrorKind::NotFound);
    house.client(administrator(0)).call(answer(1)).unwrap();
}

#[test]
fn a_prompt_offers_each_client_what_that_client_may_answer() {
    let house = House::new();
    house.desk.open(prompt(1, 1000));
    let seen = |peer| match house.client(peer).call(Request::Prompts).unwrap() {
        Reply::Prompts(prompts) => prompts.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    };
    let to_administrator = seen(administrator(0));
    assert_eq!(to_administrator.holds.last(), Some(&HoldKind::Forever));
    assert_eq!(to_administrator.offer, Hold::Forever);
    let to_operator = seen(operator(1000));
    assert_eq!(to_operator.holds, [HoldKind::Once, HoldKind::Process, HoldKind::Duration]);
    assert_eq!(to_operator.offer, Hold::Process);
}

#[test]
fn an_answer_that_the_asking_rule_does_not_allow_is_refused_to_everybody() {
    let house = House::new();
    let mut mandatory = prompt(1, 1000);
    mandatory.holds = vec![HoldKind::Process];
    house.desk.open(mandatory);
    let refusal = refusal(house.client(administrator(0)).call(answer(1)));
    assert_eq!(refusal.kind, ErrorKind::Denied);
    assert!(refusal.message.contains("the rule that asks"), "{refusal:?}");
}

#[test]
fn the_service_knows_who_is_there_to_answer_and_when_they_leave() {
    let house = House::new();
    house.desk.open(prompt(1, 1000));
    let mut client = house.client(operator(1000));
    client.call(Request::FollowPrompts).unwrap();
    let mut watcher = house.client(operator(2000));
    watcher.call(Request::Prompts).unwrap();
    let audience = house.desk.feed.audience();
    assert_eq!((audience.administrator, audience.users), (false, vec!["1000".into()]));
    assert!(house.desk.papers().defaulted.is_empty());

    drop(client);
    eventually("those who wait get the default", || house.desk.papers().defaulted == [1]);
    assert_eq!(house.desk.feed.audience(), Default::default());
    drop(watcher);
    eventually("all are gone", || house.server.clients() == 0);
    // A client that followed nothing changes nothing when it leaves.
    assert_eq!(house.desk.papers().defaulted, [1]);
}
