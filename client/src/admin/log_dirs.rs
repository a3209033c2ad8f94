//! Where nodes keep their logs, and how much of it.

use std::{collections::BTreeMap, sync::Arc};

use kafka_protocol::messages::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic},
    describe_log_dirs_response::DescribeLogDirsResult,
};

use super::{Admin, Results, ask::Place, by_topic, name, outcome, partition_outcome, text};
use crate::{
    error::{Error, Result},
    record::TopicPartition,
    wire::versions::Api,
};

/// A directory of a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogDir {
    /// Its path on the node.
    pub path: Arc<str>,
    /// Why it is of no use, if it is not: `KAFKA_STORAGE_ERROR`.
    pub error: Option<Error>,
    /// How big its volume is, where that is known (KIP-827; Kafka 3.3).
    pub total_bytes: Option<i64>,
    /// How much of the volume can still be used, where that is known.
    pub usable_bytes: Option<i64>,
    /// The logs in it.
    pub replicas: BTreeMap<TopicPartition, Replica>,
}

/// A log in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replica {
    /// How big it is.
    pub size_bytes: i64,
    /// How many records it lacks: behind the high watermark, or a future log behind the current one.
    pub offset_lag: i64,
    /// Whether it is being built, to take the place of one in another directory.
    pub is_future: bool,
}

impl Admin {
    /// The directories of nodes and the logs in them. A node that is not there is tried until the call's time is over.
    pub async fn describe_log_dirs(&self, nodes: impl IntoIterator<Item = i32>) -> Results<i32, Vec<LogDir>> {
        self.each(
            nodes,
            |node_id| Place::Node(*node_id),
            |_, _| DescribeLogDirsRequest::default().with_topics(None),
            |node_id, answer: DescribeLogDirsResponse| {
                let result = outcome(DescribeLogDirsRequest::NAME, answer.error_code, None);
                vec![(node_id[0], result.map(|()| answer.results.iter().map(log_dir).collect()))]
            },
        )
        .await
    }

    /// Moves replicas to other directories of their nodes, by node and partition. Errors: `LOG_DIR_NOT_FOUND`,
    /// `KAFKA_STORAGE_ERROR`, `UNKNOWN_TOPIC_OR_PARTITION`; `REPLICA_NOT_AVAILABLE` where the node does not have it, but
    /// then a later replica begins in the directory.
    pub async fn alter_log_dirs(
        &self,
        moves: impl IntoIterator<Item = ((i32, TopicPartition), Arc<str>)>,
    ) -> Results<(i32, TopicPartition)> {
        let moves: BTreeMap<(i32, TopicPartition), Arc<str>> = moves.into_iter().collect();
        let nodes: BTreeMap<i32, Vec<&TopicPartition>> =
            moves.keys().fold(BTreeMap::new(), |mut nodes, (node_id, of)| {
                nodes.entry(*node_id).or_insert_with(Vec::new).push(of);
                nodes
            });
        // One key for a node: that a node does not have a replica is its answer, not a reason to ask again.
        let answers = self
            .each(
                nodes.keys().copied(),
                |node_id| Place::Node(*node_id),
                |_, node_id| {
                    let mut dirs: BTreeMap<&str, Vec<&TopicPartition>> = BTreeMap::new();
                    for of in &nodes[&node_id[0]] {
                        dirs.entry(&moves[&(node_id[0], (*of).clone())]).or_default().push(of);
                    }
                    let dirs = dirs.into_iter().map(|(path, partitions)| {
                        let topics = by_topic(partitions.into_iter().map(|of| (of, of.partition)));
                        let topics = topics.map(|(topic, partitions)| {
                            AlterReplicaLogDirTopic::default().with_name(topic).with_partitions(partitions)
                        });
                        AlterReplicaLogDir::default().with_path(text(path)).with_topics(topics.collect())
                    });
                    AlterReplicaLogDirsRequest::default().with_dirs(dirs.collect())
                },
                |node_id, answer: AlterReplicaLogDirsResponse| vec![(node_id[0], Ok(altered(&answer)))],
            )
            .await;
        let result = |(node_id, of): (i32, TopicPartition)| {
            let result = match &answers[&node_id] {
                Ok(partitions) => partitions.get(&of).cloned().unwrap_or_else(|| {
                    let (api, reason) = (AlterReplicaLogDirsRequest::NAME, "it leaves out what was asked for".into());
                    Err(Error::Malformed { api, version: -1, reason })
                }),
                Err(error) => Err(error.clone()),
            };
            ((node_id, of), result)
        };
        moves.keys().cloned().map(result).collect()
    }
}

fn altered(answer: &AlterReplicaLogDirsResponse) -> Results<TopicPartition> {
    let partitions = answer.results.iter().flat_map(|topic| {
        topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.topic_name), at.partition_index), at))
    });
    let results = partitions.map(|(of, at)| {
        let result = partition_outcome(AlterReplicaLogDirsRequest::NAME, &of, at.error_code, None);
        (of, result)
    });
    results.collect()
}

fn log_dir(dir: &DescribeLogDirsResult) -> LogDir {
    let replicas = dir.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|at| {
            let replica =
                Replica { size_bytes: at.partition_size, offset_lag: at.offset_lag, is_future: at.is_future_key };
            (TopicPartition::new(name(&topic.name), at.partition_index), replica)
        })
    });
    let result: Result<()> = outcome(DescribeLogDirsRequest::NAME, dir.error_code, None);
    LogDir {
        path: name(&dir.log_dir),
        error: result.err(),
        total_bytes: Some(dir.total_bytes).filter(|bytes| *bytes >= 0),
        usable_bytes: Some(dir.usable_bytes).filter(|bytes| *bytes >= 0),
        replicas: replicas.collect(),
    }
}
