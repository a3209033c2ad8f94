//! Target `system`: what a user of the crates would notice.
//!
//! - `lifecycle`: a broker starts, serves on the caller's runtime, and leaves nothing behind.
//! - `time`: the manual clock.

mod lifecycle;
mod time;
