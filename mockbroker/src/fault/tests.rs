//! Which requests a rule hits, and how often.

use super::rule::What;
use super::*;
use crate::wire::api_key::ApiKey;

/// A request of an API to node 0, about what `shape` says.
fn asked(api: ApiKey, shape: impl FnOnce(&mut Subject)) -> Asked<'static> {
    let mut subject = Subject::default();
    shape(&mut subject);
    Asked { api_key: api.key(), version: 9, client_id: "app", node: NodeId(0), connection: ConnectionId(0), subject }
}

fn write(topic: &str, partitions: &[i32]) -> Asked<'static> {
    asked(ApiKey::Produce, |subject| subject.topics.push((topic.to_owned(), partitions.to_vec())))
}

/// Rules over `scopes`, each of which disconnects before apply.
fn faults(scopes: impl IntoIterator<Item = Scope>) -> (Faults, Vec<Arc<Rule>>) {
    let mut faults = Faults::new(7);
    let rules: Vec<_> = scopes
        .into_iter()
        .map(|scope| Rule::new("gone".into(), scope, Stage::BeforeApply, What::Fault(Fault::Disconnect)))
        .collect();
    rules.iter().cloned().for_each(|rule| faults.mount(rule));
    (faults, rules)
}

/// Which of so many requests a rule over `scope` hits.
fn hits(scope: Scope, requests: usize) -> Vec<usize> {
    let (mut faults, _) = faults([scope]);
    (1..=requests).filter(|_| faults.plan(&write("orders", &[0])).before.is_some()).collect()
}

#[test]
fn a_scope_holds_what_all_of_its_parts_hold() {
    let holds = |scope: Scope, asked: &Asked<'_>| scope.holds(asked);
    let request = write("orders", &[0, 3]);
    for scope in [
        on_any(),
        on(ApiKey::Produce),
        on_any().topic("orders"),
        on_any().partition(3),
        on(ApiKey::Produce).topic("orders").partition(0).client_id("app").node(NodeId(0)),
        on(ApiKey::Produce).versions(9..),
        on(ApiKey::Produce).versions(..10),
    ] {
        assert!(holds(scope.clone(), &request), "{scope:?}");
    }
    for scope in [
        on(ApiKey::Fetch),
        on_any().topic("payments"),
        on_any().topic("orders").partition(1),
        on_any().group("g"),
        on_any().transactional_id("t"),
        on_any().client_id("other"),
        on_any().node(NodeId(1)),
        on(ApiKey::Produce).versions(10..),
        on(ApiKey::Produce).versions(..9),
    ] {
        assert!(!holds(scope.clone(), &request), "{scope:?}");
    }
}

#[test]
fn a_partition_without_a_topic_is_of_any_topic_and_with_one_of_that() {
    let request = asked(ApiKey::Produce, |subject| {
        subject.topics = vec![("orders".to_owned(), vec![0]), ("payments".to_owned(), vec![5])];
    });
    assert!(on_any().partition(5).holds(&request));
    assert!(!on_any().topic("orders").partition(5).holds(&request));
}

#[test]
fn the_nth_request_is_hit_once_unless_more_times_are_said() {
    assert_eq!(hits(on_any(), 4), [1, 2, 3, 4]);
    assert_eq!(hits(on_any().times(2), 4), [1, 2]);
    assert_eq!(hits(on_any().nth(3), 5), [3]);
    assert_eq!(hits(on_any().nth(2).times(3), 6), [2, 3, 4]);
}

#[test]
fn the_same_seed_draws_the_same_requests() {
    let drawn = hits(on_any().probability(0.5), 200);
    assert_eq!(drawn, hits(on_any().probability(0.5), 200));
    assert!((60..140).contains(&drawn.len()), "{} of 200", drawn.len());
    assert!(hits(on_any().probability(0.0), 50).is_empty());
    assert_eq!(hits(on_any().probability(1.0), 50).len(), 50);
}

/// How often each rule has happened, how many requests came to it, and how many another had taken.
fn counts<const N: usize>(rules: &[Arc<Rule>; N]) -> [(u64, u64, u64); N] {
    rules.each_ref().map(|rule| (rule.hits(), rule.in_scope(), rule.late()))
}

#[test]
fn of_several_rules_the_first_that_fires_happens() {
    let (mut faults, rules) = faults([on_any().nth(2), on(ApiKey::Produce), on(ApiKey::Fetch)]);
    let rules = <[_; 3]>::try_from(rules).expect("three rules");
    for _ in 0..3 {
        assert!(faults.plan(&write("orders", &[0])).before.is_some());
    }
    assert_eq!(counts(&rules), [(1, 3, 0), (2, 2, 1), (0, 0, 0)]);
    faults.unmount(&rules[1]);
    assert!(faults.plan(&write("orders", &[0])).before.is_none());
}

#[test]
fn a_request_that_one_rule_has_taken_does_not_come_to_the_next() {
    // One after the other, as a script: what happens to the first two requests, to the third, to the second after those.
    let (mut faults, rules) = faults([on_any().times(2), on_any().times(1), on_any().nth(2)]);
    let rules = <[_; 3]>::try_from(rules).expect("three rules");
    let happened: Vec<_> = (0..6)
        .map(|_| {
            let plan = faults.plan(&write("orders", &[0]));
            rules.iter().position(|rule| plan.hits.iter().any(|hit| Arc::ptr_eq(hit, rule)))
        })
        .collect();
    assert_eq!(happened, [Some(0), Some(0), Some(1), None, Some(2), None]);
    assert_eq!(counts(&rules), [(2, 6, 0), (1, 4, 2), (1, 3, 3)]);
}

#[test]
fn a_rule_that_never_fired_says_who_took_its_requests() {
    let (mut faults, rules) = faults([on(ApiKey::Produce), on_any().topic("orders")]);
    faults.plan(&write("orders", &[0]));
    let said = "the fault \"gone\" on any request topic=orders never fired: 0 requests were in its scope, \
                and 1 more that another fault took first";
    assert_eq!(rules[1].missed(), said);
}

#[test]
fn both_stages_of_one_request_can_be_hit() {
    let mut faults = Faults::new(7);
    let rule = |stage, fault| Rule::new("x".into(), on_any(), stage, What::Fault(fault));
    faults.mount(rule(Stage::AfterApply, Fault::Silence));
    faults.mount(rule(Stage::BeforeApply, Fault::Error(6)));
    let plan = faults.plan(&write("orders", &[0]));
    assert!(matches!(plan.before, Some(Action::Error(error)) if error.code() == 6), "{plan:?}");
    assert!(matches!(plan.after, Some(Action::Silence)), "{plan:?}");
}
