//! The configs of one topic, resolved and typed: what the log reads on its paths.

/// Which codec the log keeps batches in (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompressionType {
    /// Whatever the producer chose.
    Producer,
    Uncompressed,
    /// `level` is `compression.gzip.level`.
    Gzip {
        level: i32,
    },
    Snappy,
    /// `level` is `compression.lz4.level`.
    Lz4 {
        level: i32,
    },
    /// `level` is `compression.zstd.level`.
    Zstd {
        level: i32,
    },
}

impl CompressionType {
    /// The codec with this id, at its default level (`offsets.topic.compression.codec`). None for an id that no codec has.
    pub(crate) fn from_id(id: i32) -> Self {
        match id {
            1 => Self::Gzip { level: -1 },
            2 => Self::Snappy,
            3 => Self::Lz4 { level: 9 },
            4 => Self::Zstd { level: 3 },
            _ => Self::Uncompressed,
        }
    }
}

/// Whose time a record bears (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The configs of one topic with every default filled in, in Kafka's units. Field names are Kafka's keys.
/// Shared as `Arc<TopicConfig>`: a change of a config makes a new one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicConfig {
    /// `cleanup.policy` contains `compact`.
    pub(crate) cleanup_compact: bool,
    /// `cleanup.policy` contains `delete`.
    pub(crate) cleanup_delete: bool,
    pub(crate) compression_type: CompressionType,
    pub(crate) max_message_bytes: i32,
    pub(crate) message_timestamp_type: TimestampType,
    pub(crate) message_timestamp_before_max_ms: i64,
    pub(crate) message_timestamp_after_max_ms: i64,
    pub(crate) min_insync_replicas: i32,
    pub(crate) retention_bytes: i64,
    pub(crate) retention_ms: i64,
    pub(crate) segment_bytes: i32,
    pub(crate) segment_ms: i64,
    pub(crate) segment_jitter_ms: i64,
    pub(crate) segment_index_bytes: i32,
    pub(crate) index_interval_bytes: i32,
    pub(crate) max_compaction_lag_ms: i64,
    pub(crate) min_compaction_lag_ms: i64,
    pub(crate) min_cleanable_dirty_ratio: f64,
    pub(crate) delete_retention_ms: i64,
    pub(crate) unclean_leader_election_enable: bool,
}

impl Default for TopicConfig {
    /// Kafka's defaults (`LogConfig`).
    fn default() -> Self {
        Self {
            cleanup_compact: false,
            cleanup_delete: true,
            compression_type: CompressionType::Producer,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            min_insync_replicas: 1,
            retention_bytes: -1,
            retention_ms: 604_800_000,
            segment_bytes: 1_073_741_824,
            segment_ms: 604_800_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10_485_760,
            index_interval_bytes: 4096,
            max_compaction_lag_ms: i64::MAX,
            min_compaction_lag_ms: 0,
            min_cleanable_dirty_ratio: 0.5,
            delete_retention_ms: 86_400_000,
            unclean_leader_election_enable: false,
        }
    }
}
