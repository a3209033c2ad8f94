//! In which of a node's directories its replicas are said to lie. Nothing is written there: logs are in memory.
//!
//! Source: `LogManager`. Not modelled: Kafka spreads new partitions over several directories, here they begin in the first;
//! a replica that is moved is there at once, so there are no future replicas; a directory never fails and is never full.

use std::collections::BTreeMap;

use super::Cluster;
use crate::types::{NodeId, PartitionId, TopicId};

/// The replicas that were moved.
#[derive(Clone, Debug, Default)]
pub(super) struct LogDirs {
    moved: BTreeMap<(NodeId, TopicId, PartitionId), String>,
}

impl Cluster {
    /// The directories of `node` (`log.dirs`, else `log.dir`), each once. Never empty.
    pub(crate) fn log_dirs(&self, node: NodeId) -> Vec<String> {
        let configured = ["log.dirs", "log.dir"].iter().find_map(|key| self.configs.static_value(node, key));
        let mut dirs = Vec::new();
        for dir in configured.unwrap_or(DEFAULT).split(',').map(str::trim) {
            if !dir.is_empty() && !dirs.iter().any(|known| known == dir) {
                dirs.push(dir.to_owned());
            }
        }
        if dirs.is_empty() {
            dirs.push(DEFAULT.to_owned());
        }
        dirs
    }

    /// Where `node` has its replica of a partition, given [`Cluster::log_dirs`] of it.
    pub(crate) fn log_dir_of<'a>(
        &'a self,
        dirs: &'a [String],
        node: NodeId,
        topic_id: TopicId,
        partition: PartitionId,
    ) -> &'a str {
        self.log_dirs.moved.get(&(node, topic_id, partition)).map_or(&dirs[0], String::as_str)
    }

    /// Moves the replica that `node` has of a partition to one of its directories.
    pub(crate) fn move_replica(&mut self, node: NodeId, topic_id: TopicId, partition: PartitionId, dir: &str) {
        self.log_dirs.moved.insert((node, topic_id, partition), dir.to_owned());
    }

    /// Forgets where the replicas of a topic were moved.
    pub(super) fn forget_replicas(&mut self, topic_id: TopicId) {
        self.log_dirs.moved.retain(|(_, moved, _), _| *moved != topic_id);
    }
}

/// Kafka's default of `log.dir`.
const DEFAULT: &str = "/tmp/kafka-logs";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::cluster;

    #[test]
    fn the_directories_are_those_of_the_properties() {
        let of = |properties: &[(&str, &str)]| cluster(1, properties).log_dirs(NodeId(1));
        assert_eq!(of(&[]), ["/tmp/kafka-logs"]);
        assert_eq!(of(&[("log.dir", "/one")]), ["/one"]);
        assert_eq!(of(&[("log.dir", "/one"), ("log.dirs", "/a, /b,/a")]), ["/a", "/b"]);
        assert_eq!(of(&[("log.dirs", "")]), ["/tmp/kafka-logs"]);
    }

    #[test]
    fn a_replica_is_where_it_was_moved_until_its_topic_is_gone() {
        let mut cluster = cluster(1, &[("log.dirs", "/a,/b")]);
        let (node, topic, partition) = (NodeId(1), TopicId(uuid::Uuid::from_u128(7)), PartitionId(0));
        let dirs = cluster.log_dirs(node);
        assert_eq!(cluster.log_dir_of(&dirs, node, topic, partition), "/a");
        cluster.move_replica(node, topic, partition, "/b");
        assert_eq!(cluster.log_dir_of(&dirs, node, topic, partition), "/b");
        cluster.forget_replicas(topic);
        assert_eq!(cluster.log_dir_of(&dirs, node, topic, partition), "/a");
    }
}
