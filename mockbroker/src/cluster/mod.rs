//! The cluster: nodes, topics, configs, features, and who leads what.

mod topic_config;

pub(crate) use topic_config::{CompressionType, TimestampType, TopicConfig};
