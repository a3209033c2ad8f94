//! DescribeTopicPartitions (key 75), v0.
//!
//! As Metadata, page by page: topics in the order of their names, with eligible leader replicas.
//!
//! Versions: one, flexible.
//! Not modelled: an authorizer.
//! Source: DescribeTopicPartitionsRequest.json; KIP-966; DescribeTopicPartitionsRequestHandler, KRaftMetadataCache.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};

use super::answers::{NO_OPERATIONS, TOPIC_OPERATIONS, broker_ids};
use super::{Answer, Api, Ctx};
use crate::cluster::{Cluster, Partition, Topic, names};
use crate::state::State;
use crate::types::{NodeId, TopicName};

pub(super) const API: Api = Api::new::<DescribeTopicPartitionsRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeTopicPartitionsRequest,
) -> Answer<DescribeTopicPartitionsResponse> {
    let (from_name, from_partition) = match &request.cursor {
        None => ("", 0),
        Some(cursor) => (&**cursor.topic_name, cursor.partition_index),
    };
    let asked: BTreeMap<&str, &TopicName> = request.topics.iter().map(|topic| (&**topic.name, &topic.name)).collect();
    let cursor_is_elsewhere = !from_name.is_empty() && !asked.is_empty() && !asked.contains_key(from_name);
    let Ok(from_partition) = usize::try_from(from_partition) else {
        return Answer::Now(refuse(&request, ResponseError::InvalidRequest));
    };
    if cursor_is_elsewhere {
        return Answer::Now(refuse(&request, ResponseError::InvalidRequest));
    }
    if asked.contains_key("") {
        // Kafka's own check of the name for authorization throws: seen on 4.3.1.
        return Answer::Now(refuse(&request, ResponseError::UnknownServerError));
    }
    let cluster = &state.cluster;
    let limit = cluster.settings_of(ctx.node).max_request_partition_size_limit.max(1);
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, limit);
    let mut page = Page { cluster, topics: Vec::new(), left: limit, next: None };
    // The cursor's partition counts for the cursor's topic only.
    let first = |name: &str| if name == from_name { from_partition } else { 0 };
    if asked.is_empty() {
        let mut topics = cluster.topics().iter_from(from_name);
        while page.next.is_none()
            && let Some(topic) = topics.next()
        {
            page.add(topic.name(), Some(topic), first(topic.name()));
        }
    } else {
        for (name, topic_name) in asked.into_iter().skip_while(|(name, _)| *name < from_name) {
            if page.next.is_none() {
                page.add(topic_name, cluster.topics().by_name(name), first(name));
            }
        }
    }
    Answer::Now(DescribeTopicPartitionsResponse::default().with_topics(page.topics).with_next_cursor(page.next))
}

pub(super) fn refuse(
    request: &DescribeTopicPartitionsRequest,
    error: ResponseError,
) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic.name.clone()))
            .with_error_code(error.code())
            .with_topic_authorized_operations(NO_OPERATIONS)
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

/// An answer that is being filled.
struct Page<'a> {
    cluster: &'a Cluster,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// How many partitions it still takes.
    left: usize,
    /// Where the next page begins, once this one is full.
    next: Option<Cursor>,
}

impl Page<'_> {
    /// Adds the partitions of `topic` from `first` on. A topic that does not exist takes no room, but needs some.
    fn add(&mut self, name: &TopicName, topic: Option<&Topic>, first: usize) {
        if self.left == 0 {
            self.next = Some(Cursor::default().with_topic_name(name.clone()).with_partition_index(0));
            return;
        }
        let entry = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(name.clone()))
            .with_is_internal(names::is_internal(name))
            .with_topic_authorized_operations(TOPIC_OPERATIONS);
        let Some(topic) = topic else {
            let error =
                names::check(name).err().map_or(ResponseError::UnknownTopicOrPartition, |refusal| refusal.error);
            self.topics.push(entry.with_error_code(error.code()));
            return;
        };
        let all = topic.partitions().len();
        let end = first.saturating_add(self.left).min(all);
        let partitions = (0..).zip(topic.partitions()).take(end).skip(first);
        let partitions: Vec<_> = partitions.map(|(index, it)| partition(self.cluster, index, it)).collect();
        self.left -= partitions.len();
        self.topics.push(entry.with_topic_id(topic.id().0).with_partitions(partitions));
        if end < all {
            let index = i32::try_from(end).unwrap_or(i32::MAX);
            self.next = Some(Cursor::default().with_topic_name(name.clone()).with_partition_index(index));
        }
    }
}

/// A leader that is down is -1, without an error: this API has none for it.
fn partition(cluster: &Cluster, index: i32, partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let is_up = |node: &NodeId| cluster.alive(*node).is_some();
    let leader = partition.leader().filter(is_up).map_or(-1, |node| node.0);
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(BrokerId(leader))
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(broker_ids(partition.replicas().iter().copied()))
        .with_isr_nodes(broker_ids(partition.isr().iter().copied()))
        .with_eligible_leader_replicas(Some(broker_ids(partition.eligible().iter().copied())))
        .with_last_known_elr(Some(broker_ids(partition.last_known_leader())))
        .with_offline_replicas(broker_ids(partition.replicas().iter().copied().filter(|node| !is_up(node))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

    fn rig() -> Rig {
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 3);
        rig.topic("c", 1);
        rig
    }

    fn request(names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        let cursor =
            cursor.map(|(name, index)| From::default().with_topic_name(topic_name(name)).with_partition_index(index));
        DescribeTopicPartitionsRequest::default()
            .with_topics(names.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor)
    }

    /// Topics as "name code partitions", then the next cursor.
    fn page(rig: &mut Rig, request: DescribeTopicPartitionsRequest) -> (Vec<String>, Option<(String, i32)>) {
        let response = rig.call(0, handle, request);
        let row = |topic: &DescribeTopicPartitionsResponseTopic| {
            let indexes: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
            format!("{} {} {indexes:?}", topic.name.as_ref().unwrap().as_str(), topic.error_code)
        };
        let next = response.next_cursor.map(|next| (next.topic_name.to_string(), next.partition_index));
        (response.topics.iter().map(row).collect(), next)
    }

    #[test]
    fn a_page_ends_where_the_next_begins() {
        // Each case was seen on 4.3.1.
        let mut rig = rig();
        let at = |name: &str, index: i32| Some((name.to_owned(), index));
        assert_eq!(
            page(&mut rig, request(&["p", "c"], 2, None)),
            (vec!["c 0 [0]".into(), "p 0 [0]".into()], at("p", 1))
        );
        assert_eq!(page(&mut rig, request(&["p", "c"], 1, None)), (vec!["c 0 [0]".into()], at("p", 0)));
        assert_eq!(page(&mut rig, request(&["p", "c"], 0, None)), (vec!["c 0 [0]".into()], at("p", 0)));
        assert_eq!(page(&mut rig, request(&["p", "c"], 9, Some(("p", 1)))), (vec!["p 0 [1, 2]".into()], None));
        assert_eq!(page(&mut rig, request(&[], 2, Some(("d", 1)))), (vec!["p 0 [0, 1]".into()], at("p", 2)));
    }

    #[test]
    fn missing_topics_are_listed_in_their_place() {
        // Seen on 4.3.1, which sorts them in with the others.
        let mut rig = rig();
        let rows = page(&mut rig, request(&["p", "c", "nope", "bad name", "c"], 9, None)).0;
        assert_eq!(rows, ["bad name 17 []", "c 0 [0]", "nope 3 []", "p 0 [0, 1, 2]"]);
    }

    #[test]
    fn an_empty_name_fails_every_topic_of_the_request() {
        // Seen on 4.3.1.
        assert_eq!(page(&mut rig(), request(&["p", ""], 9, None)).0, ["p -1 []", " -1 []"]);
    }

    #[test]
    fn a_cursor_outside_of_the_request_is_invalid() {
        // Seen on 4.3.1: every topic of the request gets 42.
        let mut rig = rig();
        for cursor in [("m", 1), ("p", -1)] {
            assert_eq!(page(&mut rig, request(&["p", "c"], 9, Some(cursor))).0, ["p 42 []", "c 42 []"]);
        }
    }
}
