//! How a request becomes bytes and an answer becomes a message.
//!
//! Message bodies are encoded and decoded by the crate `kafka-protocol`; frames, headers, the choice of versions, the walk
//! that bounds an answer before it is decoded, and the Produce request (whose record batches are not copied) are ours.
//! Record batches are [`crate::batch`]. Nothing here does input or output.

pub(crate) mod frame;
pub mod guard;
pub(crate) mod message;
pub(crate) mod produce;
pub mod schema;
pub(crate) mod versions;
