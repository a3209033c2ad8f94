//! The names and numbers that every layer speaks of.
//!
//! Ids are newtypes. Offsets, epochs and sequences are plain integers that carry Kafka's own name in full
//! (`base_offset: i64`, `leader_epoch: i32`), because nearly all that is done with them is arithmetic.

use std::fmt;

pub use kafka_protocol::messages::{ProducerId, TopicName};
use uuid::Uuid;

/// A member of the cluster, by its `node.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i32);

/// The id a topic keeps from its creation to its deletion (KIP-516). Never zero for a topic that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub Uuid);

/// The number of a partition within its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub i32);

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// One connection of one client, for as long as the broker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl From<i32> for NodeId {
    fn from(id: i32) -> Self {
        Self(id)
    }
}

impl TopicId {
    /// The id that stands for *no id* on the wire.
    pub const ZERO: Self = Self(Uuid::nil());

    /// Whether this is [`TopicId::ZERO`].
    pub fn is_zero(self) -> bool {
        self.0.is_nil()
    }
}

impl PartitionId {
    /// The place of this partition in its topic's list; `None` for a negative number.
    pub fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
