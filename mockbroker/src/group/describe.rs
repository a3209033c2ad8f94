//! What can be asked of groups without changing anything: DescribeGroups, ConsumerGroupDescribe, ListGroups, OffsetFetch.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::catalog::consumer_config;
use super::classic::{ClassicGroup, ClassicState};
use super::record::OffsetCommitValue;
use super::{GroupCoordinator, GroupType, consumer};
use crate::cluster::{BrokerConfig, Cluster, Refusal};
use crate::types::TopicId;

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DescribedGroup {
    pub(crate) state: ClassicState,
    /// Empty for a simple group.
    pub(crate) protocol_type: StrBytes,
    /// The protocol that was chosen; empty unless the group is stable.
    pub(crate) protocol_data: StrBytes,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member of a [`DescribedGroup`]. Metadata is empty unless the group is stable, the assignment is the last one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DescribedMember {
    pub(crate) member_id: StrBytes,
    pub(crate) group_instance_id: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// A group as ListGroups shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListedGroup {
    pub(crate) group_id: StrBytes,
    pub(crate) protocol_type: StrBytes,
    pub(crate) state: &'static str,
    pub(crate) group_type: GroupType,
}

/// The offset of a partition as OffsetFetch shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FetchedOffset {
    /// -1 for none.
    pub(crate) offset: i64,
    /// -1 for none.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: StrBytes,
    pub(crate) error: Option<ResponseError>,
}

/// Whether a reader waits for the end of open transactions (KIP-447).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequireStable {
    Yes,
    No,
}

impl FetchedOffset {
    /// What is answered for a partition without a commit, and beside an error.
    fn none(error: Option<ResponseError>) -> Self {
        Self { offset: -1, leader_epoch: -1, metadata: StrBytes::new(), error }
    }
}

impl GroupCoordinator {
    /// What kind a group is; `None` if it does not exist.
    pub(crate) fn group_type(&self, group_id: &str) -> Option<GroupType> {
        if self.consumer.contains_key(group_id.as_bytes()) {
            return Some(GroupType::Consumer);
        }
        self.classic.contains_key(group_id.as_bytes()).then_some(GroupType::Classic)
    }

    /// A consumer group, as ConsumerGroupDescribe shows it.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, in Kafka's words.
    pub(crate) fn describe_consumer(
        &self,
        cluster: &Cluster,
        config: &BrokerConfig,
        group_id: &str,
    ) -> Result<consumer::DescribedGroup, Refusal> {
        let not_found = |text: String| Refusal::new(ResponseError::GroupIdNotFound, text);
        match self.consumer.get(group_id.as_bytes()) {
            Some(group) => Ok(group.describe(cluster, &consumer_config(cluster, config, group_id))),
            None if self.classic.contains_key(group_id.as_bytes()) => {
                Err(not_found(format!("Group {group_id} is not a consumer group.")))
            }
            None => Err(not_found(format!("Group {group_id} not found."))),
        }
    }

    /// A classic group. `None` if there is none: DescribeGroups then says `Dead`, and from v6 GROUP_ID_NOT_FOUND with
    /// [`GroupCoordinator::why_not_described`].
    pub(crate) fn describe_classic(&self, group_id: &str) -> Option<DescribedGroup> {
        self.classic.get(group_id.as_bytes()).map(ClassicGroup::describe)
    }

    /// The generation of a classic group. No API tells it to those who are not members.
    pub(crate) fn generation_id(&self, group_id: &str) -> Option<i32> {
        self.classic.get(group_id.as_bytes()).map(ClassicGroup::generation_id)
    }

    /// The offsets of a group that open transactions have: producer id, topic, partition, offset.
    pub(crate) fn pending_offsets(&self, group_id: &str) -> impl Iterator<Item = (i64, &StrBytes, i32, i64)> {
        self.hard.offsets().pending_of_group(group_id)
    }

    /// Why [`GroupCoordinator::describe_classic`] found nothing, in Kafka's words.
    pub(crate) fn why_not_described(&self, group_id: &str) -> String {
        match self.group_type(group_id) {
            None => format!("Group {group_id} not found."),
            Some(_) => format!("Group {group_id} is not a classic group."),
        }
    }

    /// All groups: the classic ones by id, then the consumer groups. The filters of ListGroups are the handler's.
    pub(crate) fn list(&self) -> impl Iterator<Item = ListedGroup> {
        let classic = self.classic.iter().map(|(group_id, group)| ListedGroup {
            group_id: group_id.clone(),
            protocol_type: group.protocol_type(),
            state: group.state().name(),
            group_type: GroupType::Classic,
        });
        let consumer = self.consumer.iter().map(|(group_id, group)| ListedGroup {
            group_id: group_id.clone(),
            protocol_type: "consumer".into(),
            state: group.state().name(),
            group_type: GroupType::Consumer,
        });
        classic.chain(consumer)
    }

    /// Whether a member may read offsets of a group (OffsetFetch v9+). Classic groups, and those that do not exist, let
    /// everyone.
    ///
    /// # Errors
    /// What fails the whole group.
    pub(crate) fn check_offset_fetch(
        &self,
        group_id: &str,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), ResponseError> {
        let Some(group) = self.consumer.get(group_id.as_bytes()) else { return Ok(()) };
        group.admit_fetch(member_id, member_epoch).map_err(|refusal| refusal.error)
    }

    /// The committed offset of one partition. With `topic_id`, as OffsetFetch v10 has it, one that was committed for another
    /// topic of that name does not count.
    pub(crate) fn fetch_offset(
        &self,
        group_id: &str,
        topic: &str,
        topic_id: Option<TopicId>,
        partition: i32,
        require_stable: RequireStable,
    ) -> FetchedOffset {
        let committed = self.hard.offsets().committed(group_id, topic, partition);
        let is_of_this_topic = |value: &&OffsetCommitValue| match topic_id {
            Some(topic_id) => value.topic_id.is_zero() || value.topic_id == topic_id,
            None => true,
        };
        if require_stable == RequireStable::Yes && self.hard.offsets().is_pending(group_id, topic, partition) {
            return FetchedOffset::none(Some(ResponseError::UnstableOffsetCommit));
        }
        committed.filter(is_of_this_topic).map_or_else(|| FetchedOffset::none(None), fetched)
    }

    /// All committed offsets of a group by topic and partition.
    pub(crate) fn fetch_all_offsets(
        &self,
        group_id: &str,
        require_stable: RequireStable,
    ) -> Vec<(StrBytes, Vec<(i32, FetchedOffset)>)> {
        let mut topics: Vec<(StrBytes, Vec<(i32, FetchedOffset)>)> = Vec::new();
        for (topic, partition, _) in self.hard.offsets().of_group(group_id) {
            let offset = self.fetch_offset(group_id, topic, None, partition, require_stable);
            match topics.last_mut().filter(|(last, _)| last == topic) {
                Some((_, partitions)) => partitions.push((partition, offset)),
                None => topics.push((topic.clone(), vec![(partition, offset)])),
            }
        }
        topics
    }
}

fn fetched(value: &OffsetCommitValue) -> FetchedOffset {
    FetchedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.clone(),
        error: None,
    }
}
