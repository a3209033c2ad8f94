//! Topics that come and go: the controller's checks, and the changes of the metadata that follow.
//!
//! Source: `ReplicationControlManager`; texts are those of 4.3.1. Not here: the logs of the partitions.
//! Not modelled: create-topic policies and the mutation quota.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::configs::{Properties, Resource};
use super::{Cluster, Partition, Refusal, Topic, internal_topics, names, placement};
use crate::ids::IdSource;
use crate::types::{NodeId, TopicId};

/// How a topic is to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// -1 is the default of the cluster.
    pub(crate) num_partitions: i32,
    /// -1 is the default of the cluster.
    pub(crate) replication_factor: i16,
    /// Partition numbers with the nodes of their replicas; empty lets the cluster choose.
    pub(crate) assignments: Vec<(i32, Vec<i32>)>,
    pub(crate) configs: Vec<(String, Option<String>)>,
}

/// A topic that may be created as it is.
#[derive(Clone, Debug)]
pub(crate) struct PlannedTopic {
    pub(crate) topic: Topic,
    /// The topic's own configs, as given.
    pub(crate) configs: Properties,
}

impl NewTopic {
    /// A topic with the defaults of the cluster.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }
}

impl Cluster {
    /// Checks that `new` can be created and says what it will be, with an id of its own. Changes nothing.
    pub(crate) fn plan_topic(&self, new: &NewTopic, ids: &mut IdSource) -> Result<PlannedTopic, Refusal> {
        names::check(&new.name)?;
        // Existence comes after collision in Kafka, and overwrites it; a topic does not collide with itself.
        if self.topics.by_name(&new.name).is_some() {
            let text = format!("Topic '{}' already exists.", new.name);
            return Err(Refusal::new(ResponseError::TopicAlreadyExists, text));
        }
        if let Some(other) = self.topics.colliding(&new.name) {
            let text = format!("Topic '{}' collides with existing topic: {other}", new.name);
            return Err(Refusal::new(ResponseError::InvalidTopicException, text));
        }
        let configs = self.plan_configs(new)?;
        let partitions =
            if new.assignments.is_empty() { self.place_topic(new, ids)? } else { self.assigned_topic(new)? };
        let topic = Topic::new(&new.name, ids.topic_id(), partitions, self.configs.topic(&new.name));
        Ok(PlannedTopic { topic, configs })
    }

    /// Plans the topic `name` as the broker itself creates it: on demand of a Metadata request, or as an internal topic.
    pub(crate) fn plan_auto_created(&self, name: &str, ids: &mut IdSource) -> Result<PlannedTopic, Refusal> {
        self.plan_topic(&internal_topics::new_topic(name, self.configs.controller()), ids)
    }

    /// Creates what [`Cluster::plan_topic`] planned, if nothing has changed since.
    pub(crate) fn add_topic(&mut self, planned: PlannedTopic) -> TopicId {
        let PlannedTopic { topic, configs } = planned;
        let (id, name) = (topic.id(), topic.name().to_string());
        self.topics.insert(topic);
        self.metadata_offset += 1;
        self.set_configs(Resource::Topic(name), configs);
        id
    }

    /// Removes the topic and its configs.
    pub(crate) fn remove_topic(&mut self, id: TopicId) -> Option<Topic> {
        self.forget_replicas(id);
        let topic = self.topics.remove(id)?;
        self.set_configs(Resource::Topic(topic.name().to_string()), Properties::new());
        Some(topic)
    }

    /// Checks that the topic `name` may have `count` partitions and says what the added ones will be. Changes nothing.
    pub(crate) fn plan_partitions(
        &self,
        name: &str,
        count: i32,
        assignments: Option<&[Vec<i32>]>,
        ids: &mut IdSource,
    ) -> Result<(TopicId, Vec<Partition>), Refusal> {
        let Some(topic) = self.topics.by_name(name) else {
            return Err(Refusal::code(ResponseError::UnknownTopicOrPartition));
        };
        let current = topic.partitions().len();
        let added = match usize::try_from(count).ok().and_then(|count| count.checked_sub(current)) {
            Some(0) => {
                let text = format!("Topic already has {current} partition(s).");
                return Err(Refusal::new(ResponseError::InvalidPartitions, text));
            }
            Some(added) => added,
            None => {
                let text =
                    format!("The topic {name} currently has {current} partition(s); {count} would not be an increase.");
                return Err(Refusal::new(ResponseError::InvalidPartitions, text));
            }
        };
        let replication_factor = topic.partitions().first().map_or(1, |partition| partition.replicas().len());
        let Some(assignments) = assignments else {
            // The number is checked before anything is placed: a request may ask for two thousand million.
            if added > MAX_RECORDS {
                return Err(Refusal::code(ResponseError::UnknownServerError));
            }
            let placed = placement::place(&self.nodes, added, replication_factor, ids)
                .map_err(|text| Refusal::new(ResponseError::InvalidReplicationFactor, text))?;
            return Ok((topic.id(), placed.into_iter().map(|replicas| self.new_partition(replicas)).collect()));
        };
        if assignments.len() != added {
            let text = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(Refusal::new(ResponseError::InvalidReplicaAssignment, text));
        }
        let mut partitions = Vec::with_capacity(added);
        for (replicas, number) in assignments.iter().zip(current..) {
            let replicas = self.checked_replicas(replicas, Some(replication_factor))?;
            partitions.push(self.assigned_partition(number, replicas)?);
        }
        Ok((topic.id(), partitions))
    }

    /// Adds what [`Cluster::plan_partitions`] planned.
    pub(crate) fn add_partitions(&mut self, id: TopicId, partitions: Vec<Partition>) {
        self.topics.extend(id, partitions);
        self.metadata_offset += 1;
    }

    fn plan_configs(&self, new: &NewTopic) -> Result<Properties, Refusal> {
        let nulls: Vec<&str> =
            new.configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
        if !nulls.is_empty() {
            let text = format!("Null value not supported for topic configs: {}", nulls.join(","));
            return Err(Refusal::new(ResponseError::InvalidConfig, text));
        }
        // Of a key that comes twice the last value counts.
        let configs: Properties =
            new.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        self.configs.check(&Resource::Topic(new.name.clone()), &Properties::new(), &configs)?;
        Ok(configs)
    }

    fn place_topic(&self, new: &NewTopic, ids: &mut IdSource) -> Result<Vec<Partition>, Refusal> {
        let defaults = self.configs.controller();
        let replication_factor = match new.replication_factor {
            -1 => defaults.default_replication_factor,
            asked => i32::from(asked),
        };
        let num_partitions = match new.num_partitions {
            -1 => defaults.num_partitions,
            asked => asked,
        };
        let replicas = usize::try_from(replication_factor).ok().filter(|count| *count > 0).ok_or_else(|| {
            let text = "Replication factor must be larger than 0, or -1 to use the default value.";
            Refusal::new(ResponseError::InvalidReplicationFactor, text)
        })?;
        let partitions = usize::try_from(num_partitions).ok().filter(|count| *count > 0).ok_or_else(|| {
            let text = "Number of partitions was set to an invalid non-positive value.";
            Refusal::new(ResponseError::InvalidPartitions, text)
        })?;
        let placed = placement::place(&self.nodes, partitions, replicas, ids).map_err(|text| {
            let text = format!("Unable to replicate the partition {replicas} time(s): {text}");
            Refusal::new(ResponseError::InvalidReplicationFactor, text)
        })?;
        Ok(placed.into_iter().map(|replicas| self.new_partition(replicas)).collect())
    }

    fn assigned_topic(&self, new: &NewTopic) -> Result<Vec<Partition>, Refusal> {
        let start = "A manual partition assignment was specified, but";
        if new.replication_factor != -1 {
            let text = format!("{start} replication factor was not set to -1.");
            return Err(Refusal::new(ResponseError::InvalidRequest, text));
        }
        if new.num_partitions != -1 {
            let text = format!("{start} numPartitions was not set to -1.");
            return Err(Refusal::new(ResponseError::InvalidRequest, text));
        }
        let refuse = |text: String| Refusal::new(ResponseError::InvalidReplicaAssignment, text);
        let mut partitions = BTreeMap::new();
        let mut replication_factor = None;
        for (number, replicas) in &new.assignments {
            if partitions.contains_key(number) {
                return Err(refuse(format!("Found multiple manual partition assignments for partition {number}")));
            }
            let replicas = self.checked_replicas(replicas, replication_factor)?;
            replication_factor = Some(replicas.len());
            partitions.insert(*number, self.assigned_partition(*number, replicas)?);
        }
        if partitions.keys().zip(0..).any(|(number, expected)| *number != expected) {
            return Err(refuse("partitions should be a consecutive 0-based integer sequence".to_owned()));
        }
        Ok(partitions.into_values().collect())
    }

    /// `ReplicationControlManager.validateManualPartitionAssignment`.
    pub(super) fn checked_replicas(
        &self,
        replicas: &[i32],
        replication_factor: Option<usize>,
    ) -> Result<Vec<NodeId>, Refusal> {
        let refuse = |text: String| {
            Refusal::new(
                ResponseError::InvalidReplicaAssignment,
                format!("The manual partition assignment includes {text}"),
            )
        };
        if replicas.is_empty() {
            return Err(refuse("an empty replica list.".to_owned()));
        }
        let mut sorted: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
        sorted.sort_unstable();
        for (index, node) in sorted.iter().enumerate() {
            if !self.nodes.contains_key(node) {
                return Err(refuse(format!("broker {node}, but no such broker is registered.")));
            }
            if index > 0 && sorted[index - 1] == *node {
                return Err(refuse(format!("the broker {node} more than once.")));
            }
        }
        match replication_factor {
            Some(others) if others != replicas.len() => Err(refuse(format!(
                "a partition with {} replica(s), but this is not consistent with previous partitions, which have {others} \
                 replica(s).",
                replicas.len()
            ))),
            _ => Ok(replicas.iter().copied().map(NodeId).collect()),
        }
    }

    fn assigned_partition(&self, number: impl std::fmt::Display, replicas: Vec<NodeId>) -> Result<Partition, Refusal> {
        let partition = self.new_partition(replicas);
        if partition.isr().is_empty() {
            let text = format!(
                "All brokers specified in the manual partition assignment for partition {number} are fenced or in \
                 controlled shutdown."
            );
            return Err(Refusal::new(ResponseError::InvalidReplicaAssignment, text));
        }
        Ok(partition)
    }

    fn new_partition(&self, replicas: Vec<NodeId>) -> Partition {
        Partition::new(replicas, |node| self.alive(node).is_some())
    }
}

/// The most records one request may add to the metadata log (`QuorumController.MAX_RECORDS_PER_USER_OP`).
pub(crate) const MAX_RECORDS: usize = 10_000;
