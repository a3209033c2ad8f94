//! How a request becomes bytes and back: frames, headers, bodies. No sockets and no state.

pub(crate) mod api_key;
pub(crate) mod fetch;
pub(crate) mod frame;
pub mod guard;
pub(crate) mod outgoing;
pub(crate) mod request;
pub mod schema;
pub(crate) mod subject;
pub(crate) mod value;
