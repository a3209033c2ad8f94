//! Who leads partitions and who has them: elections and reassignments.

use std::{collections::BTreeMap, sync::Arc};

use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId, ElectLeadersRequest,
    ElectLeadersResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic},
    elect_leaders_request::TopicPartitions,
    list_partition_reassignments_request::ListPartitionReassignmentsTopics,
};

use super::{Admin, Results, ask::Place, by_topic, name, outcome, partition_outcome};
use crate::{
    error::{Error, Result},
    record::TopicPartition,
    wire::versions::Api,
};

/// How a leader is elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The first of the replicas, if it is in sync.
    Preferred,
    /// Any replica that lives, if none is in sync: records may be lost (KIP-460; Kafka 2.4).
    Unclean,
}

/// A reassignment that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reassignment {
    /// The nodes that have the partition now, those that come and those that go among them.
    pub replicas: Vec<i32>,
    /// The nodes that come.
    pub adding: Vec<i32>,
    /// The nodes that go.
    pub removing: Vec<i32>,
}

impl Admin {
    /// Elects leaders, of these partitions or of all that need it (`None`). The results of all are those that had an
    /// election or an error; a partition that was named and has the leader it should have gets `ELECTION_NOT_NEEDED`. Other
    /// errors: `PREFERRED_LEADER_NOT_AVAILABLE`, `ELIGIBLE_LEADERS_NOT_AVAILABLE`, `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Results<TopicPartition>> {
        let topics = partitions.map(|partitions| {
            by_topic(partitions.iter().map(|of| (of, of.partition)))
                .map(|(topic, partitions)| TopicPartitions::default().with_topic(topic).with_partitions(partitions))
                .collect::<Vec<_>>()
        });
        let make = |_| {
            ElectLeadersRequest::default()
                .with_election_type(match election {
                    Election::Preferred => 0,
                    Election::Unclean => 1,
                })
                .with_topic_partitions(topics.clone())
                .with_timeout_ms(self.timeout_ms())
        };
        let read = |answer: ElectLeadersResponse| {
            let api = ElectLeadersRequest::NAME;
            outcome(api, answer.error_code, None)?;
            let partitions = answer.replica_election_results.iter().flat_map(|topic| {
                topic.partition_result.iter().map(|at| (TopicPartition::new(name(&topic.topic), at.partition_id), at))
            });
            let results = partitions.map(|(of, at)| {
                let result = partition_outcome(api, &of, at.error_code, at.error_message.as_ref());
                (of, result)
            });
            Ok(results.collect())
        };
        self.one(Place::Controller, make, read).await
    }

    /// Gives partitions to other nodes, the preferred leader first; `None` gives up a reassignment that goes on (KIP-455; Kafka
    /// 2.4). Returns when it began: [`Admin::list_reassignments`] tells whether it goes on. Errors:
    /// `INVALID_REPLICA_ASSIGNMENT`, `NO_REASSIGNMENT_IN_PROGRESS`, `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn alter_reassignments(
        &self,
        changes: impl IntoIterator<Item = (TopicPartition, Option<Vec<i32>>)>,
    ) -> Results<TopicPartition> {
        let changes: BTreeMap<TopicPartition, Option<Vec<i32>>> = changes.into_iter().collect();
        let api = AlterPartitionReassignmentsRequest::NAME;
        self.each(
            changes.keys().cloned(),
            |_| Place::Controller,
            |_, partitions| {
                let partitions = partitions.iter().map(|of| {
                    let nodes = changes[of].as_ref().map(|nodes| nodes.iter().copied().map(BrokerId).collect());
                    (of, ReassignablePartition::default().with_partition_index(of.partition).with_replicas(nodes))
                });
                let topics = by_topic(partitions).map(|(topic, partitions)| {
                    ReassignableTopic::default().with_name(topic).with_partitions(partitions)
                });
                AlterPartitionReassignmentsRequest::default()
                    .with_timeout_ms(self.timeout_ms())
                    .with_topics(topics.collect())
            },
            |asked, answer: AlterPartitionReassignmentsResponse| {
                if let Err(error) = outcome(api, answer.error_code, answer.error_message.as_ref()) {
                    return super::all(asked, &error);
                }
                let partitions = answer.responses.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
                });
                let results = partitions.map(|(of, at)| {
                    let result = partition_outcome(api, &of, at.error_code, at.error_message.as_ref());
                    (of, result)
                });
                results.collect()
            },
        )
        .await
    }

    /// The reassignments that go on, of these partitions or of all (`None`).
    pub async fn list_reassignments(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Reassignment>> {
        let topics = partitions.map(|partitions| {
            by_topic(partitions.iter().map(|of| (of, of.partition)))
                .map(|(topic, partitions)| {
                    ListPartitionReassignmentsTopics::default().with_name(topic).with_partition_indexes(partitions)
                })
                .collect::<Vec<_>>()
        });
        let make = |_| {
            ListPartitionReassignmentsRequest::default().with_timeout_ms(self.timeout_ms()).with_topics(topics.clone())
        };
        let nodes = |nodes: &[BrokerId]| nodes.iter().map(|node_id| node_id.0).collect();
        let read = |answer: ListPartitionReassignmentsResponse| {
            let api = ListPartitionReassignmentsRequest::NAME;
            outcome(api, answer.error_code, answer.error_message.as_ref())?;
            let partitions = answer.topics.iter().flat_map(|topic| {
                let topic_name: Arc<str> = name(&topic.name);
                topic.partitions.iter().map(move |at| {
                    let reassignment = Reassignment {
                        replicas: nodes(&at.replicas),
                        adding: nodes(&at.adding_replicas),
                        removing: nodes(&at.removing_replicas),
                    };
                    (TopicPartition::new(Arc::clone(&topic_name), at.partition_index), reassignment)
                })
            });
            Ok::<_, Error>(partitions.collect())
        };
        self.one(Place::Controller, make, read).await
    }
}
