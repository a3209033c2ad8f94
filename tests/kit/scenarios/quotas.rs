//! DescribeClientQuotas, AlterClientQuotas. What a program sets it takes away again: quotas outlive it.

use crate::judge::Run;
use crate::{Value, api, value};

/// Type and name; null is the default of the type.
type Part<'a> = (&'a str, Option<&'a str>);

fn entity(parts: &[Part<'_>]) -> Vec<Value> {
    parts.iter().map(|(kind, name)| value!({ entity_type: *kind, entity_name: *name })).collect()
}

/// Key and value; none takes the key away.
fn entry(parts: &[Part<'_>], ops: &[(&str, Option<f64>)]) -> Value {
    let ops: Vec<_> = ops
        .iter()
        .map(|(key, value)| value!({ key: *key, value: value.unwrap_or_default(), remove: value.is_none() }))
        .collect();
    value!({ entity: entity(parts), ops: ops })
}

fn alter_all(entries: Vec<Value>) -> Value {
    value!({ entries: entries })
}

fn alter_one(parts: &[Part<'_>], ops: &[(&str, Option<f64>)]) -> Value {
    alter_all(vec![entry(parts, ops)])
}

const PRODUCER: &str = "producer_byte_rate";
const CONSUMER: &str = "consumer_byte_rate";
const CONNECTIONS: &str = "connection_creation_rate";

/// The quotas that have `name` in them.
fn of_name(name: &str, kind: &str) -> Value {
    filter(&[(kind, 0, Some(name))], false)
}

fn filter(components: &[(&str, i8, Option<&str>)], strict: bool) -> Value {
    let components: Vec<_> = components
        .iter()
        .map(|(kind, how, name)| value!({ entity_type: *kind, match_type: *how, match: *name }))
        .collect();
    value!({ components: components, strict: strict })
}

/// Waits until an entity has this many keys: a broker learns of it a moment after the controller.
async fn settle(run: &mut Run, kind: &str, name: &str, keys: usize) {
    let count =
        |answer: &Value| -> usize { answer["entries"].array().iter().map(|entry| entry["values"].array().len()).sum() };
    run.until(api::DESCRIBE_CLIENT_QUOTAS, 1, of_name(name, kind), |answer| count(answer) == keys).await;
}

pub(super) async fn alter(run: &mut Run) {
    let user = run.name("u");
    let mine: &[Part<'_>] = &[("user", Some(&user))];
    run.step("one key", alter_one(mine, &[(PRODUCER, Some(1000.0))])).await;
    settle(run, "user", &user, 1).await;
    run.step("the same again", alter_one(mine, &[(PRODUCER, Some(1000.0))])).await;
    run.step("two keys", alter_one(mine, &[(PRODUCER, Some(5.0)), (CONSUMER, Some(7.0))])).await;
    settle(run, "user", &user, 2).await;
    let dry = value!({ entries: [entry(mine, &[(PRODUCER, Some(9.0)), ("request_percentage", Some(0.5))])], validate_only: true });
    run.step("validate_only", dry).await;
    let dry = value!({ entries: [entry(mine, &[(PRODUCER, Some(-9.0))])], validate_only: true });
    run.step("validate_only of nonsense", dry).await;
    run.step("a key that is not there", alter_one(mine, &[("request_percentage", None)])).await;
    run.step("a key nobody knows, away", alter_one(mine, &[("nonsense", None)])).await;
    run.step("no keys", alter_one(mine, &[])).await;
    run.step("nothing", alter_all(vec![])).await;
    run.step("one away", alter_one(mine, &[(CONSUMER, None)])).await;
    settle(run, "user", &user, 1).await;
    run.step("the last away", alter_one(mine, &[(PRODUCER, None)])).await;
    settle(run, "user", &user, 0).await;
    let client = run.name("c");
    let both: &[Part<'_>] = &[("user", Some(&user)), ("client-id", Some(&client))];
    run.step("user and client", alter_one(both, &[("controller_mutation_rate", Some(2.5))])).await;
    run.step("client and user, away", alter_one(&[both[1], both[0]], &[("controller_mutation_rate", None)])).await;
    let defaults: &[Part<'_>] = &[("client-id", None)];
    run.step("the default", alter_one(defaults, &[(PRODUCER, Some(4e9))])).await;
    run.step("the default away", alter_one(defaults, &[(PRODUCER, None)])).await;
    let address: &[Part<'_>] = &[("ip", Some("127.0.0.9"))];
    run.step("an address", alter_one(address, &[(CONNECTIONS, Some(12.0))])).await;
    run.step("an address away", alter_one(address, &[(CONNECTIONS, None)])).await;
}

pub(super) async fn alter_refusals(run: &mut Run) {
    let user = run.name("u");
    let mine: &[Part<'_>] = &[("user", Some(&user))];
    let rate: &[(&str, Option<f64>)] = &[(PRODUCER, Some(1000.0))];
    run.step("no entity", alter_one(&[], rate)).await;
    run.step("an unknown type", alter_one(&[("nonsense", Some("x"))], rate)).await;
    run.step("an empty type", alter_one(&[("", Some("x"))], rate)).await;
    run.step("a type twice", alter_one(&[mine[0], ("user", Some("other"))], &[(PRODUCER, None)])).await;
    for kind in ["user", "client-id", "ip"] {
        run.step(&format!("an empty {kind}"), alter_one(&[(kind, Some(""))], rate)).await;
    }
    run.step("an address and a user", alter_one(&[("ip", Some("127.0.0.9")), mine[0]], rate)).await;
    run.step("an address that is none", alter_one(&[("ip", Some("not an address"))], &[(CONNECTIONS, Some(1.0))]))
        .await;
    run.step("a key of users for an address", alter_one(&[("ip", Some("127.0.0.9"))], rate)).await;
    run.step("a key of addresses for a user", alter_one(mine, &[(CONNECTIONS, Some(1.0))])).await;
    run.step("an unknown key", alter_one(mine, &[("nonsense", Some(1.0))])).await;
    run.step("an empty key", alter_one(mine, &[("", Some(1.0))])).await;
    for value in [0.0, -1.0, 0.5, 1e300] {
        run.step(&format!("{value} bytes"), alter_one(mine, &[(PRODUCER, Some(value)), (PRODUCER, None)])).await;
        let only = value!({ entries: [entry(mine, &[(PRODUCER, Some(value))])], validate_only: true });
        run.step(&format!("{value} bytes alone"), only).await;
    }
    let rate_of_address = |value| alter_one(&[("ip", Some("127.0.0.9"))], &[(CONNECTIONS, Some(value))]);
    for value in [0.0, 0.5, 4e9] {
        run.step(&format!("{value} connections"), rate_of_address(value)).await;
    }
    run.step("a key twice", alter_one(mine, &[(PRODUCER, Some(1.0)), (PRODUCER, Some(2.0))])).await;
    run.step("a wrong key beside a right one", alter_one(mine, &[(PRODUCER, Some(1.0)), ("nonsense", Some(2.0))]))
        .await;
    let twice = vec![entry(mine, rate), entry(mine, &[(CONSUMER, Some(3.0))])];
    run.step("an entity twice", alter_all(twice)).await;
    run.step("what that left", alter_one(mine, &[(PRODUCER, None), (CONSUMER, None)])).await;
    settle(run, "user", &user, 0).await;
    let mixed = vec![entry(mine, rate), entry(&[("nonsense", None)], rate)];
    run.step("one of two", alter_all(mixed)).await;
    run.step("the one away", alter_one(mine, &[(PRODUCER, None)])).await;
    settle(run, "user", &user, 0).await;
}

pub(super) async fn describe(run: &mut Run) {
    let (user, client) = (run.name("u"), run.name("c"));
    let (user, client) = (user.as_str(), client.as_str());
    let entities: Vec<Vec<Part<'_>>> = vec![
        vec![("user", Some(user))],
        vec![("client-id", Some(client))],
        vec![("user", Some(user)), ("client-id", Some(client))],
        vec![("user", None), ("client-id", Some(client))],
        vec![("user", None)],
        vec![("ip", Some("127.0.0.9"))],
    ];
    let key = |parts: &[Part<'_>]| if parts[0].0 == "ip" { CONNECTIONS } else { PRODUCER };
    let set = |value: Option<f64>| {
        let all = entities.iter().map(|parts| entry(parts, &[(key(parts), value)]));
        value!({ entries: all.collect::<Vec<_>>() })
    };
    run.ask(api::ALTER_CLIENT_QUOTAS, 1, set(Some(1234.0))).await;
    settle(run, "user", user, 2).await;
    settle(run, "ip", "127.0.0.9", 1).await;
    for strict in [false, true] {
        for (label, components) in [
            ("everything", vec![]),
            ("the user", vec![("user", 0, Some(user))]),
            ("the client", vec![("client-id", 0, Some(client))]),
            ("both", vec![("user", 0, Some(user)), ("client-id", 0, Some(client))]),
            ("the default user", vec![("user", 1, None)]),
            ("the default user and the client", vec![("user", 1, None), ("client-id", 0, Some(client))]),
            ("any user", vec![("user", 2, None)]),
            ("any user and any client", vec![("user", 2, None), ("client-id", 2, None)]),
            ("any address", vec![("ip", 2, None)]),
            ("the default address", vec![("ip", 1, None)]),
            ("another user", vec![("user", 0, Some("somebody else"))]),
        ] {
            run.step(&format!("{label}, strict {strict}"), filter(&components, strict)).await;
        }
    }
    run.ask(api::ALTER_CLIENT_QUOTAS, 1, set(None)).await;
    settle(run, "client-id", client, 0).await;
    settle(run, "ip", "127.0.0.9", 0).await;
}

pub(super) async fn describe_refusals(run: &mut Run) {
    for (label, components) in [
        ("an empty type", vec![("", 0, Some("x"))]),
        ("an unknown type", vec![("nonsense", 0, Some("x"))]),
        ("a type twice", vec![("user", 0, Some("x")), ("user", 2, None)]),
        ("an unknown type twice", vec![("nonsense", 0, Some("x")), ("nonsense", 2, None)]),
        ("exactly nobody", vec![("user", 0, None)]),
        ("the default by name", vec![("user", 1, Some("x"))]),
        ("any by name", vec![("user", 2, Some("x"))]),
        ("match type 3", vec![("user", 3, None)]),
        ("match type -1", vec![("user", -1, None)]),
        ("an address and a user", vec![("ip", 0, Some("127.0.0.9")), ("user", 2, None)]),
        ("a client and an address", vec![("client-id", 1, None), ("ip", 2, None)]),
        ("an empty name", vec![("user", 0, Some(""))]),
        ("an address that is none", vec![("ip", 0, Some("not an address"))]),
    ] {
        run.step(label, filter(&components, false)).await;
    }
}
