//! The only module with sockets: listeners, connections, and the memory that requests arrive in.

mod connection;
mod line;
mod listener;
mod memory;
mod receive;
mod recycler;
mod registry;

pub(crate) use line::Condition;
pub(crate) use listener::{Listener, Port, Service};
pub use memory::{Connector, MemoryStream};
pub(crate) use recycler::Recycler;
pub(crate) use registry::Registry;
