//! The differential run: what a real Kafka and the mock answer to the same requests, field by field.
//!
//! `just differential` starts the Kafka; without `KAFKA_BOOTSTRAP` there is nothing to compare with, and that is said.
//! As many nodes as `KAFKA_BOOTSTRAP` names are asked what the scenarios of so many nodes ask: one, or three.
//! What Kafka once answered is compared in target `wire`, which needs none. `CAPTURE=<head line>` writes that evidence
//! to `fixtures/wire` (`just capture`). `ONLY=<name>[,<name>]` runs the scenarios whose name begins so: of an API all or none, for
//! captures are one file for each of its versions.

use std::env;

use system_tests::judge::explained::{EXPLAINED, Explained};
use system_tests::judge::{self, Difference, capture, compare};
use system_tests::world::Broker;
use system_tests::{api, scenarios, tables, value};

#[tokio::test]
async fn the_mock_answers_as_kafka_does() {
    // Issue 4. One test, in order: the scenarios share two clusters and each leaves its own as it was.
    let Some(kafka) = Broker::real() else {
        println!("SKIPPED: the differential run has no KAFKA_BOOTSTRAP; target wire compares with what was captured");
        return;
    };
    let only = env::var("ONLY").unwrap_or_default();
    let nodes = kafka.nodes().len();
    let mock = judge::mock_of(nodes).await;
    let is_wanted = |name: &str| only.split(',').any(|start| name.starts_with(start));
    let capturing = env::var("CAPTURE");
    // Captures are to differ where Kafka does, not in the names.
    let base = if capturing.is_ok() { "kept".to_owned() } else { format!("{:06x}", fastrand::u32(..1 << 24)) };
    let mut found: Vec<Difference> = Vec::new();
    let mut transcripts = Vec::new();
    let chosen: Vec<_> =
        scenarios::all().filter(|scenario| scenario.nodes == nodes && is_wanted(scenario.name)).collect();
    assert!(scenarios::all().any(|scenario| is_wanted(scenario.name)), "no scenario begins with {only:?}");
    for scenario in &chosen {
        for version in scenarios::versions(scenario.api_key) {
            let theirs = scenario.run(&kafka, version, &base).await;
            let ours = scenario.run(&mock, version, &base).await;
            found.extend(compare::differences(scenario, &theirs, &ours));
            transcripts.push((**scenario, theirs));
        }
    }
    let steps: usize = transcripts.iter().map(|(_, transcript)| transcript.steps.len()).sum();
    println!("{} runs, {steps} steps, {} differences in all", transcripts.len(), found.len());
    if let Ok(head) = capturing {
        let files = capture::write(&transcripts, &head).expect("fixtures/wire can be written");
        println!("{files} files in fixtures/wire");
    }
    let is_of = |entry: &&Explained| chosen.iter().any(|scenario| scenario.name == entry.scenario);
    let listed: Vec<_> = EXPLAINED.iter().filter(is_of).copied().collect();
    if let Some(report) = compare::report(&found, &listed) {
        panic!("{report}");
    }
}

#[tokio::test]
async fn the_table_of_apis_is_that_of_this_kafka() {
    // fixtures/kafka/api_versions.txt, from which docs/COMPATIBILITY.md says what the mock lacks.
    let Some(kafka) = Broker::real() else { return };
    let answer = kafka
        .connect()
        .await
        .call(api::API_VERSIONS, 3, value!({ client_software_name: "judge", client_software_version: "1" }))
        .await;
    let told: Vec<_> = answer["api_keys"]
        .array()
        .iter()
        .map(|it| ["api_key", "min_version", "max_version"].map(|field| it[field].int().to_string()))
        .collect();
    // Client telemetry is advertised where a reporter of metrics takes it (ApiVersionsResponse.filterApis).
    let telemetry = [71, 72].map(|key: i16| key.to_string());
    let table: Vec<_> = tables::rows("api_versions.txt")
        .iter()
        .filter(|row| !telemetry.contains(&row[0]))
        // KAFKA-18659: Produce is served from 3 and advertised from 0.
        .map(|row| [row[0].clone(), if row[0] == "0" { "0".to_owned() } else { row[2].clone() }, row[3].clone()])
        .collect();
    assert_eq!(told, table);
}
