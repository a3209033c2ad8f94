//! The feature `group.version`: at level 0 there are no consumer groups (KIP-848), and nobody can tell but by asking.
//!
//! The mock is asked at both levels; a real Kafka at the one that it has
//! (`real-kafka exec --property feature.group.version=0 -- cargo test -p system-tests --test fidelity group_version`).

use mockbroker::MockBroker;
use system_tests::world::Broker;
use system_tests::{Value, api, value};

use super::ask::{call, topic, until};
use super::code::*;
use super::consumer::Consumer;
use super::member::{Member, start_on};

/// The level that a broker has finalized: none is 0.
async fn level(broker: &Broker) -> i64 {
    let answer = broker
        .connect()
        .await
        .call(api::API_VERSIONS, 4, value!({ client_software_name: "raw", client_software_version: "1" }))
        .await;
    let features = answer["finalized_features"].array().iter();
    features.filter(|it| it["name"] == "group.version").map(|it| it["max_version_level"].int()).sum()
}

/// What is asked whatever the level is: what 68 and 69 answer, and a classic group.
async fn asked(broker: Broker) {
    let level = level(&broker).await;
    println!("group.version is {level}");
    let (broker, group) = start_on(broker).await;
    let mut connection = broker.connect().await;
    let served = call(
        &mut connection,
        api::API_VERSIONS,
        4,
        value!({ client_software_name: "raw", client_software_version: "1" }),
    )
    .await;
    for key in [api::CONSUMER_GROUP_HEARTBEAT, api::CONSUMER_GROUP_DESCRIBE] {
        assert_eq!(served["api_keys"].find("api_key", key)["max_version"], 1, "advertised at level {level}");
    }
    let topic = topic(&mut connection, 1, &[]).await;
    let mut member = Consumer::new(&broker, &group, &[&topic]).await;
    let answer = member.asks(member.join()).await;
    let described = member.describe().await;
    if level == 0 {
        let refusal = (answer["error_code"].int(), answer["member_epoch"].int(), answer["member_id"].is_null());
        assert_eq!(refusal, (i64::from(UNSUPPORTED_VERSION), 0, true), "{answer:?}");
        assert!(answer["error_message"].is_null() && answer["assignment"].is_null(), "{answer:?}");
        assert_eq!(described["error_code"], UNSUPPORTED_VERSION, "{described:?}");
        let mut classic = Member::new(&broker, &group).await;
        assert_eq!(classic.joins().await["error_code"], NONE, "classic groups are there");
        return;
    }
    assert_eq!((answer["error_code"].int(), described["error_code"].int()), (0, 0));
    member.leaves(-1).await;
}

#[tokio::test]
async fn consumer_groups_are_served_from_level_1_on() {
    if let Some(real) = Broker::real() {
        return asked(real).await;
    }
    for level in ["1", "0"] {
        let builder = MockBroker::builder().config("group.initial.rebalance.delay.ms", "0");
        let mock = Broker::mock(builder.config("feature.group.version", level).start().await);
        assert_eq!(self::level(&mock).await.to_string(), level);
        asked(mock).await;
    }
}

#[tokio::test]
async fn a_mock_whose_level_is_lowered_serves_them_no_more() {
    // UpdateFeatures changes the whole cluster, and other tests run on a real one.
    let (broker, group) = start_on(Broker::mock(MockBroker::start().await)).await;
    let mut connection = broker.connect().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut member = Consumer::new(&broker, &group, &[&topic]).await;
    assert_eq!(member.joins_and_owns(1).await, [0]);
    let update = |level: i16| {
        let update = value!({ feature: "group.version", max_version_level: level, upgrade_type: 2 });
        value!({ feature_updates: [update], timeout_ms: 10_000, validate_only: false })
    };
    let answer = call(&mut connection, api::UPDATE_FEATURES, 2, update(0)).await;
    assert_eq!(answer["error_code"], NONE, "{answer:?}");
    assert_eq!(level(&broker).await, 0);
    assert_eq!(member.refused(member.beat()).await, UNSUPPORTED_VERSION);
    let update = value!({ feature: "group.version", max_version_level: 1, upgrade_type: 1 });
    let body = value!({ feature_updates: [update], timeout_ms: 10_000, validate_only: false });
    let answer = call(&mut connection, api::UPDATE_FEATURES, 2, body).await;
    assert_eq!(answer["error_code"], NONE, "{answer:?}");
    let beat = member.beat();
    let heard = |answer: &Value| answer["error_code"] == NONE;
    until(&mut connection, (api::CONSUMER_GROUP_HEARTBEAT, 1), beat, heard).await;
}
