//! DescribeLogDirs (key 35), v1-v4.
//!
//! Which replicas a node has, in which of its directories, and how large their logs are.
//!
//! Versions: v2 flexible; v3 an error on top; v4 the sizes of volumes. Kafka serves v5, the codec ends at v4.
//! Not modelled: an authorizer; volumes, whose sizes are told as unknown; future replicas; directories that fail.
//! Source: DescribeLogDirsRequest.json; KIP-113, KIP-827; ReplicaManager.describeLogDirs.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::cluster::Topic;
use crate::state::State;
use crate::types::{NodeId, PartitionId, TopicName};

pub(super) const API: Api = Api::new::<DescribeLogDirsRequest>(1, 4);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeLogDirsRequest,
) -> Answer<DescribeLogDirsResponse> {
    let wanted = request.topics.map(|topics| {
        let mut wanted: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for topic in topics {
            wanted.entry(topic.topic.to_string()).or_default().extend(topic.partitions);
        }
        wanted
    });
    let dirs = state.cluster.log_dirs(ctx.node);
    let mut by_dir: BTreeMap<&str, Vec<DescribeLogDirsTopic>> = BTreeMap::new();
    for topic in state.cluster.topics().iter() {
        let partitions = match &wanted {
            None => (0..).take(topic.partitions().len()).collect(),
            Some(wanted) => wanted.get(&***topic.name()).cloned().unwrap_or_default(),
        };
        for partition in partitions {
            let Some(told) = replica(state, ctx.node, topic, PartitionId(partition)) else { continue };
            let dir = state.cluster.log_dir_of(&dirs, ctx.node, topic.id(), PartitionId(partition));
            add(by_dir.entry(dir).or_default(), topic.name(), told);
        }
    }
    let results = dirs.iter().map(|dir| {
        DescribeLogDirsResult::default()
            .with_log_dir(text(dir.as_str()))
            .with_topics(by_dir.remove(dir.as_str()).unwrap_or_default())
            .with_total_bytes(UNKNOWN_BYTES)
            .with_usable_bytes(UNKNOWN_BYTES)
    });
    Answer::Now(DescribeLogDirsResponse::default().with_results(results.collect()))
}

pub(super) fn refuse(_request: &DescribeLogDirsRequest, error: ResponseError) -> DescribeLogDirsResponse {
    DescribeLogDirsResponse::default().with_error_code(error.code())
}

/// What stands for the size of a volume that is not known (`DescribeLogDirsResponse.UNKNOWN_VOLUME_BYTES`).
const UNKNOWN_BYTES: i64 = -1;

/// The replica of a partition that `node` has, if it has one.
fn replica(state: &State, node: NodeId, topic: &Topic, id: PartitionId) -> Option<DescribeLogDirsPartition> {
    topic.partition(id).filter(|partition| partition.replicas().contains(&node))?;
    let log = state.logs.partition(topic.id(), id)?;
    let told = DescribeLogDirsPartition::default().with_partition_index(id.0);
    // No replica lags behind: there is one log for all of them.
    Some(told.with_partition_size(i64::try_from(log.size_bytes()).unwrap_or(i64::MAX)).with_offset_lag(0))
}

fn add(topics: &mut Vec<DescribeLogDirsTopic>, name: &TopicName, partition: DescribeLogDirsPartition) {
    match topics.last_mut().filter(|topic| topic.name == *name) {
        Some(topic) => topic.partitions.push(partition),
        None => topics.push(DescribeLogDirsTopic::default().with_name(name.clone()).with_partitions(vec![partition])),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;

    use super::*;
    use crate::handlers::testing::{Rig, encodes, topic_name};

    /// `directory topic-partition`, in order.
    fn told(response: &DescribeLogDirsResponse) -> Vec<String> {
        let of_topic = |dir: &DescribeLogDirsResult, topic: &DescribeLogDirsTopic| -> Vec<String> {
            let name = |it: &DescribeLogDirsPartition| {
                format!("{} {}-{}", dir.log_dir, topic.name.as_str(), it.partition_index)
            };
            topic.partitions.iter().map(name).collect()
        };
        response.results.iter().flat_map(|dir| dir.topics.iter().flat_map(|topic| of_topic(dir, topic))).collect()
    }

    #[test]
    fn a_node_tells_of_the_replicas_it_has_in_the_directory_they_are_in() {
        let mut rig = Rig::new(3, &[("log.dirs", "/a,/b")]);
        let topic_id = rig.topic_on("t", &[&[1, 3], &[2, 3], &[1, 2]]);
        rig.topic_on("u", &[&[2]]);
        rig.state.cluster.move_replica(NodeId(1), topic_id, PartitionId(2), "/b");
        let all = rig.call(4, handle, DescribeLogDirsRequest::default().with_topics(None));
        assert_eq!(told(&all), ["/a t-0", "/b t-2"]);
        assert_eq!((all.results[0].total_bytes, all.results[0].topics[0].partitions[0].partition_size), (-1, 0));
        let topic = DescribableLogDirTopic::default().with_topic(topic_name("t")).with_partitions(vec![2, 2, 1, 7]);
        let one = rig.call(1, handle, DescribeLogDirsRequest::default().with_topics(Some(vec![topic])));
        assert_eq!((told(&one), one.results.len()), (vec!["/b t-2".to_owned()], 2));
    }

    #[test]
    fn a_refusal_is_on_top_from_v3_on_and_names_no_directory() {
        // Before v3 there is no place for an error: Kafka's answer is empty.
        for version in API.min..=API.max {
            let refused = refuse(&DescribeLogDirsRequest::default(), ResponseError::ClusterAuthorizationFailed);
            encodes(&refused, version);
            assert_eq!((refused.error_code, refused.results.len()), (31, 0));
        }
    }
}
