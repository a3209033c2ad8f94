//! AlterReplicaLogDirs (key 34), v1-v2.
//!
//! Moves replicas to other directories of the node that is asked.
//!
//! Versions: v2 flexible.
//! Not modelled: an authorizer; the time that copying takes; cordoned directories; a preference for a replica that does not
//! exist yet.
//! Source: AlterReplicaLogDirsRequest.json; KIP-113; ReplicaManager.alterReplicaLogDirs.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

use super::{Answer, Api, Ctx, code};
use crate::state::State;
use crate::types::{NodeId, PartitionId, TopicName};

pub(super) const API: Api = Api::new::<AlterReplicaLogDirsRequest>(1, 2);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: AlterReplicaLogDirsRequest,
) -> Answer<AlterReplicaLogDirsResponse> {
    let dirs = state.cluster.log_dirs(ctx.node);
    Answer::Now(respond(&request, |topic, partition, path| {
        move_replica(state, ctx.node, topic, partition, path, &dirs).err()
    }))
}

pub(super) fn refuse(request: &AlterReplicaLogDirsRequest, error: ResponseError) -> AlterReplicaLogDirsResponse {
    respond(request, |_, _, _| Some(error))
}

fn move_replica(
    state: &mut State,
    node: NodeId,
    topic: &str,
    partition: PartitionId,
    path: &str,
    dirs: &[String],
) -> Result<(), ResponseError> {
    // The directory of a replica that is being moved has a longer name than any other, and it has to fit a file name
    // (UnifiedLog.logFutureDirName: topic, partition, 32 hexadecimal digits).
    if format!("{topic}-{partition}.").len() + 32 + "-future".len() > 255 {
        return Err(ResponseError::InvalidTopicException);
    }
    if !dirs.iter().any(|dir| dir == path) {
        return Err(ResponseError::LogDirNotFound);
    }
    let found = state.cluster.topics().by_name(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let replicas = found.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?.replicas();
    if !replicas.contains(&node) {
        return Err(ResponseError::ReplicaNotAvailable);
    }
    let topic_id = found.id();
    state.cluster.move_replica(node, topic_id, partition, path);
    Ok(())
}

/// One result for each partition; of a partition that is named twice the last directory counts.
fn respond(
    request: &AlterReplicaLogDirsRequest,
    mut outcome: impl FnMut(&TopicName, PartitionId, &str) -> Option<ResponseError>,
) -> AlterReplicaLogDirsResponse {
    let mut wanted: BTreeMap<&TopicName, BTreeMap<i32, &str>> = BTreeMap::new();
    for dir in &request.dirs {
        for topic in dir.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
            let partitions = topic.partitions.iter().map(|partition| (*partition, dir.path.as_str()));
            wanted.entry(&topic.name).or_default().extend(partitions);
        }
    }
    let results = wanted.into_iter().map(|(topic, partitions)| {
        let results =
            partitions.into_iter().map(|(partition, path)| {
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(partition)
                    .with_error_code(code(outcome(topic, PartitionId(partition), path)))
            });
        AlterReplicaLogDirTopicResult::default().with_topic_name(topic.clone()).with_partitions(results.collect())
    });
    AlterReplicaLogDirsResponse::default().with_results(results.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::handlers::testing::{Rig, topic_name};

    fn to(path: &'static str, topic: &str, partitions: &[i32]) -> AlterReplicaLogDir {
        let topic =
            AlterReplicaLogDirTopic::default().with_name(topic_name(topic)).with_partitions(partitions.to_vec());
        AlterReplicaLogDir::default().with_path(StrBytes::from_static_str(path)).with_topics(vec![topic])
    }

    #[test]
    fn a_replica_is_moved_to_a_directory_that_its_node_has() {
        // Source: ReplicaManager.alterReplicaLogDirs; the codes were seen on 4.3.1 (tests/kit/scenarios/log_dirs.rs).
        let mut rig = Rig::new(2, &[("log.dirs", "/a,/b")]);
        let topic_id = rig.topic_on("t", &[&[1], &[2], &[1]]);
        let long = "x".repeat(214);
        let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![
            to("/a", "t", &[2]),
            to("/b", "t", &[0, 1, 7]),
            to("/c", "t", &[2]),
            to("/b", "nowhere", &[0]),
            to("/b", &long, &[0]),
        ]);
        let response = rig.call(2, handle, request);
        let codes = response.results.iter().flat_map(|topic| {
            topic.partitions.iter().map(|it| (topic.topic_name.len(), it.partition_index, it.error_code))
        });
        let expected = [(7, 0, 3), (1, 0, 0), (1, 1, 9), (1, 2, 57), (1, 7, 3), (214, 0, 17)];
        assert_eq!(codes.collect::<Vec<_>>(), expected);
        let dirs = rig.state.cluster.log_dirs(NodeId(1));
        assert_eq!(rig.state.cluster.log_dir_of(&dirs, NodeId(1), topic_id, PartitionId(0)), "/b");
    }
}
