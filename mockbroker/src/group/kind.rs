//! Which protocol a group speaks.
//!
//! A group id is of one kind at a time. A classic group may be simple: it has offsets and never had a member.

/// The protocol of a group (`Group.GroupType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupType {
    /// JoinGroup and SyncGroup: the members assign.
    Classic,
    /// ConsumerGroupHeartbeat: the broker assigns.
    Consumer,
}

impl GroupType {
    /// As ListGroups writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}
