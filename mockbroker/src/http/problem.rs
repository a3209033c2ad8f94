//! Refusals as JSON: problem details (RFC 9457) that say what to do.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::journal::Unknown;

/// What a refusal is called and which status it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    NeverFired,
    Forgotten,
    TooLarge,
    UnsupportedMediaType,
    Panic,
}

impl Kind {
    /// Status, the end of `type`, and `title`.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request has no meaning as it is"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "The token is missing or wrong"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The request comes from another site"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing of this name"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "That cannot be done with this")
            }
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "What was waited for did not happen in time"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "The cluster is in no state for that"),
            Self::NeverFired => (StatusCode::CONFLICT, "never-fired", "A fault never fired"),
            Self::Forgotten => {
                (StatusCode::CONFLICT, "forgotten", "The journal has forgotten what the answer may depend on")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The request is not JSON")
            }
            Self::Panic => (StatusCode::INTERNAL_SERVER_ERROR, "panic", "A bug of mockbroker"),
        }
    }
}

/// A refusal (RFC 9457), as `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Which kind of refusal it is, for programs: `urn:mockbroker:` and one of `bad-request` (400), `unauthorized` (401),
    /// `forbidden` (403), `not-found` (404), `method-not-allowed` (405), `timeout` (408), `conflict` (409), `never-fired`
    /// (409), `forgotten` (409), `too-large` (413), `unsupported-media-type` (415), `panic` (500).
    #[serde(rename = "type")]
    kind: String,
    /// The same for people.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The cluster's report, if something was waited for in vain.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
    /// The number of the oldest request that the journal still has, if it has forgotten what the answer may depend on: the
    /// least `since` of a question that it can answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
}

/// What a handler comes to.
pub(super) type Outcome<T> = Result<T, Problem>;

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.parts();
        Self {
            kind: format!("urn:mockbroker:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            report: None,
            oldest: None,
        }
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    pub(super) fn with_report(mut self, report: String) -> Self {
        self.report = Some(report);
        self
    }
}

impl From<Unknown> for Problem {
    fn from(why: Unknown) -> Self {
        match why {
            Unknown::NotKept => Self::conflict(why.to_string()),
            Unknown::Forgotten(requests) => {
                Self { oldest: Some(requests), ..Self::new(Kind::Forgotten, why.to_string()) }
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("made from a status");
        let body = serde_json::to_vec(&self).expect("plain strings and numbers");
        let mut response = (status, body).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The refusals of a route, for the OpenAPI document: of any other status as well.
pub(super) struct Refusals;

/// Those of a route that waits.
pub(super) struct WaitRefusals;

type Responses = BTreeMap<String, RefOr<utoipa::openapi::Response>>;

/// Status, name in the document, and what it means.
const DOCUMENTED: [(&str, &str, &str); 5] = [
    ("400", "BadRequest", "The request has no meaning as it is."),
    ("404", "NotFound", "There is no such cluster, or nothing of that name in it."),
    ("408", "Timeout", "It did not happen in time; `report` has the cluster's report."),
    (
        "409",
        "Conflict",
        "The cluster is in no state for that, a fault never fired, or the journal has forgotten; `oldest` says how much.",
    ),
    ("default", "Refusal", "Any other refusal."),
];

/// The refusals that routes refer to.
pub(super) fn documented() -> Responses {
    let problem = || Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    let response = |text: &str| ResponseBuilder::new().description(text).content("application/problem+json", problem());
    DOCUMENTED.iter().map(|(_, name, text)| ((*name).to_owned(), response(text).build().into())).collect()
}

fn refusals(is_meant: impl Fn(&str) -> bool) -> Responses {
    let meant = DOCUMENTED.iter().filter(|(status, ..)| is_meant(status));
    meant.map(|(status, name, _)| ((*status).to_owned(), RefOr::Ref(Ref::from_response_name(*name)))).collect()
}

impl IntoResponses for Refusals {
    fn responses() -> Responses {
        refusals(|status| status != "408")
    }
}

impl IntoResponses for WaitRefusals {
    fn responses() -> Responses {
        refusals(|_| true)
    }
}
