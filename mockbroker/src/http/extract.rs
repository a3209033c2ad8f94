//! How a request is read: path, query and body, each with a refusal that says what is wrong with it.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::problem::{Kind, Problem};

/// What a request may bring. Records to be seeded are the largest of it.
pub(super) const MOST_BODY_BYTES: usize = 1024 * 1024;

/// The names in the path.
pub(super) struct At<T>(pub(super) T);

/// What follows the question mark.
pub(super) struct Asked<T>(pub(super) T);

/// The body, as JSON. Without one it is `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(names)| Self(names)).map_err(|rejection| Problem::bad(rejection.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(asked)| Self(asked)).map_err(|rejection| Problem::bad(rejection.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = says_json(request.headers());
        let body = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        if body.is_empty() {
            return parse(b"{}");
        }
        if !is_json {
            let detail = "send the body as JSON, with the header `content-type: application/json` (curl --json)";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        parse(&body)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Body<T>, Problem> {
    // To serde a list is as good as an object, without the names.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad("the body: it is a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json);
    let value = value.map_err(|error| match error.path().to_string() {
        path if path == "." => Problem::bad(format!("the body: {}", error.inner())),
        path => Problem::bad(format!("{path}: {}", error.inner())),
    })?;
    json.end().map_err(|error| Problem::bad(format!("the body: {error}")))?;
    Ok(Body(value))
}

fn says_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Kind::TooLarge, format!("a request has at most {MOST_BODY_BYTES} bytes: send several"));
    }
    Problem::bad(rejection.body_text())
}

/// In a cluster.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InCluster {
    /// The name of the cluster: `main` is that of the command line.
    pub(super) cluster: String,
}

/// Something mounted in a cluster.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Mounted {
    /// The name of the cluster.
    pub(super) cluster: String,
    /// What mounting it answered as `id`.
    pub(super) id: u64,
}

/// A node of a cluster.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfNode {
    /// The name of the cluster.
    pub(super) cluster: String,
    /// `node.id`.
    pub(super) node: i32,
}

/// A topic of a cluster.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfTopic {
    /// The name of the cluster.
    pub(super) cluster: String,
    /// The name of the topic.
    pub(super) topic: String,
}

/// A partition of a cluster.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfPartition {
    /// The name of the cluster.
    pub(super) cluster: String,
    /// The name of the topic.
    pub(super) topic: String,
    /// The number of the partition.
    pub(super) partition: i32,
}

/// A group of a cluster.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfGroup {
    /// The name of the cluster.
    pub(super) cluster: String,
    /// The id of the group, percent-encoded where it has other than letters, digits, `-`, `.`, `_`, `~`.
    pub(super) group_id: String,
}

/// A transactional id of a cluster.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfTransaction {
    /// The name of the cluster.
    pub(super) cluster: String,
    /// The transactional id, percent-encoded where it has other than letters, digits, `-`, `.`, `_`, `~`.
    pub(super) transactional_id: String,
}

/// A snapshot.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfSnapshot {
    /// What taking it answered as `id`.
    pub(super) snapshot: u64,
}
