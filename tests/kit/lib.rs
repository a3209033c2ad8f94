//! The kit: what the test targets share.
//!
//! - [`raw`]: a connection that speaks any API at any version, or no API at all; [`api`] has their keys
//! - [`mod@value`]: what is said on it, as plain values; [`codec`]: values to bytes and back, by Kafka's schema
//! - [`batch`]: record batches, right and wrong; [`coordinator_records`]: what coordinators write in them;
//!   [`consumer_protocol`]: what consumers say to each other
//! - [`mod@line`]: a line between client and broker that loses requests and answers as a test wants
//! - [`generate`]: random and hostile bodies
//! - [`mod@history`]: what a history must hold, judged by its logs
//! - [`world`]: the broker under test
//! - [`tables`]: what Kafka prints of itself
//! - [`scenarios`]: programs of requests; [`judge`]: what a real Kafka and the mock say to them, compared

pub mod api;
pub mod batch;
pub mod codec;
pub mod consumer_protocol;
pub mod coordinator_records;
pub mod generate;
pub mod history;
pub mod judge;
pub mod line;
pub mod raw;
pub mod scenarios;
pub mod tables;
pub mod value;
pub mod world;

pub use raw::Raw;
pub use value::Value;
