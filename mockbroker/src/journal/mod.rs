//! What was asked and what became of it: every request of a cluster, the last ones at hand. Sees frames, never state.
//!
//! On the way of a request the journal only keeps bytes; they are decoded when somebody asks. What is kept is bounded by a
//! number of requests and of bytes, the oldest go first, and a count that would have needed them says so.
//!
//! - `ring`: what is kept (`stretch`: where; `head`: whose it is); `entry`: one request, as a test sees it; `render`: as one line;
//!   `pcapng`: as packets
//! - `query`: the public face: filters, counts, waiting

mod entry;
mod head;
mod pcapng;
mod query;
mod render;
mod ring;
mod stretch;

#[cfg(test)]
mod tests;

pub use self::entry::{Decision, Entry};
pub use self::query::Journal;
#[cfg(feature = "control")]
pub(crate) use self::query::Unknown;
pub(crate) use self::query::{Found, Source, Start};
#[cfg(feature = "control")]
pub(crate) use self::render::error_name;
pub(crate) use self::ring::{Fate, Kept, Peer, Ring};
