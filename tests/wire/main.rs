//! What a real Kafka answered, as files in `fixtures/wire`: read, written again, and given by the mock.
//!
//! Needs nothing but this repository. `just capture` makes the files anew, and has to where a program has changed.

use std::collections::BTreeSet;

use bytes::Bytes;
use mockbroker::schema;
use system_tests::judge::run::message;
use system_tests::judge::{self, Difference, Outcome, Scenario, Step, Transcript, capture, compare, explained, normal};
use system_tests::{api, codec, scenarios, value};

/// Every capture, with the program it is of.
fn captures() -> Vec<(&'static Scenario, Transcript)> {
    let runs = scenarios::all()
        .iter()
        .flat_map(|scenario| scenarios::versions(scenario.api_key).map(move |version| (scenario, version)));
    runs.map(|(scenario, version)| {
        let captured = capture::read(scenario, version);
        (scenario, captured.unwrap_or_else(|| panic!("{} v{version} was not captured: just capture", scenario.name)))
    })
    .collect()
}

#[tokio::test]
async fn the_mock_answers_as_kafka_did() {
    // Issue 4; the head of each file says which Kafka, and when.
    let mock = judge::mock().await;
    let mut found: Vec<Difference> = Vec::new();
    for (scenario, kafka) in captures() {
        let base = kafka.token.split_once('-').map_or("", |(base, _)| base).to_owned();
        let ours = scenario.run(mock.address(), kafka.version, &base).await;
        let same = normal::questions(&kafka) == normal::questions(&ours);
        assert!(same, "{} v{} asks other things than when it was captured: just capture", scenario.name, kafka.version);
        found.extend(compare::differences(scenario, &kafka, &ours));
    }
    if let Some(report) = compare::report(&found, explained::EXPLAINED) {
        panic!("{report}");
    }
}

#[test]
fn every_answer_reads_and_writes_back_to_the_same_bytes() {
    // The codec of the kit against Kafka's own: no byte without a meaning, none that we would write otherwise.
    for (scenario, transcript) in captures() {
        for step in &transcript.steps {
            if let Outcome::Answer(frame) = &step.outcome {
                let back = answer_again(step, frame).unwrap_or_else(|fault| panic!("{}: {fault}", scenario.name));
                assert_eq!(back, frame[..], "{}: {} v{}", scenario.name, step.label, step.version);
            }
        }
    }
}

fn answer_again(step: &Step, frame: &Bytes) -> Result<Vec<u8>, String> {
    let (header, body, version) = step.response_parts(frame)?;
    let response = schema::response(step.api_key).expect("every request has a response");
    let value = codec::decode(response, version, &body)?;
    let mut back = codec::encode(schema::response_header(), response.header_version(step.version), &header);
    back.extend(codec::encode(response, version, &value));
    Ok(back)
}

#[test]
fn every_question_that_is_one_writes_back_to_the_same_bytes() {
    // Nonsense is sent on purpose; a question that the schema reads is right to its last byte.
    let mut right = 0;
    for (scenario, transcript) in captures() {
        for step in &transcript.steps {
            if let Ok(question) = step.question() {
                let body = codec::encode(message(step.api_key), step.version, &question);
                assert!(step.request.ends_with(&body), "{}: {} v{}", scenario.name, step.label, step.version);
                right += 1;
            }
        }
    }
    assert!(right > 1_000, "{right} questions");
}

#[tokio::test]
async fn every_version_that_the_mock_advertises_is_judged() {
    // Kafka advertises Produce from 0 and serves it from 3 (KAFKA-18659).
    let mock = judge::mock().await;
    let answer = mock.connect().await.call(api::API_VERSIONS, 0, value!({})).await;
    let advertised: BTreeSet<(i64, i64)> = answer["api_keys"]
        .array()
        .iter()
        .flat_map(|api| {
            let range = api["min_version"].int()..=api["max_version"].int();
            range.map(|version| (api["api_key"].int(), version))
        })
        .filter(|(key, version)| *key != i64::from(api::PRODUCE) || *version >= 3)
        .collect();
    let judged: BTreeSet<(i64, i64)> = captures()
        .iter()
        .filter(|(_, transcript)| !transcript.steps.is_empty())
        .map(|(scenario, transcript)| (scenario.api_key.into(), transcript.version.into()))
        .collect();
    assert_eq!(advertised, judged);
}
