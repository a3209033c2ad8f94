//! The topics: names, ids, partitions and who leads them. Other machines get it read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use super::replicas::min_insync_replicas;
use super::{Partition, TopicConfig, names};
use crate::types::{PartitionId, TopicId, TopicName};

/// A topic that exists, or is about to.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    name: TopicName,
    id: TopicId,
    partitions: Vec<Partition>,
    config: Arc<TopicConfig>,
    is_internal: bool,
}

impl Topic {
    pub(super) fn new(name: &str, id: TopicId, partitions: Vec<Partition>, config: Arc<TopicConfig>) -> Self {
        let is_internal = names::is_internal(name);
        let name = TopicName(StrBytes::from_string(name.to_owned()));
        Self { name, id, partitions, config, is_internal }
    }

    pub(crate) fn name(&self) -> &TopicName {
        &self.name
    }

    pub(crate) fn id(&self) -> TopicId {
        self.id
    }

    /// All partitions; the place of one is its number.
    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with this number, if there is one.
    pub(crate) fn partition(&self, partition: PartitionId) -> Option<&Partition> {
        self.partitions.get(partition.index()?)
    }

    /// Whether as many replicas of a partition are in sync as a write by all of them needs (`min.insync.replicas`).
    pub(crate) fn has_enough_in_sync(&self, partition: PartitionId) -> bool {
        self.partition(partition).is_some_and(|it| it.isr().len() >= min_insync_replicas(self, it))
    }

    /// All configs with every default filled in.
    pub(crate) fn config(&self) -> &Arc<TopicConfig> {
        &self.config
    }

    /// Whether the broker itself writes to it.
    pub(crate) fn is_internal(&self) -> bool {
        self.is_internal
    }
}

/// All topics that exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics {
    by_id: BTreeMap<TopicId, Topic>,
    ids: BTreeMap<String, TopicId>,
    /// Names that have a dot or an underscore, by what they collide on.
    unified: BTreeMap<String, BTreeSet<String>>,
    partitions: usize,
    /// How many topics have `cleanup.policy=compact`.
    compacted: usize,
    version: i64,
    version_of_last_creation: i64,
    /// The names of topics that are gone, by their ids, for those who ask about the past.
    former: BTreeMap<TopicId, TopicName>,
}

/// So many topics that are gone are remembered.
const FORMER_TOPICS: usize = 10_000;

impl Topics {
    /// Rises with every topic that comes or goes and with every partition that is added.
    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    /// The version at which a topic was last created.
    pub(crate) fn version_of_last_creation(&self) -> i64 {
        self.version_of_last_creation
    }

    /// Whether there is any topic that the cleaner has to look at.
    pub(crate) fn any_is_compacted(&self) -> bool {
        self.compacted > 0
    }

    /// The topic called `name`.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Topic> {
        self.by_id.get(self.ids.get(name)?)
    }

    /// The topic with `id`.
    pub(crate) fn by_id(&self, id: TopicId) -> Option<&Topic> {
        self.by_id.get(&id)
    }

    /// The name that the topic with `id` has, or had before it was deleted.
    pub(crate) fn name_now_or_before(&self, id: TopicId) -> Option<&TopicName> {
        self.by_id.get(&id).map(Topic::name).or_else(|| self.former.get(&id))
    }

    /// The id of the topic called `name`.
    pub(crate) fn id(&self, name: &str) -> Option<TopicId> {
        self.ids.get(name).copied()
    }

    /// All topics, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.ids.values().filter_map(|id| self.by_id.get(id))
    }

    /// All topics, from the name `from` on, by name.
    pub(crate) fn iter_from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a Topic> + use<'a> {
        self.ids.range::<str, _>((Bound::Included(from), Bound::Unbounded)).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// How many topics there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many partitions all topics have together.
    #[cfg(test)]
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions
    }

    /// A topic other than `name` whose name is the same once dots are underscores.
    pub(crate) fn colliding(&self, name: &str) -> Option<&str> {
        self.unified.get(&names::unified(name)?)?.iter().map(String::as_str).find(|other| *other != name)
    }

    /// Adds a topic whose name and id are new.
    pub(super) fn insert(&mut self, topic: Topic) {
        let name = topic.name.to_string();
        if let Some(unified) = names::unified(&name) {
            self.unified.entry(unified).or_default().insert(name.clone());
        }
        self.partitions += topic.partitions.len();
        self.compacted += usize::from(topic.config.cleanup_compact);
        self.version += 1;
        self.version_of_last_creation = self.version;
        let taken = self.ids.insert(name, topic.id);
        assert!(taken.is_none(), "two topics called {}", *topic.name);
        self.by_id.insert(topic.id, topic);
    }

    /// Removes the topic, which is returned.
    pub(super) fn remove(&mut self, id: TopicId) -> Option<Topic> {
        let topic = self.by_id.remove(&id)?;
        let name: &str = &topic.name;
        self.ids.remove(name);
        self.former.insert(id, topic.name.clone());
        if self.former.len() > FORMER_TOPICS {
            self.former.pop_first();
        }
        self.version += 1;
        self.partitions -= topic.partitions.len();
        self.compacted -= usize::from(topic.config.cleanup_compact);
        if let Some(unified) = names::unified(name)
            && let Some(others) = self.unified.get_mut(&unified)
        {
            others.remove(name);
            if others.is_empty() {
                self.unified.remove(&unified);
            }
        }
        Some(topic)
    }

    /// Adds partitions after those that the topic has.
    pub(super) fn extend(&mut self, id: TopicId, partitions: Vec<Partition>) {
        if let Some(topic) = self.by_id.get_mut(&id) {
            self.partitions += partitions.len();
            self.version += 1;
            topic.partitions.extend(partitions);
        }
    }

    /// Replaces what is known of a partition that exists.
    pub(super) fn set_partition(&mut self, id: TopicId, partition: PartitionId, next: Partition) {
        let partitions = self.by_id.get_mut(&id).map(|topic| &mut topic.partitions);
        if let Some(present) = partitions.and_then(|all| all.get_mut(partition.index()?)) {
            *present = next;
        }
    }

    /// Gives the topic called `name` its config, if there is one.
    pub(super) fn set_config(&mut self, name: &str, config: Arc<TopicConfig>) {
        if let Some(topic) = self.ids.get(name).and_then(|id| self.by_id.get_mut(id)) {
            self.compacted -= usize::from(topic.config.cleanup_compact);
            self.compacted += usize::from(config.cleanup_compact);
            topic.config = config;
        }
    }

    /// Gives every topic its config.
    pub(super) fn set_configs(&mut self, config: impl Fn(&str) -> Arc<TopicConfig>) {
        for topic in self.by_id.values_mut() {
            topic.config = config(&topic.name);
        }
        self.compacted = self.by_id.values().filter(|topic| topic.config.cleanup_compact).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;
    use crate::types::NodeId;

    fn topic(name: &str, partitions: usize, ids: &mut IdSource) -> Topic {
        let partition = Partition::new(vec![NodeId(1)], |_| true);
        Topic::new(name, ids.topic_id(), vec![partition; partitions], Arc::default())
    }

    #[test]
    fn a_topic_is_found_by_name_and_by_id_until_it_is_removed() {
        let mut ids = IdSource::new(1);
        let mut topics = Topics::default();
        topics.insert(topic("b", 2, &mut ids));
        topics.insert(topic("a", 3, &mut ids));
        let id = topics.id("a").unwrap();
        assert_eq!((topics.len(), topics.partition_count()), (2, 5));
        assert_eq!(topics.iter().map(|topic| topic.name.to_string()).collect::<Vec<_>>(), ["a", "b"]);
        let topic = topics.by_id(id).unwrap();
        assert!(topic.partition(PartitionId(2)).is_some());
        assert!(topic.partition(PartitionId(3)).is_none());
        assert!(topic.partition(PartitionId(-1)).is_none());
        assert_eq!(topics.remove(id).unwrap().partitions.len(), 3);
        assert!(topics.by_name("a").is_none() && topics.by_id(id).is_none());
        assert_eq!((topics.len(), topics.partition_count()), (1, 2));
    }

    #[test]
    fn the_compacted_topics_are_counted_whatever_happens_to_them() {
        let mut ids = IdSource::new(1);
        let mut topics = Topics::default();
        let compacted = || Arc::new(TopicConfig { cleanup_compact: true, ..TopicConfig::default() });
        for name in ["a", "b"] {
            topics.insert(Topic::new(name, ids.topic_id(), Vec::new(), Arc::default()));
        }
        assert!(!topics.any_is_compacted());
        topics.set_config("a", compacted());
        topics.set_config("a", compacted());
        assert_eq!(topics.compacted, 1);
        topics.set_configs(|_| compacted());
        assert_eq!(topics.compacted, 2);
        topics.set_config("a", Arc::default());
        let b = topics.id("b").unwrap();
        topics.remove(b);
        assert!(!topics.any_is_compacted());
    }

    #[test]
    fn every_change_of_topics_or_partitions_has_a_version() {
        let mut ids = IdSource::new(1);
        let mut topics = Topics::default();
        topics.insert(topic("a", 1, &mut ids));
        let id = topics.id("a").unwrap();
        let created = topics.version();
        assert_eq!(topics.version_of_last_creation(), created);
        topics.extend(id, vec![Partition::new(vec![NodeId(1)], |_| true)]);
        let grown = topics.version();
        topics.set_config("a", Arc::default());
        assert_eq!(topics.version(), grown, "a config is no change of the topic");
        topics.remove(id);
        assert!(created < grown && grown < topics.version());
        assert_eq!(topics.version_of_last_creation(), created);
    }

    #[test]
    fn names_that_differ_by_dots_and_underscores_collide() {
        // Source: Topic.hasCollision.
        let mut ids = IdSource::new(1);
        let mut topics = Topics::default();
        topics.insert(topic("a.b_c", 1, &mut ids));
        assert_eq!(topics.colliding("a_b.c"), Some("a.b_c"));
        assert_eq!(topics.colliding("a.b_c"), None);
        assert_eq!(topics.colliding("abc"), None);
        topics.remove(topics.id("a.b_c").unwrap());
        assert_eq!(topics.colliding("a_b.c"), None);
    }
}
