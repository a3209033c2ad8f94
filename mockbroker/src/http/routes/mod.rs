//! What there is to ask, a file for each group of routes, with the types of its questions and answers. The router and the
//! OpenAPI document are made of the same list.

#![expect(unused_qualifications, reason = "utoipa's macros name types twice")]

pub(super) mod accidents;
pub(super) mod clock;
pub(super) mod clusters;
pub(super) mod conditions;
pub(super) mod connections;
pub(super) mod events;
pub(super) mod faults;
pub(super) mod gates;
pub(super) mod groups;
pub(super) mod journal;
pub(super) mod loading;
pub(super) mod markers;
pub(super) mod nodes;
pub(super) mod records;
pub(super) mod scope;
pub(super) mod snapshots;
pub(super) mod topics;
pub(super) mod transactions;

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::hub::Hub;
use super::problem::{Kind, Problem};

/// The state of all routes.
pub(super) type Knows = axum::extract::State<Arc<Hub>>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "mockbroker control",
        description = "The test author's face of mockbroker for any language: break a Kafka cluster, hold it, move its time, \
                       ask it what happened. docs/CONTROL.md in the repository has an example for each route. What is mounted \
                       (faults, gates, conditions, held markers, held loading) stays until it is deleted or its cluster is."
    ),
    components(schemas(Problem, super::model::ApiName, super::wait::Patience, journal::Outcomes)),
    tags(
        (name = "clusters", description = "Clusters on demand, snapshots of them, their clocks."),
        (name = "faults", description = "Requests that fail, wait or vanish: faults, gates, accidents."),
        (name = "nodes", description = "Nodes that crash, lines that are cut or slow, replicas that lag."),
        (name = "topics", description = "Topics, partitions and their records; operations on them."),
        (name = "groups", description = "Groups and transactions."),
        (name = "journal", description = "What was asked, and what became of it."),
    )
)]
struct Document;

/// All routes, and the document that describes them.
pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    let mut document = Document::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer = bearer.description(Some("Beyond loopback, and wherever `--control-token` was given.")).build();
    document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
    document.components.get_or_insert_default().responses.extend(super::problem::documented());
    document.security =
        Some(vec![SecurityRequirement::default(), SecurityRequirement::new::<_, [&str; 0], _>("token", [])]);
    OpenApiRouter::with_openapi(document)
        .routes(routes!(about))
        .routes(routes!(openapi))
        .merge(clusters::router())
        .merge(clock::router())
        .merge(snapshots::router())
        .merge(faults::router())
        .merge(gates::router())
        .merge(accidents::router())
        .merge(nodes::router())
        .merge(conditions::router())
        .merge(topics::router())
        .merge(records::router())
        .merge(groups::router())
        .merge(transactions::router())
        .merge(markers::router())
        .merge(loading::router())
        .merge(connections::router())
        .merge(journal::router())
        .merge(events::router())
}

/// What answers here.
#[derive(Serialize, ToSchema)]
struct About {
    /// `mockbroker`.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// Where the OpenAPI document of this address is.
    openapi: &'static str,
}

/// What answers here, and where its document is.
#[utoipa::path(get, path = "/", tag = "clusters", responses((status = 200, body = About)))]
async fn about() -> Json<About> {
    Json(About { name: "mockbroker", version: env!("CARGO_PKG_VERSION"), openapi: "/openapi.json" })
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "clusters", responses((status = 200, body = Object, description = "OpenAPI 3.1")))]
async fn openapi() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(super::openapi);
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// For a path that is no route.
pub(super) async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no route {:?}: /openapi.json has them all", uri.path()))
}

/// For a method that a route does not have.
pub(super) async fn not_with_this(uri: Uri) -> Problem {
    let detail = format!("{:?} is there for other methods: /openapi.json has them", uri.path());
    Problem::new(Kind::MethodNotAllowed, detail)
}
