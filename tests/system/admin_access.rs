//! Who may do what, and who is who: ACLs of a cluster that has no authorizer, and the credentials of users. On the mock, or on
//! a real Kafka with `KAFKA_BOOTSTRAP`. `tests/security` has both on a Kafka that checks them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_kafka::ErrorCode;
use async_kafka::admin::{Acl, AclFilter, AclOperation, AclResource, ScramChange, ScramCredential, ScramMechanism};
use system_tests::world::unique;

use crate::admin::{World, code, until};

#[tokio::test]
async fn a_cluster_without_an_authorizer_says_so_for_each_acl() {
    let World { admin, broker: _broker, .. } = World::new().await;
    let acls = ["a", "b"].map(|topic| Acl::allow("User:app", AclOperation::Read, AclResource::topic(topic)));
    let created = admin.create_acls(acls.clone()).await;
    assert_eq!(created.keys().collect::<Vec<_>>(), acls.iter().collect::<Vec<_>>());
    let filters = acls.each_ref().map(AclFilter::exactly);
    let deleted = admin.delete_acls(filters.clone()).await;
    let described = admin.describe_acls(&AclFilter::all()).await;
    let mut errors: Vec<_> = created.into_values().map(|result| result.expect_err("nobody would check it")).collect();
    errors.extend(filters.iter().map(|filter| deleted[filter].clone().expect_err("nobody would check it")));
    errors.push(described.expect_err("nobody would check it"));
    for error in errors {
        assert_eq!(error.code(), Some(ErrorCode::SecurityDisabled));
        assert!(error.to_string().contains("No Authorizer is configured"), "{error}");
    }
}

#[tokio::test]
async fn scram_credentials_are_upserted_described_and_deleted() {
    let World { admin, broker: _broker, .. } = World::new().await;
    let [first, second]: [Arc<str>; 2] = [unique("user").into(), unique("user").into()];
    let credential = |mechanism| ScramCredential::new(mechanism, "secret");
    let describe = async |user: &Arc<str>| admin.describe_scram_credentials([&**user]).await[user].clone();
    assert_eq!(code(&describe(&first).await), ErrorCode::ResourceNotFound);

    let changes = [
        ScramChange::upsert(&*first, credential(ScramMechanism::Sha256).iterations(8192)),
        ScramChange::upsert(&*second, credential(ScramMechanism::Sha512)),
    ];
    let upserted = admin.alter_scram_credentials(changes).await;
    upserted[&first].clone().expect("it is upserted");
    upserted[&second].clone().expect("it is upserted");
    until("both are known", async || describe(&first).await.is_ok() && describe(&second).await.is_ok()).await;
    assert_eq!(describe(&first).await.expect("known"), BTreeMap::from([(ScramMechanism::Sha256, 8192)]));
    let both = admin.describe_scram_credentials([&*first, &*second, "nobody"]).await;
    assert_eq!(both[&second].as_ref().expect("known"), &BTreeMap::from([(ScramMechanism::Sha512, 4096)]));
    assert_eq!(code(&both["nobody"]), ErrorCode::ResourceNotFound);
    let all = admin.list_scram_credentials().await.expect("an answer");
    assert_eq!(all[&first], both[&first].clone().expect("known"));
    assert_eq!(all[&second], both[&second].clone().expect("known"));

    // Another mechanism beside it, another number of iterations in its place.
    for mechanism in [ScramMechanism::Sha512, ScramMechanism::Sha256] {
        let change = ScramChange::upsert(&*first, credential(mechanism));
        admin.alter_scram_credentials([change]).await[&first].clone().expect("it is upserted");
    }
    let now = BTreeMap::from([(ScramMechanism::Sha256, 4096), (ScramMechanism::Sha512, 4096)]);
    until("the changes are known", async || describe(&first).await.is_ok_and(|found| found == now)).await;

    let taken = [ScramMechanism::Sha256, ScramMechanism::Sha512];
    for mechanism in taken {
        let change = ScramChange::delete(&*first, mechanism);
        admin.alter_scram_credentials([change]).await[&first].clone().expect("it is deleted");
    }
    until("they are gone", async || describe(&first).await.is_err()).await;
    assert_eq!(code(&describe(&first).await), ErrorCode::ResourceNotFound);
    let change = ScramChange::delete(&*second, ScramMechanism::Sha512);
    admin.alter_scram_credentials([change]).await[&second].clone().expect("it is deleted");
}

#[tokio::test]
async fn a_refused_change_of_a_credential_does_not_fail_the_others() {
    let World { admin, broker: _broker, .. } = World::new().await;
    let user = |name: &str| -> Arc<str> { unique(name).into() };
    let (fine, twice, absent, weak) = (user("fine"), user("twice"), user("absent"), user("weak"));
    let upsert = |user: &Arc<str>, mechanism| ScramChange::upsert(&**user, ScramCredential::new(mechanism, "secret"));
    let changes = [
        upsert(&fine, ScramMechanism::Sha256),
        upsert(&twice, ScramMechanism::Sha256),
        upsert(&twice, ScramMechanism::Sha512),
        ScramChange::delete(&*absent, ScramMechanism::Sha256),
        ScramChange::upsert(&*weak, ScramCredential::new(ScramMechanism::Sha256, "secret").iterations(1)),
    ];
    let altered = admin.alter_scram_credentials(changes).await;
    assert_eq!(altered.len(), 4);
    altered[&fine].clone().expect("it is upserted");
    assert_eq!(code(&altered[&twice]), ErrorCode::DuplicateResource);
    assert_eq!(code(&altered[&absent]), ErrorCode::ResourceNotFound);
    let words = altered[&weak].as_ref().expect_err("too few").to_string();
    assert_eq!(words, "the setting iterations is 1; Kafka takes 4096 to 16384");
    let change = ScramChange::delete(&*fine, ScramMechanism::Sha256);
    admin.alter_scram_credentials([change]).await[&fine].clone().expect("it is deleted");
}
