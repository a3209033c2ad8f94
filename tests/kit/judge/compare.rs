//! Two transcripts of one program to the list of their differences, and the list to a report for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::Value;
use crate::judge::explained::Explained;
use crate::judge::normal;
use crate::judge::run::{Scenario, Transcript, message};

/// How much of a value a report shows.
const SHOWN: usize = 300;

/// A field on which two brokers disagree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The scenario.
    pub scenario: &'static str,
    /// The step of it.
    pub step: String,
    /// The fields down to this one, with indices: `topics[0].error_code`.
    pub path: String,
    /// What Kafka said.
    pub kafka: String,
    /// What the mock said.
    pub mock: String,
    /// Kafka's name of the API.
    pub api: &'static str,
    /// Where the rule is.
    pub rule: &'static str,
    /// At which version.
    pub version: i16,
}

/// All differences between two runs of one scenario.
///
/// # Panics
///
/// If the two are not of one program: they have to differ in the answers alone.
#[must_use]
pub fn differences(scenario: &Scenario, kafka: &Transcript, mock: &Transcript) -> Vec<Difference> {
    let labels =
        |transcript: &Transcript| -> Vec<String> { transcript.steps.iter().map(|step| step.label.clone()).collect() };
    assert_eq!(labels(kafka), labels(mock), "the steps of {} v{}", scenario.name, kafka.version);
    let (kafkas, mocks) = (normal::answers(kafka), normal::answers(mock));
    let mut found = Vec::new();
    for ((step, kafka_answer), mock_answer) in kafka.steps.iter().zip(&kafkas).zip(&mocks) {
        let mut fields = Vec::new();
        compare("", kafka_answer, mock_answer, &mut fields);
        found.extend(fields.into_iter().map(|(path, kafka, mock)| Difference {
            scenario: scenario.name,
            step: step.label.clone(),
            path,
            kafka,
            mock,
            api: message(step.api_key).name,
            rule: scenario.rule,
            version: step.version,
        }));
    }
    found
}

fn compare(path: &str, kafka: &Value, mock: &Value, found: &mut Vec<(String, String, String)>) {
    match (kafka, mock) {
        (Value::Struct(ours), Value::Struct(theirs)) if same_names(ours, theirs) => {
            for (name, value) in ours {
                let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
                compare(&path, value, &mock[*name], found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                compare(&format!("{path}[{index}]"), ours, theirs, found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            let only = |these: &[Value], those: &[Value]| {
                let only: Vec<_> = these.iter().filter(|value| !those.contains(value)).collect();
                format!("{} elements, of its own {only:?}", these.len())
            };
            found.push((path.to_owned(), only(ours, theirs), only(theirs, ours)));
        }
        _ if kafka == mock => {}
        _ => found.push((path.to_owned(), format!("{kafka:?}"), format!("{mock:?}"))),
    }
}

fn same_names(ours: &[(&str, Value)], theirs: &[(&str, Value)]) -> bool {
    let has = |fields: &[(&str, Value)], name: &str| fields.iter().any(|(known, _)| *known == name);
    ours.len() == theirs.len() && ours.iter().all(|(name, _)| has(theirs, name))
}

/// What is wrong with a run: differences that nobody explained, explanations of what no longer differs.
#[must_use]
pub fn report(differences: &[Difference], explained: &[Explained]) -> Option<String> {
    let known = |difference: &&Difference| explained.iter().any(|entry| entry.is_of(difference));
    let unexplained: Vec<_> = differences.iter().filter(|difference| !known(difference)).collect();
    let idle: Vec<_> =
        explained.iter().filter(|entry| !differences.iter().any(|difference| entry.is_of(difference))).collect();
    if unexplained.is_empty() && idle.is_empty() {
        return None;
    }
    let mut text = format!("{} unexplained differences\n", unexplained.len());
    for (same, versions) in by_version(&unexplained) {
        let Difference { scenario, step, path, kafka, mock, api, rule, .. } = same;
        let _ = writeln!(text, "\n{scenario}: {step}\n  {api} v{versions}  {path}  (spec {rule})");
        let _ = writeln!(text, "    kafka  {}\n    mock   {}", shown(kafka), shown(mock));
    }
    for entry in idle {
        let _ = writeln!(text, "\nlisted in judge/explained.rs, but not seen: {entry:?}");
    }
    Some(text)
}

/// Differences that are the same but for the version, with the versions: `3,4,5`.
fn by_version<'a>(differences: &[&'a Difference]) -> Vec<(&'a Difference, String)> {
    let mut groups: BTreeMap<Difference, (&Difference, Vec<String>)> = BTreeMap::new();
    for difference in differences {
        let key = Difference { version: 0, ..(*difference).clone() };
        groups.entry(key).or_insert((difference, Vec::new())).1.push(difference.version.to_string());
    }
    groups.into_values().map(|(first, versions)| (first, versions.join(","))).collect()
}

fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        let _ = write!(cut, "... ({} bytes)", text.len());
    }
    cut
}
