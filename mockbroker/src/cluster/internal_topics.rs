//! The topics that the broker writes itself: their names, and how they are created (`DefaultAutoTopicCreationManager`).

use super::{BrokerConfig, NewTopic};

/// Groups and their committed offsets.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Transactions.
pub(crate) const TRANSACTION_STATE: &str = "__transaction_state";
/// Share groups.
pub(crate) const SHARE_GROUP_STATE: &str = "__share_group_state";

/// How the topic `name` is created when nobody says how: an internal topic with its own counts and configs, any other
/// with the defaults of the cluster.
pub(super) fn new_topic(name: &str, config: &BrokerConfig) -> NewTopic {
    let mut topic = NewTopic::named(name);
    let mut configs: Vec<(&str, String)> = Vec::new();
    match name {
        CONSUMER_OFFSETS => {
            topic.num_partitions = config.offsets_topic_num_partitions;
            topic.replication_factor = config.offsets_topic_replication_factor;
            // GroupCoordinatorService.groupMetadataTopicConfigs.
            configs.push(("cleanup.policy", "compact".to_owned()));
            configs.push(("compression.type", "producer".to_owned()));
            configs.push(("segment.bytes", config.offsets_topic_segment_bytes.to_string()));
        }
        TRANSACTION_STATE => {
            topic.num_partitions = config.transaction_state_log_num_partitions;
            topic.replication_factor = config.transaction_state_log_replication_factor;
            // TransactionStateManager.transactionTopicConfigs.
            configs.push(("cleanup.policy", "compact".to_owned()));
            configs.push(("compression.type", "uncompressed".to_owned()));
            configs.push(("min.insync.replicas", config.transaction_state_log_min_isr.to_string()));
            configs.push(("segment.bytes", config.transaction_state_log_segment_bytes.to_string()));
            configs.push(("unclean.leader.election.enable", "false".to_owned()));
        }
        SHARE_GROUP_STATE => {
            topic.num_partitions = config.share_coordinator_state_topic_num_partitions;
            topic.replication_factor = config.share_coordinator_state_topic_replication_factor;
            // ShareCoordinatorService.shareGroupStateTopicConfigs.
            configs.push(("cleanup.policy", "delete".to_owned()));
            configs.push(("compression.type", "producer".to_owned()));
            configs.push(("min.insync.replicas", config.share_coordinator_state_topic_min_isr.to_string()));
            configs.push(("retention.ms", "-1".to_owned()));
            configs.push(("segment.bytes", config.share_coordinator_state_topic_segment_bytes.to_string()));
        }
        _ => {}
    }
    topic.configs = configs.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect();
    topic
}
