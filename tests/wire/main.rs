//! What a real Kafka answered, as files in `fixtures/wire`: read, written again, and given by the mock.
//!
//! Needs nothing but this repository. `just capture` makes the files anew, and has to where a program has changed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bytes::Bytes;
use mockbroker::schema;
use system_tests::judge::run::message;
use system_tests::judge::{self, Difference, Outcome, Scenario, Step, Transcript, capture, compare, explained, normal};
use system_tests::{Value, api, codec, scenarios, tables, value};

/// Every capture, with the program it is of.
fn captures() -> &'static [(&'static Scenario, Transcript)] {
    static READ: LazyLock<Vec<(&'static Scenario, Transcript)>> = LazyLock::new(|| {
        let runs = scenarios::all()
            .flat_map(|scenario| scenarios::versions(scenario.api_key).map(move |version| (scenario, version)));
        runs.map(|(scenario, version)| {
            let captured = capture::read(scenario, version);
            let missing = || panic!("{} v{version} was not captured: just capture", scenario.name);
            (scenario, captured.unwrap_or_else(missing))
        })
        .collect()
    });
    &READ
}

/// Mocks that are asked side by side.
const WORKERS: usize = 2;

#[test]
fn the_mock_answers_as_kafka_did() {
    // Issue 4; the head of each file says which Kafka, and when.
    let workers: Vec<_> = (0..WORKERS).map(|worker| std::thread::spawn(move || differences(worker))).collect();
    let found: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().expect("it says what it saw")).collect();
    if let Some(report) = compare::report(&found, explained::EXPLAINED) {
        panic!("{report}");
    }
}

/// What one worker finds: it takes every capture whose turn is its own.
#[tokio::main(flavor = "current_thread")]
async fn differences(worker: usize) -> Vec<Difference> {
    let mocks = [judge::mock_of(1).await, judge::mock_of(3).await];
    let mut found = Vec::new();
    for (scenario, kafka) in captures().iter().skip(worker).step_by(WORKERS) {
        let base = kafka.token.split_once('-').map_or("", |(base, _)| base).to_owned();
        let mock = mocks.iter().find(|mock| mock.nodes().len() == scenario.nodes).expect("one node, or three");
        let ours = scenario.run(mock, kafka.version, &base).await;
        let same = ours.stopped.is_some() || normal::questions(kafka) == normal::questions(&ours);
        assert!(same, "{} v{} asks other things than when it was captured: just capture", scenario.name, kafka.version);
        found.extend(compare::differences(scenario, kafka, &ours));
    }
    found
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
async fn every_version_of_every_api_that_the_mock_advertises_is_judged() {
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
    // How a request is read, what it does, and what is refused: at every version, by an answer of Kafka.
    let (mut read, mut done, mut refused) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut judged_at_all = BTreeSet::new();
    for (scenario, transcript) in captures() {
        let judged = (i64::from(scenario.api_key), i64::from(transcript.version));
        judged_at_all.insert(judged);
        let its_own = |step: &&Step| step.api_key == scenario.api_key && step.version == transcript.version;
        for step in transcript.steps.iter().filter(its_own) {
            let mut codes = BTreeSet::new();
            error_codes(&step.answer().expect("a capture can be read"), &mut codes);
            if scenario.name.starts_with("common.") {
                read.insert(judged);
            } else if matches!(step.outcome, Outcome::Answer(_)) && codes.iter().all(|code| *code == 0) {
                done.insert(judged);
            }
            if matches!(step.outcome, Outcome::Closed) || codes.iter().any(|code| *code != 0) {
                refused.insert(judged);
            }
        }
    }
    // What Kafka answers and does not advertise without a receiver of telemetry.
    let hidden = [api::GET_TELEMETRY_SUBSCRIPTIONS, api::PUSH_TELEMETRY].map(|key| (i64::from(key), 0));
    let answered: BTreeSet<_> = advertised.iter().copied().chain(hidden).collect();
    assert_eq!(answered, judged_at_all, "scenarios::versions() and what is advertised differ");
    let missing = |judged: &BTreeSet<_>| answered.difference(judged).copied().collect::<Vec<_>>();
    assert_eq!(missing(&read), [], "scenarios::common has no program that shows how these are read");
    // Without an authorizer there is nothing to tell of ACLs.
    done.extend((1..=3).map(|version| (i64::from(api::DESCRIBE_ACLS), version)));
    assert_eq!(missing(&done), [], "no program shows what these do");
    // There is nothing to refuse in a request that is empty.
    for api_key in [api::API_VERSIONS, api::LIST_GROUPS] {
        refused.extend((0..=2).map(|version| (i64::from(api_key), version)));
    }
    assert_eq!(missing(&refused), [], "no program shows what these refuse");
}

#[tokio::test]
async fn the_mock_advertises_nothing_that_kafka_does_not() {
    // fixtures/kafka/api_versions.txt; what is missing is in docs/COMPATIBILITY.md.
    let mock = judge::mock().await;
    let answer = mock.connect().await.call(api::API_VERSIONS, 0, value!({})).await;
    let rows = tables::rows("api_versions.txt");
    for ours in answer["api_keys"].array() {
        let key = ours["api_key"].int();
        let row = rows.iter().find(|row| row[0] == key.to_string()).unwrap_or_else(|| panic!("no API {key}"));
        let name = message(key.try_into().expect("a key has 16 bits")).name;
        assert_eq!(row[1].replace('_', "").to_lowercase(), name.to_lowercase());
        let (min, max) = (ours["min_version"].int(), ours["max_version"].int());
        // KAFKA-18659: Produce is advertised from 0.
        assert!(row[2].parse() == Ok(min) || (key == 0 && min == 0), "the lowest version of {name}");
        let missing = i64::from(scenarios::BEYOND_THE_CODEC.iter().any(|beyond| i64::from(*beyond) == key));
        assert_eq!(row[3].parse(), Ok(max + missing), "the highest version of {name}");
    }
}

#[test]
fn every_code_that_kafka_answered_is_in_its_table() {
    // fixtures/kafka/error_codes.txt.
    let codes: BTreeSet<i64> =
        tables::rows("error_codes.txt").iter().map(|row| row[0].parse().expect("a code is a number")).collect();
    let mut seen = BTreeSet::new();
    for (_, transcript) in captures() {
        for answer in transcript.steps.iter().filter_map(|step| step.answer().ok()) {
            error_codes(&answer, &mut seen);
        }
    }
    assert!(seen.is_subset(&codes), "{:?}", seen.difference(&codes));
    assert!(seen.len() > 25, "the programs provoke few refusals: {seen:?}");
}

fn error_codes(value: &Value, seen: &mut BTreeSet<i64>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| error_codes(element, seen)),
        Value::Struct(fields) => fields.iter().for_each(|(name, field)| match field {
            Value::Int(code) if *name == "error_code" => drop(seen.insert(*code)),
            field => error_codes(field, seen),
        }),
        _ => {}
    }
}
