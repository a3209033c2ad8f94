//! DeleteTopics: by name and by id, what is refused, and what a deleted topic is to everybody else.

use system_tests::batch::Batch;
use system_tests::{Raw, Value, api, value};
use uuid::Uuid;

use crate::ask::{self, call, start, topic, versions, wait_until_gone};
use crate::code;

#[tokio::test]
async fn every_version_deletes_by_name() {
    // Spec B.6.
    let (_broker, mut connection) = start().await;
    for version in versions(&mut connection, api::DELETE_TOPICS).await {
        let topic = topic(&mut connection, 1, &[]).await;
        let body = value!({ topics: [{ name: &topic.name }], topic_names: [&topic.name], timeout_ms: 10_000 });
        let answer = call(&mut connection, api::DELETE_TOPICS, version, body).await;
        assert_eq!(answer["responses"].array().len(), 1);
        let deleted = &answer["responses"][0];
        assert_eq!(deleted["error_code"], code::NONE, "v{version}");
        assert_eq!(deleted["name"], topic.name.as_str());
        if version >= 6 {
            assert_eq!(deleted["topic_id"], topic.id);
        }
        wait_until_gone(&mut connection, &topic.name).await;
    }
}

#[tokio::test]
async fn v6_deletes_by_id_and_tells_the_name() {
    // KIP-516.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let answer = delete(&mut connection, value!([{ name: null, topic_id: topic.id }])).await;
    assert_eq!(answer[0]["error_code"], code::NONE);
    assert_eq!((&answer[0]["name"], &answer[0]["topic_id"]), (&topic.name.as_str().into(), &topic.id.into()));
    wait_until_gone(&mut connection, &topic.name).await;
}

#[tokio::test]
async fn what_does_not_exist_is_unknown() {
    // Spec B.6 rule 3; an illegal name is no more than one that nobody has.
    let (_broker, mut connection) = start().await;
    for name in ["fidelity-nowhere", "a b", ""] {
        let answer = delete(&mut connection, value!([{ name: name }])).await;
        let expected = (code::UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
        assert_eq!(error(&answer[0]), expected);
        assert_eq!((&answer[0]["name"], &answer[0]["topic_id"]), (&name.into(), &Uuid::nil().into()));
    }
    let id = Uuid::from_u128(fastrand::u128(..));
    let answer = delete(&mut connection, value!([{ name: null, topic_id: id }])).await;
    assert_eq!(error(&answer[0]), (code::UNKNOWN_TOPIC_ID, "This server does not host this topic ID."));
    assert!(answer[0]["name"].is_null());
    assert_eq!(answer[0]["topic_id"], id);

    let old =
        call(&mut connection, api::DELETE_TOPICS, 1, value!({ topic_names: ["fidelity-nowhere"], timeout_ms: 10_000 }))
            .await;
    assert_eq!(old["responses"][0]["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn an_entry_names_its_topic_by_name_or_by_id() {
    // Spec B.6 rule 2; ControllerApis.deleteTopics.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let both = delete(&mut connection, value!([{ name: &topic.name, topic_id: topic.id }])).await;
    assert_eq!(error(&both[0]), (code::INVALID_REQUEST, "You may not specify both topic name and topic id."));
    let neither = delete(&mut connection, value!([{ name: null }])).await;
    assert_eq!(error(&neither[0]), (code::INVALID_REQUEST, "Neither topic name nor id were specified."));
}

#[tokio::test]
async fn a_topic_given_twice_is_refused_once_and_stays() {
    // Spec B.6 rule 2.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let name = value!({ name: &topic.name });
    let id = value!({ name: null, topic_id: topic.id });
    for (entries, message) in [
        ([name.clone(), name.clone()], "Duplicate topic name."),
        ([id.clone(), id.clone()], "Duplicate topic id."),
        ([name, id], "The provided topic name maps to an ID that was already supplied."),
    ] {
        let answer = delete(&mut connection, Vec::from(entries).into()).await;
        assert_eq!(answer.array().len(), 1, "{answer:?}");
        assert_eq!(error(&answer[0]), (code::INVALID_REQUEST, message));
    }
    let names = value!({ topic_names: [&topic.name, &topic.name], timeout_ms: 10_000 });
    let old = call(&mut connection, api::DELETE_TOPICS, 5, names).await["responses"].clone();
    assert_eq!(old.array().len(), 1);
    assert_eq!(error(&old[0]), (code::INVALID_REQUEST, "Duplicate topic name."));
    ask::append(&mut connection, &topic, 0, &Batch::of(["still here"])).await;
}

#[tokio::test]
async fn one_unknown_topic_does_not_hold_up_the_others() {
    // Spec B.6; results come in any order.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let answer = delete(&mut connection, value!([{ name: "fidelity-nowhere" }, { name: &topic.name }])).await;
    assert_eq!(answer.find("name", topic.name.as_str())["error_code"], code::NONE);
    assert_eq!(answer.find("name", "fidelity-nowhere")["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
    wait_until_gone(&mut connection, &topic.name).await;
    assert_eq!(delete(&mut connection, value!([])).await.array().len(), 0);
}

#[tokio::test]
async fn a_deleted_topic_takes_and_gives_no_records() {
    // Spec B.6: unknown by name up to v12, an unknown id from v13.
    let (_broker, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    ask::append(&mut connection, &topic, 0, &Batch::of(["a"])).await;
    delete(&mut connection, value!([{ name: &topic.name }])).await;
    wait_until_gone(&mut connection, &topic.name).await;
    for (version, error_code) in [(12, code::UNKNOWN_TOPIC_OR_PARTITION), (13, code::UNKNOWN_TOPIC_ID)] {
        let body = ask::produce(&topic, 0, Batch::of(["b"]).encode());
        let written = call(&mut connection, api::PRODUCE, version, body).await;
        assert_eq!(written["responses"][0]["partition_responses"][0]["error_code"], error_code);
        let read = call(&mut connection, api::FETCH, version, ask::fetch(&topic, 0, 0)).await;
        assert_eq!(read["responses"][0]["partitions"][0]["error_code"], error_code);
    }
    let listed = ask::list_offsets(&mut connection, &topic, 0, -1).await;
    assert_eq!(listed["error_code"], code::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn a_topic_created_again_is_another_and_is_empty() {
    // KIP-516: same name, new id.
    let (_broker, mut connection) = start().await;
    let old = topic(&mut connection, 1, &[]).await;
    ask::append(&mut connection, &old, 0, &Batch::of(["a"])).await;
    delete(&mut connection, value!([{ name: &old.name }])).await;
    wait_until_gone(&mut connection, &old.name).await;
    let created = ask::create(&mut connection, &old.name, 1, &[]).await;
    assert_eq!(created["error_code"], code::NONE);
    assert_ne!(created["topic_id"], old.id);
    ask::wait_for_leaders(&mut connection, &old.name, 1).await;
    assert_eq!(ask::list_offsets(&mut connection, &old, 0, -1).await["offset"], 0);
    let by_old_id = call(&mut connection, api::FETCH, 13, ask::fetch(&old, 0, 0)).await;
    assert_eq!(by_old_id["responses"][0]["partitions"][0]["error_code"], code::UNKNOWN_TOPIC_ID);
}

async fn delete(connection: &mut Raw, topics: Value) -> Value {
    let body = value!({ topics: topics, timeout_ms: 10_000 });
    connection.call(api::DELETE_TOPICS, 6, body).await["responses"].clone()
}

fn error(answer: &Value) -> (i16, &str) {
    (answer["error_code"].int().try_into().expect("a code has 16 bits"), answer["error_message"].str())
}
