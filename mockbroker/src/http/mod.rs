//! The control address: the test author's face over HTTP and JSON, for tests in any language. `docs/CONTROL.md` shows it.
//!
//! What it does is what [`MockBroker`](crate::MockBroker) does, under the same names; nothing is decided here but who may ask
//! and how a question and its answer are written. The types of the requests and answers are the source of the OpenAPI document.
//!
//! - `listen`: the port; `gatekeeper`: who may ask; `problem`: how a refusal is written; `extract`: how a request is read
//! - `hub`: the clusters that are there, and what is mounted on each; `wait`: waiting that ends in a report
//! - `model`: names and bytes as JSON; `routes`: what there is to ask, a file for each group of routes with its types

mod extract;
mod gatekeeper;
mod hub;
mod listen;
mod model;
mod problem;
mod routes;
mod wait;

#[cfg(test)]
mod tests;

pub(crate) use self::hub::{Hub, Surroundings};
pub(crate) use self::listen::Control;

/// How patient the clusters here are by themselves: longer than anybody who asks may be, so that whoever waits is told, and nothing
/// panics.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3600);

/// The OpenAPI document of all routes, as it is answered at `/openapi.json`.
pub(crate) fn openapi() -> String {
    let mut text = routes::router().to_openapi().to_pretty_json().expect("a document of plain values");
    text.push('\n');
    text
}
