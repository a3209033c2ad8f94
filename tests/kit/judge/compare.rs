//! Two transcripts of one program to the list of their differences, and the list to a report for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::Value;
use crate::judge::explained::Explained;
use crate::judge::normal;
use crate::judge::run::{Scenario, message};
use crate::judge::transcript::Transcript;

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
    let (theirs, ours) = (labels(kafka), labels(mock));
    // A program that stopped has no more to say.
    let same = if mock.stopped.is_some() { theirs.starts_with(&ours) } else { theirs == ours };
    assert!(same, "the steps of {} v{} are {theirs:?} with Kafka and {ours:?}", scenario.name, kafka.version);
    let mut found = around(scenario, mock);
    let (kafkas, mocks) = (normal::answers(kafka), normal::answers(mock));
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

/// What came between the steps of the mock, or after them.
fn around(scenario: &Scenario, mock: &Transcript) -> Vec<Difference> {
    let difference = |step: String, path: &str, kafka: &str, mock_said: &str| Difference {
        scenario: scenario.name,
        step,
        path: path.to_owned(),
        kafka: kafka.to_owned(),
        mock: mock_said.to_owned(),
        api: message(scenario.api_key).name,
        rule: scenario.rule,
        version: mock.version,
    };
    let in_vain = mock.in_vain.iter();
    let mut found: Vec<_> = in_vain
        .map(|asked| difference("(a wait)".to_owned(), asked, "answers as the program waits for", "never does"))
        .collect();
    if let Some(why) = &mock.stopped {
        let after = mock.steps.last().map_or("the start", |step| &step.label);
        found.push(difference(format!("(after {after})"), "", "lets the program go on", why));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;
    use crate::judge::transcript::{Outcome, Step};
    use crate::scenarios;

    fn transcript(scenario: &Scenario, labels: &[&str]) -> Transcript {
        let mut transcript = Transcript::new(scenario, 0, "token".to_owned());
        let step = |label: &&str| Step {
            label: (*label).to_owned(),
            api_key: api::API_VERSIONS,
            version: 0,
            request: Vec::new().into(),
            outcome: if label.is_empty() { Outcome::Silent } else { Outcome::Closed },
        };
        transcript.steps = labels.iter().map(step).collect();
        transcript
    }

    #[test]
    fn a_wait_in_vain_and_a_program_that_stopped_are_differences_and_hide_nothing_before_them() {
        let scenario = scenarios::all().next().expect("there are some");
        let kafka = transcript(scenario, &["one", "two", "three"]);
        let mut mock = transcript(scenario, &["one", "two"]);
        mock.steps[1].outcome = Outcome::Silent;
        mock.in_vain.push("a topic".to_owned());
        mock.stopped = Some("no field".to_owned());
        let found = differences(scenario, &kafka, &mock);
        let shown: Vec<_> = found.iter().map(|it| (it.step.as_str(), it.path.as_str(), it.mock.as_str())).collect();
        let silent = r#""does not answer, but the next request""#;
        assert_eq!(
            shown,
            [("(a wait)", "a topic", "never does"), ("(after two)", "", "no field"), ("two", "", silent),]
        );
        assert!(report(&found, &[]).expect("differences").contains("3 unexplained"));
    }

    #[test]
    #[should_panic(expected = "the steps of")]
    fn a_program_that_did_not_stop_has_to_ask_the_same_of_both() {
        let scenario = scenarios::all().next().expect("there are some");
        drop(differences(scenario, &transcript(scenario, &["one", "two"]), &transcript(scenario, &["one"])));
    }
}
