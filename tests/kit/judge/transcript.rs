//! What a program asked and was answered, and how bytes of it are read.

use bytes::{Buf, Bytes};
use mockbroker::schema::{self, Field, Kind, Message};

use crate::judge::run::Scenario;
use crate::{Value, api, codec};

/// What a program asked and was answered.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The name of the scenario.
    pub scenario: String,
    /// How many nodes were asked.
    pub nodes: usize,
    /// The version it was run at.
    pub version: i16,
    /// What is in every name of this run and in no other.
    pub token: String,
    /// In order.
    pub steps: Vec<Step>,
    /// What the program waited for and never saw.
    pub in_vain: Vec<String>,
    /// Why the program ended before its last step.
    pub stopped: Option<String>,
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

impl Transcript {
    /// That of a program that has not begun.
    #[must_use]
    pub fn new(scenario: &Scenario, version: i16, token: String) -> Self {
        let (scenario, nodes) = (scenario.name.to_owned(), scenario.nodes);
        Self { scenario, nodes, version, token, steps: Vec::new(), in_vain: Vec::new(), stopped: None }
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
