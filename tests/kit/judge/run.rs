//! One program of requests against one broker. What is recorded as a step is compared; what sets it up is not.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use mockbroker::schema::{self, Field, Kind, Message};
use tokio::time::timeout;
use uuid::Uuid;

use crate::batch::Batch;
use crate::raw::{self, patiently};
use crate::{Raw, Value, api, codec, value};

/// The correlation id of the question that follows one that is not to be answered.
const PROBE: i32 = 1_000_000;

/// How long an answer may take. Some never come, so this is waited for.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

/// A program for one API, run once at every version of it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it is about, unique among all.
    pub name: &'static str,
    /// The API whose versions it is run at.
    pub api_key: i16,
    /// Where the rules are.
    pub rule: &'static str,
    /// The requests.
    pub program: for<'a> fn(&'a mut Run) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// What a program asked and was answered.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The name of the scenario.
    pub scenario: String,
    /// The version it was run at.
    pub version: i16,
    /// What is in every name of this run and in no other.
    pub token: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is, unique in its scenario.
    pub label: String,
    /// The API.
    pub api_key: i16,
    /// The version in the header.
    pub version: i16,
    /// The frame that was sent.
    pub request: Bytes,
    /// What the broker did.
    pub outcome: Outcome,
}

/// What a broker does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answers with this frame.
    Answer(Bytes),
    /// It closes the connection.
    Closed,
    /// It goes on to the next request.
    Silent,
    /// It does nothing any more.
    Stuck,
}

/// A topic of a program.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
}

/// A program while it runs.
#[derive(Debug)]
pub struct Run {
    /// The version this run is about.
    pub version: i16,
    /// The API this run is about.
    pub api_key: i16,
    address: String,
    connection: Raw,
    transcript: Transcript,
}

impl Scenario {
    /// Runs it at `version` against the broker at `address`; `base` is in every name it makes.
    pub async fn run(&self, address: &str, version: i16, base: &str) -> Transcript {
        let token = format!("{base}-{}-v{version}", self.name.replace(['.', '_'], "-"));
        let transcript = Transcript { scenario: self.name.to_owned(), version, token, steps: Vec::new() };
        let connection = Raw::connect(address).await;
        let mut run = Run { version, api_key: self.api_key, address: address.to_owned(), connection, transcript };
        (self.program)(&mut run).await;
        run.clean_up().await;
        run.transcript
    }
}

impl Run {
    /// A name of this run.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.transcript.token)
    }

    /// Asks what this run is about, with those fields of `body` that the version has. Null if there is no answer.
    pub async fn step(&mut self, label: &str, body: Value) -> Value {
        let body = body_of(self.api_key, self.version, body);
        self.step_bytes(label, self.api_key, self.version, &body).await
    }

    /// Sends a body as it is.
    ///
    /// # Panics
    ///
    /// If the answer is not one.
    pub async fn step_bytes(&mut self, label: &str, api_key: i16, version: i16, body: &[u8]) -> Value {
        let frame = self.frame(api_key, version, body);
        self.connection.send_frame(&frame).await;
        let outcome = match timeout(LONG_ENOUGH, self.connection.try_read_frame()).await {
            Ok(Ok(answer)) => Outcome::Answer(answer),
            Ok(Err(_)) => Outcome::Closed,
            Err(_) => Outcome::Stuck,
        };
        if !matches!(outcome, Outcome::Answer(_)) {
            self.connection = Raw::connect(&self.address).await;
        }
        self.record(label, api_key, version, frame, outcome)
    }

    /// As [`Run::step`], for what may not be answered: the next question on the connection tells.
    pub async fn step_unanswered(&mut self, label: &str, body: Value) {
        let body = body_of(self.api_key, self.version, body);
        let frame = self.frame(self.api_key, self.version, &body);
        self.connection.send_frame(&frame).await;
        let request = schema::request(api::API_VERSIONS).expect("it is in the schema");
        self.connection.send_frame(&raw::header(request, 0, PROBE, None)).await;
        let outcome = match timeout(LONG_ENOUGH, self.connection.try_read_frame()).await {
            Ok(Ok(answer)) if answer.starts_with(&PROBE.to_be_bytes()) => Outcome::Silent,
            Ok(Ok(answer)) => Outcome::Answer(answer),
            Ok(Err(_)) => Outcome::Closed,
            Err(_) => Outcome::Stuck,
        };
        if outcome != Outcome::Silent {
            self.connection = Raw::connect(&self.address).await;
        }
        self.record(label, self.api_key, self.version, frame, outcome);
    }

    /// Asks something that is not compared.
    pub async fn ask(&mut self, api_key: i16, version: i16, body: Value) -> Value {
        let body = fitting(api_key, version, body);
        self.connection.call(api_key, version, body).await
    }

    /// Asks until the answer is as `ready` says; not compared.
    pub async fn until(&mut self, api_key: i16, version: i16, body: Value, ready: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{} to answer API {api_key} otherwise to {body:?}", self.address);
        let asked = async {
            loop {
                let answer = self.ask(api_key, version, body.clone()).await;
                if ready(&answer) {
                    return answer;
                }
            }
        };
        patiently(&what, asked).await
    }

    /// Makes a topic whose every partition can be written. Retention is off: the kit's batches are years old.
    ///
    /// # Panics
    ///
    /// If the broker does not make it.
    pub async fn topic(&mut self, what: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let name = self.name(what);
        let all = [("retention.ms", "-1")].iter().chain(configs);
        let configs: Vec<_> = all.map(|(name, value)| value!({ name: *name, value: *value })).collect();
        let topic = value!({ name: &name, num_partitions: partitions, replication_factor: 1, configs: configs });
        let answer = self.ask(api::CREATE_TOPICS, 7, value!({ topics: [topic], timeout_ms: 10_000 })).await;
        let created = &answer["topics"][0];
        assert_eq!(created["error_code"], 0, "{created:?}");
        self.wait_for(&name, partitions).await;
        Topic { name, id: created["topic_id"].uuid() }
    }

    /// Waits until every partition of a topic is led: metadata is ahead of the logs, so the leader is asked.
    pub async fn wait_for(&mut self, name: &str, partitions: i32) {
        let asked: Vec<_> = (0..partitions).map(|index| value!({ partition_index: index, timestamp: -1 })).collect();
        let body = value!({ replica_id: -1, topics: [{ name: name, partitions: asked }] });
        self.until(api::LIST_OFFSETS, 7, body, |answer| {
            answer["topics"][0]["partitions"].array().iter().all(|partition| partition["error_code"] == 0)
        })
        .await;
    }

    /// Writes a batch that has to be taken.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub async fn append(&mut self, topic: &Topic, partition: i32, batch: &Batch) -> i64 {
        let partition = value!({ index: partition, records: batch.encode() });
        let topic = value!({ topic_id: topic.id, partition_data: [partition] });
        let body = value!({ acks: -1, timeout_ms: 10_000, topic_data: [topic] });
        let answer = self.ask(api::PRODUCE, 13, body).await;
        let answer = &answer["responses"][0]["partition_responses"][0];
        assert_eq!(answer["error_code"], 0, "{answer:?}");
        answer["base_offset"].int()
    }

    /// A producer id that nobody else has.
    pub async fn producer_id(&mut self) -> i64 {
        let body = value!({ transactional_id: null, transaction_timeout_ms: 60_000 });
        let answer = self.until(api::INIT_PRODUCER_ID, 4, body, |answer| answer["error_code"] == 0).await;
        answer["producer_id"].int()
    }

    fn frame(&self, api_key: i16, version: i16, body: &[u8]) -> Bytes {
        let request = message(api_key);
        let correlation_id = i32::try_from(self.transcript.steps.len()).expect("a program has few steps") + 1;
        let mut frame = raw::header(request, version, correlation_id, Some("judge"));
        frame.extend_from_slice(body);
        frame.into()
    }

    fn record(&mut self, label: &str, api_key: i16, version: i16, request: Bytes, outcome: Outcome) -> Value {
        let known = self.transcript.steps.iter().any(|step| step.label == label);
        assert!(!known, "{} has two steps {label:?}", self.transcript.scenario);
        if outcome == Outcome::Stuck {
            println!("{} never answers {} v{version}: {label}", self.address, self.transcript.scenario);
        }
        let step = Step { label: label.to_owned(), api_key, version, request, outcome };
        let answer = step.answer().unwrap_or_else(|fault| {
            panic!("{} answered {} {label:?} v{version} with nonsense: {fault}", self.address, self.transcript.scenario)
        });
        self.transcript.steps.push(step);
        answer
    }

    /// Deletes every topic of this run, so that the next one finds the cluster as this one did.
    async fn clean_up(&mut self) {
        if [api::CREATE_TOPICS, api::METADATA].contains(&self.api_key) {
            // What was made last may not show yet. Once a later one shows, it does.
            self.topic("last", 1, &[]).await;
        }
        let all = value!({ topics: null, allow_auto_topic_creation: false });
        let token = self.transcript.token.clone();
        let mine = |answer: &Value| -> Vec<Value> {
            let topics = answer["topics"].array().iter();
            topics.map(|topic| topic["name"].clone()).filter(|name| name.str().contains(&token)).collect()
        };
        let names = mine(&self.ask(api::METADATA, 12, all.clone()).await);
        if !names.is_empty() {
            let topics: Vec<_> = names.into_iter().map(|name| value!({ name: name })).collect();
            self.ask(api::DELETE_TOPICS, 6, value!({ topics: topics, timeout_ms: 10_000 })).await;
            self.until(api::METADATA, 12, all, |answer| mine(answer).is_empty()).await;
        }
    }
}

impl Step {
    /// The answer, decoded; null if there is none.
    ///
    /// # Errors
    ///
    /// A sentence that says where the frame makes no sense.
    pub fn answer(&self) -> Result<Value, String> {
        let Outcome::Answer(frame) = &self.outcome else { return Ok(Value::Null) };
        let (header, body, version) = self.response_parts(frame)?;
        let correlation_id = self.request.slice(4..8).get_i32();
        if header["correlation_id"] != correlation_id {
            return Err(format!("{header:?} answers another request than {correlation_id}"));
        }
        codec::decode(response(self.api_key), version, &body)
    }

    /// The request, decoded. Some are nonsense on purpose.
    ///
    /// # Errors
    ///
    /// A sentence that says where the frame makes no sense.
    pub fn question(&self) -> Result<Value, String> {
        let request = message(self.api_key);
        let version = self.request_header_version();
        let (_, used) = codec::decode_prefix(schema::request_header(), version, &self.request)?;
        codec::decode(request, self.version, &self.request.slice(used..))
    }

    /// The version of the header in front of the request.
    #[must_use]
    pub fn request_header_version(&self) -> i16 {
        message(self.api_key).header_version(self.version)
    }

    /// The header, the bytes of the body, and the version of the body.
    ///
    /// # Errors
    ///
    /// A sentence that says where the header makes no sense.
    pub fn response_parts(&self, frame: &Bytes) -> Result<(Value, Bytes, i16), String> {
        let response = response(self.api_key);
        let header_version = response.header_version(self.version);
        let (header, used) = codec::decode_prefix(schema::response_header(), header_version, frame)?;
        let body = frame.slice(used..);
        // KIP-511: an ApiVersions that the broker does not speak is answered at v0, whatever it was.
        let unknown = self.api_key == api::API_VERSIONS && body.starts_with(&[0, 35]);
        Ok((header, body, if unknown { 0 } else { self.version }))
    }
}

/// The request message of an API.
///
/// # Panics
///
/// If there is no such API.
#[must_use]
pub fn message(api_key: i16) -> &'static Message {
    schema::request(api_key).unwrap_or_else(|| panic!("there is no API {api_key}"))
}

fn response(api_key: i16) -> &'static Message {
    schema::response(api_key).unwrap_or_else(|| panic!("there is no API {api_key}"))
}

/// The bytes of what `version` of this API has of `body`.
#[must_use]
pub fn body_of(api_key: i16, version: i16, body: Value) -> Vec<u8> {
    codec::encode(message(api_key), version, &fitting(api_key, version, body))
}

/// What `version` of this API has of `body`.
#[must_use]
pub fn fitting(api_key: i16, version: i16, body: Value) -> Value {
    cut(&Kind::Struct(message(api_key).fields), version, body)
}

fn cut(kind: &Kind, version: i16, value: Value) -> Value {
    match (kind, value) {
        (Kind::Struct(fields), Value::Struct(given)) => {
            let known = |name: &str| -> Option<&Field> { fields.iter().find(|field| field.name == name) };
            let kept = given.into_iter().filter_map(|(name, value)| match known(name) {
                Some(field) if !field.versions.contains(version) => None,
                Some(field) => Some((name, cut(&field.kind, version, value))),
                None => Some((name, value)),
            });
            Value::Struct(kept.collect())
        }
        (Kind::Array { element, .. }, Value::Array(values)) => {
            Value::Array(values.into_iter().map(|value| cut(element, version, value)).collect())
        }
        (_, value) => value,
    }
}
