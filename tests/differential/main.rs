//! The differential run: what a real Kafka and the mock answer to the same requests, field by field.
//!
//! `just differential` starts the Kafka; without `KAFKA_BOOTSTRAP` there is nothing to compare with, and that is said.
//! What Kafka once answered is compared in target `wire`, which needs none. `CAPTURE=<head line>` writes that evidence
//! to `fixtures/wire` (`just capture`). `ONLY=<name>` runs the scenarios whose name begins so.

use std::env;

use system_tests::judge::{self, Difference, capture, compare, explained};
use system_tests::scenarios;
use system_tests::world::Broker;

#[tokio::test]
async fn the_mock_answers_as_kafka_does() {
    // Issue 4. One test, in order: the scenarios share two clusters and each leaves its own as it was.
    let Some(kafka) = Broker::real() else {
        println!("SKIPPED: the differential run has no KAFKA_BOOTSTRAP; target wire compares with what was captured");
        return;
    };
    let only = env::var("ONLY").unwrap_or_default();
    let mock = judge::mock().await;
    let capturing = env::var("CAPTURE");
    // Captures are to differ where Kafka does, not in the names.
    let base = if capturing.is_ok() { "kept".to_owned() } else { format!("{:06x}", fastrand::u32(..1 << 24)) };
    let mut found: Vec<Difference> = Vec::new();
    let mut transcripts = Vec::new();
    for scenario in scenarios::all().iter().filter(|scenario| scenario.name.starts_with(&only)) {
        for version in scenarios::versions(scenario.api_key) {
            let theirs = scenario.run(kafka.address(), version, &base).await;
            let ours = scenario.run(mock.address(), version, &base).await;
            found.extend(compare::differences(scenario, &theirs, &ours));
            transcripts.push((*scenario, theirs));
        }
    }
    let steps: usize = transcripts.iter().map(|(_, transcript)| transcript.steps.len()).sum();
    println!("{} runs, {steps} steps, {} differences in all", transcripts.len(), found.len());
    if let Ok(head) = capturing {
        let files = capture::write(&transcripts, &head).expect("fixtures/wire can be written");
        println!("{files} files in fixtures/wire");
    }
    let listed: Vec<_> =
        explained::EXPLAINED.iter().filter(|entry| entry.scenario.starts_with(&only)).copied().collect();
    if let Some(report) = compare::report(&found, &listed) {
        panic!("{report}");
    }
}
