//! What a request is about: the topics, groups and transactional ids that it names. Faults are scoped by them.

use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::table::Request;
use crate::cluster::Topics;
use crate::types::TopicId;
use crate::wire::subject::Subject;

/// What `request` names. A request of an API that is about none of these has an empty subject.
///
/// A Fetch within a session names only what changes; what the session holds besides is not looked up.
pub(crate) fn subject(request: &Request, topics: &Topics) -> Subject {
    let mut found = Finder { topics, subject: Subject::default() };
    match request {
        Request::Produce(_) | Request::Fetch(_) | Request::ListOffsets(_) | Request::OffsetForLeaderEpoch(_) => {
            found.partition_reads(request);
        }
        Request::OffsetCommit(_) | Request::OffsetFetch(_) | Request::OffsetDelete(_) => found.offsets(request),
        Request::FindCoordinator(request) => {
            let keys = std::iter::once(&request.key).chain(&request.coordinator_keys).map(|key| key.to_string());
            let keys = keys.filter(|key| !key.is_empty());
            match request.key_type {
                0 => found.subject.groups.extend(keys),
                1 => found.subject.transactional_ids.extend(keys),
                _ => {}
            }
        }
        Request::JoinGroup(request) => found.group(&request.group_id),
        Request::Heartbeat(request) => found.group(&request.group_id),
        Request::LeaveGroup(request) => found.group(&request.group_id),
        Request::SyncGroup(request) => found.group(&request.group_id),
        Request::DescribeGroups(request) => request.groups.iter().for_each(|group| found.group(group)),
        Request::DeleteGroups(request) => request.groups_names.iter().for_each(|group| found.group(group)),
        Request::InitProducerId(request) => {
            found.subject.transactional_ids.extend(request.transactional_id.iter().map(|id| id.to_string()));
        }
        Request::ConsumerGroupHeartbeat(request) => found.group(&request.group_id),
        Request::ConsumerGroupDescribe(request) => request.group_ids.iter().for_each(|group| found.group(group)),
        Request::DescribeTransactions(request) => {
            found.subject.transactional_ids.extend(request.transactional_ids.iter().map(|id| id.to_string()));
        }
        Request::AddPartitionsToTxn(_)
        | Request::AddOffsetsToTxn(_)
        | Request::EndTxn(_)
        | Request::TxnOffsetCommit(_)
        | Request::WriteTxnMarkers(_) => found.transactions(request),
        _ => found.topic_administration(request),
    }
    found.subject
}

struct Finder<'a> {
    topics: &'a Topics,
    subject: Subject,
}

impl Finder<'_> {
    fn group(&mut self, group_id: &str) {
        self.subject.groups.push(group_id.to_owned());
    }

    /// A topic by its name, or by its id where the name is empty.
    fn topic(&mut self, name: &TopicName, id: Uuid, partitions: impl IntoIterator<Item = i32>) {
        let by_id = || Some(self.topics.name_now_or_before(TopicId(id))?.to_string());
        let name = if name.is_empty() { by_id() } else { Some(name.to_string()) };
        self.subject.topics.extend(name.map(|name| (name, partitions.into_iter().collect())));
    }

    fn partition_reads(&mut self, request: &Request) {
        match request {
            Request::Produce(request) => {
                self.subject.transactional_ids.extend(request.transactional_id.iter().map(|id| id.to_string()));
                for topic in &request.topic_data {
                    self.topic(&topic.name, topic.topic_id, topic.partition_data.iter().map(|it| it.index));
                }
            }
            Request::Fetch(request) => {
                for topic in &request.topics {
                    self.topic(&topic.topic, topic.topic_id, topic.partitions.iter().map(|it| it.partition));
                }
            }
            Request::ListOffsets(request) => {
                for topic in &request.topics {
                    self.topic(&topic.name, Uuid::nil(), topic.partitions.iter().map(|it| it.partition_index));
                }
            }
            Request::OffsetForLeaderEpoch(request) => {
                for topic in &request.topics {
                    self.topic(&topic.topic, Uuid::nil(), topic.partitions.iter().map(|it| it.partition));
                }
            }
            _ => {}
        }
    }

    fn offsets(&mut self, request: &Request) {
        match request {
            Request::OffsetCommit(request) => {
                self.group(&request.group_id);
                for topic in &request.topics {
                    self.topic(&topic.name, topic.topic_id, topic.partitions.iter().map(|it| it.partition_index));
                }
            }
            Request::OffsetFetch(request) => {
                if !request.group_id.is_empty() {
                    self.group(&request.group_id);
                }
                for topic in request.topics.iter().flatten() {
                    self.topic(&topic.name, Uuid::nil(), topic.partition_indexes.iter().copied());
                }
                for group in &request.groups {
                    self.group(&group.group_id);
                    for topic in group.topics.iter().flatten() {
                        self.topic(&topic.name, topic.topic_id, topic.partition_indexes.iter().copied());
                    }
                }
            }
            Request::OffsetDelete(request) => {
                self.group(&request.group_id);
                for topic in &request.topics {
                    self.topic(&topic.name, Uuid::nil(), topic.partitions.iter().map(|it| it.partition_index));
                }
            }
            _ => {}
        }
    }

    fn transactions(&mut self, request: &Request) {
        match request {
            Request::AddPartitionsToTxn(request) => {
                let old = (&request.v3_and_below_transactional_id, &request.v3_and_below_topics);
                let new = request.transactions.iter().map(|it| (&it.transactional_id, &it.topics));
                for (id, topics) in std::iter::once(old).chain(new).filter(|(id, _)| !id.is_empty()) {
                    self.subject.transactional_ids.push(id.to_string());
                    for topic in topics {
                        self.topic(&topic.name, Uuid::nil(), topic.partitions.iter().copied());
                    }
                }
            }
            Request::AddOffsetsToTxn(request) => {
                self.subject.transactional_ids.push(request.transactional_id.to_string());
                self.group(&request.group_id);
            }
            Request::EndTxn(request) => self.subject.transactional_ids.push(request.transactional_id.to_string()),
            Request::TxnOffsetCommit(request) => {
                self.subject.transactional_ids.push(request.transactional_id.to_string());
                self.group(&request.group_id);
                for topic in &request.topics {
                    self.topic(&topic.name, Uuid::nil(), topic.partitions.iter().map(|it| it.partition_index));
                }
            }
            Request::WriteTxnMarkers(request) => {
                for topic in request.markers.iter().flat_map(|marker| &marker.topics) {
                    self.topic(&topic.name, Uuid::nil(), topic.partition_indexes.iter().copied());
                }
            }
            _ => {}
        }
    }

    fn topic_administration(&mut self, request: &Request) {
        match request {
            Request::Metadata(request) => {
                for topic in request.topics.iter().flatten() {
                    self.topic(&topic.name.clone().unwrap_or_default(), topic.topic_id, []);
                }
            }
            Request::CreateTopics(request) => {
                for topic in &request.topics {
                    self.topic(&topic.name, Uuid::nil(), []);
                }
            }
            Request::DeleteTopics(request) => {
                for name in &request.topic_names {
                    self.topic(name, Uuid::nil(), []);
                }
                for topic in &request.topics {
                    self.topic(&topic.name.clone().unwrap_or_default(), topic.topic_id, []);
                }
            }
            Request::CreatePartitions(request) => {
                for topic in &request.topics {
                    self.topic(&topic.name, Uuid::nil(), []);
                }
            }
            Request::DeleteRecords(request) => {
                for topic in &request.topics {
                    self.topic(&topic.name, Uuid::nil(), topic.partitions.iter().map(|it| it.partition_index));
                }
            }
            Request::DescribeTopicPartitions(request) => {
                for topic in &request.topics {
                    self.topic(&topic.name, Uuid::nil(), []);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
    use kafka_protocol::messages::{FetchRequest, FindCoordinatorRequest, GroupId, OffsetFetchRequest};
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::handlers::testing::Rig;

    #[test]
    fn a_topic_that_is_named_by_its_id_is_known_by_its_name() {
        let mut rig = Rig::new(1, &[]);
        let id = rig.topic("orders", 3);
        let partition = |partition| FetchPartition::default().with_partition(partition);
        let topic = FetchTopic::default().with_topic_id(id.0).with_partitions(vec![partition(2), partition(0)]);
        let request = Request::Fetch(FetchRequest::default().with_topics(vec![topic]));
        let found = subject(&request, rig.state.cluster.topics());
        assert_eq!(found.topics, [("orders".to_owned(), vec![2, 0])]);
    }

    #[test]
    fn a_coordinator_is_asked_for_by_group_or_by_transactional_id() {
        let rig = Rig::new(1, &[]);
        let of = |key_type| {
            let request = FindCoordinatorRequest::default().with_key_type(key_type);
            let request = request.with_coordinator_keys(vec![StrBytes::from_static_str("k")]);
            subject(&Request::FindCoordinator(request), rig.state.cluster.topics())
        };
        assert_eq!((of(0).groups, of(0).transactional_ids), (vec!["k".to_owned()], vec![]));
        assert_eq!((of(1).groups, of(1).transactional_ids), (vec![], vec!["k".to_owned()]));
    }

    #[test]
    fn a_fetch_of_the_offsets_of_several_groups_names_them_all() {
        let rig = Rig::new(1, &[]);
        let group = |name| OffsetFetchRequestGroup::default().with_group_id(GroupId(StrBytes::from_static_str(name)));
        let request = OffsetFetchRequest::default().with_groups(vec![group("a"), group("b")]);
        assert_eq!(subject(&Request::OffsetFetch(request), rig.state.cluster.topics()).groups, ["a", "b"]);
    }
}
