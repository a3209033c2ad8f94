//! The ACL APIs of a cluster without an authorizer, and the SCRAM credentials of its users.

use crate::judge::Run;
use crate::{Value, api, value};

fn acl_filter(resource_type: i8, name: Option<&str>) -> Value {
    value!({
        resource_type_filter: resource_type, resource_name_filter: name, pattern_type_filter: 3,
        principal_filter: null, host_filter: null, operation: 1, permission_type: 1,
    })
}

fn acl(resource_type: i8, name: &str, principal: &str) -> Value {
    value!({
        resource_type: resource_type, resource_name: name, resource_pattern_type: 3, principal: principal, host: "*",
        operation: 3, permission_type: 3,
    })
}

pub(super) async fn describe_acls(run: &mut Run) {
    run.step("all", acl_filter(1, None)).await;
    run.step("of a topic", acl_filter(2, Some("t"))).await;
    run.step("type 0", acl_filter(0, None)).await;
    run.step("type 127", acl_filter(127, None)).await;
    for pattern in [0, 1, 2, 4, 5, -1] {
        let body = value!({
            resource_type_filter: 2, resource_name_filter: "t", pattern_type_filter: pattern,
            principal_filter: null, host_filter: null, operation: 1, permission_type: 1,
        });
        run.step(&format!("pattern {pattern}"), body).await;
    }
    for (operation, permission) in [(0, 1), (1, 0), (99, 1), (1, 99)] {
        let body = value!({
            resource_type_filter: 2, resource_name_filter: "t", pattern_type_filter: 3,
            principal_filter: "User:a", host_filter: "*", operation: operation, permission_type: permission,
        });
        run.step(&format!("operation {operation}, permission {permission}"), body).await;
    }
}

pub(super) async fn create_acls(run: &mut Run) {
    let all = |creations: Vec<Value>| value!({ creations: creations });
    run.step("one", all(vec![acl(2, "t", "User:a")])).await;
    run.step("two", all(vec![acl(2, "t", "User:a"), acl(4, "kafka-cluster", "User:b")])).await;
    run.step("none", all(vec![])).await;
    for (label, resource_type, name, principal) in [
        ("type 0", 0, "t", "User:a"),
        ("type 1", 1, "t", "User:a"),
        ("type 127", 127, "t", "User:a"),
        ("no name", 2, "", "User:a"),
        ("no principal", 2, "t", ""),
        ("half a principal", 2, "t", "a"),
    ] {
        run.step(label, all(vec![acl(resource_type, name, principal)])).await;
    }
    for (pattern, operation, permission) in
        [(0, 3, 3), (1, 3, 3), (2, 3, 3), (9, 3, 3), (3, 0, 3), (3, 1, 3), (3, 3, 0), (3, 3, 1)]
    {
        let creation = value!({
            resource_type: 2, resource_name: "t", resource_pattern_type: pattern, principal: "User:a", host: "*",
            operation: operation, permission_type: permission,
        });
        run.step(&format!("pattern {pattern}, operation {operation}, permission {permission}"), all(vec![creation]))
            .await;
    }
}

pub(super) async fn delete_acls(run: &mut Run) {
    let all = |filters: Vec<Value>| value!({ filters: filters });
    run.step("one", all(vec![acl_filter(1, None)])).await;
    run.step("two", all(vec![acl_filter(2, Some("t")), acl_filter(1, None)])).await;
    run.step("none", all(vec![])).await;
    run.step("type 0", all(vec![acl_filter(0, None)])).await;
    run.step("type 127", all(vec![acl_filter(127, None)])).await;
    for pattern in [0, 1, 2, 4, 9] {
        let filter = value!({
            resource_type_filter: 2, resource_name_filter: "t", pattern_type_filter: pattern,
            principal_filter: null, host_filter: null, operation: 1, permission_type: 1,
        });
        run.step(&format!("pattern {pattern}"), all(vec![filter])).await;
    }
}

const SHA_256: i8 = 1;
const SHA_512: i8 = 2;

fn upsertion(name: &str, mechanism: i8, iterations: i32) -> Value {
    value!({ name: name, mechanism: mechanism, iterations: iterations, salt: b"salt", salted_password: b"password" })
}

fn deletion(name: &str, mechanism: i8) -> Value {
    value!({ name: name, mechanism: mechanism })
}

fn credentials(deletions: Vec<Value>, upsertions: Vec<Value>) -> Value {
    value!({ deletions: deletions, upsertions: upsertions })
}

fn users(names: &[&str]) -> Value {
    let users: Vec<_> = names.iter().map(|name| value!({ name: *name })).collect();
    value!({ users: users })
}

/// Waits until a user has this many credentials.
async fn settle(run: &mut Run, name: &str, credentials: usize) {
    run.until(api::DESCRIBE_USER_SCRAM_CREDENTIALS, 0, users(&[name]), |answer| {
        answer["results"][0]["credential_infos"].array().len() == credentials
    })
    .await;
}

pub(super) async fn alter_scram(run: &mut Run) {
    let (a, b) = (run.name("a"), run.name("b"));
    let (a, b) = (a.as_str(), b.as_str());
    run.step("one", credentials(vec![], vec![upsertion(a, SHA_256, 4096)])).await;
    settle(run, a, 1).await;
    run.step("the same again", credentials(vec![], vec![upsertion(a, SHA_256, 8192)])).await;
    run.step("another mechanism", credentials(vec![], vec![upsertion(a, SHA_512, 4096)])).await;
    settle(run, a, 2).await;
    for (label, body) in [
        ("no user", credentials(vec![], vec![upsertion("", SHA_256, 4096)])),
        ("no user to delete", credentials(vec![deletion("", SHA_256)], vec![])),
        ("mechanism 0", credentials(vec![], vec![upsertion(b, 0, 4096)])),
        ("mechanism 3", credentials(vec![], vec![upsertion(b, 3, 4096)])),
        ("mechanism 0 to delete", credentials(vec![deletion(a, 0)], vec![])),
        ("too few iterations", credentials(vec![], vec![upsertion(b, SHA_256, 4095)])),
        ("too many iterations", credentials(vec![], vec![upsertion(b, SHA_256, 16385)])),
        ("delete what is not there", credentials(vec![deletion(b, SHA_256)], vec![])),
        ("a user twice", credentials(vec![], vec![upsertion(b, SHA_256, 4096), upsertion(b, SHA_512, 4096)])),
        ("a user twice, the same", credentials(vec![], vec![upsertion(b, SHA_256, 4096); 2])),
        ("a user in both lists", credentials(vec![deletion(a, SHA_256)], vec![upsertion(a, SHA_256, 4096)])),
        ("a user deleted twice", credentials(vec![deletion(a, SHA_256), deletion(a, SHA_512)], vec![])),
        ("one of two", credentials(vec![deletion(b, SHA_256)], vec![upsertion(a, SHA_256, 4097)])),
        ("nothing", credentials(vec![], vec![])),
    ] {
        run.step(label, body).await;
    }
    run.step("away", credentials(vec![deletion(a, SHA_256)], vec![])).await;
    run.step("the other away", credentials(vec![deletion(a, SHA_512)], vec![])).await;
    settle(run, a, 0).await;
}

pub(super) async fn describe_scram(run: &mut Run) {
    let (a, b, c) = (run.name("a"), run.name("b"), run.name("c"));
    let (a, b, c) = (a.as_str(), b.as_str(), c.as_str());
    for (name, mechanism, iterations) in [(a, SHA_512, 4096), (a, SHA_256, 8192), (b, SHA_256, 4096)] {
        let body = credentials(vec![], vec![upsertion(name, mechanism, iterations)]);
        run.ask(api::ALTER_USER_SCRAM_CREDENTIALS, 0, body).await;
    }
    settle(run, a, 2).await;
    settle(run, b, 1).await;
    run.step("all", value!({ users: null })).await;
    run.step("all by an empty list", users(&[])).await;
    run.step("one", users(&[a])).await;
    run.step("two", users(&[b, a])).await;
    run.step("unknown", users(&[c])).await;
    run.step("a known and an unknown one", users(&[c, a])).await;
    run.step("one twice", users(&[a, a])).await;
    run.step("an unknown one twice", users(&[c, c])).await;
    run.step("one three times and another", users(&[a, b, a, a])).await;
    run.step("no name", users(&[""])).await;
    for (name, mechanism) in [(a, SHA_512), (a, SHA_256), (b, SHA_256)] {
        run.ask(api::ALTER_USER_SCRAM_CREDENTIALS, 0, credentials(vec![deletion(name, mechanism)], vec![])).await;
    }
    settle(run, a, 0).await;
    settle(run, b, 0).await;
}
