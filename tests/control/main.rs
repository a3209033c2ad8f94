//! Target `control`: the control address of `mockbroker serve`, over real HTTP, as a test in any language uses it.
//!
//! - `client`: the program, and requests to its address; `schema`: an answer judged by the OpenAPI document
//! - `walk`: every route of the document once, with what it answers held against it; the committed document and the page
//! - `clusters`: created, dropped, forked, moved in time; nothing is left of them
//! - `faults`: faults, gates, conditions, markers and accidents, met by our client
//! - `waits`: waiting for states, and what is answered when they do not come
//! - `events`: the stream of events
//! - `access`: who may ask
//! - `hostile`: requests that have no meaning

mod access;
mod client;
mod clusters;
mod events;
mod faults;
mod hostile;
mod schema;
mod waits;
mod walk;
