//! ACLs and credentials that a Kafka checks: what `admin` says there is what programs may then do.

use std::collections::{BTreeMap, BTreeSet};

use async_kafka::admin::{
    Acl, AclFilter, AclOperation, AclPermission, AclResource, ConfigResource, NewTopic, PatternType, ResourceType,
    ScramChange, ScramCredential, ScramMechanism,
};
use async_kafka::{Admin, Error, ErrorCode};
use system_tests::world::until;

use super::*;

/// The admin client of a superuser.
async fn superuser() -> Option<Admin> {
    let kafka = Kafka::builder(listener("EXTERNAL")?).connect().await.unwrap();
    Some(kafka.admin().timeout(PATIENCE))
}

async fn send(kafka: &Kafka, topic: &str) -> Result<(), Error> {
    let producer = kafka.producer().build().await.unwrap();
    producer.send(Record::to(topic).value("x")).await?.await.map(drop)
}

#[tokio::test]
async fn acls_are_created_found_by_filters_held_to_and_deleted() {
    let Some(admin) = superuser().await else { return };
    let app = Kafka::builder(listener("SASL").unwrap()).sasl(Sasl::plain(USER, PASSWORD)).connect().await.unwrap();
    let topic = unique("guarded");
    admin.create_topics([NewTopic::new(topic.as_str()).partitions(1)]).await[topic.as_str()].clone().unwrap();
    until("the topic is there", async || admin.describe_topics([&*topic]).await[topic.as_str()].is_ok()).await;
    send(&app, &topic).await.unwrap();

    let principal = format!("User:{USER}");
    let no_writing = Acl::deny(&*principal, AclOperation::Write, AclResource::topic(&*topic)).host("127.0.0.1");
    let reading = Acl::allow(&*principal, AclOperation::Read, AclResource::topic(&topic[..topic.len() - 1]).prefixed());
    let nameless = Acl::allow(&*principal, AclOperation::Read, AclResource::topic(""));
    let created = admin.create_acls([no_writing.clone(), reading.clone(), nameless.clone()]).await;
    created[&no_writing].clone().unwrap();
    created[&reading].clone().unwrap();
    assert_eq!(created[&nameless].as_ref().unwrap_err().code(), Some(ErrorCode::InvalidRequest));
    admin.create_acls([reading.clone()]).await[&reading].clone().expect("to create what is there is no error");

    let matching = AclFilter::all().matching(ResourceType::Topic, &*topic).principal(&*principal);
    let found =
        async |filter: &AclFilter| admin.describe_acls(filter).await.unwrap().into_iter().collect::<BTreeSet<_>>();
    let both = BTreeSet::from([no_writing.clone(), reading.clone()]);
    until("both are known", async || found(&matching).await == both).await;
    let only = |acl: &Acl| BTreeSet::from([acl.clone()]);
    let by_name = AclFilter::all().named(ResourceType::Topic, &*topic, PatternType::Literal);
    assert_eq!(found(&by_name).await, only(&no_writing));
    assert_eq!(found(&matching.clone().permission(AclPermission::Allow)).await, only(&reading));
    assert_eq!(found(&matching.clone().operation(AclOperation::Write)).await, only(&no_writing));
    assert_eq!(found(&matching.clone().host("*")).await, only(&reading));
    assert_eq!(found(&AclFilter::exactly(&reading)).await, only(&reading));
    assert!(found(&AclFilter::all().matching(ResourceType::Group, &*topic)).await.is_empty());

    let denied = send(&app, &topic).await.unwrap_err();
    assert_eq!(denied.code(), Some(ErrorCode::TopicAuthorizationFailed), "{denied}");
    let configs = ConfigResource::topic(&*topic);
    let denied = app.admin().timeout(PATIENCE).describe_configs([configs.clone()]).await[&configs].clone().unwrap_err();
    assert_eq!(denied.code(), Some(ErrorCode::TopicAuthorizationFailed), "an ACL for one operation closes the others");

    let absent = AclFilter::all().principal("User:nobody-at-all");
    let deleted = admin.delete_acls([matching.clone(), absent.clone()]).await;
    assert!(deleted[&absent].as_ref().unwrap().is_empty());
    let deleted = deleted[&matching].as_ref().unwrap();
    assert_eq!(deleted.keys().cloned().collect::<BTreeSet<_>>(), both);
    deleted.values().for_each(|result| result.clone().unwrap());
    until("they are gone", async || found(&matching).await.is_empty()).await;
    send(&app, &topic).await.expect("as before");
}

#[tokio::test]
async fn a_user_without_the_right_to_may_not_touch_acls_and_credentials() {
    let Some(admin) = superuser().await else { return };
    // A name of its own: an ACL about the cluster would close it to every other test.
    let user = unique("unprivileged");
    let credential = ScramCredential::new(ScramMechanism::Sha256, "secret");
    admin.alter_scram_credentials([ScramChange::upsert(&*user, credential)]).await[user.as_str()].clone().unwrap();
    let everything = Acl::deny(format!("User:{user}"), AclOperation::All, AclResource::cluster());
    let others = Acl::allow("User:*", AclOperation::All, AclResource::cluster());
    let created = admin.create_acls([others.clone(), everything.clone()]).await;
    created.values().for_each(|result| result.clone().unwrap());
    let known = async || admin.describe_acls(&AclFilter::exactly(&everything)).await.unwrap().len() == 1;
    until("the ACL is known", known).await;

    let kafka = logged_in(Sasl::scram_sha256(&*user, "secret")).await;
    let theirs = kafka.admin().timeout(PATIENCE);
    let refused = |error: Error| assert_eq!(error.code(), Some(ErrorCode::ClusterAuthorizationFailed), "{error}");
    refused(theirs.describe_acls(&AclFilter::all()).await.unwrap_err());
    refused(theirs.create_acls([others.clone()]).await[&others].clone().unwrap_err());
    let filter = AclFilter::exactly(&everything);
    refused(theirs.delete_acls([filter.clone()]).await[&filter].clone().unwrap_err());
    refused(theirs.list_scram_credentials().await.unwrap_err());
    let change = ScramChange::delete(&*user, ScramMechanism::Sha256);
    refused(theirs.alter_scram_credentials([change.clone()]).await[user.as_str()].clone().unwrap_err());

    let filters = [AclFilter::exactly(&everything), AclFilter::exactly(&others)];
    admin.delete_acls(filters).await.into_values().for_each(|result| drop(result.unwrap()));
    admin.alter_scram_credentials([change]).await[user.as_str()].clone().unwrap();
}

/// A client with a login that was given a moment ago.
async fn logged_in(sasl: Sasl) -> Kafka {
    let address = listener("SASL").unwrap();
    let connect = async || Kafka::builder(address.clone()).sasl(sasl.clone()).connect().await;
    until("the login is known", async || connect().await.is_ok()).await;
    connect().await.unwrap()
}

#[tokio::test]
async fn a_user_logs_in_with_the_password_it_was_given_until_it_is_taken_back() {
    let Some(admin) = superuser().await else { return };
    let address = listener("SASL").unwrap();
    let user = unique("user");
    let connect = async |sasl: Sasl| Kafka::builder(address.clone()).sasl(sasl).connect().await;
    let alter = async |change: ScramChange| {
        admin.alter_scram_credentials([change]).await[user.as_str()].clone().unwrap();
    };
    connect(Sasl::scram_sha256(&*user, "first")).await.unwrap_err();

    let first = ScramCredential::new(ScramMechanism::Sha256, "first").iterations(8192);
    alter(ScramChange::upsert(&*user, first)).await;
    alter(ScramChange::upsert(&*user, ScramCredential::new(ScramMechanism::Sha512, "longer"))).await;
    send(&logged_in(Sasl::scram_sha256(&*user, "first")).await, &unique("by-user")).await.unwrap();
    send(&logged_in(Sasl::scram_sha512(&*user, "longer")).await, &unique("by-user")).await.unwrap();
    let described = admin.describe_scram_credentials([&*user]).await[user.as_str()].clone().unwrap();
    assert_eq!(described, BTreeMap::from([(ScramMechanism::Sha256, 8192), (ScramMechanism::Sha512, 4096)]));

    let second = ScramCredential::new(ScramMechanism::Sha256, "second").salt(&b"a salt of ours"[..]);
    alter(ScramChange::upsert(&*user, second)).await;
    logged_in(Sasl::scram_sha256(&*user, "second")).await;
    connect(Sasl::scram_sha256(&*user, "first")).await.unwrap_err();

    for mechanism in [ScramMechanism::Sha256, ScramMechanism::Sha512] {
        alter(ScramChange::delete(&*user, mechanism)).await;
    }
    let refused = async || connect(Sasl::scram_sha512(&*user, "longer")).await.is_err();
    until("the user is gone", refused).await;
    connect(Sasl::scram_sha256(&*user, "second")).await.unwrap_err();
}
