//! What several routes speak of: names of APIs and errors, and bytes, as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Outcome, Problem};
use crate::journal::error_name;
use crate::wire::api_key::ApiKey;
use crate::wire::value::Value;

/// An API by Kafka's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ApiName(pub(super) ApiKey);

impl ApiName {
    fn text(self) -> String {
        format!("{:?}", self.0)
    }
}

impl<'de> Deserialize<'de> for ApiName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = ApiKey::ALL.iter().copied().map(Self).find(|api| api.text() == name);
        known.ok_or_else(|| {
            D::Error::custom(format!("Kafka has no API {name:?}; they are spelled as in Produce, EndTxn"))
        })
    }
}

impl Serialize for ApiName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl PartialSchema for ApiName {
    fn schema() -> RefOr<Schema> {
        let names = ApiKey::ALL.iter().map(|api| Self(*api).text());
        let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        text.description(Some("An API by Kafka's name (`ApiKeys.java`).")).enum_values(Some(names)).into()
    }
}

impl ToSchema for ApiName {}

/// An error code with Kafka's name of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KafkaError {
    /// The number.
    code: i16,
    /// Kafka's name (`Errors.java`).
    name: String,
}

impl KafkaError {
    pub(super) fn of(code: i16) -> Self {
        Self { code, name: error_name(code) }
    }
}

/// The code of an error that was given as a number or by its name.
pub(super) fn error_code(code: Option<i16>, name: Option<&str>) -> Outcome<i16> {
    // Kafka's own are from -1 to 133; what follows has no names.
    match (code, name) {
        (Some(code), None) if code != 0 => Ok(code),
        (Some(_), None) => Err(Problem::bad("error code 0 is no error: leave the fault out")),
        (None, Some(name)) => {
            (-1..=133).filter(|code| *code != 0).find(|code| error_name(*code) == name).ok_or_else(|| {
                Problem::bad(format!("Kafka has no error {name:?}; they are spelled as in NOT_LEADER_OR_FOLLOWER"))
            })
        }
        _ => Err(Problem::bad("an error is given by `code` or by `name`: one of them")),
    }
}

/// A topic and some of its partitions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopicPartitions {
    /// The name of the topic.
    topic: String,
    /// The numbers of the partitions.
    partitions: Vec<i32>,
}

impl TopicPartitions {
    pub(super) fn of((topic, partitions): (String, Vec<i32>)) -> Self {
        Self { topic, partitions }
    }
}

/// Bytes as text, if they are UTF-8.
pub(super) fn text(bytes: Option<&Bytes>) -> Option<String> {
    std::str::from_utf8(bytes?).ok().map(str::to_owned)
}

/// Bytes in base64.
pub(super) fn base64(bytes: Option<&Bytes>) -> Option<String> {
    bytes.map(|bytes| STANDARD.encode(bytes))
}

/// The bytes that were given as text or in base64, if any were.
pub(super) fn bytes(field: &str, text: Option<String>, base64: Option<String>) -> Outcome<Option<Bytes>> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(base64)) => match STANDARD.decode(base64) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) => Err(Problem::bad(format!("{field}_base64: {error}"))),
        },
        (Some(_), Some(_)) => Err(Problem::bad(format!("give `{field}` or `{field}_base64`, not both"))),
    }
}

/// A message of Kafka's protocol by its field names. Bytes and records are base64.
pub(super) fn message(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Uuid(value) => value.to_string().into(),
        Value::Text(value) => value.as_str().into(),
        Value::Bytes(value) | Value::Records(value) => STANDARD.encode(value).into(),
        Value::List(items) => items.iter().map(message).collect(),
        Value::Struct(fields) => fields.iter().map(|(name, value)| ((*name).to_owned(), message(value))).collect(),
    }
}
