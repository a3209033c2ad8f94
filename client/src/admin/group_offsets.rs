//! What groups have committed: list, alter, delete.

use std::{collections::BTreeMap, sync::Arc};

use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
};

use super::{Admin, Results, ask::Place, by_topic, name, outcome, partition_outcome, text};
use crate::{error::Result, record::TopicPartition, wire::versions::Api};

/// The first OffsetFetch that asks for several groups (KIP-709).
const GROUPS: i16 = 8;

/// What a group committed for a partition, or shall have committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOffset {
    /// The next offset to be read.
    pub offset: i64,
    /// The epoch of the leader that wrote the last record before it, where that is known.
    pub leader_epoch: Option<i32>,
    /// Whatever the program wrote beside it.
    pub metadata: String,
}

impl GroupOffset {
    /// An offset without an epoch and metadata.
    #[must_use]
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }

    /// With something written beside it.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }

    fn committed(offset: i64, leader_epoch: i32, metadata: Option<&str>) -> Option<Self> {
        let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
        (offset >= 0).then(|| Self { offset, leader_epoch, metadata: metadata.unwrap_or_default().to_owned() })
    }
}

impl Admin {
    /// All that a group has committed. Waits for transactions that are about to commit more (`require_stable`, KIP-447; Kafka
    /// 2.5). A group that is not there has nothing.
    pub async fn list_group_offsets(
        &self,
        group: impl Into<Arc<str>>,
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>> {
        let offsets = self.fetch_offsets(group.into(), None).await?;
        offsets
            .into_iter()
            .filter_map(|(of, offset)| Some((of, offset.transpose()?)))
            .map(|(of, at)| Ok((of, at?)))
            .collect()
    }

    /// What a group has committed for these partitions; `None` for those without.
    pub async fn group_offsets(
        &self,
        group: impl Into<Arc<str>>,
        partitions: &[TopicPartition],
    ) -> Result<Results<TopicPartition, Option<GroupOffset>>> {
        self.fetch_offsets(group.into(), Some(partitions)).await
    }

    async fn fetch_offsets(
        &self,
        group: Arc<str>,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Results<TopicPartition, Option<GroupOffset>>> {
        let topics = || partitions.map(|partitions| by_topic(partitions.iter().map(|of| (of, of.partition))));
        let make = |version| {
            let group = text(group.as_ref()).into();
            // Before v7 the broker cannot be asked to wait for transactions.
            let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
            match version {
                GROUPS.. => {
                    let topics = topics().map(|topics| {
                        let topics = topics.map(|(topic, partitions)| {
                            OffsetFetchRequestTopics::default().with_name(topic).with_partition_indexes(partitions)
                        });
                        topics.collect()
                    });
                    let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(topics);
                    request.with_groups(vec![group.with_member_epoch(-1)])
                }
                _ => {
                    let topics = topics().map(|topics| {
                        let topics = topics.map(|(topic, partitions)| {
                            OffsetFetchRequestTopic::default().with_name(topic).with_partition_indexes(partitions)
                        });
                        topics.collect()
                    });
                    request.with_group_id(group).with_topics(topics)
                }
            }
        };
        self.one(Place::group(&group), make, |answer| fetched(&answer)).await
    }

    /// Commits for a group whose members are away, or of a group that is none: a new one is made. Errors:
    /// `UNKNOWN_MEMBER_ID` (the group has members), `UNKNOWN_TOPIC_OR_PARTITION`, `OFFSET_METADATA_TOO_LARGE`.
    pub async fn alter_group_offsets(
        &self,
        group: impl Into<Arc<str>>,
        offsets: impl IntoIterator<Item = (TopicPartition, GroupOffset)>,
    ) -> Results<TopicPartition> {
        let (group, offsets) = (group.into(), offsets.into_iter().collect::<BTreeMap<_, _>>());
        self.each(
            offsets.keys().cloned(),
            |_| Place::group(&group),
            |_, partitions| {
                let partitions = partitions.iter().map(|of| {
                    let offset = &offsets[of];
                    let partition = OffsetCommitRequestPartition::default()
                        .with_partition_index(of.partition)
                        .with_committed_offset(offset.offset)
                        .with_committed_leader_epoch(offset.leader_epoch.unwrap_or(-1))
                        .with_committed_metadata(Some(text(offset.metadata.as_str())));
                    (of, partition)
                });
                let topics = by_topic(partitions).map(|(topic, partitions)| {
                    OffsetCommitRequestTopic::default().with_name(topic).with_partitions(partitions)
                });
                // OffsetCommitRequest.DEFAULT_GENERATION_ID and an empty member: a commit from outside of the group.
                OffsetCommitRequest::default()
                    .with_group_id(text(group.as_ref()).into())
                    .with_generation_id_or_member_epoch(-1)
                    .with_topics(topics.collect())
            },
            |_, answer: OffsetCommitResponse| {
                let partitions = answer.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
                });
                let results = partitions.map(|(of, at)| {
                    let result = partition_outcome(OffsetCommitRequest::NAME, &of, at.error_code, None);
                    (of, result)
                });
                results.collect()
            },
        )
        .await
    }

    /// Deletes what a group has committed for partitions that none of its members subscribes to (KIP-496; Kafka 2.4).
    /// Errors: `GROUP_SUBSCRIBED_TO_TOPIC`, `GROUP_ID_NOT_FOUND`, `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn delete_group_offsets(
        &self,
        group: impl Into<Arc<str>>,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Results<TopicPartition> {
        let group = group.into();
        self.each(
            partitions,
            |_| Place::group(&group),
            |_, partitions| {
                let partitions = partitions
                    .iter()
                    .map(|of| (of, OffsetDeleteRequestPartition::default().with_partition_index(of.partition)));
                let topics = by_topic(partitions).map(|(topic, partitions)| {
                    OffsetDeleteRequestTopic::default().with_name(topic).with_partitions(partitions)
                });
                OffsetDeleteRequest::default().with_group_id(text(group.as_ref()).into()).with_topics(topics.collect())
            },
            |asked, answer: OffsetDeleteResponse| {
                if let Err(error) = outcome(OffsetDeleteRequest::NAME, answer.error_code, None) {
                    return super::all(asked, &error);
                }
                let partitions = answer.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
                });
                let results = partitions.map(|(of, at)| {
                    let result = partition_outcome(OffsetDeleteRequest::NAME, &of, at.error_code, None);
                    (of, result)
                });
                results.collect()
            },
        )
        .await
    }
}

/// From v8 on the one group stands in a list; before, its fields stand by themselves.
fn fetched(answer: &OffsetFetchResponse) -> Result<Results<TopicPartition, Option<GroupOffset>>> {
    let api = OffsetFetchRequest::NAME;
    let Some(group) = answer.groups.first() else {
        outcome(api, answer.error_code, None)?;
        let partitions = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
        });
        let offsets = partitions.map(|(of, at)| {
            let result = partition_outcome(api, &of, at.error_code, None);
            let offset = GroupOffset::committed(at.committed_offset, at.committed_leader_epoch, at.metadata.as_deref());
            (of, result.map(|()| offset))
        });
        return stable(offsets.collect());
    };
    outcome(api, group.error_code, None)?;
    let partitions = group.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
    });
    let offsets = partitions.map(|(of, at)| {
        let result = partition_outcome(api, &of, at.error_code, None);
        let offset = GroupOffset::committed(at.committed_offset, at.committed_leader_epoch, at.metadata.as_deref());
        (of, result.map(|()| offset))
    });
    stable(offsets.collect())
}

/// A transaction that is about to commit an offset makes the whole answer one to ask for again.
fn stable(
    offsets: Results<TopicPartition, Option<GroupOffset>>,
) -> Result<Results<TopicPartition, Option<GroupOffset>>> {
    let unstable = offsets.values().filter_map(|result| result.as_ref().err());
    match unstable.into_iter().find(|error| error.is_retriable() && !error.refreshes_metadata()) {
        Some(error) => Err(error.clone()),
        None => Ok(offsets),
    }
}
