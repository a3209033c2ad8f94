//! Topics: create, delete, list, describe, add partitions.

use std::{collections::BTreeMap, sync::Arc};

use kafka_protocol::{
    messages::{
        BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
        DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse, TopicName,
        create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
        create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig},
        create_topics_response::CreatableTopicResult,
        delete_topics_request::DeleteTopicState,
        metadata_request::MetadataRequestTopic,
        metadata_response::{MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::StrBytes,
};
use uuid::Uuid;

use super::{Admin, Results, ask::Place, name, outcome, text, topic_name};
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    wire::versions::Api,
};

/// The first DeleteTopics that tells topics by id or name (KIP-516).
const BY_STATE: i16 = 6;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    name: Arc<str>,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    assignments: BTreeMap<i32, Vec<i32>>,
    configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the broker's `num.partitions` and `default.replication.factor` (KIP-464), unless told otherwise.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let (assignments, configs) = (BTreeMap::new(), BTreeMap::new());
        Self { name: name.into(), partitions: None, replication_factor: None, assignments, configs }
    }

    /// With so many partitions.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// With so many replicas of each partition.
    #[must_use]
    pub fn replication_factor(mut self, replicas: i16) -> Self {
        self.replication_factor = Some(replicas);
        self
    }

    /// With the replicas of a partition on these nodes, its preferred leader first. Then every partition must be assigned,
    /// and neither their count nor the replication factor may be given.
    #[must_use]
    pub fn assign(mut self, partition: i32, nodes: impl Into<Vec<i32>>) -> Self {
        self.assignments.insert(partition, nodes.into());
        self
    }

    /// With a topic config, such as `retention.ms`.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }

    fn request(&self) -> CreatableTopic {
        let assignments = self.assignments.iter().map(|(partition, nodes)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(*partition)
                .with_broker_ids(nodes.iter().map(|node_id| BrokerId(*node_id)).collect())
        });
        let configs = self.configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default().with_name(text(key.as_str())).with_value(Some(text(value.as_str())))
        });
        CreatableTopic::default()
            .with_name(topic_name(&self.name))
            .with_num_partitions(self.partitions.unwrap_or(-1))
            .with_replication_factor(self.replication_factor.unwrap_or(-1))
            .with_assignments(assignments.collect())
            .with_configs(configs.collect())
    }
}

/// A topic that was created, as far as the broker told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedTopic {
    /// Its id; nil before Kafka 2.8, and when it was only validated.
    pub topic_id: Uuid,
    /// How many partitions it has; `None` before Kafka 2.4, or if the configs may not be seen.
    pub partitions: Option<i32>,
    /// How many replicas each partition has, likewise.
    pub replication_factor: Option<i16>,
    /// Its configs, likewise: values by key, `None` where they are secret.
    pub configs: BTreeMap<String, Option<String>>,
}

/// How many partitions a topic shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    topic: Arc<str>,
    total: i32,
    assignments: Option<Vec<Vec<i32>>>,
}

impl NewPartitions {
    /// So many in all. There can only be more than before.
    #[must_use]
    pub fn total(topic: impl Into<Arc<str>>, count: i32) -> Self {
        Self { topic: topic.into(), total: count, assignments: None }
    }

    /// With the replicas of the new partitions on these nodes, a list for each new partition.
    #[must_use]
    pub fn assign(mut self, nodes: impl Into<Vec<Vec<i32>>>) -> Self {
        self.assignments = Some(nodes.into());
        self
    }

    fn request(&self) -> CreatePartitionsTopic {
        let assignments = self.assignments.as_ref().map(|assignments| {
            let nodes = |nodes: &Vec<i32>| nodes.iter().map(|node_id| BrokerId(*node_id)).collect();
            assignments.iter().map(|to| CreatePartitionsAssignment::default().with_broker_ids(nodes(to))).collect()
        });
        CreatePartitionsTopic::default()
            .with_name(topic_name(&self.topic))
            .with_count(self.total)
            .with_assignments(assignments)
    }
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; nil before Kafka 3.1.
    pub topic_id: Uuid,
    /// Whether Kafka made it for itself.
    pub is_internal: bool,
    /// How many partitions it has.
    pub partitions: usize,
}

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; nil before Kafka 3.1.
    pub topic_id: Uuid,
    /// Whether Kafka made it for itself.
    pub is_internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
}

/// What is known of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// Its number.
    pub partition: i32,
    /// The node that leads it, unless there is none.
    pub leader: Option<i32>,
    /// The epoch of the leader, where it is told (Kafka 2.2).
    pub leader_epoch: Option<i32>,
    /// The nodes that have it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas that are in sync.
    pub in_sync_replicas: Vec<i32>,
    /// The replicas that are not reachable.
    pub offline_replicas: Vec<i32>,
}

impl Admin {
    /// Creates topics. Errors: `TOPIC_ALREADY_EXISTS`, `INVALID_TOPIC_EXCEPTION`, `INVALID_PARTITIONS`,
    /// `INVALID_REPLICATION_FACTOR`, `INVALID_REPLICA_ASSIGNMENT`, `INVALID_CONFIG`, `POLICY_VIOLATION`.
    ///
    /// Nodes learn of a new topic a moment after this returns.
    pub async fn create_topics(&self, topics: impl IntoIterator<Item = NewTopic>) -> Results<Arc<str>, CreatedTopic> {
        self.create(topics, CreateTopicsRequest::default()).await
    }

    /// Checks what [`Admin::create_topics`] would do, and does not do it.
    pub async fn validate_topics(&self, topics: impl IntoIterator<Item = NewTopic>) -> Results<Arc<str>, CreatedTopic> {
        self.create(topics, CreateTopicsRequest::default().with_validate_only(true)).await
    }

    async fn create(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
        request: CreateTopicsRequest,
    ) -> Results<Arc<str>, CreatedTopic> {
        let topics: BTreeMap<Arc<str>, NewTopic> =
            topics.into_iter().map(|topic| (Arc::clone(&topic.name), topic)).collect();
        let request = request.with_timeout_ms(self.timeout_ms());
        self.each(
            topics.keys().cloned(),
            |_| Place::Controller,
            |_, names| request.clone().with_topics(names.iter().map(|name| topics[name].request()).collect()),
            |_, answer: CreateTopicsResponse| answer.topics.iter().map(created).collect(),
        )
        .await
    }

    /// Deletes topics by name. Errors: `UNKNOWN_TOPIC_OR_PARTITION`, `TOPIC_DELETION_DISABLED`, `INVALID_REQUEST`.
    pub async fn delete_topics(&self, topics: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Results<Arc<str>> {
        let timeout_ms = self.timeout_ms();
        self.each(
            topics.into_iter().map(Into::into),
            |_| Place::Controller,
            |version, names| {
                let names = names.iter().map(|name| topic_name(name));
                let request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms);
                match version {
                    BY_STATE.. => request
                        .with_topics(names.map(|name| DeleteTopicState::default().with_name(Some(name))).collect()),
                    _ => request.with_topic_names(names.collect()),
                }
            },
            |_, answer: DeleteTopicsResponse| {
                let topics = answer.responses.iter().filter_map(|topic| Some((topic.name.as_ref()?, topic)));
                let result = |code, message| outcome(DeleteTopicsRequest::NAME, code, message);
                topics.map(|(of, topic)| (name(of), result(topic.error_code, topic.error_message.as_ref()))).collect()
            },
        )
        .await
    }

    /// Deletes topics by id (Kafka 2.8), so that a topic of the same name that came since stays. Errors: `UNKNOWN_TOPIC_ID`
    /// and those of [`Admin::delete_topics`].
    pub async fn delete_topics_by_id(&self, topics: impl IntoIterator<Item = Uuid>) -> Results<Uuid> {
        let timeout_ms = self.timeout_ms();
        self.each(
            topics,
            |_| Place::Controller,
            |_, ids| {
                let topics = ids.iter().map(|id| DeleteTopicState::default().with_topic_id(*id)).collect();
                DeleteTopicsRequest::default().with_topics(topics).with_timeout_ms(timeout_ms)
            },
            |_, answer: DeleteTopicsResponse| {
                let result = |code, message| outcome(DeleteTopicsRequest::NAME, code, message);
                let topics = answer.responses.iter();
                topics.map(|topic| (topic.topic_id, result(topic.error_code, topic.error_message.as_ref()))).collect()
            },
        )
        .await
    }

    /// All topics, internal ones as well.
    pub async fn list_topics(&self) -> Result<Vec<ListedTopic>> {
        let request = |_| MetadataRequest::default().with_topics(None);
        let read = |answer: MetadataResponse| {
            let listed = answer.topics.iter().filter_map(|topic| {
                Some(ListedTopic {
                    name: name(topic.name.as_ref()?),
                    topic_id: topic.topic_id,
                    is_internal: topic.is_internal,
                    partitions: topic.partitions.len(),
                })
            });
            Ok(listed.collect())
        };
        self.one(Place::Any, request, read).await
    }

    /// Describes topics. Error: `UNKNOWN_TOPIC_OR_PARTITION`. No topic is created by it.
    pub async fn describe_topics(
        &self,
        topics: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Results<Arc<str>, TopicDescription> {
        self.each(
            topics.into_iter().map(Into::into),
            |_| Place::Any,
            |_, names| {
                let topics = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))));
                MetadataRequest::default().with_topics(Some(topics.collect())).with_allow_auto_topic_creation(false)
            },
            |_, answer: MetadataResponse| {
                let topics = answer.topics.iter().filter_map(|topic| Some((name(topic.name.as_ref()?), topic)));
                topics.map(|(name, topic)| (name, described(topic))).collect()
            },
        )
        .await
    }

    /// Describes topics by id (Kafka 3.1). Error: `UNKNOWN_TOPIC_ID`.
    pub async fn describe_topics_by_id(
        &self,
        topics: impl IntoIterator<Item = Uuid>,
    ) -> Results<Uuid, TopicDescription> {
        self.each(
            topics,
            |_| Place::Any,
            |_, ids| {
                let topics = ids.iter().map(|id| MetadataRequestTopic::default().with_topic_id(*id).with_name(None));
                MetadataRequest::default().with_topics(Some(topics.collect())).with_allow_auto_topic_creation(false)
            },
            |_, answer: MetadataResponse| {
                answer.topics.iter().map(|topic| (topic.topic_id, described(topic))).collect()
            },
        )
        .await
    }

    /// Adds partitions to topics. Errors: `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_PARTITIONS` (not more than before),
    /// `INVALID_REPLICA_ASSIGNMENT`, `REASSIGNMENT_IN_PROGRESS`.
    pub async fn create_partitions(&self, topics: impl IntoIterator<Item = NewPartitions>) -> Results<Arc<str>> {
        self.add_partitions(topics, CreatePartitionsRequest::default()).await
    }

    /// Checks what [`Admin::create_partitions`] would do, and does not do it.
    pub async fn validate_partitions(&self, topics: impl IntoIterator<Item = NewPartitions>) -> Results<Arc<str>> {
        self.add_partitions(topics, CreatePartitionsRequest::default().with_validate_only(true)).await
    }

    async fn add_partitions(
        &self,
        topics: impl IntoIterator<Item = NewPartitions>,
        request: CreatePartitionsRequest,
    ) -> Results<Arc<str>> {
        let topics: BTreeMap<Arc<str>, NewPartitions> =
            topics.into_iter().map(|topic| (Arc::clone(&topic.topic), topic)).collect();
        let request = request.with_timeout_ms(self.timeout_ms());
        self.each(
            topics.keys().cloned(),
            |_| Place::Controller,
            |_, names| request.clone().with_topics(names.iter().map(|name| topics[name].request()).collect()),
            |_, answer: CreatePartitionsResponse| {
                let result = |code, message| outcome(CreatePartitionsRequest::NAME, code, message);
                let topics = answer.results.iter();
                topics
                    .map(|topic| (name(&topic.name), result(topic.error_code, topic.error_message.as_ref())))
                    .collect()
            },
        )
        .await
    }
}

fn created(topic: &CreatableTopicResult) -> (Arc<str>, Result<CreatedTopic>) {
    let configs = topic.configs.iter().flatten();
    let value = |value: &StrBytes| value.to_string();
    let result = outcome(CreateTopicsRequest::NAME, topic.error_code, topic.error_message.as_ref());
    let created = result.map(|()| CreatedTopic {
        topic_id: topic.topic_id,
        partitions: Some(topic.num_partitions).filter(|count| *count >= 0),
        replication_factor: Some(topic.replication_factor).filter(|count| *count >= 0),
        configs: configs.map(|config| (config.name.to_string(), config.value.as_ref().map(value))).collect(),
    });
    (name(&topic.name), created)
}

fn described(topic: &MetadataResponseTopic) -> Result<TopicDescription> {
    let named: Option<&TopicName> = topic.name.as_ref();
    let named = named.map_or_else(|| "".into(), |of| name(of));
    outcome(MetadataRequest::NAME, topic.error_code, None).map_err(|error| match error {
        Error::Server { api, code, .. } if !named.is_empty() => {
            Error::Server { api, topic: Some(Arc::clone(&named)), partition: None, code, message: None }
        }
        other => other,
    })?;
    let mut partitions: Vec<_> = topic.partitions.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.partition);
    Ok(TopicDescription { name: named, topic_id: topic.topic_id, is_internal: topic.is_internal, partitions })
}

fn partition(partition: &MetadataResponsePartition) -> PartitionDescription {
    let nodes = |nodes: &[BrokerId]| nodes.iter().map(|node_id| node_id.0).collect();
    // A partition with a code has no leader that could be asked, but its replicas are told.
    let led = ErrorCode::from_number(partition.error_code) != ErrorCode::LeaderNotAvailable;
    PartitionDescription {
        partition: partition.partition_index,
        leader: Some(partition.leader_id.0).filter(|node_id| *node_id >= 0 && led),
        leader_epoch: Some(partition.leader_epoch).filter(|epoch| *epoch >= 0),
        replicas: nodes(&partition.replica_nodes),
        in_sync_replicas: nodes(&partition.isr_nodes),
        offline_replicas: nodes(&partition.offline_replicas),
    }
}
