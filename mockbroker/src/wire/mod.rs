//! How a request becomes bytes and back.

pub mod guard;
pub mod schema;
