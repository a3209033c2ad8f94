//! Target `system`: what a user of the crates would notice.
//!
//! - `first_test`: the test that the README shows.
//! - `client`: client and broker together.
//! - `lifecycle`: a broker starts, serves on the caller's runtime, and leaves nothing behind.
//! - `time`: the manual clock.

mod client;
mod first_test;
mod lifecycle;
mod time;
